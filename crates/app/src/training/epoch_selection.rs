//! Which epoch's weights a run saves: the last one within one standard error of the best validation score.
//!
//! The plain maximum over many epochs of an accuracy measured on few images rewards luck: with 25 images one
//! prediction is four points, and an epoch from the middle of the schedule, where the learning rate is still high, may
//! win by it.
//! So the one-standard-error rule is used (Breiman et al. 1984, section 3.4.3; Hastie et al. 2009, section 7.10): of all
//! epochs within one standard error of the best validation score, the last, which the schedule has settled most.
//! On thousands of images the standard error vanishes and the rule becomes the maximum.

use serde::{Deserialize, Serialize};

use crate::config::Select;
use crate::metrics::{Confusion, Scorer};
use crate::model::inference::Evaluation;

/// How good an epoch is, and how well that is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Score {
    /// The larger the better.
    pub value: f64,
    /// The standard error of the value.
    pub standard_error: f64,
}

impl Select {
    /// The score of an evaluation.
    #[must_use]
    pub(crate) fn score(self, evaluation: &Evaluation) -> Score {
        match self {
            Self::Accuracy => accuracy(&evaluation.confusion()),
            Self::BalancedAccuracy => balanced_accuracy(&evaluation.confusion()),
            Self::Auc => auc(evaluation),
            Self::LogLoss => log_loss(&evaluation.losses()),
        }
    }
}

fn accuracy(confusion: &Confusion) -> Score {
    let (n_correct, n) = (confusion.n_correct(), confusion.n());
    Score { value: confusion.accuracy(), standard_error: share_variance(n_correct, n).sqrt() }
}

fn balanced_accuracy(confusion: &Confusion) -> Score {
    let classes = (0..confusion.n_classes()).filter(|&class| confusion.support(class) > 0);
    let recall = |class| {
        let (n_correct, n) = (confusion.count(class, class), confusion.support(class));
        (n_correct as f64 / n as f64, share_variance(n_correct, n))
    };
    mean_score(classes.map(recall))
}

fn auc(evaluation: &Evaluation) -> Score {
    let predictions = evaluation.predictions(1.0);
    let areas = Scorer::new(&predictions).roc_auc_by_class();
    let confusion = evaluation.confusion();
    // Of two classes, both have the same area: it is one value, not the mean of two.
    let n_areas = if areas.len() == 2 { 1 } else { areas.len() };
    let classes = areas[..n_areas].iter().enumerate().filter_map(|(class, auc)| Some((class, (*auc)?)));
    mean_score(classes.map(|(class, auc)| {
        let n_positive = confusion.support(class);
        (auc, auc_variance(auc, n_positive as f64, (confusion.n() - n_positive) as f64))
    }))
}

fn log_loss(losses: &[f64]) -> Score {
    let n = losses.len() as f64;
    let mean = losses.iter().sum::<f64>() / n;
    let variance = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / n;
    Score { value: -mean, standard_error: (variance / n).sqrt() }
}

/// The mean of independent values with their variances.
fn mean_score(values: impl Iterator<Item = (f64, f64)>) -> Score {
    let (mut n, mut sum, mut variance) = (0.0, 0.0, 0.0);
    for (value, variance_of_value) in values {
        n += 1.0;
        sum += value;
        variance += variance_of_value;
    }
    Score { value: sum / f64::max(n, 1.0), standard_error: variance.sqrt() / f64::max(n, 1.0) }
}

/// Variance of a share of correct predictions.
///
/// The share is estimated with two predictions of each kind added (Agresti and Coull 1998): a perfect score on a few
/// images does not prove a perfect model.
fn share_variance(n_correct: u64, n: u64) -> f64 {
    let n_adjusted = n as f64 + 4.0;
    let share = (n_correct as f64 + 2.0) / n_adjusted;
    share * (1.0 - share) / n_adjusted
}

/// Variance of an area under the ROC curve (Hanley and McNeil 1982).
///
/// As for a share, a perfect area of a few images does not prove a perfect model: to the images of the class, or all others,
/// whichever are fewer, four are added that have an area of a half.
fn auc_variance(auc: f64, n_positive: f64, n_negative: f64) -> f64 {
    let n_fewer = n_positive.min(n_negative);
    let adjusted = (auc * n_fewer + 2.0) / (n_fewer + 4.0);
    hanley_mcneil(adjusted, n_positive, n_negative)
}

fn hanley_mcneil(auc: f64, n_positive: f64, n_negative: f64) -> f64 {
    let (q1, q2) = (auc / (2.0 - auc), 2.0 * auc * auc / (1.0 + auc));
    let positive = (n_positive - 1.0) * (q1 - auc * auc);
    let negative = (n_negative - 1.0) * (q2 - auc * auc);
    (auc * (1.0 - auc) + positive + negative) / (n_positive * n_negative)
}

/// Follows the validation score from epoch to epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct EpochSelection {
    best: Option<Score>,
}

impl EpochSelection {
    /// Whether it can be the state after some epochs.
    pub(crate) fn is_valid(&self) -> bool {
        self.best.is_none_or(|best| best.value.is_finite() && (0.0..=f64::MAX).contains(&best.standard_error))
    }

