//! Mean and standard deviation of every metric over several trainings.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::metrics::SubsetMetrics;
use crate::terminal::screen::{Screen, table};

/// Mean and standard deviation of every metric that all trainings have.
#[derive(Debug, Serialize)]
pub(super) struct Spread {
    mean: BTreeMap<String, f64>,
    /// With one less than the number of trainings as the divisor.
    sd: BTreeMap<String, f64>,
}

impl Spread {
    /// Of at least two trainings, whose main test images have these metrics.
    pub(super) fn new(trainings: &[SubsetMetrics]) -> Self {
        let trainings: Vec<_> = trainings.iter().map(json_object).collect();
        let (mut mean, mut sd) = (BTreeMap::new(), BTreeMap::new());
        for key in trainings[0].keys().filter(|key| *key != "n") {
            let values: Vec<f64> = trainings.iter().filter_map(|metrics| metrics[key].as_f64()).collect();
            if values.len() < trainings.len() {
                continue;
            }
            let n = values.len() as f64;
            let mean_value = values.iter().sum::<f64>() / n;
            let squares: f64 = values.iter().map(|value| (value - mean_value).powi(2)).sum();
            mean.insert(key.clone(), mean_value);
            sd.insert(key.clone(), (squares / (n - 1.0)).sqrt());
        }
        Self { mean, sd }
    }

    /// Shows both as a table; `metrics` has the names of all metrics.
    pub(super) fn show(&self, screen: &Screen, heading: &str, metrics: &SubsetMetrics) {
        let mut rows = vec![[heading, "mean", "sd"].map(str::to_owned).to_vec()];
        let others = metrics.overall().map(|(key, name, ..)| (key, name));
        for (key, name) in std::iter::once(("accuracy", "accuracy")).chain(others) {
            let Some(mean) = self.mean.get(key) else { continue };
            rows.push(vec![name.to_owned(), format!("{mean:.3}"), format!("{:.3}", self.sd[key])]);
        }
        screen.line("");
        for line in table(&rows) {
            screen.line(&format!("  {line}"));
        }
        screen.line("");
    }
}

fn json_object(metrics: &SubsetMetrics) -> serde_json::Map<String, Value> {
    match serde_json::to_value(metrics) {
        Ok(Value::Object(map)) => map,
        _ => unreachable!("metrics of a set are an object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Predictions;

    #[test]
    fn mean_and_sd_are_over_the_trainings() {
        let training = |n_right: u32| {
            let mut predictions = Predictions::new(2);
            (0..4).for_each(|i| predictions.add(u32::from(i >= n_right), [1.0, 0.0].into_iter()));
            SubsetMetrics::new(vec!["a".into(), "b".into()], &predictions, None)
        };
        let Spread { mean, sd } = Spread::new(&[training(2), training(4), training(3)]);
        assert!((mean["accuracy"] - 0.75).abs() < 1e-12 && (sd["accuracy"] - 0.25).abs() < 1e-12);
        assert!(
            !mean.contains_key("n") && !mean.contains_key("macro_roc_auc"),
            "one test set has a single class: {mean:?}"
        );
    }
}
