//! 2x2 max pooling, stride 2, an odd last row or column left out; and the global one.

use rayon::prelude::*;

/// Sizes of a 2x2 pool, checked once and handed to both passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2dGeometry {
    /// Images in the batch.
    pub n: usize,
    /// Height of the input.
    pub h: usize,
    /// Width of the input.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl MaxPool2dGeometry {
    /// Checks and keeps the sizes.
    ///
    /// # Panics
    /// If height or width is below 2, or another size 0.
    #[must_use]
    pub fn new(n: usize, h: usize, w: usize, c: usize) -> Self {
        let geometry = Self { n, h, w, c };
        assert!(n > 0 && c > 0 && h >= 2 && w >= 2, "max_pool2d: nothing to pool in {geometry:?}");
        geometry
    }

    /// Height of the output.
    #[must_use]
    pub fn h_out(&self) -> usize {
        self.h / 2
    }

    /// Width of the output.
    #[must_use]
    pub fn w_out(&self) -> usize {
        self.w / 2
    }

    fn check(&self, x: &[f32], y: &[f32], argmax: &[u8]) {
        assert_eq!(x.len(), self.n * self.h * self.w * self.c, "max_pool2d: length of x in {self:?}");
        assert_eq!(
            y.len(),
            self.n * self.h_out() * self.w_out() * self.c,
            "max_pool2d: length of y in {self:?}"
        );
        assert_eq!(y.len(), argmax.len(), "max_pool2d: length of argmax in {self:?}");
    }
}

/// The largest of each 2x2 window, and which it was (0 to 3, row by row; the first of equals), for backward.
///
/// # Shapes
/// `x`: `(n, h, w, c)`; `y`, `argmax`: `(n, h / 2, w / 2, c)`, overwritten.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn max_pool2d_forward(g: &MaxPool2dGeometry, x: &[f32], y: &mut [f32], argmax: &mut [u8]) {
    g.check(x, y, argmax);
    let (row, row_out) = (g.w * g.c, g.w_out() * g.c);
    let images =
        y.par_chunks_exact_mut(g.h_out() * row_out).zip(argmax.par_chunks_exact_mut(g.h_out() * row_out));
    images.zip(x.par_chunks_exact(g.h * row)).for_each(|((y, argmax), x)| {
        let rows =
            y.chunks_exact_mut(row_out).zip(argmax.chunks_exact_mut(row_out)).zip(x.chunks_exact(2 * row));
        for ((y, argmax), x) in rows {
            let (top, bottom) = x.split_at(row);
            let pixels = y.chunks_exact_mut(g.c).zip(argmax.chunks_exact_mut(g.c));
            for ((y, argmax), (top, bottom)) in
                pixels.zip(top.chunks_exact(2 * g.c).zip(bottom.chunks_exact(2 * g.c)))
            {
                let ((a, b), (c, d)) = (top.split_at(g.c), bottom.split_at(g.c));
                let channels = y.iter_mut().zip(argmax).zip(a).zip(b).zip(c).zip(d);
                for (((((y, argmax), a), b), c), d) in channels {
                    let (mut best, mut which) = (*a, 0);
                    for (value, index) in [(*b, 1), (*c, 2), (*d, 3)] {
                        // A NaN wins, so that it is seen in the loss.
                        if value > best || value.is_nan() {
                            (best, which) = (value, index);
                        }
                    }
                    (*y, *argmax) = (best, which);
                }
            }
        }
    });
}

