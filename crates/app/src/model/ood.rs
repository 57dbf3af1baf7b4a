//! Detects out-of-distribution images: photographs, drawings, pages of text, noise, other body parts, blurred films.
//!
//! An image becomes a vector; see [`observation`](crate::model::observation). The vectors of the training images are
//! taken as normally distributed, and an image is rejected if its Mahalanobis distance from their centre is larger than
//! that of all but [`REJECTION_RATE`] of the images that the fit has not seen. Where the model sees grey values alone, an
//! image is rejected by its colours too.
//!
//! Tried and not used, each with the same share of rejected validation images: the same distance on later blocks, nearest
//! neighbours on the features of any block, the energy of the logits, the angle from the mean features of the class. What
//! the network has learned to ignore is missing there: 5 to 95 % of the photographs passed.

use roentgen_data::{ImageGroups, colour};
use serde::{Deserialize, Serialize};

use crate::metrics::Groups;
use crate::model::observation::{Observation, vector_length};
use gaussian::Gaussian;

mod gaussian;

/// Share of the images that the cut-off is chosen on that is rejected: validation images, and training images that the fit
/// of the other folds measures.
const REJECTION_RATE: f64 = 0.05;
/// Share of the images that is rejected by its colours alone.
const COLOUR_REJECTION_RATE: f64 = 0.01;
/// With fewer validation images, training images are added to those that the cut-off is chosen on.
const MIN_VALIDATION: usize = 200;
/// Folds of the training images, each measured by a fit without it. Duplicates, and the images of a patient, are in one fold.
const N_FOLDS: usize = 5;

/// When to reject a prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OodDetector {
    distribution: Gaussian,
    /// Largest distance, squared and divided by the number of dimensions, of an image that is not rejected.
    cut_off: f64,
    /// Largest variety of colours that a model of one channel does not see.
    colour_cut_off: f64,
    /// What the cut-off was chosen on.
    held_out: HeldOut,
}

/// The images that a cut-off was chosen on, none of which was in the fit that measured it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldOut {
    pub n: usize,
    /// How many of them are rejected.
    pub n_rejected: usize,
}

impl HeldOut {
    /// In words; `None` without images. No interval: the cut-off was chosen so that this share is rejected.
    pub(crate) fn in_words(self) -> Option<String> {
        let Self { n, n_rejected } = self;
        (n > 0).then(|| {
            format!(
                "{n_rejected} of {n} images of these data: the limit is set so that about {:.0} % of images like them are \
                 rejected",
                100.0 * REJECTION_RATE
            )
        })
    }
}

/// Why a prediction is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RejectReason {
    /// Its signature and filter responses are too far from those of the training images.
    Distance,
    /// It has colours that the training images do not have.
    Colour,
    /// A logit is infinite or NaN. No file of this program computes that for any image.
    NotFinite,
}

impl RejectReason {
    /// In words.
    #[must_use]
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Distance => "unlike the images that the model was trained on",
            Self::Colour => "in colour, and the model was trained on grey images",
            Self::NotFinite => "the model computes no finite number for it",
        }
    }
}

/// Whether, and why, an image is rejected; by a model without a detector only if it computes no finite number.
pub(super) fn reject_reason(
    detector: Option<&OodDetector>,
    observation: &Observation<'_>,
) -> Option<RejectReason> {
    if observation.logits.iter().any(|logit| !logit.is_finite()) {
        return Some(RejectReason::NotFinite);
    }
    detector.and_then(|detector| detector.reject_reason(observation))
}

