//! `predictions.jsonl` of a run: what the model said of each test picture, a line each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use roentgen_data::ImageSet;
use serde::{Deserialize, Serialize};

use crate::error::AppError;
use crate::metrics::Predictions;

/// Name of the file.
pub const FILE: &str = "predictions.jsonl";

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Of the picture, inside the data folder.
    pub path: String,
    /// What it is.
    pub class: String,
    /// What the model took it for.
    pub answer: String,
    /// By class.
    pub probabilities: BTreeMap<String, f64>,
}

/// The file as text, a line per picture of `set`.
///
/// # Panics
/// If the predictions are not those of the set.
#[must_use]
pub fn to_text(set: &ImageSet, predictions: &Predictions, class_names: &[String]) -> String {
    assert_eq!(set.len(), predictions.len(), "a prediction for each picture");
    let line = |(image, (label, answer)): (usize, (usize, usize))| {
        let probabilities = class_names.iter().cloned().zip(predictions.probabilities(image).iter().copied());
        let line = Line {
            path: set.name(image).to_owned(),
            class: class_names[label].clone(),
            answer: class_names[answer].clone(),
            probabilities: probabilities.collect(),
        };
        serde_json::to_string(&line).expect("names and numbers") + "\n"
    };
    predictions.pairs().enumerate().map(line).collect()
}

/// Reads the file of a run.
///
/// # Errors
/// [`AppError::RunUnreadable`] names what is wrong, and where.
pub fn read(run: &Path) -> Result<Vec<Line>, AppError> {
    let path = run.join(FILE);
    let unreadable = |reason: String| AppError::RunUnreadable { path: path.clone(), reason };
    let text = fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
    let parse = |(index, line): (usize, &str)| {
        let line: Line =
            serde_json::from_str(line).map_err(|error| unreadable(format!("line {}: {error}", index + 1)))?;
        let is_probability = |p: &f64| (0.0..=1.0).contains(p);
        if line.probabilities.contains_key(&line.class) && line.probabilities.values().all(is_probability) {
            Ok(line)
        } else {
            let reason = format!("line {}: expected a probability, 0 to 1, of every class", index + 1);
            Err(unreadable(reason))
        }
    };
    text.lines().enumerate().map(parse).collect()
}
