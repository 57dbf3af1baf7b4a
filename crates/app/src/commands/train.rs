//! `roentgen train`: a run, or a cross-validation; new, or continued from where it was interrupted.

use std::path::Path;

use serde::Serialize;

use crate::config::TrainConfig;
use crate::data_loading::load::load;
use crate::error::AppError;
use crate::run_dir::file_names::CONFIG;
use crate::run_dir::records::Metrics;
use crate::run_dir::run_folder::{PlannedFolder, RunFolder};
use crate::terminal::screen::Screen;
use crate::training::cross_validation::{self, Place};
use crate::training::pipeline::{Finished, train, train_in};

/// What `--json` prints: the metrics, and where the rest is.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    metrics: &'a Metrics,
    run: &'a Path,
}

/// Trains as `config` says, leaves a run folder at `out`, and shows both on the way.
///
/// # Errors
/// Whatever makes settings or data unusable, before the run folder is made; then a loss that is no number, or
/// a disk that is full.
pub fn run(config: &TrainConfig, out: Option<&Path>, screen: &Screen) -> Result<(), AppError> {
    let folder = PlannedFolder::new(out)?;
    if let (Some(n_folds), None) = (config.folds, config.fold) {
        return cross_validation::run(config, n_folds, Place::New(folder), screen);
    }
    let data = load(config, screen)?;
    let Finished { metrics, folder, .. } = train(config, &data, folder, screen)?;
    screen.result(&Printed { metrics: &metrics, run: folder.path() });
    Ok(())
}

/// Goes on with a run that was broken off, from its last checkpoint; from its beginning if there is none yet.
///
/// # Errors
/// [`AppError::NotResumable`] if the folder is none of a run, or settings or pictures are no longer the same; else as
/// [`run()`].
pub(crate) fn resume(path: &Path, threads: Option<usize>, screen: &Screen) -> Result<(), AppError> {
    let folder = RunFolder::open(path)?;
    let config = TrainConfig::read(&folder.file(CONFIG))?;
    let config = TrainConfig { threads: threads.or(config.threads), ..config };
    if let (Some(n_folds), None) = (config.folds, config.fold) {
        return cross_validation::run(&config, n_folds, Place::Old(folder), screen);
    }
    let data = load(&config, screen)?;
    let Finished { metrics, folder, .. } = train_in(&config, &data, folder, screen)?;
    screen.result(&Printed { metrics: &metrics, run: folder.path() });
    Ok(())
}
