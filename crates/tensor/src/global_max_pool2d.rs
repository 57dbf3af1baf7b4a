//! Global max pooling: the largest pixel of each channel.

use rayon::prelude::*;

/// Computes the largest pixel of each channel, and its index for backward.
///
/// # Shapes
/// `x`: `(n, pixels, c)`; `y`, `argmax`: `(n, c)`, overwritten.
///
/// # Panics
/// If the lengths do not fit.
pub fn global_max_pool2d_forward(c: usize, x: &[f32], y: &mut [f32], argmax: &mut [u32]) {
    assert!(
        y.len() == argmax.len() && y.len().is_multiple_of(c),
        "global_max_pool2d: y and argmax must be (n, {c})"
    );
    let image_len = c * (x.len() / y.len());
    assert_eq!(x.len() * c, image_len * y.len(), "global_max_pool2d: x must be (n, pixels, {c})");
    y.par_chunks_exact_mut(c)
        .zip(argmax.par_chunks_exact_mut(c))
        .zip(x.par_chunks_exact(image_len))
        .for_each(|((y, argmax), x)| {
            y.copy_from_slice(&x[..c]);
            argmax.fill(0);
            for (pixel, x) in x.chunks_exact(c).enumerate().skip(1) {
                for ((best, best_pixel), x) in y.iter_mut().zip(&mut *argmax).zip(x) {
                    if *x > *best || x.is_nan() {
                        (*best, *best_pixel) = (*x, pixel as u32);
                    }
                }
            }
        });
}

/// Gives each gradient to the pixel that was the largest, and 0 to the others.
///
/// # Shapes
/// `grad_y`, `argmax`: `(n, c)`; `grad_x`: `(n, pixels, c)`, overwritten.
///
/// # Panics
/// If the lengths do not fit.
pub fn global_max_pool2d_backward(c: usize, grad_y: &[f32], argmax: &[u32], grad_x: &mut [f32]) {
    assert!(
        grad_y.len() == argmax.len() && grad_y.len().is_multiple_of(c),
        "global_max_pool2d: grad_y must be (n, {c})"
    );
    let image_len = c * (grad_x.len() / grad_y.len());
    assert_eq!(
        grad_x.len() * c,
        image_len * grad_y.len(),
        "global_max_pool2d: grad_x must be (n, pixels, {c})"
    );
    grad_x.fill(0.0);
    for ((grad_x, grad_y), argmax) in
        grad_x.chunks_exact_mut(image_len).zip(grad_y.chunks_exact(c)).zip(argmax.chunks_exact(c))
    {
        for (channel, (grad, pixel)) in grad_y.iter().zip(argmax).enumerate() {
            grad_x[*pixel as usize * c + channel] = *grad;
        }
    }
}
