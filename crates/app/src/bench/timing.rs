//! Repeats a piece of work until its median is stable.

use std::time::Instant;

/// Times of several runs.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    /// Seconds of each run, ascending.
    pub(super) times_s: Vec<f64>,
    pub(super) median_s: f64,
    pub(super) min_s: f64,
}

/// Fewest runs that are timed.
const MIN_RUNS: usize = 5;
/// Most runs, for work of microseconds.
const MAX_RUNS: usize = 2000;

/// Times `work` for about `budget_s` seconds, after one run that is not counted.
pub(super) fn measure(budget_s: f64, mut work: impl FnMut()) -> Timing {
    work();
    let begin = Instant::now();
    let mut times_s = Vec::new();
    while times_s.len() < MIN_RUNS || (begin.elapsed().as_secs_f64() < budget_s && times_s.len() < MAX_RUNS) {
        let start = Instant::now();
        work();
        times_s.push(start.elapsed().as_secs_f64());
    }
    times_s.sort_unstable_by(f64::total_cmp);
    Timing { median_s: median(&times_s), min_s: times_s[0], times_s }
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
        let timing = measure(0.0, || calls += 1);
        assert_eq!((timing.times_s.len(), calls), (MIN_RUNS, MIN_RUNS + 1));
        assert!(timing.times_s.is_sorted() && timing.min_s <= timing.median_s);
    }

    #[test]
    fn the_median_of_an_even_number_is_a_mean() {
        assert!((median(&[1.0, 2.0, 4.0, 8.0]) - 3.0).abs() < 1e-12);
    }
}
