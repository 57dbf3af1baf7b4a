//! How good a model is: every metric of a set with its 95 % interval.
//!
//! `confusion` is the confusion matrix, `predictions` has the metrics that need probabilities, `weighted_confusion` those of the
//! matrix, `calibration_error` that of the calibration; `interval` has the intervals of shares, `roc_auc` those of areas,
//! `bootstrap` those of the other metrics, all by `groups` of images.

pub(crate) mod argmax;
mod bootstrap;
mod calibration;
mod calibration_error;
mod confusion;
mod groups;
mod interval;
mod majority_baseline;
mod mean;
mod predictions;
pub(crate) mod quantile;
mod roc_auc;
pub(crate) mod shortcut_audit;
mod softmax;
pub(crate) mod test_metrics;
mod weighted_confusion;

use rayon::prelude::*;
use serde::ser::{Serialize, SerializeMap, Serializer};

pub(crate) use bootstrap::{bootstrap, gain_interval};
pub(crate) use calibration::CalibrationMetrics;
pub use confusion::Confusion;
pub(crate) use groups::Groups;
pub(crate) use interval::Interval;
use interval::share_interval;
pub(crate) use majority_baseline::MajorityBaseline;
pub use predictions::{MetricValues, Predictions};
pub(crate) use predictions::{Scorer, log_loss};
pub(crate) use softmax::softmax;

/// Most classes whose confusion matrix is in `metrics.json`: its size grows with their square. `predictions.jsonl` has the true
/// and the predicted class of every image.
const MAX_MATRIX_CLASSES: usize = 1000;

/// An interval of the accuracy that is wider than this is called wide.
pub(crate) const WIDE_INTERVAL: f64 = 0.1;

/// A metric of a set, or of one of its classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// What it is called in `metrics.json`.
    pub key: &'static str,
    /// What it is called in a table.
    pub name: &'static str,
    /// `None` where it is not defined.
    pub value: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<Interval>,
}

impl Metric {
    fn new(key: &'static str, name: &'static str, value: Option<f64>, interval: Option<Interval>) -> Self {
        Self { key, name, value, interval }
    }

    /// Adds it and its interval to a map.
    fn add_to<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry(self.key, &self.value)?;
        match self.key {
            // Its interval is that of the debiased one.
            "ece" => Ok(()),
            key => map.serialize_entry(&format!("{key}_interval"), &self.interval),
        }
    }
}

/// The metrics of one class against the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassMetrics {
    /// Number of images of the class.
    pub n: u64,
    /// Share of the images of the class that were predicted as it.
    pub recall: Metric,
    /// Share of the images predicted as the class that belong to it.
    pub precision: Metric,
    /// Share of the images of other classes that were not predicted as it.
    pub specificity: Metric,
    /// Area under the ROC curve.
    pub roc_auc: Metric,
}

impl ClassMetrics {
    fn new(
        class: usize,
        predictions: &Predictions,
        groups: &Groups,
        confusion: &Confusion,
        roc_auc: Metric,
    ) -> Self {
        let recall_interval = hit_interval(predictions, groups, |truth, predicted| {
            (truth == class).then_some(predicted == class)
        });
        let precision_interval = hit_interval(predictions, groups, |truth, predicted| {
            (predicted == class).then_some(truth == class)
        });
        let specificity_interval = hit_interval(predictions, groups, |truth, predicted| {
            (truth != class).then_some(predicted != class)
        });
        Self {
            n: confusion.support(class),
            recall: Metric::new("recall", "recall", confusion.recall(class), recall_interval),
            precision: Metric::new("precision", "precision", confusion.precision(class), precision_interval),
            specificity: Metric::new(
                "specificity",
                "specificity",
                confusion.specificity(class),
                specificity_interval,
            ),
            roc_auc,
        }
    }

    /// All of them, in the order of `metrics.json`.
    #[must_use]
    pub fn all(&self) -> [Metric; 4] {
        [self.recall, self.precision, self.specificity, self.roc_auc]
    }
}

