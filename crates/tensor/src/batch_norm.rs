//! Batch normalisation over the rows of a `(rows, c)` matrix, and the ReLU after it.
//!
//! ```text
//! y = relu(gamma * (x - mean) * inv_std + beta)        inv_std = 1 / sqrt(var + eps)
//! ```
//!
//! Ioffe and Szegedy (2015). Training uses the mean and the biased variance of the batch; evaluation uses running
//! averages, of the unbiased variance, as in PyTorch. The ReLU is part of the kernel because both operations are limited
//! by memory bandwidth: separate kernels would read and write the activations once more in each direction. For the same
//! reason, backward needs only `x`: it computes again which values passed the ReLU. The derivation is in
//! `docs/backprop.md`.

use rayon::prelude::*;
use wide::f32x16;

use crate::lanes::{AHEAD, LANES, load_channels, prefetch_line, store_channels};
use crate::scratch::with_scratch;
use crate::tasks::TASK_ROWS;

/// Rows that are processed together, so that a sum or a factor of a channel is read once for all of them. The processor
/// can prefetch this many streams at once.
const ROWS: usize = 8;

/// How far ahead a walk through groups of `ROWS` rows of `c` channels prefetches: beyond the group that it is in.
fn rows_ahead(c: usize) -> usize {
    AHEAD.max(ROWS * c)
}

/// Added to the variance, so that a constant channel is not divided by zero: PyTorch's default.
pub const EPS: f32 = 1e-5;

/// Mean and spread of each channel, used to normalise; training saves them for backward.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelStatistics {
    /// Mean.
    pub mean: Vec<f32>,
    /// `1 / sqrt(variance + eps)`, of the biased variance.
    pub inv_std: Vec<f32>,
}

/// The parameters of a batch norm: a normalised value is multiplied by `gamma`, then `beta` is added.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// `(c)`.
    pub gamma: &'a [f32],
    /// `(c)`.
    pub beta: &'a [f32],
}

/// The gradients of an [`Affine`].
#[derive(Debug)]
pub struct AffineGrad<'a> {
    /// That of `gamma`, `(c)`.
    pub gamma: &'a mut [f32],
    /// That of `beta`, `(c)`.
    pub beta: &'a mut [f32],
}

/// A normalisation with given statistics: `scale * x + shift`.
#[derive(Clone, Copy, Debug)]
pub struct ScaleAndShift<'a> {
    /// `(c)`.
    pub scale: &'a [f32],
    /// `(c)`.
    pub shift: &'a [f32],
}

/// The running averages, as evaluation reads them.
#[derive(Clone, Copy, Debug)]
pub struct RunningStatistics<'a> {
    /// Running mean, `(c)`.
    pub mean: &'a [f32],
    /// Running unbiased variance, `(c)`.
    pub var: &'a [f32],
}

/// The running averages, which training updates.
#[derive(Debug)]
pub struct Running<'a> {
    /// Running mean, `(c)`.
    pub mean: &'a mut [f32],
    /// Running unbiased variance, `(c)`.
    pub var: &'a mut [f32],
    /// Weight of the new batch, 0 to 1.
    pub momentum: f32,
}

