//! `predictions.jsonl` of a run: the prediction for each test image, one a line; `predictions_val.jsonl`, the same of the
//! validation images. Every figure of `metrics.json` can be computed again from them.

use std::collections::BTreeMap;
use std::path::Path;

use roentgen_data::{ImageSet, ReadFileError, for_each_line};
use serde::{Deserialize, Serialize, Serializer};

use crate::model::predicted_set::PredictedSet;
use crate::run_dir::error::RunDirError;
use crate::terminal::foreign_text::printable_json;

/// Name of the file.
pub(crate) const FILE: &str = "predictions.jsonl";

/// Largest file that is read: 10,000 images of 10,000 classes have 7 GB.
const MAX_BYTES: u64 = 1 << 36;
/// Its longest line: those of 10,000 classes have 700 kB.
const MAX_LINE_BYTES: u64 = 1 << 24;

/// Name of the file of the validation images.
pub(crate) const VAL_FILE: &str = "predictions_val.jsonl";

/// One line of the file: the prediction for one test image. `Numbers` are those of the classes by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RecordedPrediction<Numbers = BTreeMap<String, f64>> {
    /// Path of the image inside the data folder.
    pub path: String,
    /// Digest of the decoded image, in hexadecimal.
    pub digest: String,
    /// The patient, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
    /// A number that duplicates of the image, and all images of their patients, have too; only in a file with duplicates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// The true class.
    pub class: String,
    /// The predicted class.
    pub predicted: String,
    /// The probability of each class.
    pub probabilities: Numbers,
    /// The logit of each class: the output of the network, before calibration and softmax.
    pub logits: Numbers,
    /// Whether the image, or its patient, also occurs in an earlier set.
    pub leaked: bool,
    /// Whether the model rejects the image as out of distribution; null for a model that rejects nothing.
    pub rejected: Option<bool>,
}

/// The numbers of the classes, written as a [`BTreeMap`] is. Of thousands of classes, copies of their names would take longer
/// than all else in the file.
struct ByName<'a> {
    class_names: &'a [String],
    /// The classes in the order of their names.
    order: &'a [usize],
    /// The number of each class.
    numbers: Vec<f64>,
}

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { class_names, order, numbers } = self;
        serializer.collect_map(order.iter().map(|&class| (&class_names[class], numbers[class])))
    }
}

/// The file of the test or validation images as text.
///
/// # Panics
/// If there are not as many predictions as images.
#[must_use]
pub(crate) fn to_text(set: &ImageSet, predicted_set: &PredictedSet, class_names: &[String]) -> String {
    let PredictedSet { evaluation, predictions, .. } = predicted_set;
    let is_rejected = predicted_set.is_rejected();
    let has_duplicates = set.groups().ids() != set.patient_groups().as_deref();
    assert_eq!(set.len(), predictions.len(), "a prediction for each image");
    let mut order: Vec<usize> = (0..class_names.len()).collect();
    order.sort_by_key(|&class| &class_names[class]);
    let by_name = |numbers: Vec<f64>| ByName { class_names, order: &order, numbers };
    let mut text = String::new();
    for (image, (label, predicted)) in predictions.pairs().enumerate() {
        let recorded = RecordedPrediction {
            path: set.name(image).to_owned(),
            digest: format!("{:016x}", set.image_digest(image)),
            patient: set.patient(image).map(str::to_owned),
            group: set.group(image).filter(|_| has_duplicates),
            class: class_names[label].clone(),
            predicted: class_names[predicted].clone(),
            probabilities: by_name(predictions.probabilities(image).to_vec()),
            logits: by_name(evaluation.image(image).1.iter().copied().map(f64::from).collect()),
            leaked: predicted_set.is_leaked[image],
            rejected: is_rejected.as_ref().map(|is_rejected| is_rejected[image]),
        };
        let line = printable_json(&serde_json::to_string(&recorded).expect("names and numbers"));
        if image == 0 {
            // Other lines are about as long. A text that grows has to be copied, and is in memory twice meanwhile.
            text.reserve((line.len() + line.len() / 16) * set.len());
        }
        text += &line;
        text.push('\n');
    }
    text
}

/// Reads the file of a run. Of the numbers of an image, only the probability of its true class is kept: all those of thousands of
/// classes would take gigabytes.
///
/// # Errors
/// [`RunDirError::Unreadable`] names the line and what is wrong with it.
pub(crate) fn read(run: &Path) -> Result<Vec<RecordedPrediction>, RunDirError> {
    let mut all = Vec::new();
    let parse_next = |line: &str| {
        let mut recorded =
            parse(line).map_err(|reason| Reason(format!("line {}: {reason}", all.len() + 1)))?;
        recorded.probabilities.retain(|class, _| *class == recorded.class);
        recorded.logits.clear();
        all.push(recorded);
        Ok(())
    };
    let path = run.join(FILE);
    match for_each_line(&path, MAX_BYTES, MAX_LINE_BYTES, parse_next) {
        Ok(()) => Ok(all),
        Err(Reason(reason)) => Err(RunDirError::Unreadable { path, reason }),
    }
}

/// Why the file cannot be used.
struct Reason(String);

impl From<ReadFileError> for Reason {
    fn from(error: ReadFileError) -> Self {
        Self(error.to_string())
    }
}

fn parse(line: &str) -> Result<RecordedPrediction, String> {
    let recorded: RecordedPrediction = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let probabilities = &recorded.probabilities;
    let has_both =
        [&recorded.class, &recorded.predicted].iter().all(|&class| probabilities.contains_key(class));
    if has_both && probabilities.values().all(|p| (0.0..=1.0).contains(p)) {
        Ok(recorded)
    } else {
        Err("expected a probability, 0 to 1, of every class, also of the true and the predicted one"
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The line of an ill image, with single quotes.
    fn line(path: &str, predicted: &str, [ill, well]: [f64; 2]) -> String {
        format!(
            "{{'path':'{path}','digest':'0{path}','class':'ill','predicted':'{predicted}',\
             'probabilities':{{'ill':{ill},'well':{well}}},'logits':{{}},'leaked':false,'rejected':null}}"
        )
    }

    #[test]
    fn a_line_that_contradicts_itself_or_lacks_something_is_rejected_with_its_number() {
        let run = tempfile::tempdir().expect("a temporary folder");
        let read_back = |second: &str| {
            let line = line("a", "ill", [0.9, 0.1]);
            fs::write(run.path().join(FILE), format!("{line}\n{second}\n").replace('\'', "\""))
                .expect("a file");
            read(run.path()).map_err(|error| error.to_string())
        };
        let good = line("b", "well", [0.1, 0.9]);
        let lines = read_back(&good).expect("two good lines");
        assert_eq!((lines.len(), &lines[1].digest[..], &lines[1].patient), (2, "0b", &None));
        assert_eq!(
            lines[1].probabilities,
            BTreeMap::from([("ill".to_owned(), 0.1)]),
            "that of the true class"
        );
        for (right, wrong) in
            [("'predicted':'well'", "'predicted':'cat'"), ("'class':'ill'", "'class':'cat'"), ("0.9", "1.9")]
        {
            let error = read_back(&good.replace(right, wrong)).expect_err(wrong);
            assert!(error.contains("line 2: expected a probability"), "{error}");
        }
        for key in ["'digest':'0b',", "'leaked':false,"] {
            let error = read_back(&good.replace(key, "")).expect_err(key);
            assert!(error.contains("line 2: missing field"), "{error}");
        }
    }
}
