//! What is unusual in one image file, in the words of the page.

/// What the note on a kind of files contains, and the same of one file; nothing where it does not concern a prediction.
const NOTES: [(&str, &str); 13] = [
    (
        "have another format than their names say",
        "its format is not the one that its name says; it was read all the same",
    ),
    ("are rotated or mirrored", "it was rotated or mirrored as the file asks for (EXIF)"),
    ("hold several images", "it holds several images (pages or frames); the first one was read"),
    (
        "have one single value in the last quarter",
        "its last quarter or more has one single value: it may be incomplete",
    ),
    ("have the same opacity", "its opacity is the same in every pixel and was ignored"),
    (
        "have text burned into their pixels",
        "text is burned into its pixels, as its header says; it may name the patient",
    ),
    (
        "times as long as wide",
        "it is much longer than wide, or wider than long: the model sees only its centre",
    ),
    (
        "they are inverted",
        "it looks like a negative of the training images, with black and white exchanged, and was inverted",
    ),
    (
        "look like negatives",
        "it looks like a negative of the training images, with black and white exchanged; the answer may be wrong",
    ),
    ("are scaled up to it", "it is smaller than what the model sees, and was enlarged"),
    (
        "with samples of 16 bits use only",
        "it uses only some of the 16 bits of its samples, and was read accordingly",
    ),
    ("with samples of 16 bits are dark", "it is dark: its largest value is less than a quarter of white"),
    ("only their exact duplicates are found", ""),
];

/// The notes on one file, from those on sets of files.
pub(super) fn of_one_file(notes: Vec<String>) -> Vec<String> {
    let in_words = |note: String| {
        let known = NOTES.iter().find(|(part, _)| note.contains(part));
        known.map_or(note, |(_, text)| (*text).to_owned())
    };
    notes.into_iter().map(in_words).filter(|note| !note.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgba, RgbaImage};
    use roentgen_data::{ImageSource, LoadOptions, LoadedFiles, load_files, silent};

    use super::*;

    #[test]
    fn notes_on_one_file_do_not_count_it() {
        let long = RgbaImage::from_fn(40, 12, |x, y| Rgba([(x * 5) as u8, (y * 9) as u8, 0, 99]));
        let mut bytes = std::io::Cursor::new(Vec::new());
        long.write_to(&mut bytes, ImageFormat::Png).expect("an image");
        let source = ImageSource::Bytes { name: "long.jpg".to_owned(), bytes: bytes.into_inner() };
        let options = LoadOptions::default();
        let LoadedFiles { notes, .. } = load_files(&[source], 1, &options, &silent);
        assert!(notes.len() >= 4, "{notes:?}");
        let of_one = of_one_file(notes.clone());
        assert_eq!(of_one.len(), notes.len() - 1, "{notes:?}: the one on duplicates is left out");
        let is_plain = |note: &String| !note.contains("1 of 1") && !note.contains("--");
        assert!(of_one.iter().all(is_plain), "{of_one:?}");
    }
}
