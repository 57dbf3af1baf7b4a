//! The model card: what the model is for, what goes in and comes out, and its limits.

use maud::{Markup, html};

use super::input::ReportInput;
use super::verdict::has_only_leaked_images;
use crate::terminal::figures::colour_word;
use crate::terminal::screen::counted;

/// A test set of fewer images is called small.
const SMALL_TEST_SET: u64 = 300;

/// The whole section.
pub(super) fn model_card_section(input: &ReportInput<'_>) -> Markup {
    let card = &input.model.card;
    html! {
        h2 id="card" { "Model card" }
        table.pairs { tbody {
            tr { td { "Intended use" } td { "Research and teaching: to measure how well these classes can be distinguished in "
                "images like these."
                @if card.medical { " Not for clinical use, and not for any decision about a person." } } }
            tr { td { "Input" } td { "One " (colour_word(card.channels)) " image: DICOM, png, jpeg, tiff, bmp, webp or gif; "
                (card.fit.in_words(card.resize)) ", centre crop of " (card.size) "x" (card.size)
                " pixels, normalised per channel." } }
            tr { td { "Output" } td { "A probability for each of these classes: "
                (input.data.class_names.join(", ")) ". " (card.meaning_of_probability())
                @if let Some(detector) = &card.ood_detector {
                    " Images unlike the training images are rejected"
                    @if let Some(share) = detector.held_out().in_words() { "; so are " (share) } "."
                } @else { " The model rejects no image." } } }
            tr { td { "Trained on" } td { (input.source()) ", " (counted(input.data.train.len(), "image")) "." } }
            tr { td { "Limits" } td { (limits(input)) } }
        } }
    }
}

fn limits(input: &ReportInput<'_>) -> Markup {
    let is_small = input.metrics.test.as_ref().is_some_and(|test| test.main().confusion.n() < SMALL_TEST_SET);
    html! {
        "At this size an image shows no detail finer than 1/" (input.model.card.size) " of the crop. "
        "The model knows only these classes and predicts one of them"
        @if input.model.card.ood_detector.is_some() { " unless it rejects the image" } ". "
        @if has_only_leaked_images(input.metrics) {
            "The metrics are of images that leaked, or of their patients: how good the model is for others is not known. "
        } @else {
            "The metrics hold for images from the same sources, taken in the same way; elsewhere they are unknown until measured. "
        }
        @if input.model.card.medical && input.data.findings.patients.is_none() {
            "Patients are unknown, so images of one patient may be in several sets. "
        }
        @if is_small { "The test set is small. " }
    }
}
