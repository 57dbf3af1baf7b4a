//! The section of images: training samples, and the test images that the model had most trouble with.

use std::path::PathBuf;

use maud::{Markup, html};

use super::image_figures::{OriginalFiles, figure, least_certain, samples, worst_errors};
use super::input::{MANY_CLASSES, ReportInput, percent};
use crate::metrics::Predictions;
use crate::model::explain::grad_cam;

/// Test images of each kind at most.
const MAX_IMAGES: usize = 12;
/// Training samples of each class; one where there are many classes.
const SAMPLES_PER_CLASS: usize = 4;

/// The whole section.
pub(super) fn image_section(input: &ReportInput<'_>) -> Markup {
    let folders: Vec<PathBuf> = input.config.test.iter().chain([&input.config.data]).cloned().collect();
    let files = OriginalFiles { folders };
    html! {
        h2 id="images" { "Images" }
        h3 { "Samples of the training set" }
        (training_samples(input, &files))
        @if let Some(predictions) = input.test {
            (hard_test_images(input, predictions, &files))
        }
    }
}

fn training_samples(input: &ReportInput<'_>, files: &OriginalFiles) -> Markup {
    let (train, class_names) = (&input.data.train, &input.data.class_names);
    let per_class = if class_names.len() > MANY_CLASSES { 1 } else { SAMPLES_PER_CLASS };
    let crop = input.config.size as usize;
    html! {
        div.images.small { @for image in samples(train, class_names.len().min(MANY_CLASSES), per_class) {
            (figure(&files.image_and_window(train, image, crop), None, train.name(image),
                &html! { p { (class_names[train.labels()[image] as usize]) } }))
        } }
    }
}

/// The errors with the highest probability, and the predictions closest to a tie.
fn hard_test_images(input: &ReportInput<'_>, predictions: &Predictions, files: &OriginalFiles) -> Markup {
    let errors = worst_errors(predictions, MAX_IMAGES);
    let uncertain = least_certain(predictions, MAX_IMAGES, &errors);
    let cells = input.config.size / 8;
    html! {
        h3 { "Worst errors" }
        @if errors.is_empty() { p { "None: every test image was classified correctly." } } @else {
            p.soft { "The wrong predictions with the lowest probability of the true class. Beside each image: the "
                "evidence for the predicted class (Grad-CAM, " (cells) "x" (cells) " cells). Darkened areas are outside "
                "of the model input." }
            (test_images(input, predictions, &errors, files))
        }
        h3 { "Least certain" }
        @if uncertain.is_empty() { p { "None." } } @else {
            p.soft { "The predictions whose two most probable classes are closest." }
            (test_images(input, predictions, &uncertain, files))
        }
    }
}

fn test_images(
    input: &ReportInput<'_>,
    predictions: &Predictions,
    images: &[usize],
    files: &OriginalFiles,
) -> Markup {
    let pairs: Vec<(usize, usize)> = predictions.pairs().collect();
    html! { div.images { @for &image in images { (test_image(input, predictions, image, pairs[image], files)) } } }
}

/// One test image beside its Grad-CAM, with the predicted and the true class.
fn test_image(
    input: &ReportInput<'_>,
    predictions: &Predictions,
    image: usize,
    (truth, predicted): (usize, usize),
    files: &OriginalFiles,
) -> Markup {
    let test = &input.data.test;
    let heat = grad_cam(input.model, input.card, test, image, predicted);
    let shown = files.image_and_window(test, image, input.config.size as usize);
    let probabilities = predictions.probabilities(image);
    let with_probability =
        |class: usize| format!("{} {}", input.data.class_names[class], percent(probabilities[class]));
    let text = html! {
        p { "predicted " strong { (with_probability(predicted)) }
            @if truth == predicted { "; correct" } @else { "; true class " strong { (with_probability(truth)) } } }
        p.soft { (test.name(image)) }
    };
    figure(&shown, Some(&heat), test.name(image), &text)
}
