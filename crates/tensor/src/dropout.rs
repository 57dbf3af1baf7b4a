//! Inverted dropout (Srivastava et al. 2014): the values that are not dropped are multiplied by `1 / (1 - p)`, so that
//! evaluation needs no scaling.

use crate::rng::CounterRng;

/// Drops each element with probability `p`. The mask, 0 or `1 / (1 - p)`, is saved for backward.
///
/// # Panics
/// If the lengths differ or `p` is outside `[0, 1)`.
pub fn dropout_forward(p: f32, rng: &mut CounterRng, x: &[f32], y: &mut [f32], mask: &mut [f32]) {
    assert!((0.0..1.0).contains(&p), "dropout: p is {p}, outside [0, 1)");
    assert!(x.len() == y.len() && x.len() == mask.len(), "dropout: x, y and mask differ in length");
    let scale = 1.0 / (1.0 - p);
    for ((y, mask), x) in y.iter_mut().zip(mask).zip(x) {
        *mask = if rng.uniform() < p { 0.0 } else { scale };
        *y = x * *mask;
    }
}

/// The gradient of `x`, which is overwritten, from that of `y`.
///
/// # Panics
/// If the lengths differ.
pub fn dropout_backward(mask: &[f32], grad_y: &[f32], grad_x: &mut [f32]) {
    assert!(
        mask.len() == grad_y.len() && mask.len() == grad_x.len(),
        "dropout: mask, grad_y and grad_x differ in length"
    );
    for ((grad_x, grad_y), mask) in grad_x.iter_mut().zip(grad_y).zip(mask) {
        *grad_x = grad_y * mask;
    }
}
