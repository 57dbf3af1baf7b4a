//! Repeats a piece of work and times it.

use std::time::Instant;

/// Times of several runs.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    pub(super) median_s: f64,
    pub(super) min_s: f64,
}

/// Fewest runs of which a median is taken.
const MIN_RUNS: usize = 5;
/// Most runs, for work of microseconds.
const MAX_RUNS: usize = 2000;

/// Times `work` for about `budget_s` seconds.
pub(super) fn measure(budget_s: f64, work: impl FnMut()) -> Timing {
    let mut times_s = times_s(budget_s, MIN_RUNS, work);
    times_s.sort_unstable_by(f64::total_cmp);
    Timing { median_s: median(&times_s), min_s: times_s[0] }
}

/// Seconds of each run of `work`, repeated for about `budget_s` seconds and at least `min_runs` times, after one run that
/// is not counted.
pub(super) fn times_s(budget_s: f64, min_runs: usize, mut work: impl FnMut()) -> Vec<f64> {
    work();
    let begin = Instant::now();
    let mut times_s = Vec::new();
    while times_s.len() < min_runs || (begin.elapsed().as_secs_f64() < budget_s && times_s.len() < MAX_RUNS) {
        let start = Instant::now();
        work();
        times_s.push(start.elapsed().as_secs_f64());
    }
    times_s
}

/// The middle of ascending numbers, or the mean of the two in the middle.
pub(super) fn median(ascending: &[f64]) -> f64 {
    let n = ascending.len();
    f64::midpoint(ascending[(n - 1) / 2], ascending[n / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_is_counted_but_the_first() {
        let mut calls = 0;
        let times_s = times_s(0.0, 3, || calls += 1);
        assert_eq!((times_s.len(), calls), (3, 4));
        let timing = measure(0.0, || calls += 1);
        assert_eq!(calls, 4 + MIN_RUNS + 1);
        assert!(timing.min_s <= timing.median_s);
    }

    #[test]
    fn the_median_of_an_even_number_is_a_mean() {
        assert!((median(&[1.0, 2.0, 4.0, 8.0]) - 3.0).abs() < 1e-12);
    }
}
