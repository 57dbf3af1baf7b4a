//! What a model said of each image, and every figure that needs more than the confusion matrix.
//!
//! All metrics are computed from how often each image counts: once for the metric itself, and as often as it was drawn
//! for a sample of the bootstrap.

/// Bins of the expected calibration error.
const BINS: usize = 15;

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

    /// Adds an image by its logits; the first of the largest is predicted.
    ///
    /// # Panics
    /// If there are not as many logits as classes.
    pub fn add(&mut self, label: u32, logits: impl Iterator<Item = f64>) {
        let logits: Vec<f64> = logits.collect();
        assert_eq!(logits.len(), self.n_classes, "a logit for each class");
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let exponentials: Vec<f64> = logits.iter().map(|logit| libm::exp(logit - largest)).collect();
        let sum: f64 = exponentials.iter().sum();
        let answer = logits.iter().position(|logit| *logit == largest).unwrap_or(0);
        self.add_probabilities(label, answer as u32, exponentials.iter().map(|e| e / sum));
    }

    /// Adds an image by its probabilities.
    fn add_probabilities(&mut self, label: u32, answer: u32, probabilities: impl Iterator<Item = f64>) {
        self.labels.push(label);
        self.predicted.push(answer);
        self.probabilities.extend(probabilities);
    }

    /// The images `keep`, in order.
    #[must_use]
    pub fn only(&self, keep: &[usize]) -> Self {
        let mut only = Self::new(self.n_classes);
        for &image in keep {
            let (label, answer) = (self.labels[image], self.predicted[image]);
            only.add_probabilities(label, answer, self.probabilities(image).iter().copied());
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
        self.labels.iter().zip(&self.predicted).map(|(&label, &answer)| (label as usize, answer as usize))
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
    /// Mean F1 of the classes that have images or predictions.
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
    /// Expected calibration error: the distance of the probability of the predicted class from the share of correct predictions, over
    /// 15 bins of equal width (Guo et al. 2017).
    pub ece: Option<f64>,
    /// Area under the ROC curve of each class against the rest.
    pub roc_auc: Vec<Option<f64>>,
}

impl MetricValues {
    /// All of them in a row, those of the classes last.
    pub(super) fn to_vec(&self) -> Vec<Option<f64>> {
        let Self { balanced_accuracy, macro_f1, kappa, macro_roc_auc, log_loss, brier_score, ece, roc_auc } =
            self;
        let of_all = [balanced_accuracy, macro_f1, kappa, macro_roc_auc, log_loss, brier_score, ece];
        of_all.into_iter().chain(roc_auc).copied().collect()
    }
}

/// Predictions with what is the same for every sample: each class's images in the order of its probability.
#[derive(Debug)]
pub(crate) struct Scorer<'a> {
    predictions: &'a Predictions,
    ascending: Vec<Vec<u32>>,
}

impl<'a> Scorer<'a> {
    /// Sorts the images, once.
    #[must_use]
    pub(crate) fn new(predictions: &'a Predictions) -> Self {
        let order = |class: usize| {
            let mut order: Vec<u32> = (0..predictions.len() as u32).collect();
            let score = |image: u32| predictions.probabilities(image as usize)[class];
            order.sort_by(|&a, &b| score(a).total_cmp(&score(b)));
            order
        };
        Self { predictions, ascending: (0..predictions.n_classes).map(order).collect() }
    }

    /// The metrics when image `i` counts `times[i]` times.
    #[must_use]
    pub(crate) fn values(&self, times: &[f64]) -> MetricValues {
        let matrix = self.matrix(times);
        let roc_auc: Vec<Option<f64>> =
            (0..self.predictions.n_classes).map(|class| self.auc(class, times)).collect();
        let [ece, log_loss, brier_score] = self.calibration(times);
        MetricValues {
            balanced_accuracy: matrix.balanced_accuracy(),
            macro_f1: matrix.macro_f1(),
            kappa: matrix.kappa(),
            macro_roc_auc: mean(roc_auc.iter().copied().flatten()),
            log_loss,
            brier_score,
            ece,
            roc_auc,
        }
    }

