//! Calibration by one number: logits are divided by a temperature before they become probabilities (Guo et al. 2017).
//!
//! Fitted on the validation set by maximum likelihood. The logits of a model that assumes another class prior than that of the
//! training set are shifted to the prior of the set after they are divided, and only for the fit and its metrics
//! ([`ClassPriors`]): the temperature changes no predicted class.

use rayon::prelude::*;
use serde::Serialize;

use crate::metrics::{CalibrationMetrics, Groups, softmax};
use crate::model::class_priors::ClassPriors;
use crate::model::inference::Evaluation;
use crate::model::predicted_set::PredictedSet;
use crate::model::temperature_limits::{MAX_INVERSE, MIN_INVERSE};

/// Standard deviation of the logarithm of the temperature before any image is known: most networks are calibrated by a
/// factor between 1/2 and 3 (Guo et al. 2017, figure 2 and after). With hundreds of images it no longer matters; without
/// it, a small validation set without a mistake would lead to the temperature 0.
const LOG_TEMPERATURE_SD: f64 = 0.5;

/// The most likely temperature given the labels of an evaluation, from around 1; 1 without images. `log_shift` is that of
/// [`ClassPriors`].
#[must_use]
pub(crate) fn fit(evaluation: &Evaluation, log_shift: Option<&[f64]>) -> f64 {
    if evaluation.is_empty() {
        return 1.0;
    }
    // The loss is convex in the inverse temperature, and so is the penalty below e. Above, the penalty falls off in slope, but
    // always rises: where the slope of the sum changes sign, the sum is least, or at least a local minimum.
    let (mut low, mut high) = (MIN_INVERSE, MAX_INVERSE);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if slope(evaluation, log_shift, middle) > 0.0 { high = middle } else { low = middle }
    }
    2.0 / (low + high)
}

/// Derivative, with respect to the inverse temperature, of the summed loss plus the penalty of [`LOG_TEMPERATURE_SD`]; for
/// each image, the mean logit under the probabilities minus the logit of its label.
fn slope(evaluation: &Evaluation, log_shift: Option<&[f64]>, inverse: f64) -> f64 {
    let image_slope = |image: usize| {
        let probabilities = softmax(evaluation.shifted_logits(image, 1.0 / inverse, log_shift).collect());
        let (label, logits) = evaluation.image(image);
        let terms = logits.iter().zip(probabilities);
        let mean: f64 = terms.map(|(&logit, probability)| f64::from(logit) * probability).sum();
        mean - f64::from(logits[label])
    };
    let image_slopes: Vec<f64> = (0..evaluation.len()).into_par_iter().map(image_slope).collect();
    image_slopes.iter().sum::<f64>()
        + libm::log(inverse) / (LOG_TEMPERATURE_SD * LOG_TEMPERATURE_SD * inverse)
}

/// The effect of the temperature, for `metrics.json`. The metrics of each set are for its own class prior, unless predictions
/// assume that of the training set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Calibration {
    /// What logits are divided by.
    pub temperature: f64,
    /// On the validation set, to which it was fitted.
    pub val: BeforeAfter,
    /// On the main images of the test set.
    pub test: Option<BeforeAfter>,
}

/// Calibration metrics at temperature 1 and at the fitted one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct BeforeAfter {
    /// Number of images.
    pub n: usize,
    /// At temperature 1.
    pub before: CalibrationMetrics,
    /// At the fitted temperature.
    pub after: CalibrationMetrics,
}

impl Calibration {
    /// The calibration of a run; none without a validation set.
    #[must_use]
    pub(crate) fn new(
        temperature: f64,
        priors: &ClassPriors,
        val: Option<&PredictedSet>,
        test: Option<&PredictedSet>,
    ) -> Option<Self> {
        let before_after = |set: &PredictedSet| {
            let evaluation = &set.evaluation;
            let groups = Groups::new(evaluation.len(), set.groups().ids());
            let log_shift = priors.log_shift(&evaluation.class_counts());
            let reliability = |temperature: f64| {
                let predictions = evaluation.shifted_predictions(temperature, log_shift.as_deref());
                CalibrationMetrics::new(&predictions, &groups)
            };
            BeforeAfter { n: evaluation.len(), before: reliability(1.0), after: reliability(temperature) }
        };
        val.map(|val| Self {
            temperature,
            val: before_after(val),
            test: test.map(|test| before_after(&test.main())),
        })
    }
}

