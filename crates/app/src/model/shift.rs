//! Whether a batch of images comes from the distribution of the validation images: a two-sample test.
//!
//! Rejection looks at one image. Films of another hospital are usual one by one, and unusual together: this test
//! compares the feature vectors of [`OodDetector`](super::ood::OodDetector), of the batch and of the validation images. The
//! statistic is the energy distance (Székely & Rizzo 2013): twice the mean distance between images of the two, less both
//! mean distances within. How large it is by chance is known from [`N_PERMUTATIONS`] random divisions of all images into two
//! such batches, so that a false alarm has the probability [`SIGNIFICANCE_LEVEL`] whatever the distribution is (Rabanser et
//! al. 2019 compare such tests).
//!
//! Facts of the files are listed where the images differ, and are not part of the test: a model may answer the same to
//! another size, format or quality of JPEG.
//!
//! Images with other class shares differ as a group, and so do training images, which the model knows: a warning names
//! both, the second where it is known.
//!
//! Several films of one patient are more alike than films of several: a batch of few patients may raise a false alarm, and so
//! may one with copies of the same images.

use std::collections::BTreeMap;

use roentgen_tensor::rng::{CounterRng, Purpose};
use serde::Serialize;

use super::batch_summary::BatchSummary;
use super::facts_summary::FactDifference;
use super::model_card::ModelCard;
use crate::terminal::screen::counted;

/// Images that both need at least.
pub(crate) const MIN_IMAGES: usize = 20;
/// Probability of a false alarm.
const SIGNIFICANCE_LEVEL: f64 = 0.01;
/// Random divisions.
const N_PERMUTATIONS: usize = 999;

/// The comparison of a batch with the validation images.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub(crate) struct Shift {
    /// Whether the images differ.
    pub detected: bool,
    /// The probability of a distance as large by chance.
    pub p_value: f64,
    pub batch: Shares,
    pub validation: Shares,
    /// How the files differ, if the images do.
    pub file_facts: Vec<FactDifference>,
}

/// What a model predicts for images.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub(crate) struct Shares {
    pub n_images: usize,
    /// Share of the images for which each class is predicted.
    pub predicted: BTreeMap<String, f64>,
    /// Share of the images that are rejected.
    pub rejected: f64,
}

/// Whether a model has enough validation images to compare others with.
pub(crate) fn has_enough_validation_images(card: &ModelCard) -> bool {
    card.validation.as_ref().is_some_and(|validation| validation.n_images() >= MIN_IMAGES)
}

impl Shift {
    /// Compares a batch with the validation images of a model. `None` where either is too small, or the file of the model
    /// has no validation images.
    pub(crate) fn of(batch: &BatchSummary, card: &ModelCard) -> Option<Self> {
        let validation = card.validation.as_ref()?;
        if batch.n_images().min(validation.n_images()) < MIN_IMAGES {
            return None;
        }
        let p_value =
            p_value(&batch.vectors().collect::<Vec<_>>(), &validation.vectors().collect::<Vec<_>>());
        let detected = p_value <= SIGNIFICANCE_LEVEL;
        let file_facts = match detected {
            true => batch.file_facts().differences(validation.file_facts()),
            false => Vec::new(),
        };
        let shares = |summary: &BatchSummary| Shares::of(summary, &card.class_names);
        let (batch, validation) = (shares(batch), shares(validation));
        Some(Self { detected, p_value, batch, validation, file_facts })
    }

    /// What differs and what follows for images that the metrics of the run were not measured on. `n_trained` of them are known
    /// to be training images of the model.
    pub(crate) fn in_words(&self, n_trained: usize) -> String {
        let known = counted(n_trained, "image");
        let known = (n_trained > 0).then(|| format!("{known} that the model was trained on"));
        format!(
            "{}. The metrics of the run do not hold for these images",
            self.difference(&format!("these {} images", self.batch.n_images), known)
        )
    }

