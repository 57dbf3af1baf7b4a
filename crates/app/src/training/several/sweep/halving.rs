//! The rungs of successive halving (Jamieson & Talwalkar 2016): all settings are trained for few epochs, the best part of them
//! for several times as many, and so on up to whole trainings. All rungs take about the same time.
//!
//! The next rung begins when all trainings of the rung before have ended. ASHA (Li et al. 2020) does not wait: it promotes what is
//! best so far, which keeps many machines busy, but its choice depends on which training ends first, and so on the speed of
//! machines. Here the same space gives the same result everywhere.

use crate::config::search_space::Halving;
use crate::run_dir::sweep_record::RungRecord;

/// The rungs for `n` settings whose whole trainings have at least `epochs` epochs. With fewer than two rungs there is nothing to
/// halve.
pub(super) fn rungs(n: usize, epochs: usize, halving: Option<Halving>) -> Vec<RungRecord> {
    let Some(Halving { factor, min_epochs }) = halving else {
        return vec![RungRecord { n_trainings: n, epochs_divisor: 1 }];
    };
    let mut rungs = Vec::new();
    let (mut n_left, mut divisor) = (n, 1);
    while n_left >= 1 && epochs / divisor >= min_epochs {
        rungs.push(RungRecord { n_trainings: n_left, epochs_divisor: divisor });
        (n_left, divisor) = (n_left / factor, divisor * factor);
    }
    // The first rung has the largest divisor.
    let divisors: Vec<usize> = rungs.iter().rev().map(|rung| rung.epochs_divisor).collect();
    rungs.iter_mut().zip(divisors).for_each(|(rung, divisor)| rung.epochs_divisor = divisor);
    rungs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(n: usize, epochs: usize, factor: usize, min_epochs: usize) -> Vec<(usize, usize)> {
        let rungs = rungs(n, epochs, Some(Halving { factor, min_epochs }));
        rungs.iter().map(|rung| (rung.n_trainings, rung.epochs_divisor)).collect()
    }

    #[test]
    fn rungs_have_fewer_trainings_of_more_epochs() {
        assert_eq!(shape(27, 27, 3, 1), [(27, 27), (9, 9), (3, 3), (1, 1)]);
        assert_eq!(shape(20, 40, 3, 2), [(20, 9), (6, 3), (2, 1)]);
        assert_eq!(shape(16, 12, 2, 3), [(16, 4), (8, 2), (4, 1)], "too few epochs for one more");
    }

    #[test]
    fn too_few_trainings_or_epochs_have_one_rung() {
        assert_eq!(shape(2, 100, 3, 1), [(2, 1)]);
        assert_eq!(shape(100, 5, 3, 2), [(100, 1)]);
        assert!(shape(100, 5, 3, 6).is_empty());
        assert_eq!(rungs(7, 5, None), [RungRecord { n_trainings: 7, epochs_divisor: 1 }]);
    }
}
