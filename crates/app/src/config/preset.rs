//! Named sets of settings.

use super::{ClassPrior, TrainConfig};

/// A set of settings to start from instead of the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// For images from other sources than the training images, such as other hospitals.
    Robust,
}

impl Preset {
    /// The settings: those of the preset over the defaults.
    ///
    /// docs/results.md shows how they were chosen, and docs/notebook what was tried and did not help.
    #[must_use]
    pub fn config(self) -> TrainConfig {
        match self {
            // Images from other machines differ in framing, aspect ratio and exposure, and marks that give the source
            // away may be missing: hence strong augmentation. A narrower network has less capacity to memorise sources.
            // Class frequencies of the new images are unknown, so a balanced prior: rare classes are predicted often
            // enough. Training images that look unusual are the only ones to learn from about other sources: they are
            // oversampled. Predictions are averaged over views like those that training has used.
            Self::Robust => TrainConfig {
                width: 32,
                rotate: 15.0,
                zoom: 0.3,
                aspect: 0.3,
                jitter: 0.2,
                erase: 0.3,
                oversample_hard: 10,
                prior: ClassPrior::Balanced,
                ema: 0.99,
                tta: true,
                ..TrainConfig::default()
            },
        }
    }
}
