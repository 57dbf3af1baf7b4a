//! `roentgen train`: a run, or several; new, or continued from where it was interrupted.

use std::path::{Path, PathBuf, absolute};

use roentgen_data::Dataset;
use serde::Serialize;

use crate::config::TrainConfig;
use crate::config::error::ConfigError;
use crate::config::on_ranks::shared_config;
use crate::data_loading::agreement::agree_on_images;
use crate::data_loading::load::load_together;
use crate::error::AppError;
use crate::model::instruction_sets::OtherCpu;
use crate::ranks::Ranks;
use crate::run_dir::error::{RunDirError, resume_command};
use crate::run_dir::file_names::{IMAGES, SPACE};
use crate::run_dir::planned_folder::PlannedFolder;
use crate::run_dir::records::Metrics;
use crate::run_dir::run_folder::RunFolder;
use crate::terminal::screen::Screen;
use crate::training::memory_estimate::{MORE_ROOM, MemoryEstimate, Remedy, SMALLER_TRAINING};
use crate::training::on_ranks::follower::follow;
use crate::training::on_ranks::leader::Leader;
use crate::training::pipeline::{Execution, FinishedRun, train_in_folder, train_led};
use crate::training::resumption::Resumption;
use crate::training::several::several_runs::SeveralRuns;
use crate::training::several::share::Share;
use crate::training::several::sweep::TRAINING_PREFIX;
use crate::training::several::whole_folder::WholeFolder;

/// What `--json` prints: the metrics and the run folder.
#[derive(Debug, Serialize)]
struct PrintedMetrics<'a> {
    #[serde(flatten)]
    metrics: &'a Metrics,
    run: String,
}

/// Trains with the settings of `config` in a new run folder at `out`; with several ranks, those of the first one count.
///
/// # Errors
/// Unusable settings or data, before the run folder is created; then training that diverges, or a full disk.
pub(crate) fn run(
    config: &TrainConfig,
    out: Option<&Path>,
    ranks: &Ranks,
    screen: &Screen,
) -> Result<(), AppError> {
    let folder = ranks.first(|| PlannedFolder::for_run(out, config).map_err(AppError::from))?;
    if let Some(several) = SeveralRuns::of(config) {
        return Ok(several.run_on(ranks, folder.map(WholeFolder::Planned), OtherCpu::Reject, screen)?);
    }
    let data = load_on_all(config, SMALLER_TRAINING, ranks, screen)?;
    let Some(folder) = folder else { return follow_training(config, &data, ranks) };
    let FinishedRun { metrics, folder, .. } = train_led(config, &data, folder, &Leader::of(ranks), screen)?;
    screen.result(&PrintedMetrics { metrics: &metrics, run: folder.path().display().to_string() });
    Ok(())
}

/// Trains one task's share of several trainings, in the folder `out` that all tasks work in.
///
/// # Errors
/// If the settings ask for a single training; else as [`run()`].
pub(crate) fn run_task(
    config: &TrainConfig,
    task: Share,
    out: &Path,
    other_cpu: OtherCpu,
    screen: &Screen,
) -> Result<(), AppError> {
    let Some(several) = SeveralRuns::of(config) else {
        let reason = "tasks divide the trainings of --folds, --seeds or a sweep";
        return Err(ConfigError::Conflict { first: "--task", second: "a single training", reason }.into());
    };
    PlannedFolder::for_task(out, config)?;
    Ok(several.run_task(task, out, other_cpu, screen)?)
}

/// Resumes an interrupted run from its last checkpoint; without a checkpoint, from its beginning.
///
/// # Errors
/// If the folder is not a run folder, or settings or images have changed; else as [`run()`].
pub(crate) fn resume(
    path: &Path,
    resumption: &Resumption,
    ranks: &Ranks,
    screen: &Screen,
) -> Result<(), AppError> {
    let (folder, config) = ranks.first(|| open_run(path, resumption))?.unzip();
    let config = shared_config::<AppError>(config, resumption.cache.clone(), ranks)?;
    if let Some(several) = SeveralRuns::of(&config) {
        return Ok(several.run_on(ranks, folder.map(WholeFolder::Existing), resumption.other_cpu, screen)?);
    }
    let data = load_on_all(&config, MORE_ROOM, ranks, screen)?;
    let Some(folder) = folder else { return follow_training(&config, &data, ranks) };
    let leader = &Leader::of(ranks);
    let FinishedRun { metrics, folder, .. } =
        train_in_folder(&config, &data, folder, Execution::new(leader, resumption.other_cpu), screen)?;
    screen.result(&PrintedMetrics { metrics: &metrics, run: folder.path().display().to_string() });
    Ok(())
}

/// The folder and the settings of an interrupted run.
fn open_run(path: &Path, resumption: &Resumption) -> Result<(RunFolder, TrainConfig), AppError> {
    let folder = RunFolder::open(path)?;
    if folder.file(SPACE).is_file() {
        let reason = format!("it is the folder of a sweep; continue it with: {}", resume_command(path));
        return Err(RunDirError::not_resumable(path, reason).into());
    }
    if let Some(sweep) = sweep_of(path) {
        let reason =
            format!("it is a training of a sweep; continue the sweep with: {}", resume_command(&sweep));
        return Err(RunDirError::not_resumable(path, reason).into());
    }
    let config = resumption.read_config(&folder)?;
    if !config.uses_phantom() && !config.data.exists() && resumption.moved_data.is_none() {
        let reason = format!(
            "its images are not in {} any more; give their new place with --data",
            config.data.display()
        );
        return Err(RunDirError::not_resumable(path, reason).into());
    }
    Ok((folder, config))
}

/// The folder of the sweep that a run is a training of. A `space.toml` alone may be what a sweep was given, in any folder.
fn sweep_of(run: &Path) -> Option<PathBuf> {
    let run = absolute(run).ok()?;
    let has_name = run.file_name()?.to_string_lossy().starts_with(TRAINING_PREFIX);
    let whole = run.parent()?;
    let is_sweep = [SPACE, IMAGES].iter().all(|name| whole.join(name).is_file());
    (has_name && is_sweep).then(|| whole.to_owned())
}

/// Loads the images on every rank: each decodes a share of the files, and all have the same. Fails where a rank has too little
/// memory to train on them; `remedy` is what to do then.
fn load_on_all(
    config: &TrainConfig,
    remedy: Remedy,
    ranks: &Ranks,
    screen: &Screen,
) -> Result<Dataset, AppError> {
    ranks.together(|| ranks.check_shards(config.micro_batches))?;
    let data = ranks.together(|| load_together(config, ranks, screen).map_err(AppError::from))?;
    agree_on_images(&data, ranks)?;
    let estimate = MemoryEstimate::of(config, &data);
    ranks.together(|| estimate.check_beside(ranks.n_on_host(), remedy).map_err(AppError::from))?;
    Ok(data)
}

fn follow_training(config: &TrainConfig, data: &Dataset, ranks: &Ranks) -> Result<(), AppError> {
    Ok(follow(&config.resolved(data.train.len(), data.val_fraction), data, ranks)?)
}
