//! Compares every metric with scikit-learn; `golden/metrics_golden.py` computed its values. And the intervals of areas under the
//! ROC curve with DeLong's and Obuchowski's formulas; `golden/area_intervals_golden.py` computed these.

use std::fs;
use std::path::Path;

use roentgen::{Predictions, SubsetMetrics};
use serde_json::Value;

const TOLERANCE: f64 = 1e-9;
/// Student's quantile is an approximation.
const INTERVAL_TOLERANCE: f64 = 1e-4;

fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(file);
    serde_json::from_slice(&fs::read(path).expect("the golden values")).expect("a list of cases")
}

/// Asserts that both are the same number, or both null.
fn assert_same(found: &Value, golden: &Value, what: &str) {
    match (found.as_f64(), golden.as_f64()) {
        (Some(found), Some(golden)) => {
            let err = (found - golden).abs();
            assert!(err <= TOLERANCE, "{what}: {found} against {golden}");
        }
        (None, None) => assert!(found.is_null() && golden.is_null(), "{what}"),
        _ => panic!("{what}: {found} against {golden}"),
    }
}

#[test]
fn metrics_match_scikit_learn() {
    let cases = cases("metrics.json");
    assert_eq!(cases.len(), 4);
    for case in cases {
        let name = case["name"].as_str().expect("a name");
        let rows = case["logits"].as_array().expect("rows");
        let n_classes = rows[0].as_array().expect("a row").len();
        let mut predictions = Predictions::new(n_classes);
        for (row, label) in rows.iter().zip(case["labels"].as_array().expect("labels")) {
            let logits = row.as_array().expect("a row").iter().map(|logit| logit.as_f64().expect("a logit"));
            predictions.add(label.as_u64().expect("a label") as u32, logits);
        }
        let class_names: Vec<String> = (0..n_classes).map(|class| class.to_string()).collect();
        let found =
            serde_json::to_value(SubsetMetrics::new(class_names, &predictions, None)).expect("plain numbers");
        let keys = [
            "accuracy",
            "balanced_accuracy",
            "macro_f1",
            "kappa",
            "macro_roc_auc",
            "log_loss",
            "brier_score",
        ];
        for key in keys.into_iter().chain(["ece", "ece_debiased"]) {
            assert_same(&found[key], &case[key], &format!("{name}: {key}"));
        }
        for end in 0..2 {
            let key = "accuracy_interval";
            assert_same(&found[key][end], &case[key][end], &format!("{name}: {key} {end}"));
        }
        for (class, golden) in case["per_class"].as_array().expect("classes").iter().enumerate() {
            for key in ["recall", "precision", "specificity", "roc_auc"] {
                let found = &found["per_class"][class.to_string()][key];
                assert_same(found, &golden[key], &format!("{name}: {key} of class {class}"));
            }
        }
    }
}

/// Of 2, 3 and 10 images, and as many patients.
#[test]
fn intervals_of_areas_match_delong_and_obuchowski() {
    let cases = cases("area_intervals.json");
    assert_eq!(cases.len(), 9);
    for case in cases {
        let name = case["name"].as_str().expect("a name");
        let number = |value: &Value| value.as_u64().expect("a whole number") as u32;
        let mut predictions = Predictions::new(2);
        let scores = case["scores"].as_array().expect("scores").iter();
        for (score, label) in scores.zip(case["labels"].as_array().expect("labels")) {
            predictions.add(number(label), [0.0, score.as_f64().expect("a score")].into_iter());
        }
        let patients = case["patients"].as_array();
        let patients: Option<Vec<u32>> = patients.map(|patients| patients.iter().map(number).collect());
        let names = ["0", "1"].map(str::to_owned).to_vec();
        let metrics = SubsetMetrics::new(names, &predictions, patients.as_deref());
        let found = serde_json::to_value(metrics).expect("plain numbers");
        let of_class = &found["per_class"]["1"];
        assert_same(&of_class["roc_auc"], &case["roc_auc"], &format!("{name}: roc_auc"));
        for (object, key) in [(of_class, "roc_auc_interval"), (&found, "macro_roc_auc_interval")] {
            for end in 0..2 {
                let [found, golden] = [&object[key][end], &case["roc_auc_interval"][end]];
                let (found, golden) = (found.as_f64().expect("an end"), golden.as_f64().expect("an end"));
                let err = (found - golden).abs();
                assert!(err <= INTERVAL_TOLERANCE, "{name}, {key} {end}: {found} against {golden}");
            }
        }
    }
}
