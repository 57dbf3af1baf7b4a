//! `predictions.jsonl` of a run: what the model said of each test picture, a line each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use roentgen_data::ImageSet;
use serde::{Deserialize, Serialize};

use crate::error::AppError;
use crate::metrics::Predictions;

/// Name of the file.
pub(crate) const FILE: &str = "predictions.jsonl";

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Of the picture, inside the data folder.
    pub path: String,
    /// Of the picture as decoded, in hexadecimal; files of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whose it is, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
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
pub(crate) fn to_text(set: &ImageSet, predictions: &Predictions, class_names: &[String]) -> String {
    assert_eq!(set.len(), predictions.len(), "a prediction for each picture");
    let line = |(image, (label, answer)): (usize, (usize, usize))| {
        let probabilities = class_names.iter().cloned().zip(predictions.probabilities(image).iter().copied());
        let line = Line {
            path: set.name(image).to_owned(),
            digest: set.image_digest(image).map(|digest| format!("{digest:016x}")),
            patient: set.patient(image).map(str::to_owned),
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
pub(crate) fn read(run: &Path) -> Result<Vec<Line>, AppError> {
    let path = run.join(FILE);
    let unreadable = |reason: String| AppError::RunUnreadable { path: path.clone(), reason };
    let text = fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
    let parse = |(index, line): (usize, &str)| {
        let line: Line =
            serde_json::from_str(line).map_err(|error| unreadable(format!("line {}: {error}", index + 1)))?;
        let is_probability = |p: &f64| (0.0..=1.0).contains(p);
        let known = [&line.class, &line.answer].map(|class| line.probabilities.contains_key(class));
        if known == [true; 2] && line.probabilities.values().all(is_probability) {
            Ok(line)
        } else {
            let expected = "a probability, 0 to 1, of every class, the answer among them";
            Err(unreadable(format!("line {}: expected {expected}", index + 1)))
        }
    };
    text.lines().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_contradicts_itself_is_refused_with_its_number() {
        let run = tempfile::tempdir().expect("a temporary folder");
        let read_back = |second: &str| {
            let line = r#"{"path":"a","class":"ill","answer":"ill","probabilities":{"ill":0.9,"well":0.1}}"#;
            fs::write(run.path().join(FILE), format!("{line}\n{}\n", second.replace('\'', "\"")))
                .expect("a file");
            read(run.path()).map_err(|error| error.to_string())
        };
        let good = "{'path':'b','class':'ill','answer':'well','probabilities':{'ill':0.1,'well':0.9}}";
        let lines = read_back(good).expect("two good lines");
        assert_eq!((lines.len(), &lines[1].digest, &lines[1].patient), (2, &None, &None), "as of old");
        for (right, wrong) in
            [("'answer':'well'", "'answer':'cat'"), ("'class':'ill'", "'class':'cat'"), ("0.9", "1.9")]
        {
            let error = read_back(&good.replace(right, wrong)).expect_err(wrong);
            assert!(error.contains("line 2: expected a probability"), "{error}");
        }
    }
}
