//! Two class priors: the one that predictions assume, and that of the training set.
//!
//! With `--prior balanced`, class weights, a balanced sampler or hard examples, the probabilities of a model may assume another
//! class prior than that of the training set. A temperature that is fitted on the validation set, and a loss that is compared
//! from epoch to epoch, must then be for the prior of the validation set, and calibration metrics for the prior of the set
//! that they are of: the logits plus [`ClassPriors::log_shift`]. Logits without it look badly calibrated however good they
//! are. A set that was given may have any class shares, so they are counted and not taken from the training set.

use std::collections::BTreeMap;

use serde::Serialize;

/// Priors that differ by no more than this, relative to the share of each class in the training set, are one. The number of
/// hard examples of a class is rounded to whole images, and class weights to `f32`: that changes the shares of classes by
/// fractions of a percent, and no figure should depend on it.
const TOLERANCE: f64 = 0.01;

/// Both priors: the probability of each class, by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ClassPriors {
    /// What the probabilities of the model assume, also in the metrics of the validation and the test set. Where it is not
    /// that of the training set, the temperature, the calibration metrics and the validation metrics of each epoch are for the
    /// prior of the set that they are of.
    pub predictions: BTreeMap<String, f64>,
    /// That of the training set, without class weights, sampler and hard examples.
    pub training_set: BTreeMap<String, f64>,
    /// The same two in the order of the classes; `None` where they do not differ.
    #[serde(skip)]
    differing: Option<[Vec<f64>; 2]>,
}

impl ClassPriors {
    /// Both priors have the order of `class_names` and sum to 1, and no number is 0. Predictions whose prior is within
    /// [`TOLERANCE`] of that of the training set assume that of the training set.
    pub(crate) fn new(class_names: &[String], predictions: &[f64], training_set: &[f64]) -> Self {
        let by_name = |prior: &[f64]| class_names.iter().cloned().zip(prior.iter().copied()).collect();
        let is_other = |(predicted, trained): (&f64, &f64)| (predicted - trained).abs() > TOLERANCE * trained;
        let differs = predictions.iter().zip(training_set).any(is_other);
        Self {
            predictions: by_name(if differs { predictions } else { training_set }),
            training_set: by_name(training_set),
            differing: differs.then(|| [predictions.to_vec(), training_set.to_vec()]),
        }
    }

    /// Whether predictions assume another prior than that of the training set.
    pub(crate) fn differ(&self) -> bool {
        self.differing.is_some()
    }

    /// What to add to the logits, after they are divided by the temperature, for the class prior of a set with so many images
    /// of each class. `None` where predictions assume the prior of the training set.
    ///
    /// As many images as there are classes are added to those of the set, with the shares of the training set: a class without
    /// an image has a finite logarithm, and a set without images has the prior of the training set.
    pub(crate) fn log_shift(&self, class_counts: &[usize]) -> Option<Vec<f64>> {
        let [predictions, training_set] = self.differing.as_ref()?;
        let (n, n_added) = (class_counts.iter().sum::<usize>() as f64, class_counts.len() as f64);
        let shift = |class: usize| {
            let share = (class_counts[class] as f64 + n_added * training_set[class]) / (n + n_added);
            libm::log(share / predictions[class])
        };
        Some((0..class_counts.len()).map(shift).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shift_is_to_the_prior_of_the_set_and_always_finite() {
        let names = ["common".to_owned(), "rare".to_owned()];
        let priors = ClassPriors::new(&names, &[0.5, 0.5], &[0.9, 0.1]);
        let odds = |class_counts: [usize; 2]| {
            let shift = priors.log_shift(&class_counts).expect("another prior");
            (shift[0] - shift[1]).exp()
        };
        assert!((odds([900, 100]) - 9.0).abs() < 1e-9 && (odds([9, 1]) - 9.0).abs() < 1e-9);
        assert!((odds([0, 0]) - 9.0).abs() < 1e-9, "that of the training set");
        assert!((odds([1_000, 1_000]) - 1.0).abs() < 1e-2);
        assert!((odds([98, 0]) - 499.0).abs() < 1e-6, "99.8 to 0.2 images");
        assert_eq!(ClassPriors::new(&names, &[0.9, 0.1], &[0.9, 0.1]).log_shift(&[10, 10]), None);
    }

    #[test]
    fn priors_that_differ_by_rounding_are_one() {
        let names = ["common".to_owned(), "rare".to_owned()];
        // 101 and 50 images, of which 8 and 4 are used twice.
        let rounded = [109.0 / 163.0, 54.0 / 163.0];
        let priors = ClassPriors::new(&names, &rounded, &[101.0 / 151.0, 50.0 / 151.0]);
        assert!(!priors.differ() && priors.predictions == priors.training_set);
        assert_eq!(priors.log_shift(&[50, 50]), None);
        // A small difference is a large one for a rare class.
        assert!(ClassPriors::new(&names, &[0.9993, 0.0007], &[0.994, 0.006]).differ());
    }
}