    /// Whether the weights of this epoch replace the saved ones. Without a validation set, those of every epoch do.
    pub(crate) fn should_save(&mut self, score: Option<Score>) -> bool {
        let Some(score) = score else { return true };
        let best = self.best.filter(|best| best.value >= score.value).unwrap_or(score);
        self.best = Some(best);
        best.value - score.value <= best.standard_error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confusion(n_correct: usize, n: usize) -> Confusion {
        let mut confusion = Confusion::new(2);
        for image in 0..n {
            confusion.add(0, usize::from(image >= n_correct));
        }
        confusion
    }

    fn saved(n_correct: &[usize], n: usize) -> Option<usize> {
        let mut best = EpochSelection::default();
        let scores = n_correct.iter().map(|&n_correct| accuracy(&confusion(n_correct, n)));
        let saved: Vec<bool> = scores.map(|score| best.should_save(Some(score))).collect();
        saved.iter().rposition(|&saved| saved)
    }

    #[test]
    fn a_later_epoch_within_one_standard_error_is_saved() {
        // 25 images: the standard error of a perfect score is 1.2 predictions.
        assert_eq!(saved(&[20, 25, 24], 25), Some(2));
        assert_eq!(saved(&[20, 25, 23], 25), Some(1));
        assert_eq!(saved(&[25, 20, 21], 25), Some(0));
    }

    #[test]
    fn many_images_make_small_differences_count() {
        // 10,000 images, 95 % correct: 22 predictions.
        assert_eq!(saved(&[9_500, 9_470], 10_000), Some(0));
        assert_eq!(saved(&[9_500, 9_480], 10_000), Some(1));
    }

    #[test]
    fn without_validation_the_last_epoch_is_saved() {
        let mut best = EpochSelection::default();
        assert!(best.should_save(None) && best.should_save(None));
    }

    #[test]
    fn each_criterion_measures_something_else() {
        // Nine of the first class, one of the second, ranked correctly but below the threshold.
        let mut evaluation = Evaluation::new(2);
        (0..9).for_each(|i| evaluation.add(0, &[3.0 + i as f32 / 10.0, 0.0]));
        evaluation.add(1, &[1.0, 0.0]);
        let value = |select: Select| select.score(&evaluation).value;
        assert_eq!(value(Select::Accuracy), 0.9);
        assert_eq!(value(Select::BalancedAccuracy), 0.5);
        assert_eq!(value(Select::Auc), 1.0);
        let expected =
            (0..9).map(|i| (-(3.0 + f64::from(i) / 10.0)).exp().ln_1p()).sum::<f64>() + 1f64.exp().ln_1p();
        assert!((value(Select::LogLoss) + expected / 10.0).abs() < 1e-6);
    }

    /// The evaluation of `n` images, whose classes take turns. The own class of an image has the largest logit; in the first
    /// `n_wrong` images of each class, it has the smallest.
    fn ranked(n_classes: usize, n: usize, n_wrong: usize) -> Evaluation {
        let mut evaluation = Evaluation::new(n_classes);
        for image in 0..n {
            let own = if image / n_classes < n_wrong { -1.0 } else { 1.0 };
            let label = image % n_classes;
            let logits: Vec<f32> =
                (0..n_classes).map(|class| if class == label { own } else { 0.0 }).collect();
            evaluation.add(label as u32, &logits);
        }
        evaluation
    }

    #[test]
    fn of_two_classes_there_is_one_area() {
        let score = auc(&ranked(2, 60, 3));
        // A tenth of each class has the logits of the other: 0.9 * 0.9 of the pairs are won, and half of 2 * 0.9 * 0.1 tie.
        let area = 0.9;
        assert!((score.value - area).abs() < 1e-12, "{score:?}");
        assert!((score.standard_error - auc_variance(area, 30.0, 30.0).sqrt()).abs() < 1e-12, "{score:?}");
        // Of three classes, the mean of three.
        let score = auc(&ranked(3, 60, 0));
        assert!((score.standard_error - (auc_variance(1.0, 20.0, 40.0) / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn an_early_perfect_area_of_a_few_images_does_not_win() {
        let mut few = Evaluation::new(2);
        let mut other = Evaluation::new(2);
        for image in 0..100 {
            let (label, logit) = (u32::from(image < 3), if image < 3 { 2.0 } else { image as f32 / 100.0 });
            few.add(label, &[0.0, logit]);
            other.add(label, &[0.0, if image == 0 { 0.985 } else { logit }]);
        }
        let (perfect, close) = (auc(&few), auc(&other));
        assert!(perfect.value == 1.0 && close.value < 1.0 && close.value > 0.99, "{perfect:?} {close:?}");
        let mut best = EpochSelection::default();
        assert!(best.should_save(Some(perfect)) && best.should_save(Some(close)));
        // Many images make the same difference count.
        let many = auc_variance(1.0, 100_000.0, 100_000.0).sqrt();
        assert!(many < 1e-3, "{many}");
    }

    #[test]
    fn standard_errors_match_the_literature() {
        // Hanley and McNeil 1982, table II's formula by hand: A = 0.8, 20 and 30 images.
        let error = hanley_mcneil(0.8, 20.0, 30.0).sqrt();
        let by_hand: f64 = (0.16 + 19.0 * (0.8 / 1.2 - 0.64) + 29.0 * (1.28 / 1.8 - 0.64)) / 600.0;
        assert!((error - by_hand.sqrt()).abs() < 1e-12, "{error}");
        let score = log_loss(&[0.0, 2.0]);
        assert!((score.value + 1.0).abs() < 1e-12 && (score.standard_error - 0.5f64.sqrt()).abs() < 1e-12);
    }
}