    /// Calibration error, log loss and Brier score: those of the [`MetricValues`] that a temperature changes.
    #[must_use]
    pub(crate) fn calibration(&self, times: &[f64]) -> [Option<f64>; 3] {
        let log_loss = |image: usize, label: usize| {
            -libm::log(self.predictions.probabilities(image)[label].max(f64::EPSILON))
        };
        [
            self.ece(times),
            self.mean_over_images(times, log_loss),
            self.mean_over_images(times, |image, label| self.squared_distance(image, label)),
        ]
    }

    fn matrix(&self, times: &[f64]) -> Matrix {
        let n_classes = self.predictions.n_classes;
        let mut counts = vec![0.0; n_classes * n_classes];
        for ((label, answer), times) in self.predictions.pairs().zip(times) {
            counts[label * n_classes + answer] += times;
        }
        Matrix { n_classes, counts }
    }

    fn mean_over_images(&self, times: &[f64], value: impl Fn(usize, usize) -> f64) -> Option<f64> {
        let n: f64 = times.iter().sum();
        let labels = self.predictions.labels.iter().enumerate().zip(times);
        let sum: f64 = labels.map(|((image, &label), times)| times * value(image, label as usize)).sum();
        (n > 0.0).then(|| sum / n)
    }

    fn squared_distance(&self, image: usize, label: usize) -> f64 {
        let probabilities = self.predictions.probabilities(image).iter().enumerate();
        let sum: f64 = probabilities.map(|(class, p)| (p - f64::from(class == label)).powi(2)).sum();
        if self.predictions.n_classes == 2 { sum / 2.0 } else { sum }
    }

    /// The share of pairs of an image of `class` and another one in which the first has the higher probability, a tie
    /// counting half (Hanley and McNeil 1982).
    fn auc(&self, class: usize, times: &[f64]) -> Option<f64> {
        let Predictions { labels, .. } = self.predictions;
        let score = |image: u32| self.predictions.probabilities(image as usize)[class];
        let (mut wins, mut n_of, mut n_rest) = (0.0, 0.0, 0.0);
        for ties in self.ascending[class].chunk_by(|&a, &b| score(a) == score(b)) {
            let (mut of, mut rest) = (0.0, 0.0);
            for &image in ties {
                let times = times[image as usize];
                if labels[image as usize] as usize == class { of += times } else { rest += times }
            }
            wins += of * (n_rest + rest / 2.0);
            n_of += of;
            n_rest += rest;
        }
        (n_of > 0.0 && n_rest > 0.0).then(|| wins / (n_of * n_rest))
    }

    /// The ROC curve of a class against the rest, from (0, 0) to (1, 1): false against true positive rate, a point for each
    /// probability that occurs. Empty where one of the two has no images.
    #[must_use]
    pub(crate) fn roc_curve(&self, class: usize) -> Vec<[f64; 2]> {
        let Predictions { labels, .. } = self.predictions;
        let is_of = |image: u32| labels[image as usize] as usize == class;
        let score = |image: u32| self.predictions.probabilities(image as usize)[class];
        let n_of = self.ascending[class].iter().filter(|&&image| is_of(image)).count();
        let n_rest = labels.len() - n_of;
        if n_of == 0 || n_rest == 0 {
            return Vec::new();
        }
        let descending: Vec<u32> = self.ascending[class].iter().rev().copied().collect();
        let (mut of, mut curve) = (0, vec![[0.0, 0.0]]);
        let mut seen = 0;
        for ties in descending.chunk_by(|&a, &b| score(a) == score(b)) {
            of += ties.iter().filter(|&&image| is_of(image)).count();
            seen += ties.len();
            curve.push([(seen - of) as f64 / n_rest as f64, of as f64 / n_of as f64]);
        }
        curve
    }

