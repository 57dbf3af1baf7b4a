//! Early stopping: an end to a run whose validation no longer gets better.

use serde::{Deserialize, Serialize};

/// Counts the epochs since validation was last better than ever before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct EarlyStopping {
    /// Epochs to wait; for ever if none.
    limit: Option<usize>,
    waited: usize,
    /// The best score so far, and the smallest loss with it.
    best: Option<(f64, f64)>,
}

impl EarlyStopping {
    /// EarlyStopping for `limit` epochs without a better one.
    #[must_use]
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self { limit, waited: 0, best: None }
    }

    /// Hears of an epoch's validation: its score, the larger the better, and its loss. Says whether to stop.
    ///
    /// An epoch is better with a higher score, or with the same and a smaller loss: on a small validation part accuracy
    /// stands still for long while the loss still falls.
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
        let mut patience = EarlyStopping::new(limit);
        epochs.iter().position(|&(score, loss)| patience.should_stop(score, loss)).map(|index| index + 1)
    }

    #[test]
    fn it_ends_after_so_many_epochs_without_a_better_one() {
        let epochs =
            [(5., 1.0), (8., 0.9), (8., 0.95), (7., 0.5), (9., 0.8), (9., 0.8), (9., f64::NAN), (9., 0.9)];
        assert_eq!(stops_after(Some(1), &epochs), Some(3));
        assert_eq!(stops_after(Some(2), &epochs), Some(4));
        assert_eq!(stops_after(Some(3), &epochs), Some(8), "the fifth was better, and the count began anew");
        assert_eq!(stops_after(None, &epochs), None);
    }

    #[test]
    fn a_smaller_loss_of_as_many_right_answers_is_better() {
        assert_eq!(stops_after(Some(1), &[(9., 0.5), (9., 0.4), (9., 0.3)]), None);
    }
}
