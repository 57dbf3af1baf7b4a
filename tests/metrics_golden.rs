//! Compares every metric with scikit-learn; `golden/metrics_golden.py` computed its values.

use std::fs;
use std::path::Path;

use roentgen::{Predictions, SubsetMetrics};
use serde_json::Value;

const TOLERANCE: f64 = 1e-9;

fn cases() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/metrics.json");
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
    let cases = cases();
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
