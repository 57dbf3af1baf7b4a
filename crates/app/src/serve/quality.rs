//! How good a model is, by the figures of its run: what a reader of its answers has to know.

use std::path::Path;

use roentgen_data::read_text_file;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::runs::RunEntry;
use crate::metrics::shortcut_audit::Audit;
use crate::metrics::{Interval, MajorityBaseline};
use crate::run_dir::file_names::METRICS;
use crate::run_dir::records::MAX_METRICS_BYTES;
use crate::terminal::figures::percent;

const NOTHING_KNOWN: &str = "Nothing is known about how good this model is: its training has not ended, or the results of its test are missing.";
const NOT_TESTED: &str = "Nothing is known about how good this model is: it was trained on all images, and none was left to test it on.";
const NO_TEST_SET: &str = "There was no test set: the accuracy was measured on the images that were used to choose the model, so it will be lower on other images.";
const ALL_VAL_LEAKED: &str = "Every validation image, or its patient, is also among the images that the model was trained on, so that nothing is known about how good it is for other images.";
const ALL_LEAKED: &str = "Every test image, or its patient, is also among the images that the model was trained on or chosen by, so that nothing is known about how good it is for other images.";

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Quality {
    /// The verdict of its report; `None` if `metrics.json` is missing or cannot be read.
    pub(super) result: Option<String>,
    /// Why its answers are not to be relied on.
    pub(super) warnings: Vec<String>,
}

/// A run with a model, for scripts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Run)]
pub(super) struct ListedRun {
    #[serde(flatten)]
    pub(super) run: RunEntry,
    /// The verdict of its report, once the run has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<String>,
    /// Why its answers are not to be relied on, if there is a reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

impl ListedRun {
    /// Reads what is known of a run.
    pub(super) fn new(run: RunEntry) -> Self {
        let Quality { result, warnings } = Quality::read(&run.path);
        Self { run, result, warning: (!warnings.is_empty()).then(|| warnings.join(" ")) }
    }
}

/// What is read of `metrics.json`.
#[derive(Deserialize)]
struct Saved {
    verdict: String,
    /// Null without figures; every run has the key.
    #[serde(deserialize_with = "Option::deserialize")]
    majority_baseline: Option<MajorityBaseline>,
    /// Null without a validation set; every run has the key.
    #[serde(deserialize_with = "Option::deserialize")]
    val: Option<Figures>,
    val_deduplicated: Option<Figures>,
    test: Option<Figures>,
    test_deduplicated: Option<Figures>,
    /// Absent without a test set.
    #[serde(default)]
    n_leaked: usize,
    n_leaked_val: usize,
    audit: Option<Audit>,
}

/// Of one set of images.
#[derive(Deserialize)]
struct Figures {
    accuracy: f64,
    accuracy_interval: Option<Interval>,
}

impl Quality {
    /// Of the run in a folder.
    pub(super) fn read(folder: &Path) -> Self {
        let text = read_text_file(&folder.join(METRICS), MAX_METRICS_BYTES).ok();
        match text.and_then(|text| serde_json::from_str::<Saved>(&text).ok()) {
            Some(saved) => saved.quality(),
            None => Self { result: None, warnings: vec![NOTHING_KNOWN.to_owned()] },
        }
    }
}

impl Saved {
    fn quality(&self) -> Quality {
        let of_test = self.test_deduplicated.as_ref().or(self.test.as_ref());
        let Some(figures) = of_test.or(self.val_deduplicated.as_ref()).or(self.val.as_ref()) else {
            return Quality { result: Some(self.verdict.clone()), warnings: vec![NOT_TESTED.to_owned()] };
        };
        let all_leaked = self.n_leaked > 0 && self.test_deduplicated.is_none();
        let all_val_leaked = of_test.is_none() && self.n_leaked_val > 0 && self.val_deduplicated.is_none();
        let fixed =
            [(of_test.is_none(), NO_TEST_SET), (all_leaked, ALL_LEAKED), (all_val_leaked, ALL_VAL_LEAKED)];
        let fixed = fixed.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text.to_owned());
        let warnings = self.shortcut().into_iter().chain(self.not_better_than_constant(figures)).chain(fixed);
        Quality { result: Some(self.verdict.clone()), warnings: warnings.collect() }
    }

    fn shortcut(&self) -> Option<String> {
        let how = self.audit.as_ref()?.strongest_shortcut()?;
        Some(format!(
            "The classes of the images it was trained on can be predicted {how}: an answer may rest on that and not on what a person \
             would look at, and be wrong for images from elsewhere."
        ))
    }

