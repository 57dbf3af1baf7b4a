//! What a model predicts for each image, and every figure that needs more than the confusion matrix.

use std::ops::Range;
use std::sync::OnceLock;

use rayon::prelude::*;

use super::ClassMetrics;
use super::argmax::argmax;
use super::bootstrap::bootstrap;
use super::calibration_error::{Bins, Confidence};
use super::groups::Groups;
use super::interval::Interval;
use super::mean::mean;
use super::roc_auc::{self, Ranking};
use super::softmax::softmax;
use super::weighted_confusion::WeightedConfusion;

/// True class, predicted class and probabilities of the images of a set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predictions {
    n_classes: usize,
    labels: Vec<u32>,
    predicted: Vec<u32>,
    /// `(n, n_classes)`.
    probabilities: Vec<f64>,
}

impl Predictions {
    /// Without images.
    #[must_use]
    pub fn new(n_classes: usize) -> Self {
        Self { n_classes, ..Self::default() }
    }

    /// Without images, with memory for `n`.
    pub(crate) fn with_capacity(n_classes: usize, n: usize) -> Self {
        let (labels, predicted) = (Vec::with_capacity(n), Vec::with_capacity(n));
        Self { n_classes, labels, predicted, probabilities: Vec::with_capacity(n * n_classes) }
    }

    /// Adds an image by its logits; the first of the largest is predicted.
    ///
    /// # Panics
    /// If there are not as many logits as classes.
    pub fn add(&mut self, label: u32, logits: impl Iterator<Item = f64>) {
        let logits: Vec<f64> = logits.collect();
        assert_eq!(logits.len(), self.n_classes, "a logit for each class");
        let predicted = argmax(logits.iter());
        self.add_probabilities(label, predicted as u32, softmax(logits).into_iter());
    }

    /// Adds an image by its probabilities.
    fn add_probabilities(&mut self, label: u32, predicted: u32, probabilities: impl Iterator<Item = f64>) {
        self.labels.push(label);
        self.predicted.push(predicted);
        self.probabilities.extend(probabilities);
    }

    /// The images `keep`, in order.
    #[must_use]
    pub fn only(&self, keep: &[usize]) -> Self {
        let mut only = Self::with_capacity(self.n_classes, keep.len());
        for &image in keep {
            let (label, predicted) = (self.labels[image], self.predicted[image]);
            only.add_probabilities(label, predicted, self.probabilities(image).iter().copied());
        }
        only
    }

    /// Adds all images of another set.
    ///
    /// # Panics
    /// If the classes differ in number.
    pub fn extend(&mut self, other: &Self) {
        assert_eq!(self.n_classes, other.n_classes, "Predictions::extend: classes");
        self.labels.extend(&other.labels);
        self.predicted.extend(&other.predicted);
        self.probabilities.extend(&other.probabilities);
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Number of classes.
    #[must_use]
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// True and predicted class of each image.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.labels
            .iter()
            .zip(&self.predicted)
            .map(|(&label, &predicted)| (label as usize, predicted as usize))
    }

    /// The metrics of all images.
    #[must_use]
    pub fn values(&self) -> MetricValues {
        Scorer::new(self).values()
    }

    /// The probabilities of one image, by class.
    ///
    /// # Panics
    /// If there is no image `image`.
    #[must_use]
    pub fn probabilities(&self, image: usize) -> &[f64] {
        &self.probabilities[image * self.n_classes..][..self.n_classes]
    }
}

/// The metrics that need more than the confusion matrix; `None` where one is not defined.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricValues {
    /// Mean recall of the classes that have images.
    pub balanced_accuracy: Option<f64>,
    /// Mean F1 of the classes that have images.
    pub macro_f1: Option<f64>,
    /// Cohen's kappa: agreement beyond chance.
    pub kappa: Option<f64>,
    /// Mean of the areas under the ROC curves that are defined.
    pub macro_roc_auc: Option<f64>,
    /// Mean negative logarithm of the probability of the truth.
    pub log_loss: Option<f64>,
    /// Mean squared distance of the probabilities from the truth, summed over the classes; with two classes half of
    /// that, as is the custom.
    pub brier_score: Option<f64>,
    /// Expected calibration error: the distance of the probability of the predicted class from the share of correct
    /// predictions, over 15 bins of equal width (Guo et al. 2017).
    pub ece: Option<f64>,
    /// The same without the bias of few images (Kumar et al. 2019).
    pub ece_debiased: Option<f64>,
    /// Area under the ROC curve of each class against the rest.
    pub roc_auc: Vec<Option<f64>>,
}

