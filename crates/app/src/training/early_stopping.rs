//! Early stopping: ends a run whose validation no longer improves.

use serde::{Deserialize, Serialize};

/// Counts the epochs since validation last improved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct EarlyStopping {
    /// Epochs to wait; `None` never stops.
    limit: Option<usize>,
    waited: usize,
    /// The best score so far, and the smallest loss with it.
    best: Option<(f64, f64)>,
}

impl EarlyStopping {
    /// Stops after `limit` epochs without improvement.
    #[must_use]
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self { limit, waited: 0, best: None }
    }

    /// Whether it can be the state after `epochs` epochs with this limit.
    pub(crate) fn is_valid(&self, limit: Option<usize>, epochs: usize) -> bool {
        let is_finite = self.best.is_none_or(|(score, loss)| score.is_finite() && loss.is_finite());
        self.limit == limit && self.waited <= epochs && is_finite
    }

    /// Takes the validation score of an epoch, the larger the better, and its loss. Returns whether to stop.
    ///
    /// A higher score is an improvement, or the same score with a smaller loss: on a small validation set accuracy stays
    /// the same for many epochs while the loss still falls.
    pub(crate) fn should_stop(&mut self, score: f64, loss: f64) -> bool {
        let is_better = self.best.is_none_or(|(best, least)| score > best || score == best && loss < least);
        if is_better {
            self.best = Some((score, loss));
            self.waited = 0;
        } else {
            self.waited += 1;
        }
        self.limit.is_some_and(|limit| self.waited >= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops_after(limit: Option<usize>, epochs: &[(f64, f64)]) -> Option<usize> {
        let mut early_stopping = EarlyStopping::new(limit);
        epochs
            .iter()
            .position(|&(score, loss)| early_stopping.should_stop(score, loss))
            .map(|index| index + 1)
    }

    #[test]
    fn it_stops_after_the_limit_of_epochs_without_improvement() {
        let epochs =
            [(5., 1.0), (8., 0.9), (8., 0.95), (7., 0.5), (9., 0.8), (9., 0.8), (9., f64::NAN), (9., 0.9)];
        assert_eq!(stops_after(Some(1), &epochs), Some(3));
        assert_eq!(stops_after(Some(2), &epochs), Some(4));
        assert_eq!(stops_after(Some(3), &epochs), Some(8), "the fifth improved, and the count restarted");
        assert_eq!(stops_after(None, &epochs), None);
    }

    #[test]
    fn the_same_score_with_a_smaller_loss_is_an_improvement() {
        assert_eq!(stops_after(Some(1), &[(9., 0.5), (9., 0.4), (9., 0.3)]), None);
    }
}
