//! The flags of `roentgen sweep`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;
use super::base_settings::BaseSettings;
use super::cache_args::CacheArgs;
use super::task_args::TaskArgs;
use crate::config::TrainConfig;
use crate::config::error::ConfigError;
use crate::config::search_space::SearchSpace;
use crate::training::resumption::Resumption;

const EXAMPLES: &str = "\
A file such as space.toml:
  search = \"random\"     # or \"grid\": every combination
  trainings = 20        # of a random search
  halving = 3           # leave it out to train all in full
  [settings]
  max-lr = { from = 0.001, to = 0.1, spacing = \"log\" }
  width = [16, 32, 64]
  flip = [true, false]

Examples:
  roentgen sweep space.toml films --out runs/sweep
  # with settings that all trainings share
  roentgen sweep space.toml films --size 48 --epochs 20
  # continue a sweep that was interrupted
  roentgen sweep --resume runs/sweep";

/// The help of `--task`, which has a limit here.
const TASK: &str = "Train only the I-th of N shares of all trainings, such as 2/5. All tasks have the same --out; when they have \
                    ended, `roentgen collect` joins them. Not with `halving`";

const FOLDS: &str = "With --fold: number of parts of the data, of which one is left out of all trainings";
const TEST: &str = "Images to test on, for the command that trains the best: the sweep itself tests on none";

/// Flags of `sweep`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, override_usage = "roentgen sweep [OPTIONS] <SPACE> [DATA]")]
// A sweep compares single trainings and refuses seeds; it audits none.
#[command(mut_args(|arg| match arg.get_id().as_str() {
    "seeds" | "audit" | "no-audit" => arg.hide(true),
    "task" => arg.help(TASK).long_help(TASK),
    "folds" => arg.help(FOLDS).long_help(FOLDS),
    "test" => arg.help(TEST).long_help(TEST),
    _ => arg,
}))]
pub(super) struct SweepArgs {
    /// File with the values of the settings to search (TOML)
    #[arg(value_name = "SPACE", required_unless_present = "resume")]
    space: Option<PathBuf>,
    #[command(flatten)]
    settings: BaseSettings,
    #[command(flatten)]
    pub(super) cache: CacheArgs,
    /// Folder to write, new or empty [default: runs/DATE_TIME]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Continue an interrupted sweep: trainings that have ended are not repeated, and those that lacked memory are tried again,
    /// also where the sweep has ended. If the images have been moved, give their new place with --data, and that of the images of --test
    /// with --test
    #[arg(long, value_name = "DIR", conflicts_with_all = ["space", "out", "config", "preset", "task"])]
    pub(super) resume: Option<PathBuf>,
    /// With --resume or --task: continue a sweep also if it was computed with other arithmetic (without fused multiply-adds)
    /// than this build uses
    #[arg(long)]
    pub(super) other_cpu: bool,
    #[command(flatten)]
    pub(super) task: TaskArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl SweepArgs {
    /// What is searched, and the settings that all trainings share.
    pub(super) fn search(&self) -> Result<(SearchSpace, TrainConfig), ConfigError> {
        self.task.check_other_cpu(self.other_cpu)?;
        let path = self.space.as_deref().expect("it is required without --resume");
        let space = SearchSpace::read(path)?;
        if let Some(setting) = self.settings.flags.given().find(|setting| space.has(setting.name())) {
            let reason = "both have values for it; leave it out of one of them";
            return Err(ConfigError::Conflict { first: setting.flag(), second: "this SPACE", reason });
        }
        let config = self.settings.config_to_change()?;
        if config.pseudonyms && space.has("init") {
            let reason = "the files of the sweep would have the paths of `init`; give one file with --init, or leave \
                          --pseudonyms out";
            let (first, second) = ("--pseudonyms", "`init` in the search space");
            return Err(ConfigError::Conflict { first, second, reason });
        }
        Ok((space, self.cache.add_to(config)))
    }

    /// What may be given beside `--resume`; of the settings, only the number of threads, and where the images are now.
    pub(super) fn resumption(&self) -> Result<Resumption, ConfigError> {
        let reason = "an interrupted sweep continues with its own settings; of the settings, only --threads, --data and \
                      --test may be given";
        self.settings.resumption(self.other_cpu, self.cache.folder(), reason)
    }
}
