//! The metrics of a test set: of its main images, and beside these of all images and of those that the model accepts.
//!
//! Main are the images that did not leak. They are the same for every figure that a reader meets first: the verdict, the
//! confusion matrix, the curves, and the comparison of two runs.

use roentgen_data::ImageGroups;
use serde::Serialize;

use super::{Predictions, SubsetMetrics};

/// The key in `metrics.json` of all test images.
pub(crate) const TEST: &str = "test";
/// The key in `metrics.json` of the test images that did not leak.
pub(crate) const TEST_WITHOUT_LEAKAGE: &str = "test_deduplicated";

/// What is known of each test image besides its prediction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TestImages<'a> {
    /// Which of them belong together.
    pub groups: &'a ImageGroups,
    /// Whether it, or its patient, occurs in the training or validation set.
    pub is_leaked: &'a [bool],
    /// Whether the model rejects it as out of distribution; `None` for a model that rejects nothing.
    pub is_rejected: Option<&'a [bool]>,
}

/// The metrics of one test set under the keys of `metrics.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct TestMetrics {
    /// Without the images that leaked; absent if none leaked, or all did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_deduplicated: Option<SubsetMetrics>,
    /// All images, as given.
    pub test: SubsetMetrics,
    /// The main images without those that the model rejects; absent if it rejects none of them, or all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_accepted: Option<SubsetMetrics>,
    /// The key of the metrics of the main images: [`TEST_WITHOUT_LEAKAGE`], or [`TEST`] if that is absent.
    pub main_set: &'static str,
    /// Images that `test_deduplicated` leaves out.
    pub n_leaked: usize,
    /// How many of the main images the model rejects; null for a model that rejects nothing.
    pub n_main_rejected: Option<usize>,
}

impl TestMetrics {
    /// # Panics
    /// If there are no predictions, or not as many as images.
    pub(crate) fn new(class_names: &[String], predictions: &Predictions, images: &TestImages<'_>) -> Self {
        let metrics_of = |chosen: &[usize]| {
            let groups = images.groups.select(chosen);
            SubsetMetrics::new(class_names.to_vec(), &predictions.only(chosen), groups.ids())
        };
        let main = main_images(images.is_leaked);
        let n_leaked = images.is_leaked.iter().filter(|&&is_leaked| is_leaked).count();
        let test_deduplicated = (main.len() < predictions.len()).then(|| metrics_of(&main));
        let is_rejected = |image: usize| images.is_rejected.is_some_and(|is_rejected| is_rejected[image]);
        let accepted: Vec<usize> = main.iter().copied().filter(|&image| !is_rejected(image)).collect();
        let has_both = !accepted.is_empty() && accepted.len() < main.len();
        Self {
            main_set: if test_deduplicated.is_some() { TEST_WITHOUT_LEAKAGE } else { TEST },
            test_deduplicated,
            test: metrics_of(&(0..predictions.len()).collect::<Vec<_>>()),
            test_accepted: has_both.then(|| metrics_of(&accepted)),
            n_leaked,
            n_main_rejected: images.is_rejected.map(|_| main.len() - accepted.len()),
        }
    }

    /// The metrics of the main images.
    pub(crate) fn main(&self) -> &SubsetMetrics {
        self.test_deduplicated.as_ref().unwrap_or(&self.test)
    }
}

/// The main images of a test set: those that did not leak. All, if every one of them leaked: there are no other figures.
pub(crate) fn main_images(is_leaked: &[bool]) -> Vec<usize> {
    let new: Vec<usize> = (0..is_leaked.len()).filter(|&image| !is_leaked[image]).collect();
    if new.is_empty() { (0..is_leaked.len()).collect() } else { new }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six images: the last two are wrong; the first and the last leaked.
    fn metrics_of(is_leaked: &[bool; 6], is_rejected: Option<&[bool]>) -> TestMetrics {
        let mut predictions = Predictions::new(2);
        for image in 0..6u32 {
            let logit = if image < 4 { 2.0 } else { -2.0 };
            predictions.add(image % 2, [[logit, 0.0], [0.0, logit]][image as usize % 2].into_iter());
        }
        let groups = &ImageGroups::of_patients(&[const { None }; 6]);
        let images = TestImages { groups, is_leaked, is_rejected };
        TestMetrics::new(&["a".into(), "b".into()], &predictions, &images)
    }

    #[test]
    fn the_main_images_are_those_that_did_not_leak() {
        let leaked = [true, false, false, false, false, true];
        let metrics = metrics_of(&leaked, Some(&[true, false, false, false, true, true]));
        let n_correct = |metrics: &SubsetMetrics| (metrics.confusion.n_correct(), metrics.confusion.n());
        assert_eq!((n_correct(metrics.main()), n_correct(&metrics.test)), ((3, 4), (4, 6)));
        assert_eq!((metrics.main_set, metrics.n_leaked), (TEST_WITHOUT_LEAKAGE, 2));
        // The rejected images that leaked are not counted.
        assert_eq!(metrics.n_main_rejected, Some(1));
        assert_eq!(metrics.test_accepted.as_ref().map(n_correct), Some((3, 3)));
    }

    #[test]
    fn without_a_difference_there_is_one_set() {
        let metrics = metrics_of(&[false; 6], Some(&[false; 6]));
        assert!(metrics.test_deduplicated.is_none() && metrics.test_accepted.is_none());
        assert_eq!((metrics.main_set, metrics.n_main_rejected), (TEST, Some(0)));
        assert_eq!(metrics_of(&[false; 6], None).n_main_rejected, None);
        // Where all leaked, or all are rejected, there is no other set either.
        let metrics = metrics_of(&[true; 6], Some(&[true; 6]));
        assert!(metrics.test_deduplicated.is_none() && metrics.test_accepted.is_none());
        assert_eq!((metrics.n_leaked, metrics.n_main_rejected), (6, Some(6)));
    }
}
