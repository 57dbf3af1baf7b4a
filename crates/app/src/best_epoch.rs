//! Which epoch's weights a run keeps: the last one that validation can't tell from the best.
//!
//! The plain maximum over many epochs of an accuracy measured on few images rewards luck: with 25 images one answer is
//! four points, and an epoch from the middle of the schedule, where the learning rate is still high, may win by it.
//! So the one-standard-error rule is used (Breiman et al. 1984, section 3.4.3; Hastie et al. 2009, section 7.10): of all
//! epochs within one standard error of the best validation accuracy, the last, which the schedule has settled most.
//! On thousands of images the standard error vanishes and the rule becomes the maximum.

use crate::metrics::Confusion;

/// Follows the validation accuracy from epoch to epoch.
#[derive(Clone, Copy, Debug, Default)]
pub struct BestEpoch {
    /// Most right answers so far.
    most_right: u64,
}

impl BestEpoch {
    /// Whether the weights of this epoch are to be kept in place of the ones kept before. Without a validation part
    /// the last epoch is kept.
    pub fn keeps(&mut self, val: Option<&Confusion>) -> bool {
        let Some(val) = val else { return true };
        self.most_right = self.most_right.max(val.n_right());
        (self.most_right - val.n_right()) as f64 <= standard_error(self.most_right, val.n())
    }
}

/// Standard error of a number of right answers among `n`, in answers.
///
/// The share is estimated with two answers of each kind added (Agresti and Coull 1998): a perfect score on a few
/// images is no proof of a perfect model.
fn standard_error(n_right: u64, n: u64) -> f64 {
    let n_adjusted = n as f64 + 4.0;
    let share = (n_right as f64 + 2.0) / n_adjusted;
    n as f64 * (share * (1.0 - share) / n_adjusted).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confusion(n_right: usize, n: usize) -> Confusion {
        let mut confusion = Confusion::new(2);
        for image in 0..n {
            confusion.add(0, usize::from(image >= n_right));
        }
        confusion
    }

    fn kept(answers: &[usize], n: usize) -> Option<usize> {
        let mut best = BestEpoch::default();
        let kept: Vec<bool> = answers.iter().map(|&right| best.keeps(Some(&confusion(right, n)))).collect();
        kept.iter().rposition(|&kept| kept)
    }

    #[test]
    fn a_later_epoch_within_one_standard_error_is_kept() {
        // 25 images: the standard error of a perfect score is 1.2 answers.
        assert_eq!(kept(&[20, 25, 24], 25), Some(2));
        assert_eq!(kept(&[20, 25, 23], 25), Some(1));
        assert_eq!(kept(&[25, 20, 21], 25), Some(0));
    }

    #[test]
    fn many_images_tell_small_differences_apart() {
        // 10,000 images, 95 % right: 22 answers.
        assert_eq!(kept(&[9_500, 9_470], 10_000), Some(0));
        assert_eq!(kept(&[9_500, 9_480], 10_000), Some(1));
    }

    #[test]
    fn without_validation_the_last_epoch_is_kept() {
        let mut best = BestEpoch::default();
        assert!(best.keeps(None) && best.keeps(None));
    }
}
