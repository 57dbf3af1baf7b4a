//! The confusion matrix, and the metrics that follow from it.

use std::collections::BTreeMap;

/// How often each class was predicted for each true class.
///
/// Only pairs that occur take memory: of many classes, most are never taken for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    /// The number of images by true and predicted class.
    counts: BTreeMap<(usize, usize), u64>,
    /// Images of each class.
    support: Vec<u64>,
    /// Images predicted as each class.
    n_predicted: Vec<u64>,
    n: u64,
    n_correct: u64,
}

impl Confusion {
    /// Without images.
    #[must_use]
    pub fn new(n_classes: usize) -> Self {
        let none = vec![0; n_classes];
        Self { counts: BTreeMap::new(), support: none.clone(), n_predicted: none, n: 0, n_correct: 0 }
    }

    /// Counts one image.
    ///
    /// # Panics
    /// If a class is out of range.
    pub fn add(&mut self, truth: usize, predicted: usize) {
        assert!(truth < self.n_classes() && predicted < self.n_classes(), "class {truth} or {predicted}");
        *self.counts.entry((truth, predicted)).or_default() += 1;
        self.support[truth] += 1;
        self.n_predicted[predicted] += 1;
        self.n += 1;
        self.n_correct += u64::from(truth == predicted);
    }

    /// How many images of class `truth` were predicted as `predicted`.
    #[must_use]
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts.get(&(truth, predicted)).copied().unwrap_or(0)
    }

    /// Number of classes.
    #[must_use]
    pub fn n_classes(&self) -> usize {
        self.support.len()
    }

    /// Number of images.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Number of images that were predicted correctly.
    #[must_use]
    pub fn n_correct(&self) -> u64 {
        self.n_correct
    }

    /// Share of the images that were predicted correctly; 0 without images.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        share(self.n_correct(), self.n()).unwrap_or(0.0)
    }

    /// Number of images of `class`.
    #[must_use]
    pub fn support(&self, class: usize) -> u64 {
        self.support[class]
    }

    /// Share of the images of `class` that were predicted as it; `None` without such images.
    #[must_use]
    pub fn recall(&self, class: usize) -> Option<f64> {
        share(self.count(class, class), self.support(class))
    }

    /// Share of the images predicted as `class` that belong to it; `None` if it was never predicted.
    #[must_use]
    pub fn precision(&self, class: usize) -> Option<f64> {
        share(self.count(class, class), self.n_predicted(class))
    }

    /// Number of images predicted as `class`.
    #[must_use]
    pub fn n_predicted(&self, class: usize) -> u64 {
        self.n_predicted[class]
    }

    /// Images of other classes that were not predicted as `class`.
    #[must_use]
    pub fn true_negatives(&self, class: usize) -> u64 {
        self.n() + self.count(class, class) - self.support(class) - self.n_predicted(class)
    }

    /// Share of the images of other classes that were not predicted as `class`; `None` without others.
    #[must_use]
    pub fn specificity(&self, class: usize) -> Option<f64> {
        share(self.true_negatives(class), self.n() - self.support(class))
    }

    /// The whole matrix, a row per true class.
    #[must_use]
    pub fn rows(&self) -> Vec<Vec<u64>> {
        let mut rows = vec![vec![0; self.n_classes()]; self.n_classes()];
        self.counts.iter().for_each(|(&(truth, predicted), &count)| rows[truth][predicted] = count);
        rows
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sklearn.metrics.precision_recall_fscore_support` of the same predictions gives precision 2/3, 3/4 and
    /// (undefined) and recall 1, 3/5 and 0.
    fn example() -> Confusion {
        let truth = [0, 0, 1, 1, 1, 1, 1, 2];
        let predicted = [0, 0, 0, 1, 1, 1, 2, 1];
        let mut confusion = Confusion::new(3);
        truth.into_iter().zip(predicted).for_each(|(truth, predicted)| confusion.add(truth, predicted));
        confusion
    }

    #[test]
    fn recall_and_precision_match_scikit_learn() {
        let confusion = example();
        assert_eq!((confusion.n(), confusion.n_correct()), (8, 5));
        assert_eq!(confusion.accuracy(), 0.625);
        let recalls: Vec<_> = (0..3).map(|class| confusion.recall(class)).collect();
        assert_eq!(recalls, [Some(1.0), Some(0.6), Some(0.0)]);
        let precisions: Vec<_> = (0..3).map(|class| confusion.precision(class)).collect();
        assert_eq!(precisions, [Some(2.0 / 3.0), Some(0.75), Some(0.0)]);
    }

    #[test]
    fn a_share_of_nothing_is_none() {
        let mut confusion = Confusion::new(2);
        confusion.add(0, 0);
        assert_eq!((confusion.recall(1), confusion.precision(1)), (None, None));
        assert_eq!((confusion.specificity(0), confusion.specificity(1)), (None, Some(1.0)));
    }
}
