//! Addition of two activations: the residual connection.

use rayon::prelude::*;

use crate::tasks::TASK_ELEMENTS;

/// `sum += x`. Its gradient is the same for both: the residual's backward adds once more.
///
/// # Panics
/// If the lengths differ.
pub fn add_assign(sum: &mut [f32], x: &[f32]) {
    assert_eq!(sum.len(), x.len(), "add_assign: both are alike");
    sum.par_chunks_mut(TASK_ELEMENTS).zip(x.par_chunks(TASK_ELEMENTS)).for_each(|(sum, x)| {
        for (sum, x) in sum.iter_mut().zip(x) {
            *sum += x;
        }
    });
}
