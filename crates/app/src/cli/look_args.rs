//! The flags of `roentgen inspect` and `roentgen audit`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;
use crate::config::TrainConfig;
use crate::error::AppError;

const LOOK_EXAMPLES: &str = "\
Examples:
  roentgen inspect --data films
  roentgen audit --data films
  roentgen inspect --data films --json --quiet";

/// Flags of `inspect` and `audit`.
#[derive(Debug, Args)]
#[command(after_help = LOOK_EXAMPLES)]
pub(super) struct LookArgs {
    /// Data to look at, as for `train`; `phantom` for films drawn by the program
    #[arg(value_name = "DATA", required_unless_present = "data", conflicts_with = "data")]
    pub(super) path: Option<PathBuf>,
    /// The same, as a flag
    #[arg(long, value_name = "DATA")]
    pub(super) data: Option<PathBuf>,
    /// Regular expression that finds the patient in a file name
    #[arg(long, value_name = "REGEX")]
    pub(super) patient_pattern: Option<String>,
    /// Leave unusable files out instead of stopping; `inspect` lists them in any case
    #[arg(long)]
    pub(super) skip_bad: bool,
    /// Side of the square that the model would see, in pixels, 8 to 512
    #[arg(long, value_name = "PIXELS", default_value_t = 24)]
    pub(super) size: u32,
    /// Epochs that `audit` trains, or whose time `inspect` estimates [default: by the number of images]
    #[arg(long, value_name = "N")]
    pub(super) epochs: Option<usize>,
    /// Decides splits, first weights and order
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
    /// Threads to compute with; what is found does not depend on it [default: all processors]
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<usize>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl LookArgs {
    pub(super) fn config(&self) -> Result<TrainConfig, AppError> {
        let data = self.path.clone().or_else(|| self.data.clone());
        let defaults = TrainConfig::default();
        let config = TrainConfig {
            data: data.unwrap_or(defaults.data.clone()),
            patient_pattern: self.patient_pattern.clone(),
            skip_bad: self.skip_bad,
            size: self.size,
            epochs: self.epochs,
            seed: self.seed,
            threads: self.threads,
            ..defaults
        };
        config.validate()?;
        Ok(config)
    }
}

const LR_FIND_EXAMPLES: &str = "\
Examples:
  roentgen lr-find films
  roentgen lr-find films --batch 128 --out rates.svg";

/// Flags of `lr-find`.
#[derive(Debug, Args)]
#[command(after_help = LR_FIND_EXAMPLES)]
pub(super) struct LrFindArgs {
    #[command(flatten)]
    pub(super) look: LookArgs,
    /// Images per step, as for `train` [default: 32]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Channels after the first convolution, as for `train`, 8 to 256
    #[arg(long, value_name = "N", default_value_t = 64)]
    width: usize,
    /// SVG file to write the curve to; one that is there is replaced
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

impl LrFindArgs {
    pub(super) fn config(&self) -> Result<TrainConfig, AppError> {
        let config = TrainConfig { batch: self.batch, width: self.width, ..self.look.config()? };
        config.validate()?;
        Ok(config)
    }
}
