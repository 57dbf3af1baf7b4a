//! What ends an epoch early: a loss or a weight that is not a finite number, or a lost rank.

use roentgen_data::ImageSet;
use roentgen_optim::Clip;

use crate::config::{ClipChoice, TrainConfig};
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
    /// The error of a run, with the settings of `config` that can be changed; `set` is the training set.
    #[must_use]
    pub(crate) fn into_error(self, config: &TrainConfig, set: &ImageSet) -> TrainingError {
        match self {
            Self::Diverged(divergence) => TrainingError::Diverged {
                what: divergence.what.in_words(),
                epoch: divergence.epoch,
                batch: divergence.batch,
                images: divergence.image_names(set),
                max_lr: config.max_lr,
                clip: clip_remedy(config, "use a tighter"),
            },
            Self::Ranks(error) => error.into(),
        }
    }

    /// The error of the probe training `label`, on which learning rate and clipping of a run have no effect; `remedy` is what
    /// the user can do.
    #[must_use]
    pub(crate) fn into_probe_error(self, label: &str, remedy: &'static str, set: &ImageSet) -> TrainingError {
        match self {
            Self::Diverged(divergence) => TrainingError::ProbeDiverged {
                label: label.to_owned(),
                what: divergence.what.in_words(),
                epoch: divergence.epoch,
                batch: divergence.batch,
                images: divergence.image_names(set),
                remedy,
            },
            Self::Ranks(error) => error.into(),
        }
    }
}

/// What to do with the clipping of a run that has diverged: to switch it on, or what `other` says.
pub(super) fn clip_remedy(config: &TrainConfig, other: &str) -> String {
    match config.clip {
        ClipChoice(Clip::Off) => {
            format!("switch --clip on (it is off, and {} by default)", TrainConfig::default().clip)
        }
        clip => format!("{other} --clip (it is {clip})"),
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

impl Diverged {
    fn in_words(self) -> String {
        match self {
            Self::Loss(loss) => format!("the loss became {loss}"),
            Self::Weight => "a weight became infinite or NaN".to_owned(),
        }
    }
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
    /// The names of the images, or of some of them; `set` is the training set.
    fn image_names(&self, set: &ImageSet) -> String {
        /// Images that the error names.
        const NAMED: usize = 4;
        let mut names: Vec<&str> = self.images.iter().take(NAMED).map(|&image| set.name(image)).collect();
        let more = format!("{} more", self.images.len().saturating_sub(NAMED));
        if self.images.len() > NAMED {
            names.push(&more);
        }
        names.join(", ")
    }
}