    fn not_better_than_constant(&self, figures: &Figures) -> Option<String> {
        let baseline = self.majority_baseline.as_ref().filter(|baseline| !baseline.exceeded)?;
        let is = if baseline.is_missed(figures.accuracy_interval) {
            "is clearly worse"
        } else {
            "is not clearly better"
        };
        Some(format!(
            "Its accuracy, {}, {is} than that of always answering {}: {}.",
            percent(figures.accuracy),
            baseline.class,
            percent(baseline.accuracy)
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;

    /// The figures of a set of images.
    fn accuracy(accuracy: f64) -> Value {
        json!({ "accuracy": accuracy })
    }

    /// The comparison with always answering "ill".
    fn baseline(exceeded: bool) -> Value {
        json!({ "class": "ill", "accuracy": 0.5, "exceeded": exceeded })
    }

    /// What every run writes, with `metrics` in the place of some of it.
    fn run(metrics: &Value) -> Value {
        let mut run = json!({ "verdict": "39 of 40.", "majority_baseline": baseline(true), "val": null,
            "n_leaked_val": 0 });
        let given = metrics.as_object().expect("an object").clone();
        run.as_object_mut().expect("an object").extend(given);
        run
    }

    fn audit(is_flagged: bool) -> Value {
        let probe =
            |flagged| json!({ "roc_auc": 0.9, "interval": [0.8, 1.0], "per_class": [], "flagged": flagged });
        json!({ "full_image": probe(false), "border": probe(is_flagged), "centre_blanked": probe(false), "file_facts": null,
            "flagged": is_flagged, "verdict": "", "n": 40, "n_leaked": 0 })
    }

    fn read(metrics: &Value) -> Quality {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("metrics.json"), run(metrics).to_string()).expect("a file");
        Quality::read(folder.path())
    }

    /// Whether there are as many warnings as words, each with its word.
    fn warns(metrics: &Value, words: &[&str]) {
        let Quality { warnings, .. } = read(metrics);
        let is_there = warnings.len() == words.len()
            && warnings.iter().zip(words).all(|(warning, word)| warning.contains(word));
        assert!(is_there, "{warnings:?}, expected {words:?}");
    }

    #[test]
    fn a_model_that_was_tested_well_has_a_result_and_no_warning() {
        let metrics =
            json!({ "val": accuracy(0.1), "test": accuracy(0.975), "n_leaked": 0, "audit": audit(false) });
        let expected = Quality { result: Some("39 of 40.".to_owned()), warnings: Vec::new() };
        assert_eq!(read(&metrics), expected);
    }

    #[test]
    fn what_the_report_warns_of_is_a_warning() {
        let good = || accuracy(0.975);
        warns(
            &json!({ "test": good(), "audit": audit(true) }),
            &["predicted from the outermost pixels of the images alone"],
        );
        warns(&json!({ "val": good() }), &["used to choose the model"]);
        warns(
            &json!({ "test": accuracy(0.55), "majority_baseline": baseline(false) }),
            &["55.0 %, is not clearly better than that of always answering ill: 50.0 %"],
        );
        let worse = json!({ "accuracy": 0.25, "accuracy_interval": [0.1, 0.4] });
        warns(&json!({ "test": worse, "majority_baseline": baseline(false) }), &["25.0 %, is clearly worse"]);
        warns(&json!({ "majority_baseline": null }), &["trained on all images"]);
        warns(&json!({ "val": good(), "test": good(), "n_leaked": 40 }), &["Every test image"]);
        warns(&json!({ "val": good(), "n_leaked_val": 40 }), &["no test set", "Every validation image"]);
        let rest = json!({ "val": good(), "val_deduplicated": accuracy(0.9), "n_leaked_val": 10 });
        warns(&rest, &["no test set"]);
        let (test, rest) = (accuracy(0.05), accuracy(0.9));
        warns(&json!({ "val": good(), "test": test, "test_deduplicated": rest, "n_leaked": 10 }), &[]);
        warns(
            &json!({ "val": accuracy(0.55), "majority_baseline": baseline(false), "audit": audit(true) }),
            &["outermost", "not clearly", "no test set"],
        );
    }

    #[test]
    fn without_figures_nothing_is_known() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let nothing = Quality { result: None, warnings: vec![NOTHING_KNOWN.to_owned()] };
        assert_eq!(Quality::read(folder.path()), nothing);
        for text in ["", "{", "[]", "{}", r#"{"val": 3}"#, r#"{"val": {"n": -1}}"#] {
            fs::write(folder.path().join("metrics.json"), text).expect("a file");
            assert_eq!(Quality::read(folder.path()), nothing, "{text}");
        }
    }
}
