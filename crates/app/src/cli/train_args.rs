//! The flags of `roentgen train`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;
use super::cache_args::CacheArgs;
use super::setting_flags::{AllSettings, SettingFlags};
use crate::config::error::ConfigError;
use crate::config::{ConfigFile, Preset, TrainConfig};
use crate::training::pipeline::ResumeOptions;

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
  # continue a run that was interrupted
  roentgen train --resume runs/a
  # repeat a run, here with larger crops
  roentgen train --config runs/a --size 48";

/// Flags of `train`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TrainArgs {
    #[command(flatten)]
    settings: SettingFlags<AllSettings>,
    #[command(flatten)]
    pub(super) cache: CacheArgs,
    /// Run folder to write, new or empty [default: runs/DATE_TIME]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Settings to start from instead of the defaults: robust is for images from other sources than the training images.
    /// Flags override them
    #[arg(long, value_enum, value_name = "NAME", conflicts_with = "config")]
    preset: Option<Preset>,
    /// Config file (TOML; its keys are the flags without the leading --), or a run folder, whose config file is read.
    /// Flags override it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Continue an interrupted run; its result is the same as without the interruption. If its images have been moved, give
    /// their new place with --data
    #[arg(long, value_name = "RUN", conflicts_with_all = ["out", "config", "preset"])]
    pub(super) resume: Option<PathBuf>,
    /// With --resume: continue a run also if it was computed with other arithmetic (without fused multiply-adds)
    /// than this build uses. It ends with other weights than on one CPU; log and model name both
    #[arg(long, requires = "resume")]
    other_cpu: bool,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl TrainArgs {
    /// Flags over file or preset over defaults, checked.
    pub(super) fn config(&self) -> Result<TrainConfig, ConfigError> {
        self.cache.add_to(match (&self.config, self.preset) {
            (Some(path), _) => self.settings.over_file(ConfigFile::read(path)?)?,
            (None, Some(preset)) => self.settings.over(preset.config())?,
            (None, None) => self.settings.config()?,
        })
    }

    /// The images where they are now, for a run that is continued.
    pub(super) fn moved_data(&self) -> Result<Option<PathBuf>, ConfigError> {
        let is_given = self.settings.given().any(|setting| setting.name() == "data");
        Ok(is_given.then(|| self.settings.config()).transpose()?.map(|config| config.data))
    }

    /// What may be given beside `--resume`; of the settings, only the number of threads, and where the images are now.
    pub(super) fn resume_options(&self) -> Result<ResumeOptions, ConfigError> {
        if let Some(setting) =
            self.settings.given().find(|setting| !["threads", "data"].contains(&setting.name()))
        {
            let reason =
                "an interrupted run continues with its own settings; only --threads and --data may be given";
            return Err(ConfigError::Conflict { first: "--resume", second: setting.flag(), reason });
        }
        Ok(ResumeOptions { threads: self.settings.config()?.threads, other_cpu: self.other_cpu })
    }
}
