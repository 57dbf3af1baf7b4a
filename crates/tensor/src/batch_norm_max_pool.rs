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

use crate::batch_norm::{
    Affine, AffineGrad, ChannelStatistics, ScaleAndShift, gradient_factors, scale_and_shift,
};
use crate::lanes::{LANES, load_channels, store_channels};
use crate::scratch::with_scratch;

/// Windows in one task, if a row has no more. A sum has as many terms before it is added up with others in f64; and an image of up
/// to 24x24 is one task.
const TASK_WINDOWS: usize = 144;

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

    /// Elements in one image of the input.
    fn image_len(&self) -> usize {
        self.h * self.w * self.c
    }

    /// Elements in one image of the output.
    fn image_out_len(&self) -> usize {
        self.h_out() * self.w_out() * self.c
    }

    /// Rows of the output in one task: by sizes alone, as all tasks whose sums are added up.
    fn task_rows(&self) -> usize {
        (TASK_WINDOWS / self.w_out()).max(1)
    }

    /// Tasks of one image.
    fn image_tasks(&self) -> usize {
        self.h_out().div_ceil(self.task_rows())
    }

    /// Elements of the input and of the output in one task; the last one of an image may have fewer, and an odd last row besides.
    fn task_lens(&self) -> (usize, usize) {
        (self.task_rows() * 2 * self.w * self.c, self.task_rows() * self.w_out() * self.c)
    }

    fn check(&self, x: &[f32], y: &[f32]) {
        assert_eq!(x.len(), self.n * self.image_len(), "max_pool2d: length of x in {self:?}");
        assert_eq!(y.len(), self.n * self.image_out_len(), "max_pool2d: length of y in {self:?}");
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

/// The argmax of a 2x2 window as masks, and the maximum. The masks are set where the maximum is in the upper row, where the left
/// pixel of the upper row is its larger one, and the same for the lower row. Ties go to the earlier pixel.
#[inline(always)]
fn largest([a, b, c, d]: [f32x16; 4]) -> ([f32x16; 3], f32x16) {
    let (ab, cd) = (a.fast_max(b), c.fast_max(d));
    ([ab.simd_ge(cd), a.simd_ge(b), c.simd_ge(d)], ab.fast_max(cd))
}

/// The vectors of channels of a window, from channel `at` on; `top` and `bottom` are the two pixels of a row, `c` elements each.
#[inline(always)]
fn load_window<const WHOLE: bool>([top, bottom]: [&[f32]; 2], c: usize, at: usize) -> [f32x16; 4] {
    [&top[at..c], &top[c + at..], &bottom[at..c], &bottom[c + at..]].map(load_channels::<WHOLE>)
}

/// Sets `y` to what `of_window` makes of each window of `x`, given its first channel and its four pixels.
fn pool<const WHOLE: bool>(
    g: &MaxPool2dGeometry,
    x: &[f32],
    y: &mut [f32],
    of_window: impl Fn(usize, [f32x16; 4]) -> f32x16 + Sync,
) {
    let (c, (task_len, task_out_len)) = (g.c, g.task_lens());
    let pool_task = |(y, x): (&mut [f32], &[f32])| {
        for (y, x) in y.chunks_exact_mut(g.w_out() * c).zip(x.chunks_exact(2 * g.w * c)) {
            let (top, bottom) = x.split_at(g.w * c);
            let windows = top.chunks_exact(2 * c).zip(bottom.chunks_exact(2 * c));
            for (y, (top, bottom)) in y.chunks_exact_mut(c).zip(windows) {
                for at in (0..c).step_by(LANES) {
                    let window = load_window::<WHOLE>([top, bottom], c, at);
                    store_channels::<WHOLE>(of_window(at, window), &mut y[at..]);
                }
            }
        }
    };
    let images = y.par_chunks_exact_mut(g.image_out_len()).zip(x.par_chunks_exact(g.image_len()));
    images.for_each(|(y, x)| {
        y.par_chunks_mut(task_out_len).zip(x.par_chunks(task_len)).for_each(pool_task);
    });
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
    affine: Affine,
    y: &mut [f32],
) {
    g.check(x, y);
    if g.c.is_multiple_of(LANES) {
        forward::<true>(g, x, statistics, affine, y);
    } else {
        forward::<false>(g, x, statistics, affine, y);
    }
}

fn forward<const WHOLE: bool>(
    g: &MaxPool2dGeometry,
    x: &[f32],
    statistics: &ChannelStatistics,
    affine: Affine,
    y: &mut [f32],
) {
    let c = g.c;
    with_scratch(2 * c, |per_channel| {
        let ScaleAndShift { scale, shift } = scale_and_shift(statistics, affine, per_channel);
        pool::<WHOLE>(g, x, y, |at, window| {
            let (scale, shift) = (load_channels::<WHOLE>(&scale[at..]), load_channels::<WHOLE>(&shift[at..]));
            window.map(|x| x.mul_add(scale, shift)).into_iter().fold(f32x16::ZERO, larger)
        });
    });
}

/// Replaces `x` by its gradient, given the gradient of `y`, and sets the gradients of `gamma` and `beta`. Only for the
/// statistics of a batch.
///
/// As [`crate::batch_norm::batch_norm_relu_backward`], where `g` is the gradient of the window for the first of its largest
/// values, if that value is positive, and 0 for every other pixel.
///
/// # Shapes
/// `x`: `(n, h, w, c)`; `grad_y`: `(n, h / 2, w / 2, c)`; `gamma`, `beta` and their gradients: `(c)`.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn batch_norm_max_pool_backward(
    geometry: &MaxPool2dGeometry,
    x: &mut [f32],
    batch: &ChannelStatistics,
    affine: Affine,
    grad_y: &[f32],
    grad_affine: AffineGrad,
) {
    geometry.check(x, grad_y);
    if geometry.c.is_multiple_of(LANES) {
        backward::<true>(geometry, x, batch, affine, grad_y, grad_affine);
    } else {
        backward::<false>(geometry, x, batch, affine, grad_y, grad_affine);
    }
}

