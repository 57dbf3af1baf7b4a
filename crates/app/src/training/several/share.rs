//! How several trainings are shared out, to the tasks of a job array or to ranks.

use std::fmt;
use std::str::FromStr;

use crate::memory::MemoryShare;
use crate::ranks::Ranks;
use crate::ranks::error::RankError;

/// Most shares: a number far above that of the tasks of a job array, for which memory is allocated at once.
const MAX_SHARES: usize = 100_000;

/// One of several shares of the same trainings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// From 1.
    number: usize,
    /// How many shares there are.
    of: usize,
}

impl Share {
    /// The share of this rank.
    pub(crate) fn of_rank(ranks: &Ranks) -> Self {
        Self { number: ranks.rank() + 1, of: ranks.size() }
    }

    /// The positions in this share, in order, of trainings that take this much `work` each, in any unit.
    ///
    /// The longest training is dealt first, and each to the share that has least by then (Graham 1969): no share has more than
    /// 4/3 of what the best division would give it. Equal trainings go round.
    pub(crate) fn positions(self, work: &[f64]) -> Vec<usize> {
        let mut longest_first: Vec<usize> = (0..work.len()).collect();
        longest_first.sort_by(|&one, &other| work[other].total_cmp(&work[one]));
        let mut loads = vec![0.0_f64; self.of];
        let mut own = Vec::new();
        for position in longest_first {
            let least = (0..self.of).min_by(|&one, &other| loads[one].total_cmp(&loads[other]));
            let share = least.expect("at least one share");
            loads[share] += work[position];
            if share + 1 == self.number {
                own.push(position);
            }
        }
        own.sort_unstable();
        own
    }
}

/// The memory of this rank while each of `n_trainings` has a rank of its own, or waits for one. No rank begins before all have
/// measured.
pub(crate) fn memory_of_rank(n_trainings: usize, ranks: &Ranks) -> Result<MemoryShare, RankError> {
    ranks.together(|| Ok(MemoryShare::of(n_trainings.min(ranks.n_on_host()))))
}

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.parse::<usize>().ok();
        let numbers = text.split_once('/').and_then(|(own, of)| number(own).zip(number(of)));
        match numbers {
            Some((_, of)) if of > MAX_SHARES => Err("expected at most 100,000 tasks"),
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err("expected I/N, such as 2/5 for the second of five; tasks are counted from 1"),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(work: &[f64], of: usize) -> Vec<Vec<usize>> {
        (1..=of).map(|number| Share { number, of }.positions(work)).collect()
    }

    #[test]
    fn every_training_is_in_one_share() {
        for n in [0, 1, 5, 20] {
            for of in [1, 2, 3, 7] {
                let work: Vec<f64> = (0..n).map(|i| f64::from(i * 7 % 5)).collect();
                let mut all = shares(&work, of).concat();
                all.sort_unstable();
                assert_eq!(all, (0..work.len()).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn equal_trainings_go_round_and_long_ones_are_divided() {
        assert_eq!(shares(&[1.0; 5], 2), [vec![0, 2, 4], vec![1, 3]]);
        // Every second one is long, as the last setting of a grid is: going round would give one share all of them.
        assert_eq!(shares(&[1.0, 16.0, 1.0, 16.0], 2), [vec![0, 1], vec![2, 3]]);
    }

    #[test]
    fn a_task_is_counted_from_1() {
        assert_eq!("2/5".parse(), Ok(Share { number: 2, of: 5 }));
        assert_eq!("2/5".parse::<Share>().map(|share| share.to_string()), Ok("2/5".to_owned()));
        for wrong in ["0/5", "6/5", "2", "2/", "/5", "a/b", "1/0", "-1/5"] {
            assert!(wrong.parse::<Share>().is_err(), "{wrong}");
        }
        assert!("1/100000".parse::<Share>().is_ok());
        for too_many in ["1/100001", "1/100000000000"] {
            assert_eq!(too_many.parse::<Share>(), Err("expected at most 100,000 tasks"));
        }
    }
}
