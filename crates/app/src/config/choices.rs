//! Settings with a fixed list of values. The comment on a value is its text in `--help`.

use std::fmt::{self, Display};
use std::str::FromStr;

use roentgen_data::{Channels, Fit, Invert, Sampler, ViewPosition};
use roentgen_optim::Clip;
use roentgen_tensor::conv2d::ConvChoice;
use serde::{Deserialize, Serialize};

/// Grey or colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ChannelChoice {
    /// One channel if all training images are grey, even if they are stored as RGB; otherwise three.
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

/// What is done with images that are not square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FitChoice {
    /// Their sides keep their ratio, and the model sees a square crop: in predictions the centre.
    #[default]
    Crop,
    /// Black margins make them square.
    Pad,
    /// They are stretched to a square.
    Stretch,
}

impl FitChoice {
    /// How large an image becomes before it is cropped, such as "short side 28 pixels".
    pub(crate) fn in_words(self, resize: u32) -> String {
        match self {
            Self::Crop => format!("short side {resize} pixels"),
            Self::Pad => format!("padded to {resize}x{resize} pixels"),
            Self::Stretch => format!("stretched to {resize}x{resize} pixels"),
        }
    }
}

impl From<FitChoice> for Fit {
    fn from(choice: FitChoice) -> Self {
        match choice {
            FitChoice::Crop => Self::Crop,
            FitChoice::Pad => Self::Pad,
            FitChoice::Stretch => Self::Stretch,
        }
    }
}

/// Views of radiographs, such as `PA,AP`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ViewList(pub Vec<ViewPosition>);

impl ViewList {
    /// The views that are used: all of them, an empty list, where none are chosen.
    pub(crate) fn chosen(views: Option<&Self>) -> Vec<ViewPosition> {
        views.map(|views| views.0.clone()).unwrap_or_default()
    }
}

impl FromStr for ViewList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let view = |name: &str| match name.trim().to_ascii_uppercase().as_str() {
            "PA" => Ok(ViewPosition::Pa),
            "AP" => Ok(ViewPosition::Ap),
            "LATERAL" | "LAT" | "LL" | "RL" => Ok(ViewPosition::Lateral),
            _ => Err(format!("`{name}` is not one of PA, AP, lateral (also LL, RL)")),
        };
        text.split(',').map(view).collect::<Result<_, _>>().map(Self)
    }
}

impl Display for ViewList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&names.join(","))
    }
}

impl TryFrom<String> for ViewList {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ViewList> for String {
    fn from(views: ViewList) -> Self {
        views.to_string()
    }
}

/// What is done with images that look like negatives of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InvertChoice {
    /// They are only counted.
    #[default]
    Never,
    /// Black and white are exchanged, in training and in every prediction of the model.
    Auto,
}

impl From<InvertChoice> for Invert {
    fn from(choice: InvertChoice) -> Self {
        match choice {
            InvertChoice::Never => Self::Never,
            InvertChoice::Auto => Self::Auto,
        }
    }
}

/// Algorithms for the convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ConvAlgorithmChoice {
    /// The fastest for each layer.
    Auto,
    /// Patches unrolled into rows, then a matrix product.
    Im2col,
    /// Winograd, where the number of channels is a multiple of 16.
    Winograd,
}

impl From<ConvAlgorithmChoice> for ConvChoice {
    fn from(algorithms: ConvAlgorithmChoice) -> Self {
        match algorithms {
            ConvAlgorithmChoice::Auto => Self::Auto,
            ConvAlgorithmChoice::Im2col => Self::Im2col,
            ConvAlgorithmChoice::Winograd => Self::Winograd,
        }
    }
}

/// How weight decay is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DecayKind {
    /// As a part of the gradient (Adam).
    L2,
    /// Decoupled from the gradient (AdamW).
    Decoupled,
}

/// Weights of the classes in the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ClassWeights {
    /// Every image has the same weight.
    None,
    /// The square roots of the balanced weights.
    Sqrt,
    /// Every class has the same total weight.
    Balanced,
}

/// The class frequencies that a model learns to assume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClassPrior {
    /// Those that the training makes: of the training set, changed by --class-weights, --sampler and --oversample-hard.
    #[default]
    Training,
    /// All classes equally frequent: the loss is adjusted by the share of each class in the training (logit adjustment).
    Balanced,
}

/// The mean and standard deviation that pixels are normalised with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum NormalizeBy {
    /// Those of the training set.
    Set,
    /// Those of each image, so that its exposure has no effect. Such a model cannot be exported to ONNX.
    Image,
}

/// The validation metric by which epochs are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
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

/// How training images are sampled in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SamplerChoice {
    /// Every image once, in random order.
    Shuffled,
    /// Every class equally often.
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipChoice(pub Clip);

impl FromStr for ClipChoice {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (kind, bound) = text.split_once(':').unwrap_or(("value", text));
        match (kind, text, bound.parse::<f32>()) {
            (_, "off", _) => Ok(Self(Clip::Off)),
            ("value", _, Ok(bound)) if bound > 0.0 && bound.is_finite() => Ok(Self(Clip::Value(bound))),
            ("norm", _, Ok(bound)) if bound > 0.0 && bound.is_finite() => Ok(Self(Clip::Norm(bound))),
            _ => Err(()),
        }
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