fn backward<const WHOLE: bool>(
    geometry: &MaxPool2dGeometry,
    x: &mut [f32],
    batch: &ChannelStatistics,
    affine: Affine,
    grad_y: &[f32],
    grad_affine: AffineGrad,
) {
    let MaxPool2dGeometry { n, h, w, c } = *geometry;
    let (image_len, image_out_len) = (geometry.image_len(), geometry.image_out_len());
    let (task_len, task_out_len) = geometry.task_lens();
    let partial_len = geometry.image_tasks() * 2 * c;
    with_scratch(5 * c + n * partial_len, |scratch| {
        let (per_channel, partial) = scratch.split_at_mut(5 * c);
        let (scale_shift, factors) = per_channel.split_at_mut(2 * c);
        let ScaleAndShift { scale, shift } = scale_and_shift(batch, affine, scale_shift);
        let (scale, shift, mean) = (&scale[..c], &shift[..c], &batch.mean[..c]);

        let images = partial.par_chunks_exact_mut(partial_len).zip(grad_y.par_chunks_exact(image_out_len));
        images.zip(x.par_chunks_exact(image_len)).for_each(|((partial, grad_y), x)| {
            let tasks = partial.par_chunks_exact_mut(2 * c).zip(grad_y.par_chunks(task_out_len));
            tasks.zip(x.par_chunks(task_len)).for_each(|((partial, grad_y), x)| {
                sum_task::<WHOLE>(geometry, x, grad_y, [scale, shift, mean], partial);
            });
        });
        let factors = gradient_factors(partial, n * h * w, batch, scale, grad_affine, factors);
        let [a, b, d] = factors.map(|factor| &factor[..c]);
        x.par_chunks_exact_mut(image_len).zip(grad_y.par_chunks_exact(image_out_len)).for_each(
            |(x, grad_y)| {
                x.par_chunks_mut(task_len).zip(grad_y.par_chunks(task_out_len)).for_each(|(x, grad_y)| {
                    finish_task::<WHOLE>(geometry, x, grad_y, [scale, shift, a, b, d]);
                });
                for pixel in geometry.outside_windows() {
                    for ((x, b), d) in x[pixel..][..c].iter_mut().zip(b).zip(d) {
                        *x = x.mul_add(*b, *d);
                    }
                }
            },
        );
    });
}

