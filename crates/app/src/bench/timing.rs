//! Repeats a piece of work until its median can be trusted.

use std::time::Instant;

/// Times of several runs, seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) median_s: f64,
    pub(super) min_s: f64,
    pub(super) max_s: f64,
    pub(super) runs: usize,
}

/// Fewest runs that are timed.
const MIN_RUNS: usize = 5;
/// Most runs, for work of microseconds.
const MAX_RUNS: usize = 1000;

/// Times `work` for about `budget_s` seconds, after one run that is not counted.
pub(super) fn measure(budget_s: f64, mut work: impl FnMut()) -> Timing {
    work();
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < MIN_RUNS || (begin.elapsed().as_secs_f64() < budget_s && times.len() < MAX_RUNS) {
        let start = Instant::now();
        work();
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_unstable_by(f64::total_cmp);
    let runs = times.len();
    let median_s = (times[(runs - 1) / 2] + times[runs / 2]) / 2.0;
    Timing { median_s, min_s: times[0], max_s: times[runs - 1], runs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_is_counted_but_the_first() {
        let mut calls = 0;
        let timing = measure(0.0, || calls += 1);
        assert_eq!((timing.runs, calls), (MIN_RUNS, MIN_RUNS + 1));
        assert!(timing.min_s <= timing.median_s && timing.median_s <= timing.max_s);
    }
}
