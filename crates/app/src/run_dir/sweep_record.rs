//! `sweep.json`: what a sweep has searched, and the validation figures of every training. It holds no times, so that it is the
//! same whenever and wherever the sweep is repeated.

use serde::Serialize;
use serde_json::{Map, Value};

/// The whole file.
#[derive(Debug, Serialize)]
pub(crate) struct SweepRecord {
    /// The validation metric that trainings are compared by.
    pub score: ScoreName,
    /// The settings that were searched.
    pub settings: Vec<SettingRecord>,
    /// The rungs of successive halving; a single one without it.
    pub rungs: Vec<RungRecord>,
    /// From the best to the worst.
    pub trainings: Vec<TrainingRecord>,
    /// Trains the best setting; null if no training has a score.
    pub command: Option<String>,
    /// With pseudonyms, the file with the paths that the command has words for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_key: Option<&'static str>,
}

/// A validation metric.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ScoreName {
    /// Its key among the metrics of a set in `metrics.json`.
    pub key: &'static str,
    /// In words.
    pub name: &'static str,
    /// Whether a smaller value is better.
    pub lower_is_better: bool,
}

/// A searched setting.
#[derive(Debug, Serialize)]
pub(crate) struct SettingRecord {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    #[serde(flatten)]
    pub values: SearchedValues,
}

/// The values of a searched setting.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum SearchedValues {
    /// One of these.
    List {
        /// As on the command line.
        values: Vec<String>,
    },
    /// A number from a range.
    Range {
        /// The lower end.
        from: f64,
        /// The upper end.
        to: f64,
        /// Whether equal factors are equally likely.
        log: bool,
    },
}

/// A rung of successive halving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RungRecord {
    /// How many trainings it has.
    pub n_trainings: usize,
    /// Their epochs are those of a whole training, divided by this.
    pub epochs_divisor: usize,
}

/// A setting, and how it did in each rung that it reached.
#[derive(Debug, Serialize)]
pub(crate) struct TrainingRecord {
    /// From 1, in the order of the search.
    pub number: usize,
    /// The searched settings.
    pub settings: Map<String, Value>,
    /// In each rung.
    pub rungs: Vec<ResultRecord>,
}

impl TrainingRecord {
    /// The value of a searched setting.
    pub(crate) fn text_of(&self, setting: &str) -> String {
        match &self.settings[setting] {
            Value::String(text) => text.clone(),
            // As on the command line: JSON has a small number as 1e-5.
            Value::Number(number) => {
                number.as_f64().map_or_else(|| number.to_string(), |value| value.to_string())
            }
            value => value.to_string(),
        }
    }

    /// In the last rung that it reached.
    pub(crate) fn last(&self) -> &ResultRecord {
        self.rungs.last().expect("every training is in the first rung")
    }
}

/// How a training ended.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ResultRecord {
    /// Its folder in that of the sweep.
    pub folder: String,
    /// Epochs that it was to have.
    pub epochs: usize,
    /// The epoch whose validation figures these are.
    pub saved_epoch: Option<usize>,
    /// The key in `metrics.json` of the validation images that the score is of: those that did not leak, if some did. Null if
    /// the training did not finish.
    pub set: Option<&'static str>,
    /// The validation metric that the saved epoch was selected by; null if the training did not finish.
    pub score: Option<f64>,
    /// The validation loss, by which equal scores are compared.
    pub log_loss: Option<f64>,
    /// Why it did not finish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}
