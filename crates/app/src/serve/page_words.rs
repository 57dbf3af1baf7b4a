//! What the program says of data and trainings, for people who see the page: what to do there in place of a flag.

/// What a sentence has, and what the page has in its place; a text before one that it contains. `{}` is any text, at the end of an
/// entry the rest of the line.
const WORDS: [(&str, &str); 40] = [
    ("ignore them with --skip-bad", "leave them out, with a choice behind More on the page Train"),
    (
        "consider --prior balanced or, stronger, --class-weights balanced",
        "add images of the smallest one if you can",
    ),
    (" (--val-fraction)", ""),
    (" (--test-fraction)", ""),
    ("give a test set, or a larger --test-fraction", "give more images, or a test set"),
    ("raise --micro-batches, or lower --batch, --size or --width", SMALLER),
    ("lower --batch, --size or --width", SMALLER),
    (
        "lower --size or --width, or turn the averaging of weights off with --ema 0",
        "choose a smaller size, or the preset default, behind More on the page Train",
    ),
    (
        "turn the averaging of weights off with --ema 0",
        "choose the preset default, behind More on the page Train",
    ),
    (
        "lower --size, or turn the oversampling off with --oversample-hard 1",
        "choose a smaller size, or the preset default, behind More on the page Train",
    ),
    (
        "turn the oversampling off with --oversample-hard 1",
        "choose the preset default, behind More on the page Train",
    ),
    (
        "choose --size 16 or more, a larger --batch, or give more images",
        "give more images, or choose a size of 16 or more behind More",
    ),
    (
        "training has diverged; try a lower --lr (it is {}) or {}",
        "the steps of the training became too large; train again with another seed, behind More on the page Train",
    ),
    (
        "training has diverged, or was too short; try a lower --lr (it is {}), {}, or train longer",
        "the steps of the training became too large, or it was too short; train again with more epochs or another seed, behind \
         More on the page Train",
    ),
    ("; try fewer with --threads", ""),
    (" (flag --{}, or key `{}` of the config file)", ""),
    ("with --rotate, --zoom or --aspect", "with the preset robust"),
    ("`train` splits off", "training splits off"),
    (", or the name of the column with --{}-column; found", "; found"),
    ("choose one with --{}-column", "rename one of them"),
    ("name it with --split-column or --patient-column", "call it split or patient"),
    (
        "if these are the classes, use {}, or join the class folders of all; if not, add --classes \"{}={}\"",
        "if these are the classes, join the class folders of all; if not, put the images of each class into its folder, without \
         folders in it",
    ),
    ("if it is a class, add --classes \"{}={}\"", "if it is a class, give its folder another name"),
    (
        "take the patients from file names with --patient-pattern, or from a column of a table",
        "name the patients in a column of a table",
    ),
    (
        "If they are the same, use --patient-pattern",
        "If they are the same, name the patients in a column of a table",
    ),
    (
        "if these are no patients, use --patient-pattern or --patient-column",
        "if these are no patients, name the patients in a column of a table",
    ),
    (
        "one trained with --fit pad or --fit stretch sees the whole of them",
        "cut them to what matters, if that is elsewhere",
    ),
    ("a model trained with --invert auto would invert them", "repair or remove them"),
    ("--invert auto inverts them", "repair or remove them"),
    ("convert it with `gdcmconv --raw IN OUT`", "export it again without compression"),
    ("start the command again (a training or a sweep with --resume)", "choose Resume"),
    ("continue with: {}", "choose Resume"),
    (
        "a run that was moved continues with --resume and its new folder",
        "if it has another name now, choose Resume beside it on the page Models",
    ),
    (
        "resume on a CPU like the first one, or add --other-cpu to go on with this one",
        "resume on a CPU like the first one, or train anew",
    ),
    ("restore that file, or start the run again with --config", "restore that file, or train anew"),
    ("delete checkpoint.bin and resume, which starts the run again", "train anew"),
    (", or take it for one of them, such as with --classes \"{}={}\"", ""),
    ("train another one with another --out", "train another one"),
    ("cannot read --out ", "cannot read "),
    ("cannot resume {}: ", "it cannot be resumed: "),
];
const SMALLER: &str = "choose a smaller size or width, behind More on the page Train";

/// A text without the flags of the command line that the page has another way for.
pub(super) fn without_flags(text: &str) -> String {
    WORDS.iter().fold(text.to_owned(), |text, (flags, page)| replaced(&text, flags, page))
}

