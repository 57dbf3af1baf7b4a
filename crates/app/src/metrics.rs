//! How good a model is: confusion matrix, accuracy, recall and precision.

use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

/// How often each class was taken for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    n_classes: usize,
    /// `counts[truth * n_classes + predicted]`.
    counts: Vec<u64>,
}

impl Confusion {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(n_classes: usize) -> Self {
        Self { n_classes, counts: vec![0; n_classes * n_classes] }
    }

    /// Counts one image.
    ///
    /// # Panics
    /// If a class is out of range.
    pub fn add(&mut self, truth: usize, predicted: usize) {
        assert!(truth < self.n_classes && predicted < self.n_classes, "class {truth} or {predicted}");
        self.counts[truth * self.n_classes + predicted] += 1;
    }

    /// How many images of class `truth` were taken for `predicted`.
    #[must_use]
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts[truth * self.n_classes + predicted]
    }

    /// Number of classes.
    #[must_use]
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// Number of images.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Number of images that were taken for what they are.
    #[must_use]
    pub fn n_right(&self) -> u64 {
        (0..self.n_classes).map(|class| self.count(class, class)).sum()
    }

    /// Share of the images that were taken for what they are; 0 of none.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        share(self.n_right(), self.n()).unwrap_or(0.0)
    }

    /// Images of `class`.
    #[must_use]
    pub fn n_of(&self, class: usize) -> u64 {
        (0..self.n_classes).map(|predicted| self.count(class, predicted)).sum()
    }

    /// Share of the images of `class` that were found; none where there is no such image.
    #[must_use]
    pub fn recall(&self, class: usize) -> Option<f64> {
        share(self.count(class, class), self.n_of(class))
    }

    /// Share of the images taken for `class` that are; none where nothing was taken for it.
    #[must_use]
    pub fn precision(&self, class: usize) -> Option<f64> {
        let n_predicted = (0..self.n_classes).map(|truth| self.count(truth, class)).sum();
        share(self.count(class, class), n_predicted)
    }

    /// The matrix, a row per true class.
    #[must_use]
    pub fn rows(&self) -> Vec<&[u64]> {
        self.counts.chunks_exact(self.n_classes).collect()
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// What `metrics.json` says of one part: `{n, accuracy, per_class: {name: {n, recall, precision}}, confusion}`.
#[derive(Clone, Debug, PartialEq)]
pub struct PartMetrics {
    /// The classes, in the order of the matrix.
    pub class_names: Vec<String>,
    /// Rows are the truth, columns the prediction.
    pub confusion: Confusion,
}

impl Serialize for PartMetrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut part = serializer.serialize_struct("PartMetrics", 4)?;
        part.serialize_field("n", &self.confusion.n())?;
        part.serialize_field("accuracy", &self.confusion.accuracy())?;
        part.serialize_field("per_class", &PerClass(self))?;
        part.serialize_field("confusion", &self.confusion.rows())?;
        part.end()
    }
}

/// The classes as a map, in their own order.
struct PerClass<'a>(&'a PartMetrics);

impl Serialize for PerClass<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct OfClass {
            n: u64,
            recall: Option<f64>,
            precision: Option<f64>,
        }
        let PartMetrics { class_names, confusion } = self.0;
        let mut map = serializer.serialize_map(Some(class_names.len()))?;
        for (class, name) in class_names.iter().enumerate() {
            let recall = confusion.recall(class);
            map.serialize_entry(
                name,
                &OfClass { n: confusion.n_of(class), recall, precision: confusion.precision(class) },
            )?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sklearn.metrics.precision_recall_fscore_support` of the same predictions gives precision 2/3, 3/4 and
    /// (undefined) and recall 1, 3/5 and 0.
    fn example() -> Confusion {
        let truth = [0, 0, 1, 1, 1, 1, 1, 2];
        let predicted = [0, 0, 0, 1, 1, 1, 2, 1];
        let mut confusion = Confusion::new(3);
        truth.into_iter().zip(predicted).for_each(|(truth, predicted)| confusion.add(truth, predicted));
        confusion
    }

    #[test]
    fn recall_and_precision_match_scikit_learn() {
        let confusion = example();
        assert_eq!((confusion.n(), confusion.n_right()), (8, 5));
        assert_eq!(confusion.accuracy(), 0.625);
        let recalls: Vec<_> = (0..3).map(|class| confusion.recall(class)).collect();
        assert_eq!(recalls, [Some(1.0), Some(0.6), Some(0.0)]);
        let precisions: Vec<_> = (0..3).map(|class| confusion.precision(class)).collect();
        assert_eq!(precisions, [Some(2.0 / 3.0), Some(0.75), Some(0.0)]);
    }

    #[test]
    fn a_share_of_nothing_is_null() {
        let mut confusion = Confusion::new(2);
        confusion.add(0, 0);
        assert_eq!((confusion.recall(1), confusion.precision(1)), (None, None));
        let metrics = PartMetrics { class_names: vec!["z".into(), "a".into()], confusion };
        let json = serde_json::to_string(&metrics).expect("plain numbers");
        let expected = concat!(
            r#"{"n":1,"accuracy":1.0,"per_class":{"z":{"n":1,"recall":1.0,"precision":1.0},"#,
            r#""a":{"n":0,"recall":null,"precision":null}},"confusion":[[1,0],[0,0]]}"#
        );
        assert_eq!(json, expected);
    }
}
