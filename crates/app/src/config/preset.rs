//! Named sets of settings.

use super::{ClassPrior, TrainConfig};

/// A set of settings to start from instead of the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// For images from other sources than the training images, such as other hospitals: width 32, rotate 15, zoom 0.3,
    /// aspect 0.3, jitter 0.2, erase 0.3, oversample-hard 10, prior balanced, ema 0.99 and tta.
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
            // oversampled. Logits are averaged over views like those that training has used.
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

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;
    use crate::config::settings;

    #[test]
    fn the_help_of_a_preset_lists_all_that_it_sets() {
        let default = TrainConfig::default();
        for preset in Preset::value_variants() {
            let value = preset.to_possible_value().expect("a value of the flag");
            let help = value.get_help().expect("a text").to_string();
            let config = preset.config();
            for setting in settings::all().filter(|setting| setting.text(&config) != setting.text(&default)) {
                let value = setting.text(&config).filter(|_| !setting.is_switch());
                let name = setting.name();
                let text = value.map_or_else(|| name.to_owned(), |value| format!("{name} {value}"));
                assert!(help.contains(&text), "{text}: {help}");
            }
        }
    }
}
