//! Batch normalisation, ReLU and 2x2 max pooling in one pass. The pooling has stride 2 and ignores an odd last row or
//! column.
//!
//! ```text
//! y = max over the window of relu(scale * x + shift)
//! ```
//!
//! All three are limited by memory bandwidth, so the activations between them are never written: forward reads `x` and
//! writes a quarter as much, and backward computes the largest value of each window from `x` again, in the same way.

use rayon::prelude::*;
use wide::f32x16;

use crate::batch_norm::{ChannelStatistics, gradient_factors, scale_and_shift};
use crate::lanes::{LANES, load_short, store_short};
use crate::scratch::with_scratch;

/// Sizes of a max pool, checked once and used in both passes.
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
    /// Checks the sizes.
    ///
    /// # Panics
    /// If height or width is below 2, or another size is 0.
    #[must_use]
    pub fn new(n: usize, h: usize, w: usize, c: usize) -> Self {
        let geometry = Self { n, h, w, c };
        assert!(n > 0 && c > 0 && h >= 2 && w >= 2, "max_pool2d: no window fits {geometry:?}");
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

    /// Numbers in one image of the input.
    fn image_len(&self) -> usize {
        self.h * self.w * self.c
    }

    /// Numbers in one image of the output.
    fn image_out_len(&self) -> usize {
        self.h_out() * self.w_out() * self.c
    }

    fn check(&self, x: &[f32], y: &[f32]) {
        assert_eq!(x.len(), self.n * self.image_len(), "max_pool2d: length of x in {self:?}");
        assert_eq!(y.len(), self.n * self.image_out_len(), "max_pool2d: length of y in {self:?}");
    }

    /// For each window of an image: the offset of the output pixel, and the offsets of its four input pixels.
    fn windows(self) -> impl Iterator<Item = (usize, [usize; 4])> {
        let Self { w, c, .. } = self;
        (0..self.h_out()).flat_map(move |i| (0..w / 2).map(move |j| (i, j))).map(move |(i, j)| {
            let first = (2 * i * w + 2 * j) * c;
            ((i * (w / 2) + j) * c, [first, first + c, first + w * c, first + (w + 1) * c])
        })
    }

    /// The offsets of the pixels that are in no window.
    fn outside_windows(self) -> impl Iterator<Item = usize> {
        let Self { h, w, c, .. } = self;
        let pixels = (0..h).flat_map(move |i| (0..w).map(move |j| (i, j)));
        pixels.filter(move |(i, j)| i / 2 == h / 2 || j / 2 == w / 2).map(move |(i, j)| (i * w + j) * c)
    }
}

/// The larger of two values, NaN if one is NaN, so that it reaches the loss.
#[inline(always)]
pub(crate) fn larger(a: f32x16, b: f32x16) -> f32x16 {
    (b.simd_gt(a) | b.is_nan()).bitselect(b, a)
}

/// The first of the largest values of a window: for each of the four whether it is that one, and the gradient that it gets, which is
/// `grad` if it is positive.
#[inline(always)]
fn largest(values: [f32x16; 4], grad: f32x16) -> ([f32x16; 4], f32x16) {
    let [a, b, c, d] = values;
    let best = a.fast_max(b).fast_max(c.fast_max(d));
    let [is_a, is_b, is_c] = [a, b, c].map(|value| value.simd_eq(best));
    let not_ab = !(is_a | is_b);
    ([is_a, !is_a & is_b, not_ab & is_c, not_ab & !is_c], best.simd_gt(f32x16::ZERO) & grad)
}

/// The vectors of channels of four pixels, from channel `at` on.
#[inline(always)]
fn load_window(pixels: [&[f32]; 4], at: usize) -> [f32x16; 4] {
    pixels.map(|pixel| load_short(&pixel[at..]))
}

/// Normalises, activates and pools. Backward needs `x` and the statistics.
///
/// # Shapes
/// `x`: `(n, h, w, c)`; `y`: `(n, h / 2, w / 2, c)`, overwritten; `gamma`, `beta`: `(c)`.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn batch_norm_max_pool_forward(
    g: &MaxPool2dGeometry,
    x: &[f32],
    statistics: &ChannelStatistics,
    affine: (&[f32], &[f32]),
    y: &mut [f32],
) {
    g.check(x, y);
    let c = g.c;
    with_scratch(2 * c, |per_channel| {
        let (scale, shift) = per_channel.split_at_mut(c);
        scale_and_shift(statistics, affine, (scale, shift));
        let (scale, shift) = (&*scale, &*shift);
        y.par_chunks_exact_mut(g.image_out_len()).zip(x.par_chunks_exact(g.image_len())).for_each(
            |(y, x)| {
                for (out, pixels) in g.windows() {
                    let y = &mut y[out..][..c];
                    let [x0, x1, x2, x3] = pixels.map(|pixel| &x[pixel..][..c]);
                    for at in (0..c).step_by(LANES) {
                        let (scale, shift) = (load_short(&scale[at..]), load_short(&shift[at..]));
                        let normal = load_window([x0, x1, x2, x3], at).map(|x| x.mul_add(scale, shift));
                        store_short(normal.into_iter().fold(f32x16::ZERO, larger), &mut y[at..]);
                    }
                }
            },
        );
    });
}

