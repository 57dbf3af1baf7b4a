//! For which class prior figures hold: the one that predictions assume, and that of the training set.
//!
//! With `--prior balanced`, class weights or a balanced sampler, the probabilities of a model are those for other
//! shares of the classes than the training set has. The validation set has its shares, so a temperature that is fitted
//! there, and a loss that is compared from epoch to epoch, must be for these: the logits plus
//! [`ClassShares::log_shift`]. Logits without it look badly calibrated however good they are.

use std::collections::BTreeMap;

use serde::Serialize;

/// The share of each class, by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ClassShares {
    /// What the probabilities of the model assume, also in the metrics of the validation and the test set.
    pub predictions: BTreeMap<String, f64>,
    /// Those of the training set, without class weights and sampler: what the calibration figures, the temperature and the validation figures of each epoch
    /// are for.
    pub training_set: BTreeMap<String, f64>,
    #[serde(skip)]
    log_shift: Option<Vec<f64>>,
}

impl ClassShares {
    /// The shares in the order of `class_names`; each sums to 1, and none is 0.
    pub(crate) fn new(class_names: &[String], predictions: &[f64], training_set: &[f64]) -> Self {
        let by_name = |shares: &[f64]| class_names.iter().cloned().zip(shares.iter().copied()).collect();
        let shift = predictions.iter().zip(training_set).map(|(from, to)| libm::log(to / from));
        let log_shift: Vec<f64> = shift.collect();
        Self {
            predictions: by_name(predictions),
            training_set: by_name(training_set),
            log_shift: log_shift.iter().any(|&shift| shift != 0.0).then_some(log_shift),
        }
    }

    /// What to add to the logits, after they are divided by the temperature, for the shares of the training set. `None`
    /// where predictions assume these already.
    pub(crate) fn log_shift(&self) -> Option<&[f64]> {
        self.log_shift.as_deref()
    }
}
