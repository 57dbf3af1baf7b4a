//! Tells a picture that is unlike everything a model was trained on: noise, a blank page, a photograph.
//!
//! Three distances, each with a cut-off that is fitted at the end of training and kept in the model:
//!
//! 1. of the picture's [`signature`] from those of the training pictures, after Mahalanobis (1936);
//! 2. of what the classifier sees, the penultimate features, from the mean direction of the class that it takes the
//!    picture for: one minus the cosine of the angle;
//! 3. of a picture's colours from those of a film, where the model sees grey values alone.
//!
//! The second one alone would not do: a network that never saw an empty picture may put it right among a class. Of 39
//! pictures of nonsense it let 9 to 25 pass in four models of chest films, and the best of eight other distances for each of
//! them (Mahalanobis, nearest neighbours and the like) 3 to 22; the first one let none pass.

use roentgen_data::{ImageSet, colour};
use roentgen_layers::ResNet9;
use serde::{Deserialize, Serialize};

use crate::metrics::argmax::argmax;
use crate::model::inference::{Prediction, Preprocessing, predict};
use signature::Gaussian;

mod signature;

/// Share of the validation pictures that each of the three may refuse.
const REFUSED: f64 = 0.02;
/// Share of the training pictures that lie inside: with few validation pictures, their largest distance says little.
const INSIDE: f64 = 0.99;

/// When to refuse an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Novelty {
    pictures: Gaussian,
    /// Largest distance of a signature.
    picture_cut: f64,
    /// By class.
    features: Vec<ClassFeatures>,
    /// Largest variety of colours that a model of one channel does not see.
    #[serde(default = "colours_of_films")]
    colour_cut: f64,
}

/// Of a model of before there was a cut.
fn colours_of_films() -> f64 {
    colour::MOST_VARIETY
}

/// What the features of a class look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ClassFeatures {
    /// Mean of the features of its training pictures, each of length one.
    mean: Vec<f32>,
    /// Largest distance of a picture that is taken for it.
    cut: f64,
}

/// Why an answer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RejectReason {
    /// By its signature.
    Picture,
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
            Self::Picture => "unlike the pictures that the model was trained on",
            Self::Features => "far from what the model knows of this class",
            Self::Colour => "in colour, and the model was trained on grey pictures",
        }
    }
}

/// One picture in all views.
struct Observation {
    signature: Vec<f64>,
    features: Vec<f32>,
    colour: f64,
    /// The class it belongs to, and the one it is taken for.
    label: usize,
    taken_for: usize,
}

fn observe(model: &ResNet9, set: &ImageSet, preprocessing: &Preprocessing<'_>) -> Vec<Observation> {
    let mut observed = Vec::with_capacity(set.len());
    predict(model, set, preprocessing, |image, answer: &Prediction<'_>| {
        observed.push(Observation {
            signature: signature::of(answer.pixels),
            features: answer.features.to_vec(),
            colour: answer.unseen_colour,
            label: set.labels()[image] as usize,
            taken_for: argmax(answer.logits.iter().copied()),
        });
    });
    observed
}

impl Novelty {
    /// Learns from the training pictures what is usual, and from the validation pictures how far the usual goes.
    /// `None` for a training part of fewer than two pictures.
    #[must_use]
    pub(crate) fn fit(
        model: &ResNet9,
        train: &ImageSet,
        val: &ImageSet,
        n_classes: usize,
        preprocessing: &Preprocessing<'_>,
    ) -> Option<Self> {
        let (train, val) = (observe(model, train, preprocessing), observe(model, val, preprocessing));
        let pictures =
            Gaussian::fit(&train.iter().map(|observed| &observed.signature[..]).collect::<Vec<_>>())?;
        let distance = |observed: &Observation| pictures.distance(&observed.signature);
        let picture_cut = cut_off(train.iter().map(distance).collect(), val.iter().map(distance).collect());
        let features = (0..n_classes).map(|class| {
            let mean = mean_direction(
                train
                    .iter()
                    .filter(|observed| observed.label == class)
                    .map(|observed| &observed.features[..]),
            );
            let distances = |part: &[Observation]| {
                let taken = part.iter().filter(|observed| observed.taken_for == class);
                taken.map(|observed| angle(&mean, &observed.features)).collect()
            };
            let cut = cut_off(distances(&train), distances(&val));
            ClassFeatures { mean, cut }
        });
        let features = features.collect();
        // Of pictures in colour that were trained on as grey ones, others like them may come.
        let colours = |part: &[Observation]| part.iter().map(|observed| observed.colour).collect();
        let colour_cut = cut_off(colours(&train), colours(&val)).max(colour::MOST_VARIETY);
        Some(Self { pictures, picture_cut, features, colour_cut })
    }

    /// Whether, and why, an answer about `class` is to be refused.
    ///
    /// # Panics
    /// If the answer is of another model.
    #[must_use]
    pub(crate) fn of(&self, answer: &Prediction<'_>) -> Option<RejectReason> {
        if answer.unseen_colour > self.colour_cut {
            return Some(RejectReason::Colour);
        }
        if self.pictures.distance(&signature::of(answer.pixels)) > self.picture_cut {
            return Some(RejectReason::Picture);
        }
        let ClassFeatures { mean, cut } = &self.features[argmax(answer.logits.iter().copied())];
        (angle(mean, answer.features) > *cut).then_some(RejectReason::Features)
    }

    /// How many answers about a set are refused.
    #[must_use]
    pub(crate) fn count(&self, model: &ResNet9, set: &ImageSet, preprocessing: &Preprocessing<'_>) -> usize {
        let mut count = 0;
        predict(model, set, preprocessing, |_, answer| count += usize::from(self.of(answer).is_some()));
        count
    }

    /// Refuses what does not fit a model of these sizes.
    pub(crate) fn validate(&self, n_classes: usize, n_features: usize, crop: usize) -> Result<(), String> {
        let fits = self.features.len() == n_classes
            && self.features.iter().all(|class| class.mean.len() == n_features)
            && self.pictures.has_dimensions(signature::length(crop));
        if fits {
            Ok(())
        } else {
            Err("what it knows of usual pictures has other sizes than the model".to_owned())
        }
    }
}

/// The distance above which answers are refused.
fn cut_off(train: Vec<f64>, val: Vec<f64>) -> f64 {
    let quantile = |mut distances: Vec<f64>, share: f64| {
        distances.sort_by(f64::total_cmp);
        let above = ((1.0 - share) * distances.len() as f64) as usize;
        distances.len().checked_sub(1 + above).map(|at| distances[at])
    };
    let cuts = [quantile(train, INSIDE), quantile(val, 1.0 - REFUSED)];
    cuts.into_iter().flatten().reduce(f64::max).unwrap_or(0.0)
}

/// The mean of vectors, each brought to length one.
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
    // Of two vectors of nothing but zeros, the product of the lengths is none that one could divide by.
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
        // A few of validation: none is beyond.
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
