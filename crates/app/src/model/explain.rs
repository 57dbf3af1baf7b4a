//! `roentgen explain`: the evidence in an image for the prediction, by two independent methods.
//!
//! Grad-CAM uses the inner activations of the network; occlusion sensitivity (Zeiler & Fergus 2014) only its output when a
//! part of the image is hidden. Where both point to the same region, the prediction is based on it.

use ndarray::{Array2, Array3, Array4, ArrayView3, ArrayViewMut, Axis, Dimension, Slice};
use roentgen_data::ImageSet;
use roentgen_layers::{ResNet9, Workspace};

use crate::metrics::argmax::argmax;
use crate::model::inference::{Evaluation, predict};
use crate::model::model_card::ModelCard;
use crate::model::novelty::RejectReason;

/// The hidden square has one in this many of the sides of the crop.
const PATCH: usize = 4;
/// The step from one square to the next is the side of the crop divided by this.
const STEPS: usize = 12;

/// Two explanations of a prediction.
#[derive(Clone, Debug)]
pub(crate) struct Explanation {
    /// The class that is explained.
    pub class: usize,
    /// The likeliest one.
    pub answer: usize,
    /// By class, calibrated.
    pub probabilities: Vec<f64>,
    /// Whether, and why, the prediction is rejected.
    pub reject_reason: Option<RejectReason>,
    /// Grad-CAM, as coarse as the last convolution sees; 0 or more, in units of the logit.
    pub grad_cam: Array2<f32>,
    /// For each pixel of the crop, by how much the probability falls when it is hidden; negative where it rises.
    pub occlusion: Array2<f32>,
}

/// Explains the prediction for one image of a set: the likeliest class, or `class`.
///
/// # Panics
/// If there is no such image or class.
#[must_use]
pub(crate) fn explain(
    model: &ResNet9,
    card: &ModelCard,
    set: &ImageSet,
    image: usize,
    class: Option<usize>,
) -> Explanation {
    let one = set.select(&[image]);
    let (mut evaluation, mut reject_reason, mut pixels) =
        (Evaluation::new(card.class_names.len()), None, Array3::zeros((0, 0, 0)));
    let (mut likeliest, mut heat) = (0, Array2::zeros((0, 0)));
    predict(model, &one, &card.preprocessing(), |_, prediction| {
        evaluation.add(0, prediction.logits);
        reject_reason = card.novelty.as_ref().and_then(|novelty| novelty.of(prediction));
        pixels = prediction.pixels.to_owned();
        likeliest = argmax(prediction.logits.iter().copied());
        heat = model.grad_cam(prediction.feature_map, class.unwrap_or(likeliest));
    });
    let class = class.unwrap_or(likeliest);
    let probabilities = evaluation.predictions(card.temperature).probabilities(0).to_vec();
    let occlusion = occlusion(model, card, pixels.view(), class);
    Explanation { class, answer: likeliest, probabilities, reject_reason, grad_cam: heat, occlusion }
}

/// Where in one image of a set the evidence for `class` is: Grad-CAM, from its least to its greatest value.
///
/// # Panics
/// If there is no such image or class.
#[must_use]
pub(crate) fn grad_cam(
    model: &ResNet9,
    card: &ModelCard,
    set: &ImageSet,
    image: usize,
    class: usize,
) -> Array2<f32> {
    let mut heat = Array2::zeros((0, 0));
    predict(model, &set.select(&[image]), &card.preprocessing(), |_, prediction| {
        heat = model.grad_cam(prediction.feature_map, class);
    });
    above_least(&heat)
}

/// The heat above its least value: with three cells a side, even the least is large.
pub(crate) fn above_least(heat: &Array2<f32>) -> Array2<f32> {
    let least = heat.iter().copied().fold(f32::INFINITY, f32::min);
    heat.mapv(|value| value - least)
}

/// How much the probability of `class` falls with each hidden pixel: the mean over the squares that hide it.
fn occlusion(model: &ResNet9, card: &ModelCard, pixels: ArrayView3<'_, f32>, class: usize) -> Array2<f32> {
    let (size, _, channels) = pixels.dim();
    let (patch, step) = (size / PATCH, (size / STEPS).max(1));
    let corners: Vec<usize> = (0..).map(|at| at * step).take_while(|at| at + patch <= size).collect();
    let squares: Vec<(usize, usize)> =
        corners.iter().flat_map(|&top| corners.iter().map(move |&left| (top, left))).collect();
    let mut x = Array4::zeros((squares.len() + 1, size, size, channels));
    for (mut x, hidden) in x.outer_iter_mut().zip(std::iter::once(None).chain(squares.iter().map(Some))) {
        x.assign(&pixels);
        if let Some(&(top, left)) = hidden {
            // Zero is the mean of the training images: the least informative value.
            square(x.view_mut(), top, left, patch).fill(0.0);
        }
    }
    let mut evaluation = Evaluation::new(card.class_names.len());
    for logits in model.infer(&x, &mut Workspace::default()).outer_iter() {
        evaluation.add(0, logits.to_slice().expect("the logits of an image are contiguous"));
    }
    let predictions = evaluation.predictions(card.temperature);
    let probability = |image: usize| predictions.probabilities(image)[class];
    let (mut lost, mut times) = (Array2::<f32>::zeros((size, size)), Array2::<f32>::zeros((size, size)));
    for (number, &(top, left)) in squares.iter().enumerate() {
        let loss = (probability(0) - probability(number + 1)) as f32;
        square(lost.view_mut(), top, left, patch).mapv_inplace(|sum| sum + loss);
        square(times.view_mut(), top, left, patch).mapv_inplace(|times| times + 1.0);
    }
    lost / times.mapv(|times| times.max(1.0))
}

/// The part of `side` rows and columns, the first two axes, that begins at `top`, `left`.
fn square<D: Dimension>(
    mut of: ArrayViewMut<'_, f32, D>,
    top: usize,
    left: usize,
    side: usize,
) -> ArrayViewMut<'_, f32, D> {
    of.slice_axis_inplace(Axis(0), Slice::from(top..top + side));
    of.slice_axis_inplace(Axis(1), Slice::from(left..left + side));
    of
}
