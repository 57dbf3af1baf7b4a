//! What the program says of data and trainings, for people who see the page: what to do there in place of a flag.

/// What a sentence has, and what the page has in its place; a text before one that it contains.
const WORDS: [(&str, &str); 10] = [
    ("ignore them with --skip-bad", "leave them out, with a choice behind More on the page Train"),
    (
        "consider --prior balanced or, stronger, --class-weights balanced",
        "add images of the smallest one if you can",
    ),
    (" (--val-fraction)", ""),
    (" (--test-fraction)", ""),
    ("raise --micro-batches, or lower --batch, --size or --width", SMALLER),
    ("lower --batch, --size or --width", SMALLER),
    (
        "choose --size 16 or more, a larger --batch, or give more images",
        "give more images, or choose a size of 16 or more behind More",
    ),
    ("--invert auto inverts them", "repair or remove them"),
    ("with --rotate, --zoom or --aspect", "with the preset robust"),
    ("`train` splits off", "training splits off"),
];
const SMALLER: &str = "choose a smaller size or width, behind More on the page Train";

/// A text without the flags of the command line that the page has another way for.
pub(super) fn without_flags(text: &str) -> String {
    WORDS.iter().fold(text.to_owned(), |text, (flags, page)| text.replace(flags, page))
}