    /// Of each bin of [`MetricValues::ece`] that has images: the mean probability of the predicted class, the share of
    /// correct predictions, and the number of images.
    #[must_use]
    pub(crate) fn reliability(&self) -> Vec<(f64, f64, usize)> {
        let mut bins = [(0.0, 0.0, 0); BINS];
        for (image, (label, answer)) in self.predictions.pairs().enumerate() {
            let predicted = self.predictions.probabilities(image)[answer];
            let (sum, right, n) = &mut bins[bin_of(predicted)];
            *sum += predicted;
            *right += f64::from(label == answer);
            *n += 1;
        }
        let used = bins.into_iter().filter(|&(.., n)| n > 0);
        used.map(|(sum, right, n)| (sum / n as f64, right / n as f64, n)).collect()
    }

    fn ece(&self, times: &[f64]) -> Option<f64> {
        // Of each bin, the sum of the predicted probabilities less the number of correct predictions.
        let mut gaps = [0.0; BINS];
        for (image, ((label, answer), times)) in self.predictions.pairs().zip(times).enumerate() {
            let predicted = self.predictions.probabilities(image)[answer];
            gaps[bin_of(predicted)] += times * (predicted - f64::from(label == answer));
        }
        let n: f64 = times.iter().sum();
        (n > 0.0).then(|| gaps.iter().map(|gap| gap.abs()).sum::<f64>() / n)
    }
}

/// The bin of a probability.
fn bin_of(probability: f64) -> usize {
    ((probability * BINS as f64).ceil() as usize).clamp(1, BINS) - 1
}

/// A confusion matrix of images that may count any number of times.
struct Matrix {
    n_classes: usize,
    /// `counts[truth * n_classes + predicted]`.
    counts: Vec<f64>,
}

impl Matrix {
    fn right(&self, class: usize) -> f64 {
        self.counts[class * self.n_classes + class]
    }

    fn n_of(&self, class: usize) -> f64 {
        self.counts[class * self.n_classes..][..self.n_classes].iter().sum()
    }

    fn n_predicted(&self, class: usize) -> f64 {
        self.counts.iter().skip(class).step_by(self.n_classes).sum()
    }

    fn balanced_accuracy(&self) -> Option<f64> {
        let present = (0..self.n_classes).filter(|&class| self.n_of(class) > 0.0);
        mean(present.map(|class| self.right(class) / self.n_of(class)))
    }

    fn macro_f1(&self) -> Option<f64> {
        let either = |class: usize| self.n_of(class) + self.n_predicted(class);
        let met = (0..self.n_classes).filter(|&class| either(class) > 0.0);
        mean(met.map(|class| 2.0 * self.right(class) / either(class)))
    }

    fn kappa(&self) -> Option<f64> {
        let n: f64 = self.counts.iter().sum();
        let agreed: f64 = (0..self.n_classes).map(|class| self.right(class)).sum::<f64>() / n;
        let by_chance =
            (0..self.n_classes).map(|class| self.n_of(class) * self.n_predicted(class)).sum::<f64>();
        let by_chance = by_chance / (n * n);
        (n > 0.0 && by_chance < 1.0).then(|| (agreed - by_chance) / (1.0 - by_chance))
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0u32), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / f64::from(n))
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
        let (weighted, plain) = (Scorer::new(&once).values(&times), Scorer::new(&copied).values(&[1.0; 6]));
        for (weighted, plain) in weighted.to_vec().into_iter().zip(plain.to_vec()) {
            match (weighted, plain) {
                (Some(weighted), Some(plain)) => {
                    assert!((weighted - plain).abs() < 1e-12, "{weighted} {plain}")
                }
                other => assert_eq!(other, (None, None)),
            }
        }
    }

    #[test]
    fn a_metric_of_nothing_is_none() {
        let mut predictions = Predictions::new(2);
        predictions.add(0, [1.0, 0.0].into_iter());
        let values = Scorer::new(&predictions).values(&[1.0]);
        assert_eq!((values.roc_auc, values.macro_roc_auc, values.kappa), (vec![None, None], None, None));
        assert_eq!(values.balanced_accuracy, Some(1.0));
        assert!(Scorer::new(&predictions).values(&[0.0]).to_vec().iter().all(Option::is_none));
    }
}