    /// The result for people who do not know statistics, as a sentence or several.
    #[cfg(feature = "serve")]
    pub(crate) fn in_plain_words(&self) -> String {
        let Self { batch, validation, file_facts, .. } = self;
        let reference = "the images that the model was validated with";
        if !self.detected {
            return format!(
                "Taken together, these {} images do not differ noticeably from {reference}.",
                batch.n_images
            );
        }
        let facts: Vec<String> = file_facts.iter().map(FactDifference::in_plain_words).collect();
        let facts = match facts.as_slice() {
            [] => String::new(),
            facts => format!(" On average, the files differ in {}.", facts.join(", ")),
        };
        format!(
            "Taken together, these {} images differ from {reference}, so the results of the model do not hold for them. Answers here: {}. \
             With those images: {}.{facts} Other class shares can cause this, too.",
            batch.n_images,
            batch.in_words(),
            validation.in_words()
        )
    }

    /// What differs and what follows for test images: those of a run, or those that `evaluate` measured. `n_leaked` of them
    /// leaked.
    pub(crate) fn in_words_for_test_set(&self, n_leaked: usize) -> String {
        let leaked = (n_leaked > 0).then(|| format!("{} that leaked", counted(n_leaked, "image")));
        format!(
            "{}. The validation metrics do not hold for such images; the test metrics do",
            self.difference("the test images", leaked)
        )
    }

    /// What differs, and what can be the cause besides the origin of the images; `known` are images that the model knows.
    fn difference(&self, images: &str, known: Option<String>) -> String {
        let Self { p_value, batch, validation, file_facts, .. } = self;
        let facts: Vec<String> = file_facts.iter().map(FactDifference::in_words).collect();
        let facts = match facts.as_slice() {
            [] => String::new(),
            facts => format!(". On average, the files differ in {}", facts.join(", ")),
        };
        format!(
            "{images} differ from the validation images of the model (p = {p_value:.3}, or more if they are of few \
             patients, or some are copies of others). Here: {}. Validation set: {}{facts}. Other class shares can cause this{}",
            batch.in_words(),
            validation.in_words(),
            known.map(|known| format!(", and so can the {known}")).unwrap_or_default()
        )
    }
}

impl Shares {
    fn of(summary: &BatchSummary, class_names: &[String]) -> Self {
        let n_images = summary.n_images();
        let share = |count: usize| count as f64 / n_images as f64;
        let predicted =
            class_names.iter().cloned().zip(summary.n_predicted().iter().map(|&n| share(n))).collect();
        Self { n_images, predicted, rejected: share(summary.n_rejected()) }
    }

    /// Such as `normal 60 %, pneumonia 38 %, rejected 2 %`.
    fn in_words(&self) -> String {
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let classes = self.predicted.iter().map(|(class, &share)| format!("{class} {}", percent(share)));
        let rejected = std::iter::once(format!("rejected {}", percent(self.rejected)));
        classes.chain(rejected).collect::<Vec<_>>().join(", ")
    }
}

/// The probability that two samples of one distribution are as distant as these.
fn p_value(batch: &[&[f32]], validation: &[&[f32]]) -> f64 {
    let all: Vec<&[f32]> = batch.iter().chain(validation).copied().collect();
    let distances = distances(&all);
    let mut order: Vec<usize> = (0..all.len()).collect();
    let observed = energy_distance(&distances, &order, batch.len());
    let mut rng = CounterRng::new(0, Purpose::Permutation, 0, 0);
    let mut n_as_large = 0;
    for _ in 0..N_PERMUTATIONS {
        rng.shuffle(&mut order);
        // The same division in another order may differ by rounding, which must not count as smaller.
        n_as_large +=
            usize::from(energy_distance(&distances, &order, batch.len()) >= observed * (1.0 - 1e-9));
    }
    (1 + n_as_large) as f64 / (1 + N_PERMUTATIONS) as f64
}

