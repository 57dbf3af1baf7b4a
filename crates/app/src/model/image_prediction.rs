//! What a model predicts for images of unknown class.

use roentgen_data::ImageSet;

use crate::model::batch_summary::BatchSummary;
use crate::model::inference::Evaluation;
use crate::model::observation::{Observation, observe};
use crate::model::ood::{RejectReason, reject_reason};
use crate::model::trained_model::Model;

/// What a model predicts for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct ImagePrediction {
    /// The predicted class, an index into the class names of the model.
    pub class: usize,
    /// Probability of each class, calibrated on the validation set; they add up to 1.
    pub probabilities: Vec<f64>,
    /// Logit of each class: the output of the network, before calibration and softmax.
    pub logits: Vec<f32>,
    /// Why the prediction is rejected: the image is unlike the images that the model was trained on. `None` if it is not.
    pub reject_reason: Option<&'static str>,
}

/// What the model predicts for every image of `images`, in their order; labels are not read. Adds the images to `summary`.
pub(crate) fn predict_images(
    model: &Model,
    images: &ImageSet,
    summary: &mut BatchSummary,
) -> Vec<ImagePrediction> {
    predict_each(model, images, |observation, is_rejected| summary.add(observation, is_rejected))
}

/// The same with a summary of each image alone.
#[cfg(feature = "serve")]
pub(crate) fn predict_with_summaries(
    model: &Model,
    images: &ImageSet,
) -> Vec<(ImagePrediction, BatchSummary)> {
    let mut summaries = Vec::with_capacity(images.len());
    let predictions = predict_each(model, images, |observation, is_rejected| {
        let mut summary = BatchSummary::new(model.card.class_names.len());
        summary.add(observation, is_rejected);
        summaries.push(summary);
    });
    predictions.into_iter().zip(summaries).collect()
}

/// The same; `on_observation` gets what is known of each image, and whether it is rejected.
fn predict_each(
    model: &Model,
    images: &ImageSet,
    mut on_observation: impl FnMut(&Observation<'_>, bool),
) -> Vec<ImagePrediction> {
    let Model { network, card } = model;
    let (mut evaluation, mut reject_reasons) =
        (Evaluation::new(card.class_names.len()), Vec::with_capacity(images.len()));
    for observation in observe(network, images, card.preprocessing()) {
        // Probabilities and classes do not depend on the label.
        evaluation.add(0, &observation.logits);
        let reject_reason = reject_reason(card.ood_detector.as_ref(), &observation);
        on_observation(&observation, reject_reason.is_some());
        reject_reasons.push(reject_reason);
    }
    let predictions = evaluation.predictions(card.temperature);
    let outcomes = predictions.pairs().zip(reject_reasons).enumerate();
    outcomes
        .map(|(image, ((_, class), reject_reason))| ImagePrediction {
            class,
            probabilities: predictions.probabilities(image).to_vec(),
            logits: evaluation.image(image).1.to_vec(),
            reject_reason: reject_reason.map(RejectReason::in_words),
        })
        .collect()
}
