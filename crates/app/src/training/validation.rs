//! The validation of one epoch: the figures by which epochs are compared, and the temperature.

use crate::config::Select;
use crate::model::calibration;
use crate::model::class_priors::ClassPriors;
use crate::model::inference::Evaluation;
use crate::training::epoch_selection::Score;

/// The figures of an evaluation, for the class prior of its images; where predictions assume the prior of the training set, as
/// the predictions are.
pub(super) struct Validation {
    pub(super) temperature: f64,
    pub(super) loss: f64,
    pub(super) accuracy: f64,
    pub(super) score: Score,
}

impl Validation {
    pub(super) fn new(evaluation: Evaluation, priors: &ClassPriors, select: Select) -> Self {
        let log_shift = priors.log_shift(&evaluation.class_counts());
        let temperature = calibration::fit(&evaluation, log_shift.as_deref());
        // Balanced accuracy gives all classes the same share by itself, so it is that of the predictions as they are.
        let balanced = (select == Select::BalancedAccuracy).then(|| select.score(&evaluation));
        let evaluation = evaluation.shifted(log_shift.as_deref());
        Self {
            temperature,
            loss: evaluation.loss(),
            accuracy: evaluation.confusion().accuracy(),
            score: balanced.unwrap_or_else(|| select.score(&evaluation)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validation_set_with_other_class_shares_than_the_training_set_is_measured_for_its_own() {
        // For equal classes, a difference of 2 is a probability of 0.88; the predictions assume equal classes.
        let mut evaluation = Evaluation::new(2);
        for label in 0..2 {
            for image in 0..100 {
                let predicted = if image < 88 { label } else { 1 - label };
                evaluation.add(label, &[[2.0, 0.0], [0.0, 2.0]][predicted as usize]);
            }
        }
        let names = ["common".to_owned(), "rare".to_owned()];
        let priors = ClassPriors::new(&names, &[0.5, 0.5], &[0.9, 0.1]);
        let Validation { temperature, loss, accuracy, score } =
            Validation::new(evaluation, &priors, Select::Accuracy);
        assert!((temperature - 1.0).abs() < 0.02, "{temperature}");
        assert!((accuracy - 0.88).abs() < 1e-9 && score.value == accuracy, "{accuracy}");
        assert!((loss - 0.367).abs() < 0.005, "{loss}");
    }
}
