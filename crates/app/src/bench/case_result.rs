//! What was measured of one case: by slice as a process prints it, and put together.

use serde::{Deserialize, Serialize};

use crate::metrics::quantile::quantile;

/// What a process prints for one request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Slice {
    /// Milliseconds of each batch; at least one.
    pub(super) times_ms: Vec<f64>,
    /// End of the first step, in seconds since 1970.
    pub(super) first_step_at: f64,
    /// Peak memory of the process so far; `None` if the system does not report it.
    pub(super) peak_rss_mib: Option<f64>,
    /// From the start of the process to the end of its first step; filled in by the parent process.
    #[serde(default)]
    pub(super) first_step_s: f64,
}

/// The result of one case: the slices of one process, put together.
#[derive(Clone, Copy, Debug)]
pub(super) struct CaseResult {
    /// Images per second, from the median time.
    pub(super) images_per_s: f64,
    /// Time per batch.
    pub(super) ms: Percentiles,
    /// Number of timed batches.
    pub(super) runs: usize,
    /// Peak memory of the process; `None` if the system does not report it.
    pub(super) peak_rss_mib: Option<f64>,
    /// From the start of the process to the end of its first step.
    pub(super) first_step_s: f64,
}

/// Milliseconds per batch.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Percentiles {
    pub(super) min: f64,
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl CaseResult {
    /// The result of all batches of these slices, each of `batch` images.
    ///
    /// # Panics
    /// Without slices.
    pub(super) fn of(slices: &[Slice], batch: usize) -> Self {
        let last = slices.last().expect("at least one slice");
        let mut times_ms: Vec<f64> = slices.iter().flat_map(|slice| &slice.times_ms).copied().collect();
        times_ms.sort_unstable_by(f64::total_cmp);
        let [min, p50, p95, p99, max] = [0.0, 0.5, 0.95, 0.99, 1.0].map(|share| quantile(&times_ms, share));
        Self {
            images_per_s: batch as f64 / p50 * 1e3,
            ms: Percentiles { min, p50, p95, p99, max },
            runs: times_ms.len(),
            peak_rss_mib: last.peak_rss_mib,
            first_step_s: last.first_step_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batches_of_all_slices_count() {
        let slice = |times_ms: &[f64], mib| Slice {
            times_ms: times_ms.to_vec(),
            first_step_at: 0.0,
            peak_rss_mib: Some(mib),
            first_step_s: 2.0,
        };
        let result = CaseResult::of(&[slice(&[9.0, 4.0], 10.0), slice(&[1.0, 2.0, 3.0], 11.0)], 8);
        assert_eq!((result.ms.min, result.ms.p50, result.ms.max, result.runs), (1.0, 3.0, 9.0, 5));
        assert!((result.images_per_s - 8000.0 / 3.0).abs() < 1e-9);
        assert_eq!((result.peak_rss_mib, result.first_step_s), (Some(11.0), 2.0));
    }
}
