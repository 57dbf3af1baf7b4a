//! `roentgen explain`: what in a picture speaks for the answer, asked in two ways that know nothing of each other.
//!
//! Grad-CAM looks into the network; occlusion sensitivity (Zeiler & Fergus 2014) only at what it answers when a part of
//! the picture is hidden. Where both point at the same place, the answer does come from there.

use ndarray::{Array2, Array3, Array4, ArrayView3, ArrayViewMut, Axis, Dimension, Slice};
use roentgen_data::ImageSet;
use roentgen_layers::{ResNet9, Workspace};

use crate::metrics::argmax::argmax;
use crate::model::inference::{Evaluation, predict};
use crate::model::model_file::ModelCard;
use crate::model::novelty::RejectReason;

/// The side of the hidden square, as a part of the crop's.
const PATCH: usize = 4;
/// Squares along each axis that one is moved by, as a part of the crop.
const STEPS: usize = 12;

/// Two opinions on where an answer comes from.
#[derive(Clone, Debug)]
pub(crate) struct Explanation {
    /// The class that is explained.
    pub class: usize,
    /// The likeliest one.
    pub answer: usize,
    /// By class, calibrated.
    pub probabilities: Vec<f64>,
    /// Whether, and why, the answer is to be refused.
    pub reject_reason: Option<RejectReason>,
    /// Grad-CAM, as coarse as the last convolution sees; 0 or more, in units of the logit.
    pub grad_cam: Array2<f32>,
    /// For each pixel of the crop, the probability that is lost where it is hidden; negative where it is won.
    pub occlusion: Array2<f32>,
}

/// Explains one picture of a set: the likeliest class, or `class`.
///
/// # Panics
/// If there is no such picture or class.
#[must_use]
pub(crate) fn explain(
    model: &ResNet9,
    card: &ModelCard,
    set: &ImageSet,
    image: usize,
    class: Option<usize>,
) -> Explanation {
    let one = set.select(&[image]);
    let (mut said, mut reject_reason, mut pixels) =
        (Evaluation::new(card.class_names.len()), None, Array3::zeros((0, 0, 0)));
    let (mut likeliest, mut heat) = (0, Array2::zeros((0, 0)));
    predict(model, &one, &card.preprocessing(), |_, answer| {
        said.add(0, answer.logits);
        reject_reason = card.novelty.as_ref().and_then(|novelty| novelty.of(answer));
        pixels = answer.pixels.to_owned();
        likeliest = argmax(answer.logits.iter().copied());
        heat = model.grad_cam(answer.feature_map, class.unwrap_or(likeliest));
    });
    let class = class.unwrap_or(likeliest);
    let probabilities = said.predictions(card.temperature).probabilities(0).to_vec();
    let occlusion = occlusion(model, card, pixels.view(), class);
    Explanation { class, answer: likeliest, probabilities, reject_reason, grad_cam: heat, occlusion }
}

/// Where in one picture of a set the evidence for `class` lies: Grad-CAM, from its least to its greatest value.
///
/// # Panics
/// If there is no such picture or class.
#[must_use]
pub(crate) fn grad_cam(
    model: &ResNet9,
    card: &ModelCard,
    set: &ImageSet,
    image: usize,
    class: usize,
) -> Array2<f32> {
    let mut heat = Array2::zeros((0, 0));
    predict(model, &set.select(&[image]), &card.preprocessing(), |_, answer| {
        heat = model.grad_cam(answer.feature_map, class);
    });
    above_least(&heat)
}

/// At three cells a side, even the least is much.
pub(crate) fn above_least(heat: &Array2<f32>) -> Array2<f32> {
    let least = heat.iter().copied().fold(f32::INFINITY, f32::min);
    heat.mapv(|value| value - least)
}

/// How much of the probability of `class` is lost with each pixel: the mean over the squares that hide it.
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
            // The mean of the training pictures says the least.
            square(x.view_mut(), top, left, patch).fill(0.0);
        }
    }
    let mut said = Evaluation::new(card.class_names.len());
    for logits in model.infer(&x, &mut Workspace::default()).outer_iter() {
        said.add(0, logits.to_slice().expect("logits of an image lie together"));
    }
    let said = said.predictions(card.temperature);
    let probability = |picture: usize| said.probabilities(picture)[class];
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
