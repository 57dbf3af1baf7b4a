//! Whether a checkpoint can be one of its run. A digest only shows that a file is as somebody wrote it; so every number of it
//! is checked here, like those of a configuration, before anything is done with it.

use roentgen_data::batch_ranges;
use roentgen_optim::Moments;

use super::RunState;
use crate::config::TrainConfig;
use crate::training::trainer::{EpochProgress, TrainerState};

/// Longer than any run, in seconds: 300 years.
const MAX_SECONDS: f64 = 1e10;
/// Bytes of a digest in hexadecimal digits, at most.
const MAX_DIGEST_LEN: usize = 64;

/// The sizes of a run, which its checkpoints have to fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunSize<'a> {
    /// The settings.
    pub config: &'a TrainConfig,
    /// Images of the training set.
    pub n_train: usize,
    /// Images in an epoch.
    pub epoch_images: usize,
}

/// A condition that a checkpoint meets, and what it is about.
type Rule = (bool, &'static str);

impl RunSize<'_> {
    /// Whether a checkpoint can be one of this run.
    ///
    /// # Errors
    /// The text is for the user.
    pub(crate) fn check(&self, run_state: &RunState, trainer: &TrainerState) -> Result<(), String> {
        let mut rules = self.state_rules(run_state).into_iter().chain(self.trainer_rules(run_state, trainer));
        match rules.find(|(holds, _)| !holds) {
            Some((_, what)) => Err(format!("{what} cannot be that of this run")),
            None => Ok(()),
        }
    }

    fn state_rules(&self, run_state: &RunState) -> [Rule; 9] {
        let RunState { epoch, stopped_early, saved_epoch, saved_digest, early_stopping, .. } = run_state;
        let RunState { seconds, step_seconds, data_seconds, progress, .. } = run_state;
        let (epochs, patience) = (self.config.epochs(self.n_train), self.config.patience);
        let is_duration = |seconds: &f64| (0.0..=MAX_SECONDS).contains(seconds);
        [
            (*epoch <= epochs, "the number of its epochs"),
            (!stopped_early || patience.is_some() && (1..epochs).contains(epoch), "its early stop"),
            (saved_epoch <= epoch, "its saved epoch"),
            (saved_digest.len() <= MAX_DIGEST_LEN, "the digest of its model"),
            (run_state.selection.is_valid(), "its best score"),
            (early_stopping.is_valid(patience, *epoch), "the state of its early stopping"),
            (self.holds_epochs(progress, *epoch < epochs), "the progress of its epoch"),
            (progress.is_valid() && is_duration(&progress.seconds), "the progress of its epoch"),
            ([seconds, step_seconds, data_seconds].into_iter().all(is_duration), "the time it took"),
        ]
    }

    /// Whether so many batches of an epoch can be done, and have so many images.
    fn holds_epochs(&self, progress: &EpochProgress, is_in_epoch: bool) -> bool {
        let mut ranges = batch_ranges(self.epoch_images, self.config.batch(self.n_train));
        let fits = progress.n_batches < ranges.len() && (is_in_epoch || progress.n_batches == 0);
        fits && ranges.by_ref().take(progress.n_batches).map(|range| range.len()).sum::<usize>()
            == progress.n_images
    }

    fn trainer_rules(&self, run_state: &RunState, trainer: &TrainerState) -> [Rule; 5] {
        let TrainerState { step, values, buffers, adam_steps, moments, average_steps, averages } = trainer;
        let n_steps_done = *step as u64;
        let steps_per_epoch = self.epoch_images.div_ceil(self.config.batch(self.n_train));
        let expected = run_state.epoch.checked_mul(steps_per_epoch);
        let expected = expected.and_then(|steps| steps.checked_add(run_state.progress.n_batches));
        let n_averaged = if self.config.ema > 0.0 { n_steps_done } else { 0 };
        let all = |numbers: &[Vec<f32>], is_valid: fn(&f32) -> bool| numbers.iter().flatten().all(is_valid);
        let is_number = |value: &f32| !value.is_nan();
        let are_moments =
            |moments: &Moments| moments.m.iter().all(is_number) && moments.v.iter().all(|v| *v >= 0.0);
        [
            (expected == Some(*step), "the number of its steps"),
            (*adam_steps == n_steps_done && *average_steps == n_averaged, "the number of its steps"),
            (all(values, |value| value.is_finite()) && all(averages, |value| value.is_finite()), "a weight"),
            (all(buffers, |value| !value.is_nan()), "a batch statistic"),
            (moments.iter().all(are_moments), "a moment of its optimiser"),
        ]
    }
}