#[cfg(test)]
mod tests {
    use roentgen_tensor::rng::{CounterRng, Purpose};

    use super::*;
    use crate::model::temperature_limits::is_at_limit;

    /// Images whose labels are drawn from the probabilities of their logits, which are then multiplied by `scale`.
    fn with_scaled_logits(scale: f32, n: usize) -> Evaluation {
        let mut rng = CounterRng::new(1, Purpose::Synthetic, 0, 0);
        let mut evaluation = Evaluation::new(3);
        for _ in 0..n {
            let logits: [f32; 3] = std::array::from_fn(|_| 2.0 * rng.normal());
            let sum: f32 = logits.iter().map(|logit| logit.exp()).sum();
            let mut left = rng.uniform() * sum;
            let label = logits.iter().position(|logit| {
                left -= logit.exp();
                left < 0.0
            });
            evaluation.add(label.unwrap_or(2) as u32, &logits.map(|logit| scale * logit));
        }
        evaluation
    }

    #[test]
    fn the_temperature_of_scaled_logits_is_found() {
        for scale in [0.5, 1.0, 3.0] {
            let found = fit(&with_scaled_logits(scale, 4_000), None);
            assert!((found / f64::from(scale) - 1.0).abs() < 0.08, "{found} for {scale}");
            assert!(!is_at_limit(found), "{found}");
        }
    }

    #[test]
    fn calibration_improves_and_predicted_classes_stay() {
        let overconfident = with_scaled_logits(3.0, 2_000);
        let temperature = fit(&overconfident, None);
        let groups = Groups::new(overconfident.len(), None);
        let error = |temperature: f64| {
            CalibrationMetrics::new(&overconfident.predictions(temperature), &groups).ece.value
        };
        assert!(error(temperature) < Some(0.03) && error(1.0) > Some(0.1), "{:?}", error(temperature));
        assert!(overconfident.predictions(1.0).pairs().eq(overconfident.predictions(temperature).pairs()));
    }

    #[test]
    fn a_search_without_a_minimum_ends_at_a_limit() {
        let fitted = |n: usize, logits: [f32; 2]| {
            let mut evaluation = Evaluation::new(2);
            (0..n).for_each(|_| evaluation.add(0, &logits));
            fit(&evaluation, None)
        };
        // Each is certain and wrong; each is right and nearly undecided.
        let (wrong, undecided) = (fitted(10, [0.0, 1000.0]), fitted(10_000, [0.01, 0.0]));
        assert!((wrong - 20.0).abs() < 1e-6 && is_at_limit(wrong), "{wrong}");
        assert!((undecided - 0.2).abs() < 1e-6 && is_at_limit(undecided), "{undecided}");
        assert!(![0.21, 1.0, 19.9].into_iter().any(is_at_limit));
    }

    #[test]
    fn few_images_move_the_temperature_little() {
        // Ten without a mistake do not make the model certain, and one mistake does not make it doubt everything.
        let mut perfect = Evaluation::new(2);
        (0..10).for_each(|image| perfect.add(image % 2, &[[4.0, 0.0], [0.0, 4.0]][image as usize % 2]));
        let mut flawed = perfect.clone();
        flawed.add(0, &[0.0, 4.0]);
        let (perfect, flawed) = (fit(&perfect, None), fit(&flawed, None));
        assert!((0.7..1.0).contains(&perfect) && (1.0..2.0).contains(&flawed), "{perfect} and {flawed}");
        assert_eq!(fit(&Evaluation::new(2), None), 1.0);
    }
}
