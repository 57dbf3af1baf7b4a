//! Addition of two activations, for the residual connection.

use rayon::prelude::*;

use crate::tasks::TASK_ELEMENTS;

/// `sum += x`. Both summands have the gradient of the sum, so the backward pass of a residual connection adds too.
///
/// # Panics
/// If the lengths differ.
pub fn add_assign(sum: &mut [f32], x: &[f32]) {
    assert_eq!(sum.len(), x.len(), "add_assign: the lengths differ");
    sum.par_chunks_mut(TASK_ELEMENTS).zip(x.par_chunks(TASK_ELEMENTS)).for_each(|(sum, x)| {
        for (sum, x) in sum.iter_mut().zip(x) {
            *sum += x;
        }
    });
}
