//! Settings that belong together, under one name.

use super::{ClassPrior, TrainConfig};

/// A set of settings to start from instead of the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// For test pictures that come from somewhere else than the training pictures.
    Robust,
}

impl Preset {
    /// The settings; what a preset does not say is as by default.
    ///
    /// How they were chosen, with what was tried and did not help, is told in docs/results.md.
    #[must_use]
    pub fn config(self) -> TrainConfig {
        match self {
            // Other machines and other hands: other framing, other proportions, other exposure, and whatever gave the
            // source away may be missing. A narrower network has less room to learn the source by heart. How common each
            // class will be there is not known: a rare one should not be what strange films are never taken for. And the
            // few films of the training part that look strange are all that it can learn of such. A film that it is asked
            // about is looked at in several of the ways in which training has shown others.
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
