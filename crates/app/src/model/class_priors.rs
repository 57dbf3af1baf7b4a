//! Two class priors: the one that predictions assume, and that of the training set.
//!
//! With `--prior balanced`, class weights or a balanced sampler, the probabilities of a model assume another class
//! prior than that of the training set. The validation set has the prior of the training set, so a temperature that is
//! fitted there, and a loss that is compared from epoch to epoch, must be for this prior: the logits plus
//! [`ClassPriors::log_shift`]. Logits without it look badly calibrated however good they are.

use std::collections::BTreeMap;

use serde::Serialize;

/// Both priors: the probability of each class, by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ClassPriors {
    /// What the probabilities of the model assume, also in the metrics of the validation and the test set.
    pub predictions: BTreeMap<String, f64>,
    /// That of the training set, without class weights and sampler: the temperature, the calibration metrics and the
    /// validation metrics of each epoch are for this one.
    pub training_set: BTreeMap<String, f64>,
    #[serde(skip)]
    log_shift: Option<Vec<f64>>,
}

impl ClassPriors {
    /// Both priors have the order of `class_names` and sum to 1, and no number is 0.
    pub(crate) fn new(class_names: &[String], predictions: &[f64], training_set: &[f64]) -> Self {
        let by_name = |prior: &[f64]| class_names.iter().cloned().zip(prior.iter().copied()).collect();
        let shift = predictions.iter().zip(training_set).map(|(from, to)| libm::log(to / from));
        let log_shift: Vec<f64> = shift.collect();
        Self {
            predictions: by_name(predictions),
            training_set: by_name(training_set),
            log_shift: log_shift.iter().any(|&shift| shift != 0.0).then_some(log_shift),
        }
    }

    /// What to add to the logits, after they are divided by the temperature, for the prior of the training set. `None`
    /// where predictions assume this one already.
    pub(crate) fn log_shift(&self) -> Option<&[f64]> {
        self.log_shift.as_deref()
    }
}
