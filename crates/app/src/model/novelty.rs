//! Detects out-of-distribution images: noise, a blank page, a photograph.
//!
//! Three distances, each with a cut-off that is fitted at the end of training and stored in the model:
//!
//! 1. of the image's [`signature`] from those of the training images, after Mahalanobis (1936);
//! 2. of the penultimate features, the input of the classifier, from the mean direction of the predicted class: one minus
//!    the cosine of the angle;
//! 3. of an image's colours from those of a film, where the model sees grey values alone.
//!
//! The second one alone is not enough: a network that never saw an empty image may place it in the middle of a class. Of 39
//! nonsense images it accepted 9 to 25 in four models of chest films, and the best of eight other distances for each of
//! them (Mahalanobis, nearest neighbours and the like) 3 to 22; the first one accepted none.

use roentgen_data::{ImageSet, colour};
use roentgen_layers::ResNet9;
use serde::{Deserialize, Serialize};

use crate::metrics::argmax::argmax;
use crate::model::inference::{Prediction, Preprocessing, predict};
use signature::Gaussian;

mod signature;

/// Share of the validation images that each of the three may reject.
const REJECTED: f64 = 0.02;
/// Share of the training images below the cut-off: with few validation images, their largest distance says little.
const INSIDE: f64 = 0.99;

/// When to reject a prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Novelty {
    #[serde(rename = "pictures")]
    signatures: Gaussian,
    /// Largest distance of a signature.
    #[serde(rename = "picture_cut")]
    signature_cut: f64,
    /// By class.
    features: Vec<ClassFeatures>,
    /// Largest variety of colours that a model of one channel does not see.
    #[serde(default = "colours_of_films")]
    colour_cut: f64,
}

/// The cut-off of a model file without one.
fn colours_of_films() -> f64 {
    colour::MOST_VARIETY
}

/// The features of a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ClassFeatures {
    /// Mean of the features of its training images, each of length one.
    mean: Vec<f32>,
    /// Largest distance of an image for which it is predicted.
    cut: f64,
}

/// Why a prediction is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RejectReason {
    /// By its signature.
    Signature,
    /// By its features.
    Features,
    /// By its colours.
    Colour,
}

impl RejectReason {
    /// In words.
    #[must_use]
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Signature => "unlike the images that the model was trained on",
            Self::Features => "far from the training images of this class",
            Self::Colour => "in colour, and the model was trained on grey images",
        }
    }
}

/// All that the three distances of one image need.
struct Observation {
    signature: Vec<f64>,
    features: Vec<f32>,
    colour: f64,
    /// The true class, and the predicted one.
    label: usize,
    predicted: usize,
}

fn observe(model: &ResNet9, set: &ImageSet, preprocessing: &Preprocessing<'_>) -> Vec<Observation> {
    let mut observed = Vec::with_capacity(set.len());
    predict(model, set, preprocessing, |image, prediction: &Prediction<'_>| {
        observed.push(Observation {
            signature: signature::of(prediction.pixels),
            features: prediction.features.to_vec(),
            colour: prediction.unseen_colour,
            label: set.labels()[image] as usize,
            predicted: argmax(prediction.logits.iter().copied()),
        });
    });
    observed
}

impl Novelty {
    /// Fits the distributions to the training images, and the cut-offs to the training and validation images.
    /// `None` for a training set of fewer than two images.
    #[must_use]
    pub(crate) fn fit(
        model: &ResNet9,
        train: &ImageSet,
        val: &ImageSet,
        n_classes: usize,
        preprocessing: &Preprocessing<'_>,
    ) -> Option<Self> {
        let (train, val) = (observe(model, train, preprocessing), observe(model, val, preprocessing));
        let signatures =
            Gaussian::fit(&train.iter().map(|observed| &observed.signature[..]).collect::<Vec<_>>())?;
        let distance = |observed: &Observation| signatures.distance(&observed.signature);
        let signature_cut = cut_off(train.iter().map(distance).collect(), val.iter().map(distance).collect());
        let features = (0..n_classes).map(|class| {
            let mean = mean_direction(
                train
                    .iter()
                    .filter(|observed| observed.label == class)
                    .map(|observed| &observed.features[..]),
            );
            let distances = |set: &[Observation]| {
                let taken = set.iter().filter(|observed| observed.predicted == class);
                taken.map(|observed| angle(&mean, &observed.features)).collect()
            };
            let cut = cut_off(distances(&train), distances(&val));
            ClassFeatures { mean, cut }
        });
        let features = features.collect();
        // Colour images that the model was trained on as grey ones: others like them must not be rejected.
        let colours = |set: &[Observation]| set.iter().map(|observed| observed.colour).collect();
        let colour_cut = cut_off(colours(&train), colours(&val)).max(colour::MOST_VARIETY);
        Some(Self { signatures, signature_cut, features, colour_cut })
    }

