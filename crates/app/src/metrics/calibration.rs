//! The metrics that the temperature of a model changes, with their intervals.

use serde::Serialize;

use super::bootstrap::mean_interval;
use super::groups::Groups;
use super::interval::Interval;
use super::mean::mean;
use super::predictions::{Predictions, Scorer};

/// How well probabilities are calibrated: see [`MetricValues`](super::MetricValues). Intervals are 95 %, by groups of
/// images. That of the calibration error belongs to the debiased one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct CalibrationMetrics {
    pub ece: Option<f64>,
    pub ece_debiased: Option<f64>,
    pub ece_debiased_interval: Option<Interval>,
    pub log_loss: Option<f64>,
    pub log_loss_interval: Option<Interval>,
    pub brier_score: Option<f64>,
    pub brier_score_interval: Option<Interval>,
}

impl CalibrationMetrics {
    /// The metrics of the predictions.
    #[must_use]
    pub(crate) fn new(predictions: &Predictions, groups: &Groups) -> Self {
        let scorer = Scorer::new(predictions);
        let bins = scorer.bins();
        let [log_loss_interval, brier_score_interval, ece_debiased_interval] =
            calibration_intervals(&scorer, groups);
        Self {
            ece: bins.ece(),
            ece_debiased: bins.debiased(),
            ece_debiased_interval,
            log_loss: mean(scorer.log_losses().into_iter()),
            log_loss_interval,
            brier_score: mean(scorer.brier_scores().into_iter()),
            brier_score_interval,
        }
    }
}

/// Of the log loss, the Brier score and the debiased calibration error.
pub(super) fn calibration_intervals(scorer: &Scorer<'_>, groups: &Groups) -> [Option<Interval>; 3] {
    [
        mean_interval(&scorer.log_losses(), groups),
        // With few images the bootstrap goes beyond what is possible.
        mean_interval(&scorer.brier_scores(), groups)
            .filter(|[_, high]| *high < scorer.largest_brier_score()),
        scorer.ece_interval(groups),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_images_that_do_not_bound_the_brier_score_have_no_interval_of_it() {
        for n_classes in [2, 3] {
            // Four images that are predicted almost alike: resamples of these alone have huge ratios of mean to error.
            let mut predictions = Predictions::new(n_classes);
            for (label, logit) in [(0, 4.0), (0, 4.001), (0, 4.0), (0, 4.0), (1, 3.0)] {
                predictions.add(label, (0..n_classes).map(|class| if class == 0 { logit } else { 0.0 }));
            }
            let metrics = CalibrationMetrics::new(&predictions, &Groups::new(5, None));
            assert!(metrics.brier_score.is_some() && metrics.brier_score_interval.is_none());
        }
    }
}
