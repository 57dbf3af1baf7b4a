//! What a report is made from, and the phrases that several sections share.

use maud::{Markup, html};
use roentgen_data::Dataset;

use crate::config::TrainConfig;
use crate::data_loading::phantom;
use crate::model::predicted_set::PredictedSet;
use crate::model::trained_model::Model;
use crate::run_dir::records::{LogLine, Metrics};

/// From this number of classes on, tables with a column per class do not fit on a page.
pub(super) const MANY_CLASSES: usize = 24;

/// Everything that a report shows.
pub(crate) struct ReportInput<'a> {
    /// The settings of the run, all resolved, as its config file has them.
    pub config: &'a TrainConfig,
    /// The training, validation and test sets.
    pub data: &'a Dataset,
    /// Training steps of an epoch.
    pub steps_per_epoch: usize,
    /// The model with the weights of the saved epoch.
    pub model: &'a Model,
    /// BLAKE3 digest of the model file; `None` if the run leaves no model.
    pub model_digest: Option<&'a str>,
    /// The contents of `metrics.json`.
    pub metrics: &'a Metrics,
    /// The predictions on the test set.
    pub test: Option<&'a PredictedSet>,
    /// The log of every epoch.
    pub log: &'a [LogLine],
}

impl ReportInput<'_> {
    /// What the data are called: the last part of their path.
    pub(super) fn title(&self) -> String {
        match self.config.data.file_name() {
            Some(name) if !self.config.uses_phantom() => name.to_string_lossy().into_owned(),
            _ => self.source(),
        }
    }

    /// Where the data came from.
    pub(super) fn source(&self) -> String {
        if self.config.uses_phantom() {
            phantom::describe(self.config.seed)
        } else {
            self.config.data.display().to_string()
        }
    }
}

/// A text of the program, whose names stand between backticks.
pub(super) fn with_code(text: &str) -> Markup {
    html! { @for (index, part) in text.split('`').enumerate() {
        @if index % 2 == 1 { code { (part) } } @else { (part) }
    } }
}

/// A phrase as a sentence of its own.
pub(crate) fn sentence(phrase: &str) -> String {
    let mut letters = phrase.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}
