//! The peak that shares are relative to: multiply-adds whose operands stay in registers.

use std::hint::black_box;

use rayon::prelude::*;
use wide::f32x16;

use super::timing::measure;

/// Independent sums: enough to hide the latency of a multiply-add, few enough to stay in registers.
const SUMS: usize = if cfg!(target_feature = "avx512f") { 16 } else { 6 };
/// Rounds of one timed run.
const ROUNDS: usize = 4_000_000;

/// Largest rate of f32 multiply-adds on `threads` threads, in GFLOP/s (two operations each).
pub(super) fn measure_gflops(threads: usize) -> f64 {
    let timing = measure(1.0, || {
        (0..threads).into_par_iter().with_max_len(1).for_each(|_| {
            let (factor, term) = (black_box(f32x16::splat(0.999)), black_box(f32x16::splat(0.1)));
            let mut sums = [f32x16::ZERO; SUMS];
            for _ in 0..ROUNDS {
                for sum in &mut sums {
                    *sum = sum.mul_add(factor, term);
                }
            }
            black_box(sums);
        });
    });
    // The fastest run, not the median: a share of the peak must not grow because a neighbour was busy.
    (threads * ROUNDS * SUMS * 16 * 2) as f64 / timing.min_s / 1e9
}