/// The metrics of one set, as in `metrics.json`. Every metric is a number under its key; its interval, `[low, high]`,
/// has the same key and `_interval`; only that of `ece` is beside `ece_debiased`. What is not defined is `null`.
#[derive(Clone, Debug, PartialEq)]
pub struct SubsetMetrics {
    /// The classes, in the order of the matrix.
    pub class_names: Vec<String>,
    /// Rows are the true classes, columns the predicted ones.
    pub confusion: Confusion,
    /// Share of correct predictions.
    pub accuracy: Metric,
    /// See [`MetricValues::balanced_accuracy`].
    pub balanced_accuracy: Metric,
    /// See [`MetricValues::macro_f1`].
    pub macro_f1: Metric,
    /// See [`MetricValues::kappa`].
    pub kappa: Metric,
    /// See [`MetricValues::macro_roc_auc`].
    pub macro_roc_auc: Metric,
    /// See [`MetricValues::log_loss`].
    pub log_loss: Metric,
    /// See [`MetricValues::brier_score`].
    pub brier_score: Metric,
    /// See [`MetricValues::ece`]. Only `ece_debiased` has an interval.
    pub ece: Metric,
    /// See [`MetricValues::ece_debiased`].
    pub ece_debiased: Metric,
    /// The metrics of each class.
    pub per_class: Vec<ClassMetrics>,
}

impl SubsetMetrics {
    /// Every metric of the predictions; with `groups`, intervals by groups of images, such as those of a patient.
    #[must_use]
    pub fn new(class_names: Vec<String>, predictions: &Predictions, groups: Option<&[u32]>) -> Self {
        let mut confusion = Confusion::new(predictions.n_classes());
        predictions.pairs().for_each(|(truth, predicted)| confusion.add(truth, predicted));
        let (scorer, groups) = (Scorer::new(predictions), Groups::new(predictions.len(), groups));
        let values = scorer.values();
        let (macro_roc_auc_interval, roc_auc_intervals) = scorer.roc_auc_intervals(&groups);
        let class_metrics = |class: usize| {
            let roc_auc = Metric::new("roc_auc", "ROC AUC", values.roc_auc[class], roc_auc_intervals[class]);
            ClassMetrics::new(class, predictions, &groups, &confusion, roc_auc)
        };
        let per_class: Vec<ClassMetrics> =
            (0..class_names.len()).into_par_iter().map(class_metrics).collect();
        let intervals = scorer.matrix_intervals(&groups, &per_class);
        let CalibrationMetrics { log_loss, brier_score, ece, ece_debiased } =
            CalibrationMetrics::of(&scorer, &groups);
        let accuracy_interval =
            hit_interval(predictions, &groups, |truth, predicted| Some(truth == predicted));
        Self {
            accuracy: Metric::new("accuracy", "accuracy", Some(confusion.accuracy()), accuracy_interval),
            balanced_accuracy: Metric::new(
                "balanced_accuracy",
                "balanced accuracy",
                values.balanced_accuracy,
                intervals.balanced_accuracy,
            ),
            macro_f1: Metric::new("macro_f1", "macro F1", values.macro_f1, intervals.macro_f1),
            kappa: Metric::new("kappa", "Cohen's kappa", values.kappa, intervals.kappa),
            macro_roc_auc: Metric::new(
                "macro_roc_auc",
                "macro ROC AUC",
                values.macro_roc_auc,
                macro_roc_auc_interval,
            ),
            log_loss,
            brier_score,
            ece,
            ece_debiased,
            per_class,
            class_names,
            confusion,
        }
    }

    /// The metrics of the whole set besides the accuracy, in the order of `metrics.json`.
    #[must_use]
    pub fn overall(&self) -> [Metric; 8] {
        [
            self.balanced_accuracy,
            self.macro_f1,
            self.kappa,
            self.macro_roc_auc,
            self.log_loss,
            self.brier_score,
            self.ece,
            self.ece_debiased,
        ]
    }
}

/// Interval of the share of hits among the images for which `is_hit` of the true and the predicted class is defined.
fn hit_interval(
    predictions: &Predictions,
    groups: &Groups,
    is_hit: impl Fn(usize, usize) -> Option<bool>,
) -> Option<Interval> {
    let pairs = predictions.pairs().enumerate();
    let hits = pairs.filter_map(|(image, (truth, predicted))| Some((image, is_hit(truth, predicted)?)));
    share_interval(hits, groups)
}

