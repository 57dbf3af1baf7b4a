//! Notes on what is unusual in files that are read all the same, a sentence for each kind; of a single file in other words.

use std::collections::BTreeMap;

use crate::decode::Decoded;
use crate::options::{Invert, LoadOptions};
use crate::small_image::Fit;
use crate::thumbnail::{MIN_SIDE_WITH_DETAIL, is_tiny};

/// Ratio of the sides above which much of an image is outside of the crop.
const LONG: f64 = 1.5;

/// What is unusual in files that are read all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileNote {
    /// How many files it concerns, and what follows for them.
    pub text: String,
    /// The same of a single file; `None` where it does not concern a prediction.
    pub of_one: Option<&'static str>,
}

/// The text of a note, of how many images are of a kind and of the name of one of them.
type Sentence = dyn Fn(&str, &str) -> String;

/// A kind of unusual images.
struct Kind {
    /// Whether an image is of it.
    has: Box<dyn Fn(&Decoded) -> bool>,
    text: Box<Sentence>,
    of_one: Option<&'static str>,
}

impl Kind {
    fn new(
        has: impl Fn(&Decoded) -> bool + 'static,
        text: impl Fn(&str, &str) -> String + 'static,
        of_one: impl Into<Option<&'static str>>,
    ) -> Self {
        Self { has: Box::new(has), text: Box::new(text), of_one: of_one.into() }
    }
}

/// Notes on images, each with its name; with `has_negatives` also on those that are negatives.
pub(crate) fn file_notes<'a>(
    images: impl Iterator<Item = (&'a str, &'a Decoded)> + Clone,
    has_negatives: bool,
    options: &LoadOptions,
) -> Vec<FileNote> {
    KindCounts::of(images, has_negatives, options).notes(options)
}

/// How many images are of each kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct KindCounts {
    /// All images.
    n_images: usize,
    /// Of each kind that there are images of, by its index in [`kinds`]: their number, and the name of the first.
    of_kinds: BTreeMap<usize, (usize, String)>,
}

impl KindCounts {
    /// Of images, each with its name; with `has_negatives` also of those that are negatives.
    pub(crate) fn of<'a>(
        images: impl Iterator<Item = (&'a str, &'a Decoded)> + Clone,
        has_negatives: bool,
        options: &LoadOptions,
    ) -> Self {
        let count = |(index, kind): (usize, Kind)| {
            let mut found = images.clone().filter(|(_, image)| (kind.has)(image));
            let (example, _) = found.next()?;
            Some((index, (found.count() + 1, example.to_owned())))
        };
        let of_kinds = kinds(options, has_negatives).enumerate().filter_map(count).collect();
        Self { n_images: images.count(), of_kinds }
    }

    /// Adds those of further images.
    pub(crate) fn add(&mut self, further: Self) {
        self.n_images += further.n_images;
        for (kind, (n, example)) in further.of_kinds {
            self.of_kinds.entry(kind).or_insert((0, example)).0 += n;
        }
    }

    /// A note on each kind that there are images of, which were read with `options`.
    pub(crate) fn notes(&self, options: &LoadOptions) -> Vec<FileNote> {
        let note = |(index, Kind { text, of_one, .. }): (usize, Kind)| {
            let (n, example) = self.of_kinds.get(&index)?;
            Some(FileNote { text: text(&format!("{n} of {} images", self.n_images), example), of_one })
        };
        kinds(options, true).enumerate().filter_map(note).collect()
    }
}

fn kinds(options: &LoadOptions, has_negatives: bool) -> impl Iterator<Item = Kind> {
    kinds_of_content().into_iter().chain(kinds_for_model(options, has_negatives))
}

