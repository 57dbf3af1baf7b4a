//! Early stopping: an end to a run whose validation no longer gets better.

/// Counts the epochs since validation was last better than ever before.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Epochs to wait; for ever if none.
    limit: Option<usize>,
    waited: usize,
    /// Most right answers so far, and the smallest loss among as many.
    best: Option<(u64, f64)>,
}

impl Patience {
    /// Patience for `limit` epochs without a better one.
    #[must_use]
    pub fn new(limit: Option<usize>) -> Self {
        Self { limit, waited: 0, best: None }
    }

    /// Hears of an epoch's validation: how many answers were right, and the loss. Says whether to stop.
    ///
    /// An epoch is better with more right answers, or with as many and a smaller loss: on a small validation part
    /// accuracy stands still for long while the loss still falls.
    pub fn is_over(&mut self, n_right: u64, loss: f64) -> bool {
        let is_better =
            self.best.is_none_or(|(right, least)| n_right > right || n_right == right && loss < least);
        if is_better {
            self.best = Some((n_right, loss));
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

    fn stops_after(limit: Option<usize>, epochs: &[(u64, f64)]) -> Option<usize> {
        let mut patience = Patience::new(limit);
        epochs.iter().position(|&(n_right, loss)| patience.is_over(n_right, loss)).map(|index| index + 1)
    }

    #[test]
    fn it_ends_after_so_many_epochs_without_a_better_one() {
        let epochs = [(5, 1.0), (8, 0.9), (8, 0.95), (7, 0.5), (9, 0.8), (9, 0.8), (9, f64::NAN), (9, 0.9)];
        assert_eq!(stops_after(Some(1), &epochs), Some(3));
        assert_eq!(stops_after(Some(2), &epochs), Some(4));
        assert_eq!(stops_after(Some(3), &epochs), Some(8), "the fifth was better, and the count began anew");
        assert_eq!(stops_after(None, &epochs), None);
    }

    #[test]
    fn a_smaller_loss_of_as_many_right_answers_is_better() {
        assert_eq!(stops_after(Some(1), &[(9, 0.5), (9, 0.4), (9, 0.3)]), None);
    }
}