/// Classes whose influences are added up in one task.
const TASK_CLASSES: usize = 32;

/// Predictions, and each class's images in the order of its probability.
#[derive(Debug)]
pub(crate) struct Scorer<'a> {
    predictions: &'a Predictions,
    /// The ranking for each class, computed when first needed.
    rankings: Vec<OnceLock<Ranking>>,
}

/// The intervals of the metrics of a confusion matrix.
pub(super) struct MatrixIntervals {
    pub balanced_accuracy: Option<Interval>,
    pub macro_f1: Option<Interval>,
    pub kappa: Option<Interval>,
}

/// The areas under the ROC curves of several classes.
struct RocAucs {
    /// Those that are defined.
    defined: Vec<f64>,
    /// The influence of each image on their sum.
    influences: Vec<f64>,
    /// The interval for each class.
    intervals: Vec<Option<Interval>>,
}

impl RocAucs {
    /// Without classes.
    fn new(n_images: usize) -> Self {
        Self { defined: Vec::new(), influences: vec![0.0; n_images], intervals: Vec::new() }
    }

    fn add_influences(&mut self, influences: &[f64]) {
        self.influences.iter_mut().zip(influences).for_each(|(sum, influence)| *sum += influence);
    }
}

impl<'a> Scorer<'a> {
    /// A scorer of these predictions.
    #[must_use]
    pub(crate) fn new(predictions: &'a Predictions) -> Self {
        Self { predictions, rankings: (0..predictions.n_classes).map(|_| OnceLock::new()).collect() }
    }

    /// The images in the order of their probability of `class`.
    fn ranking(&self, class: usize) -> &Ranking {
        self.rankings[class].get_or_init(|| {
            // One column of the table, so that sorting does not jump through all of it.
            let Predictions { n_classes, labels, probabilities, .. } = self.predictions;
            let scores: Vec<f64> = probabilities.iter().skip(class).step_by(*n_classes).copied().collect();
            Ranking::new(&scores, |image| labels[image] as usize == class)
        })
    }

    /// The metrics.
    #[must_use]
    pub(crate) fn values(&self) -> MetricValues {
        let matrix = self.matrix(&vec![1.0; self.predictions.len()]);
        let (roc_auc, bins) = (self.roc_auc_by_class(), self.bins());
        MetricValues {
            balanced_accuracy: matrix.balanced_accuracy(),
            macro_f1: matrix.macro_f1(),
            kappa: matrix.kappa(),
            macro_roc_auc: mean(roc_auc.iter().copied().flatten()),
            log_loss: mean(self.log_losses().into_iter()),
            brier_score: mean(self.brier_scores().into_iter()),
            ece: bins.ece(),
            ece_debiased: bins.debiased(),
            roc_auc,
        }
    }

    /// [`MetricValues::roc_auc`].
    #[must_use]
    pub(crate) fn roc_auc_by_class(&self) -> Vec<Option<f64>> {
        let classes = (0..self.predictions.n_classes).into_par_iter();
        classes.map(|class| self.ranking(class).roc_auc()).collect()
    }

    /// Balanced accuracy, macro F1 and Cohen's kappa when image `i` counts `times[i]` times: their intervals come from the same
    /// samples of a bootstrap.
    fn matrix_metrics(&self, times: &[f64]) -> [Option<f64>; 3] {
        let matrix = self.matrix(times);
        [matrix.balanced_accuracy(), matrix.macro_f1(), matrix.kappa()]
    }

    /// Intervals of balanced accuracy, macro F1 and Cohen's kappa, by groups of images, from those of recall and precision of
    /// each class.
    ///
    /// The bootstrap takes a share without an error for certain: with four images of a rare class that are all right, it never
    /// shows that the next may be wrong. So the means over classes have, beside the interval of the bootstrap, what the ends of
    /// Wilson's intervals of such shares add to it, as squares (the method of variance estimates recovery; Zou and Donner 2008).
    pub(super) fn matrix_intervals(&self, groups: &Groups, per_class: &[ClassMetrics]) -> MatrixIntervals {
        let samples = bootstrap(groups, |times| self.matrix_metrics(times));
        let [balanced_accuracy, macro_f1, kappa] = samples.map(|samples| samples.percentile());
        if !self.has_variance_of_each_class(groups) {
            return MatrixIntervals { balanced_accuracy: None, macro_f1: None, kappa };
        }
        let matrix = self.matrix(&vec![1.0; self.predictions.len()]);
        let [below, above] = [0, 1].map(|end| matrix.unseen(per_class, end));
        let widened = |value: Option<f64>, interval: Option<Interval>, metric: usize| {
            let ([low, high], value) = (interval?, value?);
            let reach = |seen: f64, unseen: f64| libm::hypot(seen.max(0.0), unseen);
            let low = value - reach(value - low, below[metric]);
            Some([low.max(0.0), (value + reach(high - value, above[metric])).min(1.0)])
        };
        MatrixIntervals {
            balanced_accuracy: widened(matrix.balanced_accuracy(), balanced_accuracy, 0),
            macro_f1: widened(matrix.macro_f1(), macro_f1, 1),
            kappa,
        }
    }

