//! Mean and standard deviation of every metric over several trainings.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::metrics::SubsetMetrics;
use crate::metrics::test_metrics::{TEST, TEST_WITHOUT_LEAKAGE, TestMetrics};
use crate::terminal::screen::{Screen, table};

/// The metrics of the main test images of one training, as in the `metrics.json` of all.
#[derive(Debug, Serialize)]
pub(super) struct MainMetrics {
    /// The set that the metrics are about: [`TEST_WITHOUT_LEAKAGE`], or [`TEST`] if no image leaked, or all did.
    main_set: &'static str,
    /// Test images that leaked.
    pub(super) n_leaked: usize,
    #[serde(flatten)]
    pub(super) metrics: SubsetMetrics,
}

impl MainMetrics {
    pub(super) fn new(test: &TestMetrics) -> Self {
        Self { main_set: test.main_set, n_leaked: test.n_leaked, metrics: test.main().clone() }
    }

    fn have_all_leaked(&self) -> bool {
        self.n_leaked > 0 && self.n_leaked as u64 == self.metrics.confusion.n() && self.main_set == TEST
    }
}

/// Mean and standard deviation of every metric over the trainings, of those that all of them have.
#[derive(Debug, Serialize)]
pub(super) struct Spread {
    mean: BTreeMap<String, f64>,
    /// With one less than the number of trainings as the divisor.
    sd: BTreeMap<String, f64>,
    /// The other metrics, each with the number of trainings in which it is undefined.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    n_undefined: BTreeMap<String, usize>,
    /// Trainings.
    #[serde(skip)]
    n: usize,
    /// Whether images that leaked are left out.
    #[serde(skip)]
    is_deduplicated: bool,
    /// Trainings of which every test image leaked.
    #[serde(skip)]
    n_all_leaked: usize,
}

impl Spread {
    /// The spread over at least two trainings.
    pub(super) fn new<'a>(trainings: impl Iterator<Item = &'a MainMetrics>) -> Self {
        let trainings: Vec<&MainMetrics> = trainings.collect();
        let mut spread = Self {
            mean: BTreeMap::new(),
            sd: BTreeMap::new(),
            n_undefined: BTreeMap::new(),
            n: trainings.len(),
            is_deduplicated: trainings.iter().any(|training| training.main_set == TEST_WITHOUT_LEAKAGE),
            n_all_leaked: trainings.iter().filter(|training| training.have_all_leaked()).count(),
        };
        let objects: Vec<_> = trainings.iter().map(|training| json_object(&training.metrics)).collect();
        for (key, _) in named(&trainings[0].metrics) {
            let values: Vec<f64> = objects.iter().filter_map(|metrics| metrics[key].as_f64()).collect();
            if values.len() < objects.len() {
                spread.n_undefined.insert(key.to_owned(), objects.len() - values.len());
                continue;
            }
            let n = values.len() as f64;
            let mean_value = values.iter().sum::<f64>() / n;
            let squares: f64 = values.iter().map(|value| (value - mean_value).powi(2)).sum();
            spread.mean.insert(key.to_owned(), mean_value);
            spread.sd.insert(key.to_owned(), (squares / (n - 1.0)).sqrt());
        }
        spread
    }

    /// Shows both as a table; `metrics` has the names of all metrics, and `parts` are the trainings in words.
    pub(super) fn show(&self, screen: &Screen, heading: &str, parts: &str, metrics: &SubsetMetrics) {
        let without = if self.is_deduplicated { ", without images that leaked" } else { "" };
        let heading = format!("{heading}{without}");
        let mut rows = vec![[heading.as_str(), "mean", "sd"].map(str::to_owned).to_vec()];
        for (key, name) in named(metrics) {
            let [mean, sd] = match (self.mean.get(key), self.sd.get(key), self.n_undefined.get(key)) {
                (Some(mean), Some(sd), _) => [format!("{mean:.3}"), format!("{sd:.3}")],
                (_, _, Some(n)) => ["-".to_owned(), format!("undefined in {n} of {}", self.n)],
                _ => continue,
            };
            rows.push(vec![name.to_owned(), mean, sd]);
        }
        screen.line("");
        screen.indented(&table(&rows));
        if let Some(text) = self.leakage_in_words(parts) {
            screen.field("LEAKAGE", &text);
        }
        screen.line("");
    }

    /// Which trainings have no test image that did not leak.
    fn leakage_in_words(&self, parts: &str) -> Option<String> {
        let Self { n, n_all_leaked, .. } = self;
        match n_all_leaked {
            0 => None,
            _ if n_all_leaked == n => {
                Some("every test image leaked, so these metrics say nothing about other images".to_owned())
            }
            _ => Some(format!(
                "every test image of {n_all_leaked} of {n} {parts} leaked; mean and sd include them"
            )),
        }
    }
}

/// Key and name of the metrics of a set.
fn named(metrics: &SubsetMetrics) -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = std::iter::once(metrics.accuracy).chain(metrics.overall());
    all.map(|metric| (metric.key, metric.name))
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

    /// A training with four test images, all of which the model takes for the first class.
    fn training(n_correct: u32, main_set: &'static str, n_leaked: usize) -> MainMetrics {
        let mut predictions = Predictions::new(2);
        (0..4).for_each(|i| predictions.add(u32::from(i >= n_correct), [1.0, 0.0].into_iter()));
        let metrics = SubsetMetrics::new(vec!["a".into(), "b".into()], &predictions, None);
        MainMetrics { main_set, n_leaked, metrics }
    }

    #[test]
    fn mean_and_sd_are_over_the_trainings() {
        let trainings = [2, 4, 3].map(|n_correct| training(n_correct, TEST, 0));
        let Spread { mean, sd, n_undefined, .. } = Spread::new(trainings.iter());
        assert!((mean["accuracy"] - 0.75).abs() < 1e-12 && (sd["accuracy"] - 0.25).abs() < 1e-12);
        assert!(
            !mean.contains_key("n") && !mean.contains_key("macro_roc_auc"),
            "one test set has a single class: {mean:?}"
        );
        assert_eq!(n_undefined["macro_roc_auc"], 1, "{n_undefined:?}");
        assert_eq!(mean.len() + n_undefined.len(), named(&trainings[0].metrics).count());
    }

    #[test]
    fn trainings_of_which_every_test_image_leaked_are_named() {
        let spread = |trainings: [(&'static str, usize); 2]| {
            let trainings = trainings.map(|(main_set, n_leaked)| training(2, main_set, n_leaked));
            Spread::new(trainings.iter())
        };
        assert_eq!(spread([(TEST, 0), (TEST_WITHOUT_LEAKAGE, 3)]).leakage_in_words("folds"), None);
        let one = spread([(TEST, 0), (TEST, 4)]);
        assert!(one.leakage_in_words("folds").is_some_and(|text| text.contains("1 of 2 folds")));
        let all = spread([(TEST, 4), (TEST, 4)]);
        assert!(!all.is_deduplicated);
        let text = all.leakage_in_words("folds").expect("a sentence");
        assert!(text.starts_with("every test image leaked"), "{text}");
    }
}
