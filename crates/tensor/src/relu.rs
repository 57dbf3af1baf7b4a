//! ReLU on its own; after a batch norm it is folded into that one.

use rayon::prelude::*;

use crate::reduce::TASK_ELEMENTS;

/// `y = max(0, x)`. Backward needs `y`.
///
/// # Panics
/// If the lengths differ.
pub fn relu_forward(x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "relu: y is like x");
    y.par_chunks_mut(TASK_ELEMENTS).zip(x.par_chunks(TASK_ELEMENTS)).for_each(|(y, x)| {
        for (y, x) in y.iter_mut().zip(x) {
            // Not f32::max, which would hide a NaN.
            *y = if *x < 0.0 { 0.0 } else { *x };
        }
    });
}

/// Turns the gradient of `y` into that of `x`, in place: it passes where `y > 0`.
///
/// # Panics
/// If the lengths differ.
pub fn relu_backward(y: &[f32], grad: &mut [f32]) {
    assert_eq!(y.len(), grad.len(), "relu: grad is like y");
    grad.par_chunks_mut(TASK_ELEMENTS).zip(y.par_chunks(TASK_ELEMENTS)).for_each(|(grad, y)| {
        for (g, y) in grad.iter_mut().zip(y) {
            *g = if *y > 0.0 { *g } else { 0.0 };
        }
    });
}