    /// Whether each class that has images has two of different groups. A sample of a bootstrap may lack the only image of a
    /// class, and the mean over classes is then one of fewer classes.
    fn has_variance_of_each_class(&self, groups: &Groups) -> bool {
        let n_classes = self.predictions.n_classes;
        let (mut first, mut varies) = (vec![None; n_classes], vec![false; n_classes]);
        for (image, (label, _)) in self.predictions.pairs().enumerate() {
            let group = groups.group(image);
            varies[label] |= *first[label].get_or_insert(group) != group;
        }
        first.iter().zip(varies).all(|(first, varies)| first.is_none() || varies)
    }

    /// Intervals of the areas under the ROC curves: of their mean, and of each class; by groups of images.
    pub(super) fn roc_auc_intervals(&self, groups: &Groups) -> (Option<Interval>, Vec<Option<Interval>>) {
        let n_classes = self.predictions.n_classes;
        let tasks = (0..n_classes.div_ceil(TASK_CLASSES)).into_par_iter();
        let classes_of = |task: usize| task * TASK_CLASSES..((task + 1) * TASK_CLASSES).min(n_classes);
        let task_results: Vec<RocAucs> = tasks.map(|task| self.roc_aucs(classes_of(task), groups)).collect();
        let mut all = RocAucs::new(self.predictions.len());
        for result in task_results {
            all.defined.extend(result.defined);
            all.add_influences(&result.influences);
            all.intervals.extend(result.intervals);
        }
        let n_defined = all.defined.len() as f64;
        all.influences.iter_mut().for_each(|influence| *influence /= n_defined);
        let class_of = |image: usize| self.predictions.labels[image];
        let macro_interval = mean(all.defined.into_iter())
            .and_then(|roc_auc| roc_auc::interval(roc_auc, &all.influences, class_of, groups));
        (macro_interval, all.intervals)
    }

    /// The areas under the ROC curves of some classes.
    fn roc_aucs(&self, classes: Range<usize>, groups: &Groups) -> RocAucs {
        let mut roc_aucs = RocAucs::new(self.predictions.len());
        for class in classes {
            let ranking = self.ranking(class);
            let interval = ranking.roc_auc().and_then(|roc_auc| {
                let influences = ranking.influences(roc_auc);
                roc_aucs.defined.push(roc_auc);
                roc_aucs.add_influences(&influences);
                let side_of = |image: usize| u32::from(self.predictions.labels[image] as usize == class);
                roc_auc::interval(roc_auc, &influences, side_of, groups)
            });
            roc_aucs.intervals.push(interval);
        }
        roc_aucs
    }

    /// The negative logarithm of the probability of the true class, for each image.
    pub(super) fn log_losses(&self) -> Vec<f64> {
        let loss = |(image, (label, _)): (usize, (usize, usize))| {
            log_loss(self.predictions.probabilities(image)[label])
        };
        self.predictions.pairs().enumerate().map(loss).collect()
    }

    /// The squared distance of the probabilities from the true class, for each image.
    pub(super) fn brier_scores(&self) -> Vec<f64> {
        let pairs = self.predictions.pairs().enumerate();
        pairs.map(|(image, (label, _))| self.squared_distance(image, label)).collect()
    }

    fn matrix(&self, times: &[f64]) -> WeightedConfusion {
        let none = vec![0.0; self.predictions.n_classes];
        let mut matrix =
            WeightedConfusion { n_correct: none.clone(), support: none.clone(), n_predicted: none };
        for ((label, predicted), times) in self.predictions.pairs().zip(times) {
            matrix.support[label] += times;
            matrix.n_predicted[predicted] += times;
            if label == predicted {
                matrix.n_correct[label] += times;
            }
        }
        matrix
    }

    fn squared_distance(&self, image: usize, label: usize) -> f64 {
        let probabilities = self.predictions.probabilities(image).iter().enumerate();
        let sum: f64 = probabilities.map(|(class, p)| (p - f64::from(class == label)).powi(2)).sum();
        sum * self.largest_brier_score() / 2.0
    }