impl OodDetector {
    /// Fits the distribution to the training images, and the cut-off to images that it was not fitted to; `groups` are those of
    /// the training images.
    /// `None` for a training set of fewer than two images, or where no image is left to choose the cut-off on.
    #[must_use]
    pub(crate) fn fit(
        train: &[Observation<'_>],
        groups: &ImageGroups,
        val: &[Observation<'_>],
    ) -> Option<Self> {
        let vectors: Vec<&[f64]> = train.iter().map(|observed| &observed.vector[..]).collect();
        let distribution = Gaussian::fit(&vectors)?;
        let mut distances: Vec<f64> =
            val.iter().map(|observed| distribution.squared_distance(&observed.vector)).collect();
        if distances.len() < MIN_VALIDATION {
            distances.extend(out_of_fold_distances(&vectors, &folds(vectors.len(), groups.ids())));
        }
        if distances.is_empty() {
            return None;
        }
        let distance_cut_off = cut_off(&mut distances, REJECTION_RATE);
        let n_rejected = distances.iter().filter(|&&distance| distance > distance_cut_off).count();
        let held_out = HeldOut { n: distances.len(), n_rejected };
        // Colour images that the model was trained on as grey ones: others like them must not be rejected.
        let mut colours: Vec<f64> = train.iter().chain(val).map(|observed| observed.unseen_colour).collect();
        let colour_cut_off = cut_off(&mut colours, COLOUR_REJECTION_RATE).max(colour::MAX_VARIETY);
        Some(Self { distribution, cut_off: distance_cut_off, colour_cut_off, held_out })
    }

    /// Whether, and why, an image is rejected.
    ///
    /// # Panics
    /// If the observation is by a model of other sizes.
    #[must_use]
    fn reject_reason(&self, observation: &Observation<'_>) -> Option<RejectReason> {
        if observation.unseen_colour > self.colour_cut_off {
            return Some(RejectReason::Colour);
        }
        let distance = self.distribution.squared_distance(&observation.vector);
        (distance > self.cut_off).then_some(RejectReason::Distance)
    }

    /// What the cut-off was chosen on.
    #[must_use]
    pub(crate) fn held_out(&self) -> HeldOut {
        self.held_out
    }

    /// Checks that the data fit a model whose first block has `width` channels and that sees crops of `crop` pixels.
    pub(crate) fn check(&self, width: usize, crop: usize) -> Result<(), String> {
        let is_valid = self.distribution.is_valid(vector_length(width, crop));
        if is_valid { Ok(()) } else { Err("its out-of-distribution data do not fit the model".to_owned()) }
    }
}

/// The fold of each of `n` images, the same for all images of a group.
fn folds(n: usize, groups: Option<&[u32]>) -> Vec<usize> {
    let groups = Groups::new(n, groups);
    (0..n).map(|image| groups.group(image) as usize % N_FOLDS).collect()
}

/// The distance of each vector from a distribution that is fitted to the other folds. No distance where too few are left to fit.
fn out_of_fold_distances(vectors: &[&[f64]], folds: &[usize]) -> Vec<f64> {
    let mut distances = Vec::with_capacity(vectors.len());
    for fold in 0..N_FOLDS {
        let others: Vec<&[f64]> =
            (0..vectors.len()).filter(|&at| folds[at] != fold).map(|at| vectors[at]).collect();
        let own = (0..vectors.len()).filter(|&at| folds[at] == fold).map(|at| vectors[at]);
        if let Some(distribution) = Gaussian::fit(&others) {
            distances.extend(own.map(|vector| distribution.squared_distance(vector)));
        }
    }
    distances
}

/// The distance that at most `share` of the distances exceed. Sorts them.
fn cut_off(distances: &mut [f64], share: f64) -> f64 {
    distances.sort_by(f64::total_cmp);
    let above = (share * distances.len() as f64) as usize;
    distances.len().checked_sub(1 + above).map_or(0.0, |at| distances[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_is_rejected_is_explained() {
        let words = "15 of 300 images of these data: the limit is set so that about 5 % of images like them are rejected";
        assert_eq!(HeldOut { n: 300, n_rejected: 15 }.in_words().as_deref(), Some(words));
        assert_eq!(HeldOut { n: 0, n_rejected: 0 }.in_words(), None);
    }

    #[test]
    fn at_most_a_twentieth_is_beyond_the_cut_off() {
        let mut distances: Vec<f64> = (0..100).rev().map(f64::from).collect();
        let cut = cut_off(&mut distances, REJECTION_RATE);
        assert_eq!(distances.iter().filter(|&&distance| distance > cut).count(), 5);
        // With few images, none is beyond.
        assert_eq!(cut_off(&mut [3.0, 1.0], REJECTION_RATE), 3.0);
        assert_eq!(cut_off(&mut [], REJECTION_RATE), 0.0);
    }

    #[test]
    fn an_image_without_finite_numbers_has_no_class_whatever_the_model_rejects() {
        let reason_of = |logits: &[f32]| {
            let (logits, vector) = (logits.to_vec(), Vec::new());
            reject_reason(None, &Observation { logits, vector, unseen_colour: 0.0, facts: None })
        };
        for logits in [[f32::NAN, 0.0], [1.0, f32::INFINITY], [f32::NEG_INFINITY, 0.0]] {
            assert_eq!(reason_of(&logits), Some(RejectReason::NotFinite), "{logits:?}");
        }
        assert_eq!(reason_of(&[1e30, -1e30]), None);
    }

    fn observed(value: f64) -> Observation<'static> {
        Observation { logits: vec![0.0], vector: vec![value], unseen_colour: 0.0, facts: None }
    }

    #[test]
    fn without_a_distance_to_choose_the_cut_off_on_no_image_is_rejected() {
        let train = [1.0, 2.0].map(observed);
        let alone = ImageGroups::of_patients(&[None, None]);
        assert!(OodDetector::fit(&train, &alone, &[]).is_none());
        assert!(OodDetector::fit(&train, &alone, &[observed(1.5)]).is_some());
    }

    /// A copy in the fit would make an image look closer than new ones are.
    #[test]
    fn copies_of_an_image_do_not_make_the_cut_off_too_small() {
        // Ten images with a copy each, one of which is far from all others.
        let value = |i: u32| if i / 2 == 3 { 100.0 } else { f64::from(i / 2 % 3) };
        let train: Vec<Observation<'_>> = (0..20).map(value).map(observed).collect();
        let cut_off = |groups: &ImageGroups| OodDetector::fit(&train, groups, &[]).expect("a fit").cut_off;
        let alone = ImageGroups::of_patients(&[const { None }; 20]);
        let copies = alone.clone().joined(|image| Some(image / 2));
        assert!(cut_off(&copies) > 10.0 * cut_off(&alone), "{} and {}", cut_off(&copies), cut_off(&alone));
    }

    #[test]
    fn every_vector_is_measured_without_its_fold() {
        // One vector is far from all others. A fit that contains it would take it for half as distant.
        let vectors: Vec<[f64; 1]> =
            (0..11).map(|i| [if i == 3 { 100.0 } else { f64::from(i % 3) }]).collect();
        let vectors: Vec<&[f64]> = vectors.iter().map(|vector| &vector[..]).collect();
        let distances = out_of_fold_distances(&vectors, &folds(11, None));
        assert_eq!(distances.len(), vectors.len());
        let own = Gaussian::fit(&vectors).expect("vectors").squared_distance(vectors[3]);
        let largest = distances.iter().copied().fold(0.0, f64::max);
        assert!(own < 15.0 && largest > 1000.0, "{own} with itself, {largest} without");
        assert!(out_of_fold_distances(&vectors[..1], &[0]).is_empty());
    }

    /// A second film of the same patient, in the fit, would make the first one look closer than those of a new patient.
    #[test]
    fn the_images_of_a_patient_are_in_one_fold() {
        // Ten patients with two films each, one of which is far from all others.
        let vectors: Vec<[f64; 1]> =
            (0..20).map(|i| [if i / 2 == 3 { 100.0 } else { f64::from(i % 3) }]).collect();
        let vectors: Vec<&[f64]> = vectors.iter().map(|vector| &vector[..]).collect();
        // Numbered by their first image.
        let patients: Vec<u32> = (0..20).map(|i| i / 2 * 2).collect();
        let by_patient = folds(20, Some(&patients));
        assert_eq!(by_patient[..12], [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 0, 0]);
        let largest = |folds: &[usize]| {
            let distances = out_of_fold_distances(&vectors, folds);
            assert_eq!(distances.len(), 20);
            distances.into_iter().fold(0.0, f64::max)
        };
        let (largest_by_patient, largest_by_image) = (largest(&by_patient), largest(&folds(20, None)));
        assert!(largest_by_patient > 10.0 * largest_by_image, "{largest_by_patient} and {largest_by_image}");
    }
}