/// Distances between all vectors, `(n, n)`, in units of the deviation of each number over all of them.
fn distances(vectors: &[&[f32]]) -> Vec<f64> {
    let n = vectors.len() as f64;
    let deviation = |i: usize| {
        let values = || vectors.iter().map(|vector| f64::from(vector[i]));
        let mean = values().sum::<f64>() / n;
        (values().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt()
    };
    let scale: Vec<f64> = (0..vectors[0].len())
        .map(deviation)
        .map(|deviation| if deviation > 0.0 { 1.0 / deviation } else { 0.0 })
        .collect();
    let between = |a: &[f32], b: &[f32]| {
        let terms =
            a.iter().zip(b).zip(&scale).map(|((&a, &b), scale)| (f64::from(a) - f64::from(b)) * scale);
        terms.map(|x| x * x).sum::<f64>().sqrt()
    };
    vectors.iter().flat_map(|a| vectors.iter().map(|b| between(a, b))).collect()
}

/// The energy distance of the vectors `order[..n_first]` from the others.
fn energy_distance(distances: &[f64], order: &[usize], n_first: usize) -> f64 {
    let n = order.len();
    let mut weights = vec![-1.0 / (n - n_first) as f64; n];
    order[..n_first].iter().for_each(|&at| weights[at] = 1.0 / n_first as f64);
    let rows = distances.chunks_exact(n).zip(&weights);
    -rows.map(|(row, weight)| weight * row.iter().zip(&weights).map(|(d, w)| d * w).sum::<f64>()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of eight numbers around `centre`, which share half of their variance.
    fn vectors(rng: &mut CounterRng, n: usize, centre: f32) -> Vec<Vec<f32>> {
        let mut vector = || {
            let shared = rng.normal();
            (0..8).map(|_| centre + shared + rng.normal()).collect()
        };
        (0..n).map(|_| vector()).collect()
    }

    fn p_of(batch: &[Vec<f32>], validation: &[Vec<f32>]) -> f64 {
        let [batch, validation] =
            [batch, validation].map(|vectors| vectors.iter().map(Vec::as_slice).collect::<Vec<_>>());
        p_value(&batch, &validation)
    }

    #[test]
    fn one_batch_in_a_hundred_of_the_same_distribution_raises_a_false_alarm() {
        let mut n_alarms = 0;
        for number in 0..300 {
            let mut rng = CounterRng::new(number, Purpose::Synthetic, 0, 0);
            let (batch, validation) = (vectors(&mut rng, 20, 0.0), vectors(&mut rng, 40, 0.0));
            n_alarms += usize::from(p_of(&batch, &validation) <= SIGNIFICANCE_LEVEL);
        }
        // 3 expected; 10 or more have a probability below 0.2 %.
        assert!(n_alarms < 10, "{n_alarms} of 300");
    }

    #[test]
    fn twenty_images_from_elsewhere_are_noticed() {
        let mut rng = CounterRng::new(1, Purpose::Synthetic, 0, 0);
        let validation = vectors(&mut rng, 40, 0.0);
        let elsewhere = vectors(&mut rng, 20, 2.0);
        assert!(p_of(&elsewhere, &validation) <= SIGNIFICANCE_LEVEL);
        // The same centre, but all alike.
        let alike = vec![vec![0.1; 8]; 20];
        assert!(p_of(&alike, &validation) <= SIGNIFICANCE_LEVEL);
    }

    #[test]
    fn class_shares_and_known_images_are_named_as_causes() {
        let shares = || Shares { n_images: 20, predicted: BTreeMap::new(), rejected: 0.0 };
        let (batch, validation) = (shares(), shares());
        let shift = Shift { detected: true, p_value: 0.001, batch, validation, file_facts: Vec::new() };
        let end = "The metrics of the run do not hold for these images";
        assert!(
            shift.in_words(0).ends_with(&format!("rejected 0 %. Other class shares can cause this. {end}"))
        );
        let said = shift.in_words(3);
        let known =
            "Other class shares can cause this, and so can the 3 images that the model was trained on. ";
        assert!(said.ends_with(&format!("{known}{end}")), "{said}");
        assert!(shift.in_words_for_test_set(0).contains("shares can cause this. The validation metrics"));
        let said = shift.in_words_for_test_set(1);
        assert!(said.contains("can cause this, and so can the 1 image that leaked. The"), "{said}");
    }

    #[test]
    fn a_number_that_never_varies_is_no_trouble() {
        let same = vec![vec![1.0, 2.0]; 20];
        assert_eq!(p_of(&same, &same), 1.0);
    }
}