/// Hands each gradient to the pixel that was the largest.
///
/// # Shapes
/// `grad_y`, `argmax`: `(n, h / 2, w / 2, c)`; `grad_x`: `(n, h, w, c)`, overwritten.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn max_pool2d_backward(g: &MaxPool2dGeometry, grad_y: &[f32], argmax: &[u8], grad_x: &mut [f32]) {
    g.check(grad_x, grad_y, argmax);
    let (row, row_out) = (g.w * g.c, g.w_out() * g.c);
    let images =
        grad_y.par_chunks_exact(g.h_out() * row_out).zip(argmax.par_chunks_exact(g.h_out() * row_out));
    images.zip(grad_x.par_chunks_exact_mut(g.h * row)).for_each(|((grad_y, argmax), grad_x)| {
        let mut rows = grad_x.chunks_exact_mut(2 * row);
        for ((grad_y, argmax), grad_x) in
            grad_y.chunks_exact(row_out).zip(argmax.chunks_exact(row_out)).zip(&mut rows)
        {
            let (top, bottom) = grad_x.split_at_mut(row);
            let mut pairs = top.chunks_exact_mut(2 * g.c).zip(bottom.chunks_exact_mut(2 * g.c));
            for ((grad_y, argmax), (top, bottom)) in
                grad_y.chunks_exact(g.c).zip(argmax.chunks_exact(g.c)).zip(&mut pairs)
            {
                let ((a, b), (c, d)) = (top.split_at_mut(g.c), bottom.split_at_mut(g.c));
                let channels = grad_y.iter().zip(argmax).zip(a).zip(b).zip(c).zip(d);
                for (((((grad, argmax), a), b), c), d) in channels {
                    for (slot, index) in [(a, 0), (b, 1), (c, 2), (d, 3)] {
                        *slot = if *argmax == index { *grad } else { 0.0 };
                    }
                }
            }
            for half in [top, bottom] {
                half[2 * g.w_out() * g.c..].fill(0.0);
            }
        }
        rows.into_remainder().fill(0.0);
    });
}

/// The largest pixel of each channel, and which it was, for backward.
///
/// # Shapes
/// `x`: `(n, pixels, c)`; `y`, `argmax`: `(n, c)`, overwritten.
///
/// # Panics
/// If the lengths do not fit each other.
pub fn global_max_pool2d_forward(c: usize, x: &[f32], y: &mut [f32], argmax: &mut [u32]) {
    assert!(
        y.len() == argmax.len() && y.len().is_multiple_of(c),
        "global_max_pool2d: y and argmax are (n, {c})"
    );
    let image = c * (x.len() / y.len());
    assert_eq!(x.len() * c, image * y.len(), "global_max_pool2d: whole images");
    y.par_chunks_exact_mut(c).zip(argmax.par_chunks_exact_mut(c)).zip(x.par_chunks_exact(image)).for_each(
        |((y, argmax), x)| {
            y.copy_from_slice(&x[..c]);
            argmax.fill(0);
            for (pixel, x) in x.chunks_exact(c).enumerate().skip(1) {
                for ((best, which), x) in y.iter_mut().zip(&mut *argmax).zip(x) {
                    if *x > *best || x.is_nan() {
                        (*best, *which) = (*x, pixel as u32);
                    }
                }
            }
        },
    );
}

/// Hands each gradient to the pixel that was the largest.
///
/// # Shapes
/// `grad_y`, `argmax`: `(n, c)`; `grad_x`: `(n, pixels, c)`, overwritten.
///
/// # Panics
/// If the lengths do not fit each other.
pub fn global_max_pool2d_backward(c: usize, grad_y: &[f32], argmax: &[u32], grad_x: &mut [f32]) {
    assert!(
        grad_y.len() == argmax.len() && grad_y.len().is_multiple_of(c),
        "global_max_pool2d: grad_y is (n, {c})"
    );
    let image = c * (grad_x.len() / grad_y.len());
    grad_x.fill(0.0);
    for ((grad_x, grad_y), argmax) in
        grad_x.chunks_exact_mut(image).zip(grad_y.chunks_exact(c)).zip(argmax.chunks_exact(c))
    {
        for (channel, (grad, pixel)) in grad_y.iter().zip(argmax).enumerate() {
            grad_x[*pixel as usize * c + channel] = *grad;
        }
    }
}