impl Serialize for SubsetMetrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut part = serializer.serialize_map(None)?;
        part.serialize_entry("n", &self.confusion.n())?;
        self.accuracy.add_to(&mut part)?;
        self.overall().iter().try_for_each(|metric| metric.add_to(&mut part))?;
        part.serialize_entry("per_class", &PerClass(self))?;
        let has_matrix = self.class_names.len() <= MAX_MATRIX_CLASSES;
        part.serialize_entry("confusion", &has_matrix.then(|| self.confusion.rows()))?;
        part.end()
    }
}

/// The classes as a map, in their own order.
struct PerClass<'a>(&'a SubsetMetrics);

impl Serialize for PerClass<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.class_names.iter().zip(&self.0.per_class))
    }
}

impl Serialize for ClassMetrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("n", &self.n)?;
        self.all().iter().try_for_each(|metric| metric.add_to(&mut map))?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::interval::wilson;
    use super::*;

    #[test]
    fn every_figure_keeps_its_key_and_has_its_interval_beside_it() {
        let mut predictions = Predictions::new(2);
        for image in 0..20u32 {
            let logit = f64::from(image % 7) - 3.0;
            predictions.add(image % 2, [logit, -logit].into_iter());
        }
        let metrics = SubsetMetrics::new(vec!["z".into(), "a".into()], &predictions, None);
        let json = serde_json::to_value(&metrics).expect("plain numbers");
        let keys = [
            "accuracy",
            "balanced_accuracy",
            "macro_f1",
            "kappa",
            "macro_roc_auc",
            "log_loss",
            "brier_score",
        ];
        let class_keys = ["recall", "precision", "specificity", "roc_auc"];
        let class = &json["per_class"]["a"];
        assert_eq!((&json["n"], &class["n"]), (&20.into(), &10.into()));
        for (object, key) in
            keys.map(|key| (&json, key)).into_iter().chain(class_keys.map(|key| (class, key)))
        {
            let value = object[key].as_f64().unwrap_or_else(|| panic!("{key} in {json}"));
            let end = |i: usize| object[format!("{key}_interval")][i].as_f64().expect("an end");
            assert!(end(0) <= value && value <= end(1), "{key}: {value} outside {} to {}", end(0), end(1));
        }
        let text = serde_json::to_string(&metrics).expect("plain numbers");
        assert!(text.find("\"z\"") < text.find("\"a\""), "classes in their own order");
    }

    #[test]
    fn means_over_classes_have_no_interval_where_a_class_has_one_image_or_patient() {
        let intervals = |n_rare: u32, patients: Option<&[u32]>| {
            let mut predictions = Predictions::new(3);
            for image in 0..30u32 {
                let label = if image < n_rare { 2 } else { image % 2 };
                let logit = f64::from(image % 7) - 2.0;
                predictions.add(label, (0..3).map(|class| if class == label { logit } else { 0.0 }));
            }
            let names = ["a", "b", "c"].map(str::to_owned).to_vec();
            let metrics = SubsetMetrics::new(names, &predictions, patients);
            [metrics.balanced_accuracy, metrics.macro_f1, metrics.kappa]
                .map(|metric| metric.interval.is_some())
        };
        assert_eq!(intervals(1, None), [false, false, true]);
        assert_eq!(intervals(2, None), [true; 3]);
        let patients: Vec<u32> = (0..30).map(|image| image / 2).collect();
        assert_eq!(intervals(2, Some(&patients)), [false, false, true]);
        assert_eq!(intervals(4, Some(&patients)), [true; 3]);
    }

    /// Two classes have 100 images each, nine in ten correct, and a third class `n_rare`, all correct.
    #[test]
    fn a_rare_class_without_a_mistake_widens_the_means_over_classes() {
        let low_of = |n_rare: u32| {
            let mut predictions = Predictions::new(3);
            for image in 0..200 + n_rare {
                let label = if image < 200 { image % 2 } else { 2 };
                let predicted = if image < 20 { 1 - label } else { label };
                predictions.add(label, (0..3).map(|class| f64::from(class == predicted)));
            }
            let names = ["a", "b", "c"].map(str::to_owned).to_vec();
            let metrics = SubsetMetrics::new(names, &predictions, None);
            [metrics.balanced_accuracy, metrics.macro_f1].map(|Metric { key, value, interval, .. }| {
                let (value, [low, high]) = (value.expect("a value"), interval.expect("an interval"));
                assert!(low < value && value < high && high <= 1.0, "{key}: {low} {value} {high}");
                low
            })
        };
        // After four correct images the next may well be wrong; after 100, hardly.
        assert!(low_of(4).iter().all(|&low| low < 0.83), "{:?}", low_of(4));
        assert!(low_of(100).iter().all(|&low| low > 0.89), "{:?}", low_of(100));
    }

    #[test]
    fn shares_without_groups_have_wilsons_interval_and_with_groups_a_wider_one() {
        let (mut predictions, groups) = (Predictions::new(2), (0..40).map(|i| i / 4).collect::<Vec<u32>>());
        for image in 0..40u32 {
            let predicted = f64::from(image / 4 % 3 == 0);
            predictions.add(image / 4 % 2, [1.0 - predicted, predicted].into_iter());
        }
        let part =
            |groups: Option<&[u32]>| SubsetMetrics::new(vec!["a".into(), "b".into()], &predictions, groups);
        let (plain, grouped) = (part(None), part(Some(&groups)));
        let matrix = &plain.confusion;
        assert_eq!(plain.accuracy.interval, wilson(matrix.n_correct(), 40));
        let ClassMetrics { recall, precision, specificity, .. } = plain.per_class[1];
        assert_eq!(recall.interval, wilson(matrix.count(1, 1), matrix.support(1)));
        assert_eq!(precision.interval, wilson(matrix.count(1, 1), matrix.n_predicted(1)));
        assert_eq!(specificity.interval, wilson(matrix.true_negatives(1), matrix.support(0)));
        let width = |interval: Option<Interval>| interval.map(|[low, high]| high - low).expect("an interval");
        for (plain, grouped) in plain.per_class[1].all().into_iter().zip(grouped.per_class[1].all()) {
            assert!(width(grouped.interval) > 1.2 * width(plain.interval), "{plain:?} and {grouped:?}");
        }
    }

    #[test]
    fn figures_without_a_mistake_have_wilsons_interval_alone() {
        let mut predictions = Predictions::new(2);
        (0..30u32).for_each(|image| {
            predictions.add(image % 2, [[9.0, 0.0], [0.0, 9.0]][image as usize % 2].into_iter())
        });
        let part = SubsetMetrics::new(vec!["a".into(), "b".into()], &predictions, None);
        let json = serde_json::to_value(&part).expect("plain numbers");
        assert!(json["accuracy_interval"][0].as_f64() < Some(0.9) && json["accuracy_interval"][1] == 1.0);
        for key in ["balanced_accuracy", "macro_f1", "kappa", "macro_roc_auc", "log_loss"] {
            assert!(json[key].is_number() && json[format!("{key}_interval")].is_null(), "{key}: {json}");
        }
    }

    #[test]
    fn what_is_not_defined_is_null() {
        let mut predictions = Predictions::new(2);
        predictions.add(0, [1.0, 0.0].into_iter());
        let metrics = SubsetMetrics::new(vec!["a".into(), "b".into()], &predictions, None);
        let json = serde_json::to_value(&metrics).expect("plain numbers");
        for key in ["recall", "recall_interval", "precision", "roc_auc", "roc_auc_interval"] {
            assert!(json["per_class"]["b"][key].is_null(), "{key} in {json}");
        }
    }

    /// Once, the metrics of this many classes took hours.
    #[test]
    fn of_very_many_classes_there_is_no_matrix() {
        let (n_classes, n) = (2_001, 1_000u32);
        let mut predictions = Predictions::new(n_classes);
        for image in 0..n {
            let logit = |class: usize| f64::from(class as u32 == image / 4) - (class as f64) / 1e4;
            predictions.add(image / 2, (0..n_classes).map(logit));
        }
        let names = (0..n_classes).map(|class| class.to_string()).collect();
        let metrics = SubsetMetrics::new(names, &predictions, None);
        let json = serde_json::to_value(&metrics).expect("plain numbers");
        let class = &json["per_class"]["3"];
        assert!(json["confusion"].is_null());
        for (object, key) in
            [(&json, "balanced_accuracy"), (&json, "macro_roc_auc"), (class, "recall"), (class, "roc_auc")]
        {
            assert!(object[key].is_number() && object[format!("{key}_interval")].is_array(), "{key}");
        }
    }
}