    /// The Brier score of an image whose probability is 1 for a wrong class.
    pub(super) fn largest_brier_score(&self) -> f64 {
        if self.predictions.n_classes == 2 { 1.0 } else { 2.0 }
    }

    /// The ROC curve of a class against the rest, from (0, 0) to (1, 1): false against true positive rate, a point for each
    /// probability that occurs. Empty where one of the two has no images.
    #[must_use]
    pub(crate) fn roc_curve(&self, class: usize) -> Vec<[f64; 2]> {
        let labels = &self.predictions.labels;
        let n_positive = labels.iter().filter(|&&label| label as usize == class).count();
        let n_negative = labels.len() - n_positive;
        if n_positive == 0 || n_negative == 0 {
            return Vec::new();
        }
        let (mut true_positives, mut curve) = (0, vec![[0.0, 0.0]]);
        let mut seen = 0;
        for ties in self.ranking(class).ties().rev() {
            true_positives += ties.iter().filter(|ranked| ranked.is_positive).count();
            seen += ties.len();
            let false_positives = seen - true_positives;
            curve.push([
                false_positives as f64 / n_negative as f64,
                true_positives as f64 / n_positive as f64,
            ]);
        }
        curve
    }

    fn confidences(&self) -> impl Iterator<Item = Confidence> {
        self.predictions.pairs().enumerate().map(|(image, (label, predicted))| Confidence {
            probability: self.predictions.probabilities(image)[predicted],
            is_correct: label == predicted,
        })
    }

    pub(super) fn bins(&self) -> Bins {
        Bins::new(self.confidences())
    }

    /// Interval of [`MetricValues::ece_debiased`], by groups of images.
    pub(super) fn ece_interval(&self, groups: &Groups) -> Option<Interval> {
        let bins = self.bins();
        bins.interval(bins.design_effect(self.confidences(), groups))
    }

    /// For each bin of [`MetricValues::ece`] that has images: the mean probability of the predicted class, the share of
    /// correct predictions, and the number of images.
    #[must_use]
    pub(crate) fn reliability(&self) -> Vec<(f64, f64, usize)> {
        let bins = self.bins();
        bins.used().map(|bin| (bin.confidence(), bin.accuracy(), bin.n as usize)).collect()
    }
}

/// The negative logarithm of the probability of the truth; a probability of zero counts as the least difference from one.
pub(crate) fn log_loss(probability: f64) -> f64 {
    -libm::log(probability.max(f64::EPSILON))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_become_probabilities_however_large_they_are() {
        let mut predictions = Predictions::new(3);
        predictions.add(1, [1000.0, 1000.0, -1000.0].into_iter());
        assert_eq!(predictions.probabilities(0), [0.5, 0.5, 0.0]);
        assert_eq!(predictions.pairs().collect::<Vec<_>>(), [(1, 0)]);
    }

    /// Counting an image twice is the same as having it twice.
    #[test]
    fn counting_twice_is_as_good_as_a_duplicate() {
        let images = [(0, [2.0, 1.0, 0.0]), (1, [0.5, 0.6, 0.1]), (2, [0.0, 0.3, 0.2]), (0, [0.1, 0.1, 0.4])];
        let (mut once, mut copied) = (Predictions::new(3), Predictions::new(3));
        let times = [1.0, 2.0, 0.0, 3.0];
        for ((label, logits), times) in images.into_iter().zip(times) {
            once.add(label, logits.into_iter());
            (0..times as usize).for_each(|_| copied.add(label, logits.into_iter()));
        }
        let matrix_metrics = |predictions, times: &[f64]| Scorer::new(predictions).matrix_metrics(times);
        for (weighted, plain) in
            matrix_metrics(&once, &times).into_iter().zip(matrix_metrics(&copied, &[1.0; 6]))
        {
            let (weighted, plain) = (weighted.expect("defined"), plain.expect("defined"));
            assert!((weighted - plain).abs() < 1e-12, "{weighted} {plain}");
        }
    }

    #[test]
    fn a_metric_of_nothing_is_none() {
        let mut predictions = Predictions::new(2);
        predictions.add(0, [1.0, 0.0].into_iter());
        let values = predictions.values();
        assert_eq!((values.roc_auc, values.macro_roc_auc, values.kappa), (vec![None, None], None, None));
        assert_eq!(values.balanced_accuracy, Some(1.0));
        let MetricValues { balanced_accuracy, log_loss, brier_score, ece, ece_debiased, .. } =
            Predictions::new(2).values();
        let undefined = [balanced_accuracy, log_loss, brier_score, ece, ece_debiased];
        assert!(undefined.iter().all(Option::is_none), "{undefined:?}");
    }
}
