//! The metrics of a confusion matrix of images that may count any number of times, as in a sample of a bootstrap.

use super::ClassMetrics;
use super::interval::Interval;
use super::mean::mean;

/// What is needed of a confusion matrix of images that may count any number of times, each by class.
pub(super) struct WeightedConfusion {
    /// Images predicted correctly.
    pub n_correct: Vec<f64>,
    /// Images of the class.
    pub support: Vec<f64>,
    /// Images predicted as the class.
    pub n_predicted: Vec<f64>,
}

impl WeightedConfusion {
    pub(super) fn balanced_accuracy(&self) -> Option<f64> {
        let classes = self.n_correct.iter().zip(&self.support);
        mean(classes.filter(|&(_, &support)| support > 0.0).map(|(n_correct, support)| n_correct / support))
    }

    pub(super) fn macro_f1(&self) -> Option<f64> {
        let classes = self.n_correct.iter().zip(&self.support).zip(&self.n_predicted);
        let with_images = classes.filter(|&((_, support), _)| *support > 0.0);
        mean(with_images.map(|((n_correct, support), n_predicted)| 2.0 * n_correct / (support + n_predicted)))
    }

    /// The change of balanced accuracy and macro F1 if recall and precision are at this end of their intervals, 0 or 1, in all
    /// classes where the bootstrap does not vary them, since all or none of the predictions are correct. The changes of several
    /// classes add up as squares.
    pub(super) fn unseen(&self, per_class: &[ClassMetrics], end: usize) -> [f64; 2] {
        let f1 = |[recall, precision]: [f64; 2]| {
            if recall + precision > 0.0 { 2.0 * recall * precision / (recall + precision) } else { 0.0 }
        };
        let (mut n, mut squares) = (0.0, [0.0; 2]);
        for (class, ClassMetrics { recall, precision, .. }) in per_class.iter().enumerate() {
            let (n_correct, totals) = (self.n_correct[class], [self.support[class], self.n_predicted[class]]);
            let shares = totals.map(|total| if total > 0.0 { n_correct / total } else { 0.0 });
            let at_end = |share: f64, interval: Option<Interval>| {
                let varies = share > 0.0 && share < 1.0;
                if varies { share } else { interval.unwrap_or([0.0, 1.0])[end] }
            };
            let ends = [at_end(shares[0], recall.interval), at_end(shares[1], precision.interval)];
            if totals[0] > 0.0 {
                n += 1.0;
                squares[0] += (ends[0] - shares[0]).powi(2);
                squares[1] += (f1(ends) - f1(shares)).powi(2);
            }
        }
        [0, 1].map(|metric| squares[metric].sqrt() / f64::max(n, 1.0))
    }

    pub(super) fn kappa(&self) -> Option<f64> {
        let n: f64 = self.support.iter().sum();
        let agreed: f64 = self.n_correct.iter().sum::<f64>() / n;
        let by_chance: f64 = self
            .support
            .iter()
            .zip(&self.n_predicted)
            .map(|(support, n_predicted)| support * n_predicted)
            .sum();
        let by_chance = by_chance / (n * n);
        (n > 0.0 && by_chance < 1.0).then(|| (agreed - by_chance) / (1.0 - by_chance))
    }
}
