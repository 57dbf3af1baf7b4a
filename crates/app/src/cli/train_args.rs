//! The flags of `roentgen train`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;
use super::base_settings::BaseSettings;
use super::cache_args::CacheArgs;
use super::task_args::TaskArgs;
use crate::config::TrainConfig;
use crate::config::error::ConfigError;
use crate::training::resumption::Resumption;

const EXAMPLES: &str = "\
Examples:
  # phantom films, drawn by the program
  roentgen train
  # a folder with one sub-folder of images per class
  roentgen train films
  roentgen train films --out runs/a --seed 1 --lr 0.005
  # images that will come from other hospitals
  roentgen train films --preset robust --no-tta
  # keep the decoded images for the next runs
  roentgen train films --cache cache
  # 5 models, each tested on another fifth
  roentgen train films --folds 5
  # 5 models, one for each of the seeds 0 to 4
  roentgen train films --seeds 0..4
  # the first half of them, on one of two machines
  roentgen train films --seeds 0..4 --task 1/2 --out runs/b
  # continue a run that was interrupted
  roentgen train --resume runs/a
  # repeat a run, here with larger crops
  roentgen train --config runs/a --size 48";

/// Flags of `train`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TrainArgs {
    #[command(flatten)]
    settings: BaseSettings,
    #[command(flatten)]
    pub(super) cache: CacheArgs,
    /// Run folder to write, new or empty [default: runs/DATE_TIME]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Continue an interrupted run; its result is the same as without the interruption. If its images have been moved, give
    /// their new place with --data, and that of the images of --test with --test
    #[arg(long, value_name = "RUN", conflicts_with_all = ["out", "config", "preset", "task"])]
    pub(super) resume: Option<PathBuf>,
    /// With --resume or --task: continue a run also if it was computed with other arithmetic (without fused multiply-adds)
    /// than this build uses. It ends with other weights than on one CPU; log and model name both
    #[arg(long)]
    pub(super) other_cpu: bool,
    /// Stop with a checkpoint when the standard input ends, as with Ctrl-C: for programs that start a training
    #[arg(long)]
    pub(super) stop_with_input: bool,
    /// Also write to standard error how far the images are read or the steps are done, twice a second, as JSON objects:
    /// for programs that start a training
    #[arg(long)]
    pub(super) progress_json: bool,
    #[command(flatten)]
    pub(super) task: TaskArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl TrainArgs {
    /// Flags over file or preset over defaults, checked.
    pub(super) fn config(&self) -> Result<TrainConfig, ConfigError> {
        self.task.check_other_cpu(self.other_cpu)?;
        Ok(self.cache.add_to(self.settings.config()?))
    }

    /// What may be given beside `--resume`; of the settings, only the number of threads, and where the images are now.
    pub(super) fn resumption(&self) -> Result<Resumption, ConfigError> {
        let reason = "an interrupted run continues with its own settings; of the settings, only --threads, --data and \
                      --test may be given";
        self.settings.resumption(self.other_cpu, self.cache.folder(), reason)
    }
}
