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

/// A percentile, in milliseconds, of the ascending `times_s`; `share` is 0 to 1.
pub(super) fn percentile_ms(times_s: &[f64], share: f64) -> f64 {
    let position = share * (times_s.len() - 1) as f64;
    let (below, above) = (times_s[position.floor() as usize], times_s[position.ceil() as usize]);
    (below + (above - below) * position.fract()) * 1e3
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
    fn percentiles_are_interpolated() {
        let times_s = [0.001, 0.002, 0.004];
        let found = [0.0, 0.25, 0.5, 1.0].map(|share| percentile_ms(&times_s, share));
        for (found, expected) in found.into_iter().zip([1.0, 1.5, 2.0, 4.0]) {
            assert!((found - expected).abs() < 1e-9, "{found} against {expected}");
        }
        assert!((median(&[1.0, 2.0, 4.0, 8.0]) - 3.0).abs() < 1e-12);
    }
}
