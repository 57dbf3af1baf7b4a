//! The metrics that the temperature of a model changes, with their intervals.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Metric;
use super::bootstrap::mean_interval;
use super::groups::Groups;
use super::mean::mean;
use super::predictions::{Predictions, Scorer};

/// How well probabilities are calibrated: see [`MetricValues`](super::MetricValues). Intervals are 95 %, by groups of
/// images. That of the calibration error belongs to the debiased one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CalibrationMetrics {
    pub ece: Metric,
    pub ece_debiased: Metric,
    pub log_loss: Metric,
    pub brier_score: Metric,
}

impl CalibrationMetrics {
    /// The metrics of the predictions.
    #[must_use]
    pub(crate) fn new(predictions: &Predictions, groups: &Groups) -> Self {
        Self::of(&Scorer::new(predictions), groups)
    }

    pub(super) fn of(scorer: &Scorer<'_>, groups: &Groups) -> Self {
        let (bins, log_losses, brier_scores) = (scorer.bins(), scorer.log_losses(), scorer.brier_scores());
        let log_loss_interval = mean_interval(&log_losses, groups);
        // With few images the bootstrap goes beyond what is possible.
        let brier_score_interval =
            mean_interval(&brier_scores, groups).filter(|[_, high]| *high < scorer.largest_brier_score());
        let (log_loss, brier_score) = (mean(log_losses.into_iter()), mean(brier_scores.into_iter()));
        Self {
            ece: Metric::new("ece", "expected calibration error (ECE)", bins.ece(), None),
            ece_debiased: Metric::new(
                "ece_debiased",
                "ECE without bias",
                bins.debiased(),
                scorer.ece_interval(groups),
            ),
            log_loss: Metric::new("log_loss", "log loss", log_loss, log_loss_interval),
            brier_score: Metric::new("brier_score", "Brier score", brier_score, brier_score_interval),
        }
    }
}

impl Serialize for CalibrationMetrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let all = [self.ece, self.ece_debiased, self.log_loss, self.brier_score];
        all.iter().try_for_each(|metric| metric.add_to(&mut map))?;
        map.end()
    }
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
            assert!(metrics.brier_score.value.is_some() && metrics.brier_score.interval.is_none());
        }
    }
}