/// Computes mean and variance of each channel of `x`, and updates the running averages.
///
/// Each task computes the mean and the sum of squared deviations of its own rows while they are in the cache. Their
/// results are merged in order, with the formula of Chan, Golub and LeVeque (1979). So `x` is read from memory once, and
/// no digits are lost by subtracting large numbers.
///
/// # Shapes
/// `x`: `(rows, c)`, where `c` is the length of the running averages.
///
/// # Panics
/// If `x` has no rows, or its length is not a multiple of `c`.
pub fn batch_norm_statistics(x: &[f32], running: &mut Running, batch: &mut ChannelStatistics) {
    let c = running.mean.len();
    assert!(!x.is_empty(), "batch_norm: no rows, so there is no mean");
    assert_eq!(x.len() % c, 0, "batch_norm: the length is not a multiple of {c}");
    let rows = x.len() / c;
    with_scratch(rows.div_ceil(TASK_ROWS) * 2 * c, |partial| {
        partial.par_chunks_exact_mut(2 * c).zip(x.par_chunks(TASK_ROWS * c)).for_each(|(partial, x)| {
            let (mean, squares) = partial.split_at_mut(c);
            if c.is_multiple_of(LANES) {
                task_statistics::<true>(x, mean, squares);
            } else {
                task_statistics::<false>(x, mean, squares);
            }
        });

        batch.mean.resize(c, 0.0);
        batch.inv_std.resize(c, 0.0);
        for channel in 0..c {
            let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
            for (task, partial) in partial.chunks_exact(2 * c).enumerate() {
                let task_rows = TASK_ROWS.min(rows - task * TASK_ROWS) as f64;
                let delta = f64::from(partial[channel]) - mean;
                let total = count + task_rows;
                mean += delta * task_rows / total;
                squares += f64::from(partial[c + channel]) + delta * delta * count * task_rows / total;
                count = total;
            }
            batch.mean[channel] = mean as f32;
            batch.inv_std[channel] = (1.0 / (squares / count + f64::from(EPS)).sqrt()) as f32;
            let unbiased = squares / (count - 1.0).max(1.0);
            let momentum = running.momentum;
            let blend = |old: &mut f32, new: f64| {
                let new = new as f32;
                // With a weight of 1, the sum would still depend on `old` by its rounding, and be NaN where it is infinite.
                *old = if momentum == 1.0 { new } else { *old + momentum * (new - *old) };
            };
            blend(&mut running.mean[channel], mean);
            blend(&mut running.var[channel], unbiased);
        }
    });
}

/// Mean and sum of squared deviations of each channel of the rows `x`.
fn task_statistics<const WHOLE: bool>(x: &[f32], mean: &mut [f32], squares: &mut [f32]) {
    let c = mean.len();
    let ahead = rows_ahead(c);
    mean.fill(0.0);
    squares.fill(0.0);
    for rows in x.chunks(ROWS * c) {
        for at in (0..c).step_by(LANES) {
            let mut sum = load_channels::<WHOLE>(&mean[at..]);
            for row in rows.chunks_exact(c) {
                prefetch_line(row, at + ahead);
                sum += load_channels::<WHOLE>(&row[at..]);
            }
            store_channels::<WHOLE>(sum, &mut mean[at..]);
        }
    }
    let scale = 1.0 / (x.len() / c) as f32;
    mean.iter_mut().for_each(|sum| *sum *= scale);
    for rows in x.chunks(ROWS * c) {
        for at in (0..c).step_by(LANES) {
            let (mean, mut sum) =
                (load_channels::<WHOLE>(&mean[at..]), load_channels::<WHOLE>(&squares[at..]));
            for row in rows.chunks_exact(c) {
                let deviation = load_channels::<WHOLE>(&row[at..]) - mean;
                sum = deviation.mul_add(deviation, sum);
            }
            store_channels::<WHOLE>(sum, &mut squares[at..]);
        }
    }
}

/// The normalisation with the statistics of a batch.
///
/// # Shapes
/// `memory`: `(2, c)`, overwritten.
pub(crate) fn scale_and_shift<'a>(
    statistics: &ChannelStatistics,
    Affine { gamma, beta }: Affine,
    memory: &'a mut [f32],
) -> ScaleAndShift<'a> {
    let (scale, shift) = memory.split_at_mut(gamma.len());
    for channel in 0..gamma.len() {
        scale[channel] = gamma[channel] * statistics.inv_std[channel];
        shift[channel] = beta[channel] - statistics.mean[channel] * scale[channel];
    }
    ScaleAndShift { scale, shift }
}

/// The normalisation of evaluation, with running statistics, of `x + bias`: `scale * x + shift`.
///
/// # Shapes
/// `bias`: `(c)`; `memory`: `(2, c)`, overwritten.
///
/// # Panics
/// If the lengths do not fit.
pub fn running_scale_and_shift<'a>(
    running: RunningStatistics,
    Affine { gamma, beta }: Affine,
    bias: &[f32],
    memory: &'a mut [f32],
) -> ScaleAndShift<'a> {
    assert_eq!(memory.len(), 2 * gamma.len(), "batch_norm: the memory is not (2, {})", gamma.len());
    let (scale, shift) = memory.split_at_mut(gamma.len());
    for channel in 0..gamma.len() {
        let inv_std = 1.0 / (running.var[channel] + EPS).sqrt();
        scale[channel] = gamma[channel] * inv_std;
        let of_zero = beta[channel] - running.mean[channel] * scale[channel];
        shift[channel] = of_zero + scale[channel] * bias[channel];
    }
    ScaleAndShift { scale, shift }
}

