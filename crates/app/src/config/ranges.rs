//! What the numbers among the flags may be, in words: for a number out of its range and for what is no such number.

/// By flag.
const RANGES: [(&str, &str); 25] = [
    ("films", "24 to 100,000"),
    ("size", "8 to 512 pixels"),
    ("resize", "at least --size, at most 8192 pixels"),
    ("val-fraction", "0 to 0.5"),
    ("test-fraction", "0 to 0.5"),
    ("rotate", "0 to 45 degrees"),
    ("zoom", "0 to 0.5"),
    ("aspect", "0 to 1"),
    ("jitter", "0 to 0.9"),
    ("erase", "0 to 1"),
    ("oversample-hard", "1 (off) to 100 turns"),
    ("ema", "0 (off) up to, not including, 1"),
    ("width", "8 to 256 channels"),
    ("dropout", "0 up to, not including, 1"),
    ("epochs", "1 to 100,000"),
    ("patience", "1 to 100,000 epochs"),
    ("batch", "1 to 65,536 images"),
    ("max-lr", "a number above 0, at most 1000"),
    ("weight-decay", "0 to 10"),
    ("label-smoothing", "0 up to, not including, 1"),
    ("seed", "0 to 9223372036854775807"),
    ("threads", "1 to 1024"),
    ("checkpoint-minutes", "0 to 1,000,000"),
    ("folds", "2 to 100"),
    ("fold", "1 up to --folds"),
];

/// The name and the range of a flag without its dashes, if it is a number.
pub(crate) fn range_of(flag: &str) -> Option<(&'static str, &'static str)> {
    RANGES.into_iter().find(|(name, _)| *name == flag)
}
