//! The section of images: training samples, and the test images that the model had most trouble with.

use maud::{Markup, html};

use super::image_figures::{figure, image_and_window, least_certain, samples, worst_errors};
use super::input::{MANY_CLASSES, ReportInput};
use super::overlay::css_gradient;
use crate::metrics::Predictions;
use crate::metrics::test_metrics::main_images;
use crate::model::explain::grad_cam;
use crate::model::ood::RejectReason;
use crate::model::predicted_set::PredictedSet;
use crate::terminal::probability::probability_text;
use crate::terminal::screen::counted;

/// Test images of each kind at most.
const MAX_IMAGES: usize = 12;
/// Training samples of each class; one where there are many classes.
const SAMPLES_PER_CLASS: usize = 4;

/// The whole section.
pub(super) fn image_section(input: &ReportInput<'_>) -> Markup {
    html! {
        h2 id="images" { "Images" }
        h3 { "Samples of the training set" }
        (training_samples(input))
        @if let Some(test) = input.test {
            (hard_test_images(input, test))
        }
    }
}

fn training_samples(input: &ReportInput<'_>) -> Markup {
    let (train, class_names) = (&input.data.train, &input.data.class_names);
    let per_class = if class_names.len() > MANY_CLASSES { 1 } else { SAMPLES_PER_CLASS };
    let options = input.model.card.image_options();
    html! {
        div.images.small { @for image in samples(train, class_names.len().min(MANY_CLASSES), per_class) {
            (figure(&image_and_window(train, image, &options), None, train.name(image),
                &html! { p { (class_names[train.labels()[image] as usize]) } }))
        } }
    }
}

/// The errors with the highest probability, the predictions closest to a tie, and the rejected images.
fn hard_test_images(input: &ReportInput<'_>, test: &PredictedSet) -> Markup {
    let PredictedSet { predictions, is_leaked, reject_reasons, .. } = test;
    let reasons = reject_reasons.clone().unwrap_or_else(|| vec![None; predictions.len()]);
    let rejected: Vec<usize> = (0..predictions.len()).filter(|&image| reasons[image].is_some()).collect();
    let mut is_left_out = are_left_out(is_leaked, &reasons);
    let errors = worst_errors(predictions, MAX_IMAGES, &is_left_out);
    errors.iter().for_each(|&image| is_left_out[image] = true);
    let uncertain = least_certain(predictions, MAX_IMAGES, &is_left_out);
    let shown = |images: &[usize]| test_images(input, predictions, images, &reasons);
    html! {
        h3 { "Worst errors" }
        @if errors.is_empty() { p { "None: every image of the metrics above that was not rejected was classified correctly." } } @else {
            p.soft { "The surest of the wrong predictions, the most probable first." }
            (heat_legend(input))
            (shown(&errors))
        }
        h3 { "Least certain" }
        @if uncertain.is_empty() { p { "None." } } @else {
            p.soft { "The predictions whose two most probable classes are closest." }
            @if errors.is_empty() { (heat_legend(input)) }
            (shown(&uncertain))
        }
        @if !rejected.is_empty() {
            h3 { "Rejected" }
            p.soft { "Images too unlike the training images for a prediction: " (rejected.len()) " of the "
                (counted(predictions.len(), "test image"))
                @if rejected.len() > MAX_IMAGES { ", of which the first " (MAX_IMAGES) " are shown" } "." }
            (shown(&rejected[..rejected.len().min(MAX_IMAGES)]))
        }
    }
}

/// Of each test image, whether it is not part of the metrics, or rejected: such an image has no class, so it is neither right nor
/// wrong.
fn are_left_out(is_leaked: &[bool], reasons: &[Option<RejectReason>]) -> Vec<bool> {
    let mut are_left_out = vec![true; reasons.len()];
    for image in main_images(is_leaked) {
        are_left_out[image] = reasons[image].is_some();
    }
    are_left_out
}

/// What the colours of the heat maps mean.
fn heat_legend(input: &ReportInput<'_>) -> Markup {
    let cells = input.config.size / 8;
    html! {
        p.heat-legend { "Beside each image the evidence for the predicted class (Grad-CAM, " (cells) "x" (cells)
            " cells): none " span.bar style=(format!("background: {}", css_gradient())) {} " most in this image. "
            "Darkened areas are outside of the model input." }
    }
}

fn test_images(
    input: &ReportInput<'_>,
    predictions: &Predictions,
    images: &[usize],
    reasons: &[Option<RejectReason>],
) -> Markup {
    let pairs: Vec<(usize, usize)> = predictions.pairs().collect();
    html! {
        div.images { @for &image in images {
            @let (truth, predicted) = pairs[image];
            (test_image(input, predictions, image, truth, predicted, reasons[image]))
        } }
    }
}

/// One test image beside its Grad-CAM, with the predicted and the true class.
fn test_image(
    input: &ReportInput<'_>,
    predictions: &Predictions,
    image: usize,
    truth: usize,
    predicted: usize,
    reject_reason: Option<RejectReason>,
) -> Markup {
    let test = &input.data.test;
    let heat = grad_cam(input.model, test, image, predicted);
    let shown = image_and_window(test, image, &input.model.card.image_options());
    let probabilities = predictions.probabilities(image);
    let with_probability = |class: usize| {
        format!("{} {}", input.data.class_names[class], probability_text(probabilities[class]))
    };
    let text = html! {
        @if let Some(reason) = reject_reason {
            p { strong { "rejected" } ": " (reason.in_words()) }
            p.soft { "true class " (input.data.class_names[truth]) "; highest score: " (with_probability(predicted)) }
        } @else {
            p { "predicted " strong { (with_probability(predicted)) }
                @if truth == predicted { "; correct" } @else { "; true class " strong { (with_probability(truth)) } } }
        }
        p.soft { (test.name(image)) }
    };
    figure(&shown, Some(&heat), test.name(image), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_every_test_image_leaked_the_errors_are_those_of_the_metrics() {
        let reasons = [None, Some(RejectReason::Distance), None];
        assert_eq!(are_left_out(&[true, false, false], &reasons), [true, true, false]);
        assert_eq!(are_left_out(&[true; 3], &reasons), [false, true, false]);
    }
}