/// Normalises `x` with the given statistics and, with `skip`, adds it after the ReLU: `y = relu(...) + skip`.
/// Backward needs `x` and the statistics.
///
/// # Shapes
/// `x`, `skip`, `y`: `(rows, c)`; `gamma`, `beta`: `(c)`.
///
/// # Panics
/// If the lengths do not fit.
pub fn batch_norm_relu_forward(
    x: &[f32],
    statistics: &ChannelStatistics,
    affine: Affine,
    skip: Option<&[f32]>,
    y: &mut [f32],
) {
    let c = affine.gamma.len();
    assert!(
        x.len() == y.len() && skip.is_none_or(|skip| skip.len() == y.len()),
        "batch_norm: x, y and skip differ in length"
    );
    assert_eq!(x.len() % c, 0, "batch_norm: the length is not a multiple of {c}");
    if c.is_multiple_of(LANES) {
        forward::<true>(x, statistics, affine, skip, y);
    } else {
        forward::<false>(x, statistics, affine, skip, y);
    }
}

fn forward<const WHOLE: bool>(
    x: &[f32],
    statistics: &ChannelStatistics,
    affine: Affine,
    skip: Option<&[f32]>,
    y: &mut [f32],
) {
    let c = affine.gamma.len();
    with_scratch(2 * c, |per_channel| {
        let ScaleAndShift { scale, shift } = scale_and_shift(statistics, affine, per_channel);
        let task_len = TASK_ROWS * c;
        y.par_chunks_mut(task_len).enumerate().for_each(|(task, y)| {
            let x = &x[task * task_len..][..y.len()];
            let skip = skip.map(|skip| &skip[task * task_len..][..y.len()]);
            for (row, (y, x)) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)).enumerate() {
                for at in (0..c).step_by(LANES) {
                    prefetch_line(x, at + AHEAD);
                    prefetch_line(y, at + AHEAD);
                    let normal = load_channels::<WHOLE>(&x[at..])
                        .mul_add(load_channels::<WHOLE>(&scale[at..]), load_channels::<WHOLE>(&shift[at..]));
                    // Not `max`, which could replace NaN by 0.
                    let mut out = normal.simd_lt(f32x16::ZERO).bitselect(f32x16::ZERO, normal);
                    if let Some(skip) = skip {
                        out += load_channels::<WHOLE>(&skip[row * c + at..(row + 1) * c]);
                    }
                    store_channels::<WHOLE>(out, &mut y[at..]);
                }
            }
        });
    });
}

/// Replaces `x` by its gradient, given the gradient of `y`, and sets the gradients of `gamma` and `beta`. Only for the
/// statistics of a batch, not for running ones.
///
/// It works in place because `x` is not needed afterwards, and writing to other memory would take twice as long.
///
/// ```text
/// g      = grad_y where the ReLU passed its argument, else 0
/// x_hat  = (x - mean) * inv_std
/// grad_beta = sum g;  grad_gamma = sum g * x_hat
/// grad_x = gamma * inv_std * (g - mean of g - x_hat * mean of (g * x_hat))
/// ```
///
/// # Shapes
/// `x`, `grad_y`: `(rows, c)`; `gamma` and `beta` (`affine`) and their gradients: `(c)`.
///
/// # Panics
/// If the lengths do not fit.
pub fn batch_norm_relu_backward(
    x: &mut [f32],
    batch: &ChannelStatistics,
    affine: Affine,
    grad_y: &[f32],
    grad_affine: AffineGrad,
) {
    let c = affine.gamma.len();
    assert_eq!(x.len(), grad_y.len(), "batch_norm: x and grad_y differ in length");
    assert_eq!(x.len() % c, 0, "batch_norm: the length is not a multiple of {c}");
    if c.is_multiple_of(LANES) {
        backward::<true>(x, batch, affine, grad_y, grad_affine);
    } else {
        backward::<false>(x, batch, affine, grad_y, grad_affine);
    }
}

