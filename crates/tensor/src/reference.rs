//! Naive twins of the kernels: a few loops each, straight from the formulas, in f32 or f64.
//!
//! They are what the fast kernels are tested against, and what finite differences in f64 test in their turn.

use num_traits::Float;

use crate::conv2d::{Conv2dGeometry, KERNEL};

/// Calls `visit(x index, weight index, y index)` for every product of a convolution, padding left out.
fn for_each_product(g: &Conv2dGeometry, mut visit: impl FnMut(usize, usize, usize)) {
    for n in 0..g.n {
        for (i, j) in (0..g.h).flat_map(|i| (0..g.w).map(move |j| (i, j))) {
            for (u, v) in (0..KERNEL).flat_map(|u| (0..KERNEL).map(move |v| (u, v))) {
                let (row, column) = ((i + u).wrapping_sub(1), (j + v).wrapping_sub(1));
                if row >= g.h || column >= g.w {
                    continue;
                }
                for c in 0..g.c_in {
                    for o in 0..g.c_out {
                        let x = ((n * g.h + row) * g.w + column) * g.c_in + c;
                        let weight = ((u * KERNEL + v) * g.c_in + c) * g.c_out + o;
                        let y = ((n * g.h + i) * g.w + j) * g.c_out + o;
                        visit(x, weight, y);
                    }
                }
            }
        }
    }
}

/// Twin of [`crate::conv2d::conv2d_forward`].
pub fn conv2d_forward<T: Float>(g: &Conv2dGeometry, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
    let mut out: Vec<T> = (0..g.pixels()).flat_map(|_| bias.iter().copied()).collect();
    for_each_product(g, |i, k, o| out[o] = out[o] + x[i] * weight[k]);
    out
}

/// Twin of [`crate::conv2d::conv2d_backward_input`].
pub fn conv2d_backward_input<T: Float>(g: &Conv2dGeometry, grad_y: &[T], weight: &[T]) -> Vec<T> {
    let mut grad_x = vec![T::zero(); g.x_len()];
    for_each_product(g, |i, k, o| grad_x[i] = grad_x[i] + grad_y[o] * weight[k]);
    grad_x
}

/// Twin of [`crate::conv2d::conv2d_backward_weight`].
pub fn conv2d_backward_weight<T: Float>(g: &Conv2dGeometry, x: &[T], grad_y: &[T]) -> Vec<T> {
    let mut grad_weight = vec![T::zero(); g.weight_len()];
    for_each_product(g, |i, k, o| grad_weight[k] = grad_weight[k] + x[i] * grad_y[o]);
    grad_weight
}
