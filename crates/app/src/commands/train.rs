//! `roentgen train`: a run, or several; new, or continued from where it was interrupted.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::TrainConfig;
use crate::config::error::ConfigError;
use crate::data_loading::load::load;
use crate::error::AppError;
use crate::run_dir::file_names::{CHECKPOINT, METRICS};
use crate::run_dir::records::Metrics;
use crate::run_dir::run_folder::{PlannedFolder, RunFolder};
use crate::terminal::screen::Screen;
use crate::training::parts::WholeFolder;
use crate::training::pipeline::{FinishedRun, ResumeOptions, train, train_in_folder};
use crate::training::several_runs::SeveralRuns;

/// What `--json` prints: the metrics and the run folder.
#[derive(Debug, Serialize)]
struct PrintedMetrics<'a> {
    #[serde(flatten)]
    metrics: &'a Metrics,
    run: &'a Path,
}

/// Trains with the settings of `config` in a new run folder at `out`.
///
/// # Errors
/// Unusable settings or data, before the run folder is created; then training that diverges, or a full disk.
pub(crate) fn run(config: &TrainConfig, out: Option<&Path>, screen: &Screen) -> Result<(), AppError> {
    let folder = PlannedFolder::new(out)?;
    if !config.uses_phantom() {
        folder.check_outside(&config.data)?;
    }
    if let Some(several) = SeveralRuns::of(config) {
        return Ok(several.run(WholeFolder::Planned(folder), false, screen)?);
    }
    let data = load(config, screen)?;
    let FinishedRun { metrics, folder, .. } = train(config, &data, folder, screen)?;
    screen.result(&PrintedMetrics { metrics: &metrics, run: folder.path() });
    Ok(())
}

/// Where an interrupted run finds its images.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Their new path, if they were moved: a checkpoint and a model have digests of them, so other images are rejected.
    pub(crate) moved_data: Option<PathBuf>,
    /// [`TrainConfig::cache`].
    pub(crate) cache: Option<PathBuf>,
}

/// Resumes an interrupted run from its last checkpoint; without a checkpoint, from its beginning.
///
/// # Errors
/// If the folder is not a run folder, or settings or images have changed; else as [`run()`].
pub(crate) fn resume(
    path: &Path,
    options: ResumeOptions,
    Places { moved_data, cache }: Places,
    screen: &Screen,
) -> Result<(), AppError> {
    let folder = RunFolder::open(path)?;
    let mut config = options.read_config(&folder)?;
    if let Some(data) = moved_data {
        // The first of several trainings is checked before any other: by its checkpoint, or by the digests in its model.
        let several = SeveralRuns::of(&config);
        let first = several
            .as_ref()
            .map_or_else(|| folder.path().to_owned(), |several| folder.file(several.first_folder()));
        let has_ended = several.is_some() && first.join(METRICS).exists();
        if !has_ended && !first.join(CHECKPOINT).exists() {
            let reason =
                "without a checkpoint it is not known whether the images are the same; start the run again";
            return Err(ConfigError::Conflict { first: "--data", second: "--resume", reason }.into());
        }
        config.data = data;
    }
    config.cache = cache;
    if let Some(several) = SeveralRuns::of(&config) {
        return Ok(several.run(WholeFolder::Existing(folder), options.other_cpu, screen)?);
    }
    let data = load(&config, screen)?;
    let FinishedRun { metrics, folder, .. } =
        train_in_folder(&config, &data, folder, options.other_cpu, screen)?;
    screen.result(&PrintedMetrics { metrics: &metrics, run: folder.path() });
    Ok(())
}
