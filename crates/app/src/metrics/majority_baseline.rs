//! A model compared with one that always predicts the most frequent class.

use serde::{Deserialize, Serialize};

use super::{Interval, SubsetMetrics};

/// The comparison, on one set of images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MajorityBaseline {
    /// The most frequent class.
    pub class: String,
    /// Its share of the images: the accuracy of always predicting it.
    pub accuracy: f64,
    /// Whether the model is significantly better: the 95 % interval of its accuracy is above.
    pub exceeded: bool,
}

impl MajorityBaseline {
    /// For the images that these metrics are of. `None` without classes.
    #[must_use]
    pub(crate) fn of(metrics: &SubsetMetrics) -> Option<Self> {
        let classes = metrics.class_names.iter().enumerate();
        let counts = classes.map(|(class, name)| (name.as_str(), metrics.confusion.support(class)));
        let n: u64 = counts.clone().map(|(_, count)| count).sum();
        // The first of equals.
        let (class, most) = counts.reduce(|best, next| if next.1 > best.1 { next } else { best })?;
        let accuracy = most as f64 / n as f64;
        let exceeded = metrics.accuracy.interval.is_some_and(|[low, _]| low > accuracy);
        Some(Self { class: class.to_owned(), accuracy, exceeded })
    }

    /// Whether a model whose accuracy has this interval is significantly worse: the interval is below.
    #[must_use]
    pub(crate) fn is_missed(&self, accuracy_interval: Option<Interval>) -> bool {
        accuracy_interval.is_some_and(|[_, high]| high < self.accuracy)
    }
}
