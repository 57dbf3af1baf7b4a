//! `roentgen train`: a run, or several; new, or continued from where it was interrupted.

use std::path::{Path, PathBuf};

use roentgen_data::{Dataset, ImageSet};
use serde::Serialize;

use crate::config::TrainConfig;
use crate::config::error::ConfigError;
use crate::data_loading::load::load;
use crate::error::AppError;
use crate::ranks::{Ranks, SharedFact};
use crate::run_dir::error::{RunDirError, resume_command};
use crate::run_dir::file_names::{CHECKPOINT, METRICS, SPACE};
use crate::run_dir::records::Metrics;
use crate::run_dir::run_folder::{PlannedFolder, RunFolder};
use crate::terminal::screen::{Screen, counted};
use crate::training::follower::follow;
use crate::training::leader::Leader;
use crate::training::parts::WholeFolder;
use crate::training::pipeline::{FinishedRun, ResumeOptions, train_in_folder, train_led};
use crate::training::several_runs::SeveralRuns;

/// What `--json` prints: the metrics and the run folder.
#[derive(Debug, Serialize)]
struct PrintedMetrics<'a> {
    #[serde(flatten)]
    metrics: &'a Metrics,
    run: &'a Path,
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
    let folder = ranks.first(|| plan_folder(config, out))?;
    if let Some(several) = SeveralRuns::of(config) {
        ranks.together(|| ranks.check_alone("a training of --folds or --seeds"))?;
        let folder = WholeFolder::Planned(folder.expect("this is the first rank"));
        return Ok(several.run(folder, false, screen)?);
    }
    let data = load_on_all(config, ranks, screen)?;
    let Some(folder) = folder else { return follow_training(config, &data, ranks) };
    let FinishedRun { metrics, folder, .. } = train_led(config, &data, folder, &Leader::of(ranks), screen)?;
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
    ranks: &Ranks,
    screen: &Screen,
) -> Result<(), AppError> {
    let (folder, config) = ranks.first(|| open_run(path, options, moved_data))?.unzip();
    let config = shared_config(config, cache, ranks)?;
    if let Some(several) = SeveralRuns::of(&config) {
        ranks.together(|| ranks.check_alone("a training of --folds or --seeds"))?;
        let folder = WholeFolder::Existing(folder.expect("this is the first rank"));
        return Ok(several.run(folder, options.other_cpu, screen)?);
    }
    let data = load_on_all(&config, ranks, screen)?;
    let Some(folder) = folder else { return follow_training(&config, &data, ranks) };
    let leader = &Leader::of(ranks);
    let FinishedRun { metrics, folder, .. } =
        train_in_folder(&config, &data, folder, (options.other_cpu, leader), screen)?;
    screen.result(&PrintedMetrics { metrics: &metrics, run: folder.path() });
    Ok(())
}

/// The settings of the first rank, on all ranks; each has its own `cache`.
///
/// # Errors
/// If a rank cannot be reached.
pub(crate) fn shared_config(
    own: Option<TrainConfig>,
    cache: Option<PathBuf>,
    ranks: &Ranks,
) -> Result<TrainConfig, AppError> {
    let config = match own {
        Some(config) if ranks.size() == 1 => config,
        own => {
            let mut text =
                own.map(|config| config.with_absolute_paths().to_toml().into_bytes()).unwrap_or_default();
            ranks.broadcast(&mut text)?;
            TrainConfig::from_toml(&String::from_utf8_lossy(&text))?
        }
    };
    Ok(TrainConfig { cache, ..config })
}

/// The run folder to create, which must not be among the images.
fn plan_folder(config: &TrainConfig, out: Option<&Path>) -> Result<PlannedFolder, AppError> {
    let folder = PlannedFolder::new(out)?;
    if !config.uses_phantom() {
        folder.check_outside(&config.data)?;
    }
    Ok(folder)
}

/// The folder and the settings of an interrupted run.
fn open_run(
    path: &Path,
    options: ResumeOptions,
    moved_data: Option<PathBuf>,
) -> Result<(RunFolder, TrainConfig), AppError> {
    let folder = RunFolder::open(path)?;
    if folder.file(SPACE).is_file() {
        let reason = format!("it is the folder of a sweep; continue it with: {}", resume_command(path));
        return Err(RunDirError::NotResumable { path: path.into(), reason }.into());
    }
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
    Ok((folder, config))
}

/// Loads the images on every rank, which must all have the same.
fn load_on_all(config: &TrainConfig, ranks: &Ranks, screen: &Screen) -> Result<Dataset, AppError> {
    ranks.together(|| ranks.check_shards(config.micro_batches))?;
    let data = ranks.together(|| load(config, screen).map_err(AppError::from))?;
    if ranks.size() > 1 {
        let sets = [("the training set", &data.train), ("the validation set", &data.val)];
        let remedy = "give every rank the same images";
        let fact = |(name, set): (&'static str, &ImageSet)| SharedFact { name, value: shown(set), remedy };
        ranks.agree(&sets.map(fact))?;
    }
    Ok(data)
}

/// A set as an error shows it.
fn shown(set: &ImageSet) -> String {
    format!("{} with the digest {}", counted(set.len(), "image"), &set.digest()[..8])
}

fn follow_training(config: &TrainConfig, data: &Dataset, ranks: &Ranks) -> Result<(), AppError> {
    Ok(follow(&config.resolved(data.train.len(), data.val_fraction), data, ranks)?)
}
