//! What ends an epoch early: a loss or a weight that is not a finite number, or a lost rank.

use roentgen_data::ImageSet;

use crate::config::TrainConfig;
use crate::ranks::error::RankError;
use crate::training::error::TrainingError;

/// Why an epoch did not come to its end.
#[derive(Debug)]
pub(crate) enum EpochError {
    /// Training has diverged.
    Diverged(Divergence),
    /// Another rank cannot be reached.
    Ranks(RankError),
}

impl From<RankError> for EpochError {
    fn from(error: RankError) -> Self {
        Self::Ranks(error)
    }
}

impl EpochError {
    /// The error, with the settings of `config` that can be changed; `set` is the training set.
    #[must_use]
    pub(crate) fn into_error(self, config: &TrainConfig, set: &ImageSet) -> TrainingError {
        match self {
            Self::Diverged(divergence) => divergence.into_error(config, set),
            Self::Ranks(error) => error.into(),
        }
    }
}

/// The number that was not finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Diverged {
    /// The loss, with its value.
    Loss(f32),
    /// A weight, after the step.
    Weight,
}

/// Where training diverged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Divergence {
    /// From 1.
    pub epoch: usize,
    /// From 1, inside the epoch.
    pub batch: usize,
    /// The number that was not finite.
    pub what: Diverged,
    /// Images of the batch.
    pub images: Vec<usize>,
}

impl Divergence {
    /// The error, with the settings of `config` that can be changed; `set` is the training set.
    #[must_use]
    fn into_error(self, config: &TrainConfig, set: &ImageSet) -> TrainingError {
        /// Images that the error names.
        const NAMED: usize = 4;
        let Self { epoch, batch, what, images } = self;
        let what = match what {
            Diverged::Loss(loss) => format!("the loss became {loss}"),
            Diverged::Weight => "a weight became infinite or NaN".to_owned(),
        };
        let mut names: Vec<&str> = images.iter().take(NAMED).map(|&image| set.name(image)).collect();
        let more = format!("{} more", images.len().saturating_sub(NAMED));
        if images.len() > NAMED {
            names.push(&more);
        }
        let (max_lr, clip) = (config.max_lr, config.clip.to_string());
        TrainingError::Diverged { what, epoch, batch, images: names.join(", "), max_lr, clip }
    }
}
