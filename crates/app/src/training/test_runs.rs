//! Runs of tests.

use std::path::Path;

use roentgen_data::Dataset;

use super::error::TrainingError;
use super::on_ranks::leader::Leader;
use super::pipeline::{Execution, FinishedRun, reopen, train_in_folder};
use super::resumption::Resumption;
use crate::memory::MemoryShare;
use crate::ranks::Ranks;
use crate::terminal::screen::Screen;

/// Resumes the run in the folder `path` on loaded data, in this process alone.
///
/// # Errors
/// As [`reopen`] and [`train_in_folder`].
pub(super) fn resume(
    path: &Path,
    resumption: &Resumption,
    data: &Dataset,
    screen: &Screen,
) -> Result<FinishedRun, TrainingError> {
    let (config, folder) = reopen(path, resumption, data, MemoryShare::ALL)?;
    let ranks = Ranks::one();
    train_in_folder(&config, data, folder, Execution::new(&Leader::of(&ranks), resumption.other_cpu), screen)
}
