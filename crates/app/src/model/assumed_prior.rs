//! The class frequencies that the probabilities of a model assume, in words.

use serde::{Deserialize, Serialize};

use super::class_priors::ClassPriors;
use crate::config::ClassPrior;

/// The class frequencies that the probabilities of a model assume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AssumedPrior {
    /// Those of the training set.
    #[default]
    Training,
    /// Those of the training set, changed by class weights, the sampler or hard examples.
    Reweighted,
    /// All classes equally frequent.
    Balanced,
}

impl AssumedPrior {
    /// The prior that a model trained with `--prior` `choice` assumes; `priors` are those of its predictions and its training
    /// set.
    pub(crate) fn of(choice: ClassPrior, priors: &ClassPriors) -> Self {
        match choice {
            _ if !priors.differ() => Self::Training,
            ClassPrior::Balanced => Self::Balanced,
            ClassPrior::Training => Self::Reweighted,
        }
    }

    /// What a user should know about it.
    pub(crate) fn in_words(self) -> Option<String> {
        let assumed = match self {
            Self::Training => return None,
            Self::Reweighted => {
                "classes have other frequencies than in the training set, because of --class-weights, --sampler or \
                 --oversample-hard"
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
                "The probabilities are calibrated: 80 % means that about 80 of 100 such predictions are correct. This holds at \
                 most for images like those of the training set."
            }
            Self::Reweighted => {
                "The probabilities are calibrated, but for class frequencies that class weights, the sampler or hard-example \
                 oversampling changed: if a class is rarer in the training images than assumed, fewer than 80 of 100 predictions \
                 of it with 80 % are correct where it is as rare as in those images."
            }
            Self::Balanced => {
                "The probabilities are calibrated, but for classes that are all equally frequent: where a class is rarer than the \
                 others, fewer than 80 of 100 predictions of it with 80 % are correct."
            }
        }
    }
}