/// A text with `page` in place of what fits `pattern`.
fn replaced(text: &str, pattern: &str, page: &str) -> String {
    let mut parts = pattern.split("{}");
    let first = parts.next().unwrap_or_default();
    let Some(start) = text.find(first) else { return text.to_owned() };
    let mut end = start + first.len();
    for part in parts {
        let rest = &text[end..];
        let line = rest.find('\n').unwrap_or(rest.len());
        match rest[..line].find(part) {
            Some(_) if part.is_empty() => end += line,
            Some(at) => end += at + part.len(),
            None => return text.to_owned(),
        }
    }
    format!("{}{page}{}", &text[..start], replaced(&text[end..], pattern, page))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::training::error::TrainingError;

    /// In the place of a quotation mark inside a literal.
    const QUOTE: &str = "\u{1}";

    /// The sources in some folders, without unit tests, with literals as they are printed: on one line, and `{}` for every value
    /// in them.
    fn sentences(folders: &[PathBuf]) -> String {
        let files = folders.iter().flat_map(walkdir::WalkDir::new);
        let paths = files.map(|entry| entry.expect("an entry").into_path());
        let is_source = |path: &PathBuf| {
            path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("serve/page_words.rs")
        };
        let is_test = |path: &PathBuf| path.to_string_lossy().contains("tests");
        let source = |path: PathBuf| {
            let text = fs::read_to_string(path).expect("a source");
            text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
        };
        let sources: String = paths.filter(is_source).filter(|path| !is_test(path)).map(source).collect();
        let lines: String = sources.split("\\\n").map(str::trim_start).collect();
        let mut pieces = lines.split('{');
        let mut found = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let value = piece.find(['}', '\n']).filter(|&end| piece[end..].starts_with('}'));
            found += &value.map_or_else(|| format!("{{{piece}"), |end| format!("{{{}", &piece[end..]));
        }
        found.replace("\\\"", QUOTE)
    }

    #[test]
    fn every_entry_is_in_a_sentence_of_the_program() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder");
        let sentences =
            sentences(&["app/src", "data/src"].map(|folder| crates.join(folder))).replace(QUOTE, "\"");
        for (flags, page) in WORDS {
            assert!(sentences.contains(flags), "no sentence has {flags:?} any more");
            assert!(!page.contains("--"), "{page}");
        }
    }

    /// Sentences of the loader that only follow a flag, which the page does not give.
    const AFTER_A_FLAG: [&str; 8] = [
        "line 1 has no column `{}`, which --{}-column names",
        "the view is {}, which --view leaves out",
        "--classes renames",
        "correct --patient-pattern",
        "--patient-pattern is not used",
        "--view is not used",
        "--invert auto inverts nothing",
        "use fewer --folds",
    ];

    /// Its notes, its reasons why a file cannot be used, and its errors, which the page Data shows.
    #[test]
    fn no_sentence_of_the_loader_keeps_a_flag() {
        let loader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/src");
        let sentences = sentences(&[loader]);
        let literals = sentences.lines().filter(|line| !line.trim_start().starts_with("//"));
        let literals = literals.flat_map(|line| line.split('"').skip(1).step_by(2));
        let mut n = 0;
        for text in literals.filter(|text| text.contains("--")) {
            let text = text.replace(QUOTE, "\"");
            let page = without_flags(&text);
            let is_given = AFTER_A_FLAG.iter().any(|sentence| text.contains(sentence));
            assert!(is_given || !page.contains("--"), "{text:?} becomes {page:?}");
            n += 1;
        }
        assert!(n > 15, "{n} sentences have a flag");
    }

    #[test]
    fn values_between_flags_are_any_text() {
        let images = "a.png, b.png".to_owned();
        let what = "the loss became NaN".to_owned();
        let clip = "agc 0.05".to_owned();
        let error = TrainingError::Diverged { what, epoch: 1, batch: 2, images, max_lr: 0.01, clip };
        assert_eq!(
            without_flags(&error.to_string()),
            "the loss became NaN in epoch 1, batch 2 (a.png, b.png): the steps of the training became too large; train again \
             with another seed, behind More on the page Train"
        );
        let full = "free some space, then continue with: roentgen train --resume 'runs/a b'\nand this";
        assert_eq!(without_flags(full), "free some space, then choose Resume\nand this");
        assert_eq!(replaced("a --x 1 b --x 2 b", "--x {} b", "y"), "a y y");
        assert_eq!(replaced("a --x 1", "--x {} b", "y"), "a --x 1");
    }
}
