//! The class frequencies that the probabilities of a model assume, in words.

use serde::{Deserialize, Serialize};

use crate::config::{ClassPrior, ClassWeights, SamplerChoice, TrainConfig};

/// The class frequencies that the probabilities of a model assume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AssumedPrior {
    /// Those of the training set.
    #[default]
    Training,
    /// Those of the training set, changed by class weights or the sampler, which make rare classes more frequent.
    Reweighted,
    /// All classes equally frequent.
    Balanced,
}

impl AssumedPrior {
    /// Of the models that `config` trains on so many images of each class.
    pub(crate) fn of(config: &TrainConfig, class_counts: &[usize]) -> Self {
        let is_weighted =
            config.class_weights != ClassWeights::None || config.sampler != SamplerChoice::Shuffled;
        let has_rare_class = class_counts.windows(2).any(|pair| pair[0] != pair[1]);
        match config.prior {
            ClassPrior::Balanced if has_rare_class => Self::Balanced,
            ClassPrior::Training if has_rare_class && is_weighted => Self::Reweighted,
            ClassPrior::Balanced | ClassPrior::Training => Self::Training,
        }
    }

    /// What a user should know about it.
    pub(crate) fn in_words(self) -> Option<String> {
        let assumed = match self {
            Self::Training => return None,
            Self::Reweighted => {
                "rare classes are more frequent than in the training set, because of --class-weights or --sampler"
            }
            Self::Balanced => "all classes are equally frequent, whatever their share of the training set",
        };
        Some(format!(
            "predictions assume that {assumed}, and so do the test metrics, with their calibration error; the validation metrics of \
             each epoch, the temperature and the metrics before and after calibration are for the class frequencies of the set \
             that they are measured on"
        ))
    }

    /// What a calibrated probability means, in plain words.
    pub(crate) fn meaning_of_probability(self) -> &'static str {
        match self {
            Self::Training => {
                "The probabilities are calibrated: 80 % is meant to say that about 80 of 100 such answers are right. This holds at \
                 most for images like those of the training."
            }
            Self::Reweighted => {
                "The probabilities are calibrated, but for rare classes that are more frequent than in the training images: of 100 \
                 answers with a rare class and 80 %, fewer than 80 are right where the class is as rare as in those images."
            }
            Self::Balanced => {
                "The probabilities are calibrated, but for classes that are all equally frequent: of 100 answers with a class and \
                 80 %, fewer than 80 are right where the class is rarer than the others."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_weights_and_the_sampler_change_what_is_assumed_and_a_balanced_prior_replaces_it() {
        let default = TrainConfig::default();
        assert_eq!(AssumedPrior::of(&default, &[9, 1]), AssumedPrior::Training);
        assert!(AssumedPrior::Training.in_words().is_none());
        let weighted = TrainConfig { class_weights: ClassWeights::Sqrt, ..default.clone() };
        let sampled = TrainConfig { sampler: SamplerChoice::Balanced, ..default };
        for config in [weighted, sampled] {
            assert_eq!(AssumedPrior::of(&config, &[9, 1]), AssumedPrior::Reweighted);
            assert_eq!(AssumedPrior::of(&config, &[5, 5]), AssumedPrior::Training, "no class is rare");
            let balanced = TrainConfig { prior: ClassPrior::Balanced, ..config };
            assert_eq!(AssumedPrior::of(&balanced, &[9, 1]), AssumedPrior::Balanced);
            assert_eq!(AssumedPrior::of(&balanced, &[5, 5]), AssumedPrior::Training, "no class is rare");
        }
    }
}