/// Max pooling alone, for evaluation, where normalisation and activation are part of the convolution.
///
/// # Shapes
/// `x`: `(n, h, w, c)`; `y`: `(n, h / 2, w / 2, c)`, overwritten.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn max_pool2d(g: &MaxPool2dGeometry, x: &[f32], y: &mut [f32]) {
    g.check(x, y);
    let c = g.c;
    y.par_chunks_exact_mut(g.image_out_len()).zip(x.par_chunks_exact(g.image_len())).for_each(|(y, x)| {
        for (out, pixels) in g.windows() {
            let [x0, x1, x2, x3] = pixels.map(|pixel| &x[pixel..][..c]);
            let y = &mut y[out..][..c];
            for at in (0..c).step_by(LANES) {
                let [a, b, c, d] = load_window([x0, x1, x2, x3], at);
                store_short(larger(larger(a, b), larger(c, d)), &mut y[at..]);
            }
        }
    });
}

/// Replaces `x` by its gradient, given the gradient of `y`, and sets the gradients of `gamma` and `beta`. Only for the
/// statistics of a batch.
///
/// As [`crate::batch_norm::batch_norm_backward`], where `g` is the gradient of the window for the first of its largest
/// values, if that value is positive, and 0 for every other pixel.
///
/// # Shapes
/// `x`: `(n, h, w, c)`; `grad_y`: `(n, h / 2, w / 2, c)`; `gamma`, `beta` and their gradients: `(c)`.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn batch_norm_max_pool_backward(
    g: &MaxPool2dGeometry,
    x: &mut [f32],
    batch: &ChannelStatistics,
    affine: (&[f32], &[f32]),
    grad_y: &[f32],
    grad_affine: (&mut [f32], &mut [f32]),
) {
    g.check(x, grad_y);
    let c = g.c;
    with_scratch(5 * c + g.n * 2 * c, |scratch| {
        let (per_channel, partial) = scratch.split_at_mut(5 * c);
        let (scale_shift, factors) = per_channel.split_at_mut(2 * c);
        let (scale, shift) = scale_shift.split_at_mut(c);
        scale_and_shift(batch, affine, (scale, shift));
        let (scale, shift, mean) = (&scale[..c], &shift[..c], &batch.mean[..c]);

        let images = partial.par_chunks_exact_mut(2 * c).zip(grad_y.par_chunks_exact(g.image_out_len()));
        images.zip(x.par_chunks_exact(g.image_len())).for_each(|((partial, grad_y), x)| {
            partial.fill(0.0);
            let (sum_g, sum_gx) = partial.split_at_mut(c);
            let sum_gx = &mut sum_gx[..c];
            for (out, pixels) in g.windows() {
                let grad_y = &grad_y[out..][..c];
                let x = pixels.map(|pixel| &x[pixel..][..c]);
                for at in (0..c).step_by(LANES) {
                    let x = load_window(x, at);
                    let (scale, shift) = (load_short(&scale[at..]), load_short(&shift[at..]));
                    let (is_largest, g) =
                        largest(x.map(|x| x.mul_add(scale, shift)), load_short(&grad_y[at..]));
                    let [a, b, c, d] = std::array::from_fn(|k| is_largest[k] & x[k]);
                    let deviation = ((a | b) | (c | d)) - load_short(&mean[at..]);
                    store_short(load_short(&sum_g[at..]) + g, &mut sum_g[at..]);
                    store_short(load_short(&sum_gx[at..]) + g * deviation, &mut sum_gx[at..]);
                }
            }
        });
        let factors = gradient_factors(partial, g.n * g.h * g.w, batch, scale, grad_affine, factors);
        let [a, b, d] = factors.map(|factor| &factor[..c]);
        x.par_chunks_exact_mut(g.image_len()).zip(grad_y.par_chunks_exact(g.image_out_len())).for_each(
            |(x, grad_y)| {
                for (out, pixels) in g.windows() {
                    let grad_y = &grad_y[out..][..c];
                    let (top, bottom) = x[pixels[0]..].split_at_mut(pixels[2] - pixels[0]);
                    let ((x0, x1), (x2, x3)) =
                        (top[..2 * c].split_at_mut(c), bottom[..2 * c].split_at_mut(c));
                    for at in (0..c).step_by(LANES) {
                        let x = load_window([&*x0, &*x1, &*x2, &*x3], at);
                        let (scale, shift) = (load_short(&scale[at..]), load_short(&shift[at..]));
                        let (is_largest, g) =
                            largest(x.map(|x| x.mul_add(scale, shift)), load_short(&grad_y[at..]));
                        let (a, b, d) = (load_short(&a[at..]), load_short(&b[at..]), load_short(&d[at..]));
                        let grads: [f32x16; 4] =
                            std::array::from_fn(|k| (is_largest[k] & g).mul_add(a, x[k].mul_add(b, d)));
                        for (grad, x) in grads.into_iter().zip([&mut *x0, &mut *x1, &mut *x2, &mut *x3]) {
                            store_short(grad, &mut x[at..]);
                        }
                    }
                }
                for pixel in g.outside_windows() {
                    for ((x, b), d) in x[pixel..][..c].iter_mut().zip(b).zip(d) {
                        *x = x.mul_add(*b, *d);
                    }
                }
            },
        );
    });
}
