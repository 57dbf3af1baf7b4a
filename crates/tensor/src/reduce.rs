//! Sums over the rows of a matrix, in an order that the shape alone decides.

use rayon::prelude::*;

use crate::scratch::with_scratch;

/// Rows that one task of a channel-wise kernel owns.
pub(crate) const TASK_ROWS: usize = 512;
/// Numbers that one task of an element-wise kernel owns.
pub(crate) const TASK_ELEMENTS: usize = 1 << 14;

/// Adds the sum of every column of `x` to `sums`; columns are as many as `sums` is long.
///
/// Partial sums of [`TASK_ROWS`] rows each are made in parallel and added in order, which also bounds the rounding.
///
/// # Panics
/// If `x` does not consist of whole rows.
pub fn add_column_sums(x: &[f32], sums: &mut [f32]) {
    let c = sums.len();
    assert_eq!(x.len() % c, 0, "add_column_sums: whole rows of {c}");
    let n_tasks = (x.len() / c).div_ceil(TASK_ROWS);
    with_scratch(n_tasks * c, |partial| {
        partial.par_chunks_exact_mut(c).zip(x.par_chunks(TASK_ROWS * c)).for_each(|(sum, rows)| {
            sum.fill(0.0);
            for row in rows.chunks_exact(c) {
                for (s, value) in sum.iter_mut().zip(row) {
                    *s += value;
                }
            }
        });
        for part in partial.chunks_exact(c) {
            for (sum, value) in sums.iter_mut().zip(part) {
                *sum += value;
            }
        }
    });
}
