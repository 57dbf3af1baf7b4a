//! Notes on what is unusual in files that are read all the same, a sentence for each kind.

use crate::decode::Decoded;
use crate::options::{Invert, LoadOptions};
use crate::small_image::Fit;
use crate::thumbnail::{MIN_SIDE_WITH_DETAIL, is_tiny};

/// Ratio of the sides above which much of an image is outside of the crop.
const LONG: f64 = 1.5;

/// Whether an image is of a kind.
type Trait<'a> = &'a dyn Fn(&Decoded) -> bool;
/// The note on a kind, of how many images are of it and of the name of one of them.
type Sentence<'a> = &'a dyn Fn(String, &str) -> String;

/// Notes on images, each with its name; with `has_negatives` also on those that are negatives.
pub(crate) fn file_notes<'a>(
    images: impl Iterator<Item = (&'a str, &'a Decoded)> + Clone,
    has_negatives: bool,
    options: &LoadOptions,
) -> Vec<String> {
    let count_and_example = |has: &dyn Fn(&Decoded) -> bool| {
        let mut found = images.clone().filter(|(_, image)| has(image));
        let (example, _) = found.next()?;
        Some((format!("{} of {} images", found.count() + 1, images.clone().count()), example))
    };
    let crop = options.crop;
    let kinds: [(Trait<'_>, Sentence<'_>); 10] = [
        (&|image| image.traits.is_misnamed, &|n, example| {
            format!(
                "{n} have another format than their names say, such as {example}; they are read by their content"
            )
        }),
        (&|image| image.traits.is_reoriented, &|n, example| {
            format!("{n} are rotated or mirrored as their EXIF orientation says, such as {example}")
        }),
        (&|image| image.traits.has_several_images, &|n, example| {
            format!("{n} hold several images (pages or frames), such as {example}; the first of each is read")
        }),
        (&|image| image.traits.has_blank_end, &|n, example| {
            format!(
                "{n} have one single value in the last quarter of their rows or more, such as {example}: they may be incomplete"
            )
        }),
        (&|image| image.traits.has_ignored_alpha, &|n, example| {
            format!(
                "{n} have the same opacity in every pixel, such as {example}; it is ignored, and they are read as opaque"
            )
        }),
        (&|image| image.origin.as_ref().is_some_and(|origin| origin.has_burned_in_text), &|n, _| {
            format!(
                "{n} have text burned into their pixels, as their headers say; it may name the patient, and a model may \
                 learn from it"
            )
        }),
        (&|image| options.fit == Fit::Crop && is_long(image), &|n, example| {
            format!(
                "{n} are more than {LONG} times as long as wide, or as wide as long, such as {example}: the model sees their \
                 centre only; one trained with --fit pad or --fit stretch sees the whole of them"
            )
        }),
        (&|image| has_negatives && image.traits.is_negative, &|n, example| {
            let then = match options.invert {
                Invert::Auto => "they are inverted",
                Invert::Never => "a model trained with --invert auto would invert them",
            };
            format!("{n} look like negatives of the training images, such as {example}; {then}")
        }),
        (&|image| image.image.small, &|n, _| {
            format!("{n} are smaller than the {crop}x{crop} crop and are scaled up to it")
        }),
        (&|image| is_tiny(image.facts.width, image.facts.height), &|n, _| {
            format!("{n} are under {MIN_SIDE_WITH_DETAIL} pixels: only their exact duplicates are found")
        }),
    ];
    kinds
        .into_iter()
        .filter_map(|(has, text)| count_and_example(has).map(|(n, example)| text(n, example)))
        .collect()
}

fn is_long(image: &Decoded) -> bool {
    let (width, height) = (f64::from(image.facts.width), f64::from(image.facts.height));
    width.max(height) > LONG * width.min(height)
}
