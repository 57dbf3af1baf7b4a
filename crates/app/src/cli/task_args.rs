//! Tasks that train a share each, as those of a job array.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;
use super::cache_args::CacheArgs;
use crate::training::pipeline::ResumeOptions;
use crate::training::share::Share;

/// The flag of commands that train more than once.
#[derive(Debug, Args)]
pub(super) struct TaskArgs {
    /// Train only the I-th of N shares of all trainings, such as 2/5. All tasks have the same --out; when they have ended,
    /// `roentgen collect` joins them
    #[arg(long, value_name = "I/N", requires = "out")]
    pub(super) task: Option<Share>,
}

const COLLECT_EXAMPLES: &str = "\
Examples:
  # three tasks, on as many machines as you like
  roentgen train films --seeds 0..4 --task 1/3 --out runs/a
  roentgen train films --seeds 0..4 --task 2/3 --out runs/a
  roentgen train films --seeds 0..4 --task 3/3 --out runs/a
  # mean and standard deviation over all of them
  roentgen collect runs/a";

/// Flags of `collect`.
#[derive(Debug, Args)]
#[command(after_help = COLLECT_EXAMPLES)]
pub(super) struct CollectArgs {
    /// The --out of the tasks
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
    #[command(flatten)]
    pub(super) cache: CacheArgs,
    /// Number of threads [default: one for each processor]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl CollectArgs {
    pub(super) fn options(&self) -> ResumeOptions {
        ResumeOptions { threads: self.threads, other_cpu: false }
    }
}
