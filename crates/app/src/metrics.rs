//! How good a model is: every figure of a part with its 95 % interval.
//!
//! `confusion` holds who was taken for whom, `predictions` the figures that need probabilities, `interval` the intervals.

mod confusion;
mod interval;
mod predictions;

use serde::ser::{Serialize, SerializeMap, Serializer};

pub use confusion::Confusion;
pub use interval::{Interval, RESAMPLES, bootstrap, wilson};
pub use predictions::{Figures, Predictions, Scorer};

/// What `metrics.json` says of one part. Every figure keeps its key and is a number; its interval has the same key with
/// `_interval` behind it, `[low, high]`. What is not defined is `null`.
#[derive(Clone, Debug, PartialEq)]
pub struct PartMetrics {
    /// The classes, in the order of the matrix.
    pub class_names: Vec<String>,
    /// Rows are the truth, columns the answer.
    pub confusion: Confusion,
    /// What needs more than the matrix.
    pub figures: Figures,
    /// Of the figures, in the order of [`Figures::to_vec`].
    intervals: Vec<Option<Interval>>,
}

impl PartMetrics {
    /// Every figure of the predictions; with `groups`, intervals by groups of images, such as those of a patient.
    #[must_use]
    pub fn new(class_names: Vec<String>, predictions: &Predictions, groups: Option<&[u32]>) -> Self {
        let mut confusion = Confusion::new(predictions.n_classes());
        predictions.pairs().for_each(|(truth, answer)| confusion.add(truth, answer));
        let scorer = Scorer::new(predictions);
        let figures = scorer.figures(&vec![1.0; predictions.len()]);
        let intervals = bootstrap(predictions.len(), groups, |times| scorer.figures(times).to_vec());
        Self { class_names, confusion, figures, intervals }
    }

    /// Interval of the accuracy.
    #[must_use]
    pub fn accuracy_interval(&self) -> Option<Interval> {
        wilson(self.confusion.n_right(), self.confusion.n())
    }

    /// The figures of the whole part behind the accuracy: key, name, value, interval.
    #[must_use]
    pub fn overall(&self) -> [(&'static str, &'static str, Option<f64>, Option<Interval>); 7] {
        let names = [
            ("balanced_accuracy", "balanced accuracy"),
            ("macro_f1", "macro F1"),
            ("kappa", "Cohen's kappa"),
            ("macro_auc", "macro ROC AUC"),
            ("log_loss", "log loss"),
            ("brier", "Brier score"),
            ("calibration_error", "calibration error"),
        ];
        let values = self.figures.to_vec();
        std::array::from_fn(|i| (names[i].0, names[i].1, values[i], self.intervals[i]))
    }

    /// The figures of one class: key, value, interval.
    #[must_use]
    pub fn of_class(&self, class: usize) -> [(&'static str, Option<f64>, Option<Interval>); 4] {
        let matrix = &self.confusion;
        let right = matrix.count(class, class);
        let (n_of, n_rest) = (matrix.n_of(class), matrix.n() - matrix.n_of(class));
        [
            ("recall", matrix.recall(class), wilson(right, n_of)),
            ("precision", matrix.precision(class), wilson(right, matrix.n_taken_for(class))),
            ("specificity", matrix.specificity(class), wilson(matrix.n_rightly_not(class), n_rest)),
            ("auc", self.figures.auc[class], self.intervals[self.overall().len() + class]),
        ]
    }
}

/// Adds a figure and its interval to a map.
fn entry<M: SerializeMap>(
    map: &mut M,
    key: &str,
    value: Option<f64>,
    interval: Option<Interval>,
) -> Result<(), M::Error> {
    map.serialize_entry(key, &value)?;
    map.serialize_entry(&format!("{key}_interval"), &interval)
}

impl Serialize for PartMetrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut part = serializer.serialize_map(None)?;
        part.serialize_entry("n", &self.confusion.n())?;
        entry(&mut part, "accuracy", Some(self.confusion.accuracy()), self.accuracy_interval())?;
        for (key, _, value, interval) in self.overall() {
            entry(&mut part, key, value, interval)?;
        }
        part.serialize_entry("per_class", &PerClass(self))?;
        part.serialize_entry("confusion", &self.confusion.rows())?;
        part.end()
    }
}

/// The classes as a map, in their own order.
struct PerClass<'a>(&'a PartMetrics);

impl Serialize for PerClass<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.0.class_names.iter().enumerate();
        serializer.collect_map(names.map(|(class, name)| (name, OfClass(self.0, class))))
    }
}

/// One class.
struct OfClass<'a>(&'a PartMetrics, usize);

impl Serialize for OfClass<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(part, class) = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("n", &part.confusion.n_of(class))?;
        for (key, value, interval) in part.of_class(class) {
            entry(&mut map, key, value, interval)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_keeps_its_key_and_has_its_interval_beside_it() {
        let mut predictions = Predictions::new(2);
        for image in 0..20u32 {
            let logit = f64::from(image % 7) - 3.0;
            predictions.add(image % 2, [logit, -logit].into_iter());
        }
        let metrics = PartMetrics::new(vec!["z".into(), "a".into()], &predictions, None);
        let json = serde_json::to_value(&metrics).expect("plain numbers");
        let keys = ["accuracy", "balanced_accuracy", "macro_f1", "kappa", "macro_auc", "log_loss", "brier"];
        let of_class = ["recall", "precision", "specificity", "auc"];
        let class = &json["per_class"]["a"];
        assert_eq!((&json["n"], &class["n"]), (&20.into(), &10.into()));
        for (object, key) in keys.map(|key| (&json, key)).into_iter().chain(of_class.map(|key| (class, key)))
        {
            let value = object[key].as_f64().unwrap_or_else(|| panic!("{key} in {json}"));
            let end = |i: usize| object[format!("{key}_interval")][i].as_f64().expect("an end");
            assert!(end(0) <= value && value <= end(1), "{key}: {value} outside {} to {}", end(0), end(1));
        }
        let text = serde_json::to_string(&metrics).expect("plain numbers");
        assert!(text.find("\"z\"") < text.find("\"a\""), "classes in their own order");
    }

    #[test]
    fn what_is_not_defined_is_null() {
        let mut predictions = Predictions::new(2);
        predictions.add(0, [1.0, 0.0].into_iter());
        let metrics = PartMetrics::new(vec!["a".into(), "b".into()], &predictions, None);
        let json = serde_json::to_value(&metrics).expect("plain numbers");
        for key in ["recall", "recall_interval", "precision", "auc", "auc_interval"] {
            assert!(json["per_class"]["b"][key].is_null(), "{key} in {json}");
        }
    }
}
