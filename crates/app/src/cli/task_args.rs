//! Tasks that train a share each, as those of a job array.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;
use super::cache_args::CacheArgs;
use super::setting_flags::{SettingFlags, ThreadsOnly};
use crate::config::error::ConfigError;
use crate::model::instruction_sets::OtherCpu;
use crate::training::resumption::Resumption;
use crate::training::several::share::Share;

/// The flag of commands that train more than once.
#[derive(Debug, Args)]
pub(super) struct TaskArgs {
    /// Train only the I-th of N shares of all trainings, such as 2/5. All tasks have the same --out; when they have ended,
    /// `roentgen collect` joins them
    #[arg(long, value_name = "I/N", requires = "out")]
    pub(super) task: Option<Share>,
}

impl TaskArgs {
    /// Fails if `--other-cpu` is given and nothing is continued.
    pub(super) fn check_other_cpu(&self, other_cpu: bool) -> Result<(), ConfigError> {
        if other_cpu && self.task.is_none() {
            let reason = "it is for what is continued; give it with --resume or --task";
            return Err(ConfigError::Conflict { first: "--other-cpu", second: "a new training", reason });
        }
        Ok(())
    }
}

const COLLECT_EXAMPLES: &str = "\
Examples:
  # three tasks, on as many machines as you like
  roentgen train films --seeds 0..4 --task 1/3 --out runs/a
  roentgen train films --seeds 0..4 --task 2/3 --out runs/a
  roentgen train films --seeds 0..4 --task 3/3 --out runs/a
  # mean and standard deviation over all of them
  roentgen collect runs/a
  # the same, after the images were moved
  roentgen collect runs/a --data new-films";

/// Flags of `collect`.
#[derive(Debug, Args)]
#[command(after_help = COLLECT_EXAMPLES)]
pub(super) struct CollectArgs {
    /// The --out of the tasks
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
    /// The images, if they have been moved since the tasks ended
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// The images of --test, if they have been moved since the tasks ended
    #[arg(long, value_name = "DATA")]
    test: Option<PathBuf>,
    #[command(flatten)]
    pub(super) cache: CacheArgs,
    /// For --folds and --seeds: evaluate the models also if they were computed with other arithmetic (without fused
    /// multiply-adds) than this build uses
    #[arg(long)]
    other_cpu: bool,
    #[command(flatten)]
    settings: SettingFlags<ThreadsOnly>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl CollectArgs {
    /// What may differ from the tasks.
    pub(super) fn resumption(&self) -> Result<Resumption, ConfigError> {
        Ok(Resumption {
            threads: self.settings.config()?.threads,
            other_cpu: OtherCpu::of_flag(self.other_cpu),
            moved_data: self.data.clone(),
            moved_test: self.test.clone(),
            cache: self.cache.folder(),
        })
    }
}
