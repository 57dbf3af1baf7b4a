//! What can end a training.

use std::io;
use std::path::PathBuf;

use crate::config::error::ConfigError;
use crate::data_loading::error::DataLoadingError;
use crate::model::error::ModelError;
use crate::ranks::error::{FAILURE, RankError, USAGE, WorkError};
use crate::run_dir::error::{RunDirError, resume_command};
use crate::terminal::screen::counted;

/// A shell reports a process that a signal ended with this and the number of the signal.
const SIGNALLED: u8 = 128;

/// Why a training did not finish.
#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data cannot be used.
    #[error(transparent)]
    DataLoading(#[from] DataLoadingError),
    /// The model to start from, or the saved model of the run, cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The run folder cannot be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// Several ranks cannot work together.
    #[error(transparent)]
    Ranks(#[from] RankError),
    /// A batch has a single value per channel, so batch norm has no variance.
    #[error(
        "a batch of one image of {size} pixels has one value per channel and batch norm needs two; \
         choose --size 16 or more, a larger --batch, or give more images ({n_train} to train on)"
    )]
    BatchTooSmall {
        /// Side of the crop, in pixels.
        size: u32,
        /// Training images.
        n_train: usize,
    },
    /// A shard of a batch has no image, or a single value per channel.
    #[error(
        "--micro-batches {n_shards} leaves {} of {size} pixels in a shard of a batch of {n_images}, and batch norm needs \
         two values per channel; choose a lower --micro-batches or a larger --batch",
        counted(n_images / n_shards, "image")
    )]
    ShardTooSmall {
        /// Side of the crop, in pixels.
        size: u32,
        /// Images of the smallest batch.
        n_images: usize,
        /// Parts that it is cut into.
        n_shards: usize,
    },
    /// The run would take more memory than there is.
    #[error("the run would take about {needed}, and {free} is {limited_by}; {activations}: {remedy}")]
    NotEnoughMemory {
        /// The estimate.
        needed: String,
        /// The limit.
        free: String,
        /// What limits it.
        limited_by: &'static str,
        /// The part that grows with the batch, and the sizes that it depends on.
        activations: String,
        /// What to do with the command that was given.
        remedy: &'static str,
    },
    /// A loss or a weight became infinite or NaN.
    #[error(
        "{what} in epoch {epoch}, batch {batch} ({images}): training has diverged; \
         try a lower --lr (it is {max_lr}) or {clip}"
    )]
    Diverged {
        /// What became infinite or NaN.
        what: String,
        /// From 1.
        epoch: usize,
        /// From 1.
        batch: usize,
        /// The images of the batch, or some of them.
        images: String,
        /// The maximal learning rate of the run.
        max_lr: f64,
        /// What to do with the clipping of the run.
        clip: String,
    },
    /// A loss or a weight of a short training that probes the data became infinite or NaN.
    #[error(
        "the short training ({label}) has diverged: {what} in epoch {epoch}, batch {batch} ({images}); {remedy}"
    )]
    ProbeDiverged {
        /// What the training is called.
        label: String,
        /// What became infinite or NaN.
        what: String,
        /// From 1.
        epoch: usize,
        /// From 1.
        batch: usize,
        /// The images of the batch, or some of them.
        images: String,
        /// What the user can do.
        remedy: &'static str,
    },
    /// A signal ended the run: Ctrl-C, or a request of the system to terminate.
    #[error("interrupted; continue with: {}", resume_command(run))]
    Interrupted {
        /// Number of the signal.
        signal: u8,
        /// The folder of the run.
        run: PathBuf,
    },
    /// A signal ended one task of several.
    #[error("interrupted; the same command goes on with this task")]
    TaskInterrupted {
        /// Number of the signal.
        signal: u8,
    },
    /// No training of a sweep has a validation score.
    #[error("none of the {n} trainings of the sweep can be used; the first one: {reason}")]
    SweepFailed {
        /// How many there were.
        n: usize,
        /// What ended the first one.
        reason: String,
    },
    /// The signal handler could not be installed.
    #[error("cannot handle signals such as Ctrl-C: {source}")]
    Signals {
        /// The error of the operating system.
        source: io::Error,
    },
}

impl WorkError for TrainingError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Interrupted { signal, .. } | Self::TaskInterrupted { signal } => SIGNALLED + signal,
            Self::Ranks(error) => error.exit_code(),
            _ if self.is_usage_error() => USAGE,
            _ => FAILURE,
        }
    }
}

impl TrainingError {
    /// Whether a flag, a setting, the data, a model or a folder given is wrong, rather than the work itself.
    pub(crate) fn is_usage_error(&self) -> bool {
        match self {
            Self::Config(_) | Self::Model(_) => true,
            Self::BatchTooSmall { .. } | Self::ShardTooSmall { .. } | Self::NotEnoughMemory { .. } => true,
            Self::DataLoading(error) => error.is_usage_error(),
            Self::Ranks(error) => error.is_usage_error(),
            Self::RunDir(error) => error.is_usage_error(),
            Self::Diverged { .. }
            | Self::ProbeDiverged { .. }
            | Self::SweepFailed { .. }
            | Self::Interrupted { .. }
            | Self::TaskInterrupted { .. }
            | Self::Signals { .. } => false,
        }
    }
}
