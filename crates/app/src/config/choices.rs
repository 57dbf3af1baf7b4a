//! The values that a setting is chosen from, as they are written on the command line and in `config.toml`.

use std::fmt::{self, Display};

use roentgen_data::{Channels, Sampler};
use roentgen_optim::Clip;
use roentgen_tensor::conv2d::ConvChoice;
use serde::{Deserialize, Serialize};

/// Grey or colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelChoice {
    /// One channel where the training pictures are grey, three otherwise.
    Auto,
    /// One channel.
    Grey,
    /// Three channels.
    Rgb,
}

impl From<ChannelChoice> for Channels {
    fn from(choice: ChannelChoice) -> Self {
        match choice {
            ChannelChoice::Auto => Self::Auto,
            ChannelChoice::Grey => Self::Grey,
            ChannelChoice::Rgb => Self::Rgb,
        }
    }
}

/// Algorithms to choose from for the convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConvAlgorithms {
    /// The fastest for each layer.
    Auto,
    /// Products as the definition has them.
    Direct,
    /// Winograd's, wherever the channels are a multiple of 16.
    Winograd,
}

impl From<ConvAlgorithms> for ConvChoice {
    fn from(algorithms: ConvAlgorithms) -> Self {
        match algorithms {
            ConvAlgorithms::Auto => Self::Auto,
            ConvAlgorithms::Direct => Self::Direct,
            ConvAlgorithms::Winograd => Self::Winograd,
        }
    }
}

/// How weights decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecayKind {
    /// As a term of the gradient (Adam).
    L2,
    /// Apart from the gradient (AdamW).
    Decoupled,
}

/// Weights of the classes in the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassWeights {
    /// Every image counts the same.
    None,
    /// The square root of the balanced weights: halfway between the other two.
    Sqrt,
    /// Every class counts the same.
    Balanced,
}

/// The class shares that the answers assume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassPrior {
    /// Those of the training, class weights included.
    #[default]
    Training,
    /// All classes alike.
    Balanced,
}

impl ClassPrior {
    /// What a reader should know of it.
    pub(crate) fn in_words(self) -> Option<&'static str> {
        match self {
            Self::Training => None,
            Self::Balanced => {
                Some("answers take every class to be as common, whatever its share of the training part")
            }
        }
    }
}

/// What pixels are normalised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormalizeBy {
    /// Mean and standard deviation of the training part.
    Set,
    /// Those of each picture itself: its exposure no longer counts.
    Image,
}

/// The validation metric by which epochs are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Select {
    /// Fraction of correct predictions.
    #[default]
    Accuracy,
    /// Mean recall of the classes: rare classes count as much as common ones.
    BalancedAccuracy,
    /// Mean area under the ROC curves of the classes; independent of thresholds.
    Auc,
    /// Cross-entropy of the predicted probabilities; the lower the better.
    LogLoss,
}

/// How an epoch goes through the training part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SamplerChoice {
    /// Every picture once.
    Shuffled,
    /// Every class as often.
    Balanced,
}

impl From<SamplerChoice> for Sampler {
    fn from(choice: SamplerChoice) -> Self {
        match choice {
            SamplerChoice::Shuffled => Self::Shuffled,
            SamplerChoice::Balanced => Self::Balanced,
        }
    }
}

/// Gradient clipping, written as `value:0.1`, `norm:1` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClipChoice(pub Clip);

impl std::str::FromStr for ClipChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |bound: &str| {
            bound.parse().map_err(|_| format!("clip is `{text}`: expected value:BOUND, norm:BOUND or off"))
        };
        Ok(Self(match text.split_once(':') {
            Some(("value", bound)) => Clip::Value(number(bound)?),
            Some(("norm", bound)) => Clip::Norm(number(bound)?),
            None if text == "off" => Clip::Off,
            _ => Clip::Value(number(text)?),
        }))
    }
}

impl TryFrom<String> for ClipChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ClipChoice> for String {
    fn from(clip: ClipChoice) -> Self {
        clip.to_string()
    }
}

impl Display for ClipChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Clip::Off => write!(f, "off"),
            Clip::Value(bound) => write!(f, "value:{bound}"),
            Clip::Norm(bound) => write!(f, "norm:{bound}"),
        }
    }
}