/// The sums of `g` and of `g * (x - mean)` over the windows of a task.
///
/// # Shapes
/// `partial`: `(2, c)`, overwritten.
fn sum_task<const WHOLE: bool>(
    geometry: &MaxPool2dGeometry,
    x: &[f32],
    grad_y: &[f32],
    [scale, shift, mean]: [&[f32]; 3],
    partial: &mut [f32],
) {
    let c = geometry.c;
    let (row_len, row_out_len) = (geometry.w * c, geometry.w_out() * c);
    let (scale, shift, mean) = (&scale[..c], &shift[..c], &mean[..c]);
    partial.fill(0.0);
    let (sum_g, sum_gx) = partial.split_at_mut(c);
    let sum_gx = &mut sum_gx[..c];
    for (grad_y, x) in grad_y.chunks_exact(row_out_len).zip(x.chunks_exact(2 * row_len)) {
        let (top, bottom) = x.split_at(row_len);
        let windows = top.chunks_exact(2 * c).zip(bottom.chunks_exact(2 * c));
        for (grad_y, (top, bottom)) in grad_y.chunks_exact(c).zip(windows) {
            for at in (0..c).step_by(LANES) {
                let [scale, shift, mean] = [scale, shift, mean].map(|of| load_channels::<WHOLE>(&of[at..]));
                let x = load_window::<WHOLE>([top, bottom], c, at);
                let ([is_ab, is_a, is_c], value) = largest(x.map(|x| x.mul_add(scale, shift)));
                let g = value.simd_gt(f32x16::ZERO) & load_channels::<WHOLE>(&grad_y[at..]);
                let x = is_ab.bitselect(is_a.bitselect(x[0], x[1]), is_c.bitselect(x[2], x[3]));
                store_channels::<WHOLE>(load_channels::<WHOLE>(&sum_g[at..]) + g, &mut sum_g[at..]);
                store_channels::<WHOLE>(
                    load_channels::<WHOLE>(&sum_gx[at..]) + g * (x - mean),
                    &mut sum_gx[at..],
                );
            }
        }
    }
}

/// Replaces the windows of a task by their gradient, `a * g + b * x + d`.
fn finish_task<const WHOLE: bool>(
    geometry: &MaxPool2dGeometry,
    x: &mut [f32],
    grad_y: &[f32],
    [scale, shift, a, b, d]: [&[f32]; 5],
) {
    let c = geometry.c;
    let (row_len, row_out_len) = (geometry.w * c, geometry.w_out() * c);
    let [scale, shift, a, b, d] = [scale, shift, a, b, d].map(|of| &of[..c]);
    for (x, grad_y) in x.chunks_exact_mut(2 * row_len).zip(grad_y.chunks_exact(row_out_len)) {
        let (top, bottom) = x.split_at_mut(row_len);
        let windows = top.chunks_exact_mut(2 * c).zip(bottom.chunks_exact_mut(2 * c));
        for (grad_y, (top, bottom)) in grad_y.chunks_exact(c).zip(windows) {
            for at in (0..c).step_by(LANES) {
                let [scale, shift, a, b, d] =
                    [scale, shift, a, b, d].map(|of| load_channels::<WHOLE>(&of[at..]));
                let x = load_window::<WHOLE>([top, bottom], c, at);
                let ([is_ab, is_a, is_c], value) = largest(x.map(|x| x.mul_add(scale, shift)));
                let g = value.simd_gt(f32x16::ZERO) & load_channels::<WHOLE>(&grad_y[at..]);
                let (ab, cd) = (is_ab & g, !is_ab & g);
                let pixel_g = [is_a & ab, !is_a & ab, is_c & cd, !is_c & cd];
                let grads: [f32x16; 4] = std::array::from_fn(|k| pixel_g[k].mul_add(a, x[k].mul_add(b, d)));
                store_channels::<WHOLE>(grads[0], &mut top[at..c]);
                store_channels::<WHOLE>(grads[1], &mut top[c + at..]);
                store_channels::<WHOLE>(grads[2], &mut bottom[at..c]);
                store_channels::<WHOLE>(grads[3], &mut bottom[c + at..]);
            }
        }
    }
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
    if g.c.is_multiple_of(LANES) { max_pool::<true>(g, x, y) } else { max_pool::<false>(g, x, y) }
}

fn max_pool<const WHOLE: bool>(g: &MaxPool2dGeometry, x: &[f32], y: &mut [f32]) {
    pool::<WHOLE>(g, x, y, |_, [a, b, c, d]| larger(larger(a, b), larger(c, d)));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So the bits of trainings on small images are those of one sum for each image.
    #[test]
    fn a_small_image_is_one_task_and_a_large_one_has_many() {
        let tasks = |h, w| MaxPool2dGeometry::new(1, h, w, 1).image_tasks();
        assert_eq!([(24, 24), (25, 25), (2, 2), (9, 70), (70, 9)].map(|(h, w)| tasks(h, w)), [1; 5]);
        assert_eq!([(26, 24), (48, 48), (224, 224), (2, 600)].map(|(h, w)| tasks(h, w)), [2, 4, 112, 1]);
    }
}