/// Kinds by what is in the file.
fn kinds_of_content() -> [Kind; 6] {
    [
        Kind::new(
            |image| image.traits.is_misnamed,
            |n, example| {
                format!(
                    "{n} have another format than their names say, such as {example}; they are read by their content"
                )
            },
            "its format is not the one that its name says; it was read all the same",
        ),
        Kind::new(
            |image| image.traits.is_reoriented,
            |n, example| {
                format!("{n} are rotated or mirrored as their EXIF orientation says, such as {example}")
            },
            "it was rotated or mirrored as the file asks for (EXIF)",
        ),
        Kind::new(
            |image| image.traits.has_several_images,
            |n, example| {
                format!(
                    "{n} hold several images (pages or frames), such as {example}; the first of each is read"
                )
            },
            "it holds several images (pages or frames); the first one was read",
        ),
        Kind::new(
            |image| image.traits.has_blank_end,
            |n, example| {
                format!(
                    "{n} have one single value in the last quarter of their rows or more, such as {example}: they may be incomplete"
                )
            },
            "its last quarter or more has one single value: it may be incomplete",
        ),
        Kind::new(
            |image| image.traits.has_ignored_alpha,
            |n, example| {
                format!(
                    "{n} have the same opacity in every pixel, such as {example}; it is ignored, and they are read as opaque"
                )
            },
            "its opacity is the same in every pixel and was ignored",
        ),
        Kind::new(
            |image| image.origin.as_ref().is_some_and(|origin| origin.has_burned_in_text),
            |n, _| {
                format!(
                    "{n} have text burned into their pixels, as their headers say; it may name the patient, and a model may \
                     learn from it"
                )
            },
            "text is burned into its pixels, as its header says; it may name the patient",
        ),
    ]
}

/// Kinds by what a model sees of the image.
fn kinds_for_model(options: &LoadOptions, has_negatives: bool) -> [Kind; 4] {
    let (crop, fit) = (options.crop, options.fit);
    let (then, then_of_one) = match options.invert {
        Invert::Auto => (
            "they are inverted",
            "it looks like a negative of the training images, with black and white exchanged, and was inverted",
        ),
        Invert::Never => (
            "a model trained with --invert auto would invert them",
            "it looks like a negative of the training images, with black and white exchanged; the answer may be wrong",
        ),
    };
    [
        Kind::new(
            move |image| fit == Fit::Crop && is_long(image),
            |n, example| {
                format!(
                    "{n} are more than {LONG} times as long as wide, or as wide as long, such as {example}: the model sees their \
                     centre only; one trained with --fit pad or --fit stretch sees the whole of them"
                )
            },
            "it is much longer than wide, or wider than long: the model sees only its centre",
        ),
        Kind::new(
            move |image| has_negatives && image.traits.is_negative,
            move |n, example| {
                format!("{n} look like negatives of the training images, such as {example}; {then}")
            },
            then_of_one,
        ),
        Kind::new(
            |image| image.image.small,
            move |n, _| format!("{n} are smaller than the {crop}x{crop} crop and are scaled up to it"),
            "it is smaller than what the model sees, and was enlarged",
        ),
        Kind::new(
            |image| is_tiny(image.facts.width, image.facts.height),
            |n, _| {
                format!("{n} are under {MIN_SIDE_WITH_DETAIL} pixels: only their exact duplicates are found")
            },
            None,
        ),
    ]
}

fn is_long(image: &Decoded) -> bool {
    let (width, height) = (f64::from(image.facts.width), f64::from(image.facts.height));
    width.max(height) > LONG * width.min(height)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{ImageFormat, Rgba, RgbaImage};

    use super::*;
    use crate::files::{ImageSource, load_files};
    use crate::progress::silent;

    #[test]
    fn notes_on_one_file_do_not_count_it() {
        let long = RgbaImage::from_fn(40, 12, |x, y| Rgba([(x * 5) as u8, (y * 9) as u8, 0, 99]));
        let mut bytes = Cursor::new(Vec::new());
        long.write_to(&mut bytes, ImageFormat::Png).expect("an image");
        let source = ImageSource::Bytes { name: "long.jpg".to_owned(), bytes: bytes.into_inner() };
        let options = LoadOptions::default();
        let notes = load_files(&[source], 1, &options, &silent).counts.notes(&options);
        assert!(notes.iter().all(|note| note.text.starts_with("1 of 1 images")), "{notes:?}");
        let of_one: Vec<&str> = notes.iter().filter_map(|note| note.of_one).collect();
        let words = ["opacity", "much longer", "smaller"];
        assert!(
            of_one.len() == 3 && of_one.iter().zip(words).all(|(note, word)| note.contains(word)),
            "{notes:?}"
        );
        assert_eq!(notes.len(), 4, "{notes:?}: the one on duplicates is left out");
    }
}