    /// Whether, and why, a prediction is rejected.
    ///
    /// # Panics
    /// If the prediction is that of a model of other sizes.
    #[must_use]
    pub(crate) fn of(&self, prediction: &Prediction<'_>) -> Option<RejectReason> {
        if prediction.unseen_colour > self.colour_cut {
            return Some(RejectReason::Colour);
        }
        if self.signatures.distance(&signature::of(prediction.pixels)) > self.signature_cut {
            return Some(RejectReason::Signature);
        }
        let ClassFeatures { mean, cut } = &self.features[argmax(prediction.logits.iter().copied())];
        (angle(mean, prediction.features) > *cut).then_some(RejectReason::Features)
    }

    /// How many predictions for the images of a set are rejected.
    #[must_use]
    pub(crate) fn count(&self, model: &ResNet9, set: &ImageSet, preprocessing: &Preprocessing<'_>) -> usize {
        let mut count = 0;
        predict(model, set, preprocessing, |_, prediction| {
            count += usize::from(self.of(prediction).is_some())
        });
        count
    }

    /// Rejects data that do not fit a model of these sizes.
    pub(crate) fn validate(&self, n_classes: usize, n_features: usize, crop: usize) -> Result<(), String> {
        let fits = self.features.len() == n_classes
            && self.features.iter().all(|class| class.mean.len() == n_features)
            && self.signatures.has_dimensions(signature::length(crop));
        if fits { Ok(()) } else { Err("its novelty data have other sizes than the model".to_owned()) }
    }
}

/// The distance above which predictions are rejected.
fn cut_off(train: Vec<f64>, val: Vec<f64>) -> f64 {
    let quantile = |mut distances: Vec<f64>, share: f64| {
        distances.sort_by(f64::total_cmp);
        let above = ((1.0 - share) * distances.len() as f64) as usize;
        distances.len().checked_sub(1 + above).map(|at| distances[at])
    };
    let cuts = [quantile(train, INSIDE), quantile(val, 1.0 - REJECTED)];
    cuts.into_iter().flatten().reduce(f64::max).unwrap_or(0.0)
}

/// The mean of vectors, each scaled to length one.
fn mean_direction<'a>(features: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let mut sum: Vec<f64> = Vec::new();
    for features in features {
        let length = length(features);
        sum.resize(features.len(), 0.0);
        for (sum, &feature) in sum.iter_mut().zip(features) {
            *sum += f64::from(feature) / length;
        }
    }
    let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    sum.iter().map(|x| (x / length) as f32).collect()
}

/// One minus the cosine of the angle between two vectors, 0 to 2.
fn angle(mean: &[f32], features: &[f32]) -> f64 {
    let product: f64 = mean.iter().zip(features).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    // Two zero vectors must not lead to a division by zero.
    1.0 - product / (length(mean) * length(features)).max(f64::MIN_POSITIVE)
}

fn length(vector: &[f32]) -> f64 {
    vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_beyond_the_cut_off() {
        let val: Vec<f64> = (0..100).map(f64::from).collect();
        let cut = cut_off(vec![1.0, 2.0, 3.0], val.clone());
        assert_eq!(val.iter().filter(|&&distance| distance > cut).count(), 2);
        // With few validation images, none is beyond.
        assert_eq!(cut_off(vec![], vec![3.0, 1.0]), 3.0);
        assert_eq!(cut_off(vec![5.0; 10], vec![3.0, 1.0]), 5.0);
        assert_eq!(cut_off(vec![], vec![]), 0.0);
    }

    #[test]
    fn angles_do_not_depend_on_length() {
        let mean = mean_direction([&[3.0, 4.0][..], &[30.0, 40.0]].into_iter());
        assert!((mean[0] - 0.6).abs() < 1e-6 && (mean[1] - 0.8).abs() < 1e-6, "{mean:?}");
        assert!(angle(&mean, &[6.0, 8.0]).abs() < 1e-6);
        assert!((angle(&mean, &[-4.0, 3.0]) - 1.0).abs() < 1e-6);
        assert!((angle(&mean, &[0.0, 0.0]) - 1.0).abs() < 1e-6);
        assert_eq!(angle(&[0.0, 0.0], &[0.0, 0.0]), 1.0, "of a network that has died");
    }
}
