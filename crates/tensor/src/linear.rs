//! Fully connected layer. In ResNet9 it is the small matrix at the end, `512 x classes`, for which plain loops are fast
//! enough.

use rayon::prelude::*;

/// Rows of the weight in one task of its gradient.
const TASK_K: usize = 64;

/// `y = x weight + bias`. Backward needs `x` and `weight`.
///
/// # Shapes
/// `x`: `(n, c_in)`; `weight`: `(c_in, c_out)`; `bias`: `(c_out)`; `y`: `(n, c_out)`, overwritten.
///
/// # Panics
/// If the lengths do not fit.
pub fn linear_forward(x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let (c_in, c_out) = sizes(weight, bias.len());
    assert!(x.len().is_multiple_of(c_in), "linear: x must be (n, {c_in})");
    assert_eq!(x.len() * c_out, y.len() * c_in, "linear: x must be (n, {c_in}), y (n, {c_out})");
    y.par_chunks_exact_mut(c_out).zip(x.par_chunks_exact(c_in)).for_each(|(y, x)| {
        y.copy_from_slice(bias);
        for (x, weight) in x.iter().zip(weight.chunks_exact(c_out)) {
            for (y, weight) in y.iter_mut().zip(weight) {
                *y = x.mul_add(*weight, *y);
            }
        }
    });
}

/// `grad_x = grad_y weight^T`; `grad_weight = x^T grad_y`; `grad_bias = column sums of grad_y`.
///
/// # Shapes
/// As in [`linear_forward`]; each gradient has the shape of its tensor and is overwritten.
///
/// # Panics
/// If the lengths do not fit.
pub fn linear_backward(
    (x, weight): (&[f32], &[f32]),
    grad_y: &[f32],
    grad_x: Option<&mut [f32]>,
    grad_weight: &mut [f32],
    grad_bias: &mut [f32],
) {
    let (c_in, c_out) = sizes(weight, grad_bias.len());
    assert!(x.len().is_multiple_of(c_in), "linear: x must be (n, {c_in})");
    assert_eq!(x.len() * c_out, grad_y.len() * c_in, "linear: x must be (n, {c_in}), grad_y (n, {c_out})");
    assert_eq!(grad_weight.len(), weight.len(), "linear: grad_weight and weight differ in length");
    if let Some(grad_x) = grad_x {
        assert_eq!(grad_x.len(), x.len(), "linear: grad_x and x differ in length");
        grad_x.par_chunks_exact_mut(c_in).zip(grad_y.par_chunks_exact(c_out)).for_each(|(grad_x, grad_y)| {
            for (grad_x, weight) in grad_x.iter_mut().zip(weight.chunks_exact(c_out)) {
                *grad_x = weight.iter().zip(grad_y).fold(0.0, |sum, (w, g)| w.mul_add(*g, sum));
            }
        });
    }
    grad_weight.par_chunks_mut(TASK_K * c_out).enumerate().for_each(|(task, grad_weight)| {
        grad_weight.fill(0.0);
        for (x, grad_y) in x.chunks_exact(c_in).zip(grad_y.chunks_exact(c_out)) {
            for (grad_weight, x) in grad_weight.chunks_exact_mut(c_out).zip(&x[task * TASK_K..]) {
                for (grad, g) in grad_weight.iter_mut().zip(grad_y) {
                    *grad = x.mul_add(*g, *grad);
                }
            }
        }
    });
    grad_bias.fill(0.0);
    for grad_y in grad_y.chunks_exact(c_out) {
        for (sum, g) in grad_bias.iter_mut().zip(grad_y) {
            *sum += g;
        }
    }
}

fn sizes(weight: &[f32], c_out: usize) -> (usize, usize) {
    assert!(
        c_out > 0 && !weight.is_empty() && weight.len().is_multiple_of(c_out),
        "linear: weight must be (c_in, {c_out})"
    );
    (weight.len() / c_out, c_out)
}
