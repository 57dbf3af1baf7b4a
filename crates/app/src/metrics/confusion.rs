//! The confusion matrix, and the metrics that follow from it.

/// How often each class was predicted for each true class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    n_classes: usize,
    /// `counts[truth * n_classes + predicted]`.
    counts: Vec<u64>,
}

impl Confusion {
    /// Without images.
    #[must_use]
    pub fn new(n_classes: usize) -> Self {
        Self { n_classes, counts: vec![0; n_classes * n_classes] }
    }

    /// Counts one image.
    ///
    /// # Panics
    /// If a class is out of range.
    pub fn add(&mut self, truth: usize, predicted: usize) {
        assert!(truth < self.n_classes && predicted < self.n_classes, "class {truth} or {predicted}");
        self.counts[truth * self.n_classes + predicted] += 1;
    }

    /// How many images of class `truth` were predicted as `predicted`.
    #[must_use]
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.n_classes + predicted]
    }

    /// Number of classes.
    #[must_use]
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// Number of images.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Number of images that were predicted correctly.
    #[must_use]
    pub fn n_right(&self) -> u64 {
        (0..self.n_classes).map(|class| self.count(class, class)).sum()
    }

    /// Share of the images that were predicted correctly; 0 without images.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        share(self.n_right(), self.n()).unwrap_or(0.0)
    }

    /// Images of `class`.
    #[must_use]
    pub fn n_of(&self, class: usize) -> u64 {
        (0..self.n_classes).map(|predicted| self.count(class, predicted)).sum()
    }

    /// Share of the images of `class` that were predicted as it; none where there is no such image.
    #[must_use]
    pub fn recall(&self, class: usize) -> Option<f64> {
        share(self.count(class, class), self.n_of(class))
    }

    /// Share of the images predicted as `class` that belong to it; none where it was never predicted.
    #[must_use]
    pub fn precision(&self, class: usize) -> Option<f64> {
        share(self.count(class, class), self.n_predicted(class))
    }

    /// Images predicted as `class`.
    #[must_use]
    pub fn n_predicted(&self, class: usize) -> u64 {
        (0..self.n_classes).map(|truth| self.count(truth, class)).sum()
    }

    /// Images of other classes that were not predicted as `class`.
    #[must_use]
    pub fn true_negatives(&self, class: usize) -> u64 {
        self.n() + self.count(class, class) - self.n_of(class) - self.n_predicted(class)
    }

    /// Share of the images of other classes that were not predicted as `class`; none where there are no others.
    #[must_use]
    pub fn specificity(&self, class: usize) -> Option<f64> {
        share(self.true_negatives(class), self.n() - self.n_of(class))
    }

    /// The matrix, a row per true class.
    #[must_use]
    pub fn rows(&self) -> Vec<&[u64]> {
        self.counts.chunks_exact(self.n_classes).collect()
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
        assert_eq!((confusion.n(), confusion.n_right()), (8, 5));
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