fn backward<const WHOLE: bool>(
    x: &mut [f32],
    batch: &ChannelStatistics,
    affine: Affine,
    grad_y: &[f32],
    grad_affine: AffineGrad,
) {
    let c = affine.gamma.len();
    let (task_len, ahead) = (TASK_ROWS * c, rows_ahead(c));
    let n_tasks = x.len().div_ceil(task_len);
    with_scratch(5 * c + n_tasks * 2 * c, |scratch| {
        let (per_channel, partial) = scratch.split_at_mut(5 * c);
        let (scale_shift, factors) = per_channel.split_at_mut(2 * c);
        let ScaleAndShift { scale, shift } = scale_and_shift(batch, affine, scale_shift);
        let mean = &batch.mean[..];
        // The part of the gradient that passes the ReLU, for one vector of channels.
        let pass = |grad: f32x16, x: f32x16, scale: f32x16, shift: f32x16| {
            x.mul_add(scale, shift).simd_gt(f32x16::ZERO) & grad
        };

        let tasks = partial.par_chunks_exact_mut(2 * c).zip(grad_y.par_chunks(task_len));
        tasks.zip(x.par_chunks(task_len)).for_each(|((partial, grad_y), x)| {
            partial.fill(0.0);
            let (sum_g, sum_gx) = partial.split_at_mut(c);
            for (grad_y, x) in grad_y.chunks(ROWS * c).zip(x.chunks(ROWS * c)) {
                for at in (0..c).step_by(LANES) {
                    let [scale, shift, mean] =
                        [scale, shift, mean].map(|of| load_channels::<WHOLE>(&of[at..]));
                    let (mut g_total, mut gx_total) =
                        (load_channels::<WHOLE>(&sum_g[at..]), load_channels::<WHOLE>(&sum_gx[at..]));
                    for (grad_y, x) in grad_y.chunks_exact(c).zip(x.chunks_exact(c)) {
                        prefetch_line(grad_y, at + ahead);
                        prefetch_line(x, at + ahead);
                        let x = load_channels::<WHOLE>(&x[at..]);
                        let g = pass(load_channels::<WHOLE>(&grad_y[at..]), x, scale, shift);
                        g_total += g;
                        gx_total = g.mul_add(x - mean, gx_total);
                    }
                    store_channels::<WHOLE>(g_total, &mut sum_g[at..]);
                    store_channels::<WHOLE>(gx_total, &mut sum_gx[at..]);
                }
            }
        });
        let [a, b, d] = gradient_factors(partial, x.len() / c, batch, scale, grad_affine, factors);
        x.par_chunks_mut(task_len).zip(grad_y.par_chunks(task_len)).for_each(|(x, grad_y)| {
            for (x, grad_y) in x.chunks_mut(ROWS * c).zip(grad_y.chunks(ROWS * c)) {
                for at in (0..c).step_by(LANES) {
                    let [scale, shift, a, b, d] =
                        [scale, shift, a, b, d].map(|of| load_channels::<WHOLE>(&of[at..]));
                    for (x, grad_y) in x.chunks_exact_mut(c).zip(grad_y.chunks_exact(c)) {
                        prefetch_line(grad_y, at + ahead);
                        prefetch_line(x, at + ahead);
                        let value = load_channels::<WHOLE>(&x[at..]);
                        let g = pass(load_channels::<WHOLE>(&grad_y[at..]), value, scale, shift);
                        store_channels::<WHOLE>(g.mul_add(a, value.mul_add(b, d)), &mut x[at..]);
                    }
                }
            }
        });
    });
}

/// Computes the gradients of `gamma` and `beta`, and the factors of `grad_x = a * g + b * x + d` for each channel.
///
/// `partial` has two rows for each task: the sums of `g` and of `g * (x - mean)`.
pub(crate) fn gradient_factors<'a>(
    partial: &[f32],
    rows: usize,
    batch: &ChannelStatistics,
    scale: &[f32],
    AffineGrad { gamma: grad_gamma, beta: grad_beta }: AffineGrad,
    factors: &'a mut [f32],
) -> [&'a [f32]; 3] {
    let c = scale.len();
    let (a, rest) = factors.split_at_mut(c);
    let (b, d) = rest.split_at_mut(c);
    for channel in 0..c {
        let total = |offset| partial.chunks_exact(2 * c).map(|p| f64::from(p[offset + channel])).sum::<f64>();
        let inv_std = batch.inv_std[channel];
        let (sum_g, sum_gx) = (total(0), total(c) * f64::from(inv_std));
        grad_beta[channel] = sum_g as f32;
        grad_gamma[channel] = sum_gx as f32;
        a[channel] = scale[channel];
        b[channel] = -scale[channel] * inv_std * (sum_gx / rows as f64) as f32;
        d[channel] = -scale[channel] * (sum_g / rows as f64) as f32 - b[channel] * batch.mean[channel];
    }
    [a, b, d]
}
