//! Batch normalisation over the rows of a `(rows, c)` matrix, with or without the ReLU that follows it.
//!
//! ```text
//! y = act(gamma * (x - mean) * inv_std + beta)        inv_std = 1 / sqrt(var + eps)
//! ```
//!
//! Ioffe and Szegedy (2015). In training, mean and (biased) variance are those of the batch; in evaluation, running
//! averages, the variance there unbiased, as PyTorch keeps them. The ReLU is folded in because the pair is bound by
//! memory: apart, each direction would read and write the activations once more. Derivation in `docs/backprop.md`.

use rayon::prelude::*;

use crate::reduce::TASK_ROWS;
use crate::scratch::with_scratch;

/// What follows the normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `max(0, .)`.
    Relu,
}

impl Activation {
    /// Its smallest value: an activation is `max(floor, .)`.
    pub(crate) fn floor(self) -> f32 {
        match self {
            Self::Identity => f32::NEG_INFINITY,
            Self::Relu => 0.0,
        }
    }
}

/// Mean and spread of each channel that a pass normalises with; training saves them for backward.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelStatistics {
    /// Mean.
    pub mean: Vec<f32>,
    /// `1 / sqrt(variance + eps)`, the variance biased.
    pub inv_std: Vec<f32>,
}

/// Averages over batches, with which evaluation normalises.
#[derive(Debug)]
pub struct Running<'a> {
    /// Running mean, `(c)`.
    pub mean: &'a mut [f32],
    /// Running unbiased variance, `(c)`.
    pub var: &'a mut [f32],
    /// Weight of the new batch, 0 to 1.
    pub momentum: f32,
}

/// Mean and variance of each channel of `x`; updates the running averages.
///
/// Each task makes the mean and the squared deviations of its own rows while they are in the cache; the tasks are
/// merged in order by the formula of Chan, Golub and LeVeque (1979). So `x` is read once from memory, and no large
/// numbers are subtracted from each other.
///
/// # Shapes
/// `x`: `(rows, c)` with `c` the length of the running averages.
///
/// # Panics
/// If `x` does not consist of whole rows.
pub fn batch_norm_statistics(x: &[f32], eps: f32, running: &mut Running, batch: &mut ChannelStatistics) {
    let c = running.mean.len();
    assert_eq!(x.len() % c, 0, "batch_norm: whole rows of {c}");
    let rows = x.len() / c;
    with_scratch(rows.div_ceil(TASK_ROWS) * 2 * c, |partial| {
        partial.par_chunks_exact_mut(2 * c).zip(x.par_chunks(TASK_ROWS * c)).for_each(|(partial, x)| {
            let (mean, squares) = partial.split_at_mut(c);
            mean.fill(0.0);
            squares.fill(0.0);
            for row in x.chunks_exact(c) {
                for (sum, x) in mean.iter_mut().zip(row) {
                    *sum += x;
                }
            }
            let scale = 1.0 / (x.len() / c) as f32;
            mean.iter_mut().for_each(|sum| *sum *= scale);
            for row in x.chunks_exact(c) {
                for ((square, mean), x) in squares.iter_mut().zip(&*mean).zip(row) {
                    *square += (x - mean) * (x - mean);
                }
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
            batch.inv_std[channel] = (1.0 / (squares / count + f64::from(eps)).sqrt()) as f32;
            let unbiased = squares / (count - 1.0).max(1.0);
            let blend = |old: &mut f32, new: f64| *old += running.momentum * (new as f32 - *old);
            blend(&mut running.mean[channel], mean);
            blend(&mut running.var[channel], unbiased);
        }
    });
}

/// The statistics with which evaluation normalises.
pub fn running_statistics(mean: &[f32], var: &[f32], eps: f32, out: &mut ChannelStatistics) {
    out.mean.clear();
    out.mean.extend_from_slice(mean);
    out.inv_std.clear();
    out.inv_std.extend(var.iter().map(|var| 1.0 / (var + eps).sqrt()));
}

/// Normalises `x` with the given statistics. Backward needs `x`, `y` and the statistics.
///
/// # Shapes
/// `x`, `y`: `(rows, c)`; `gamma`, `beta`: `(c)`.
///
/// # Panics
/// If the lengths do not fit each other.
pub fn batch_norm_forward(
    x: &[f32],
    statistics: &ChannelStatistics,
    (gamma, beta): (&[f32], &[f32]),
    activation: Activation,
    y: &mut [f32],
) {
    let c = gamma.len();
    assert_eq!(x.len(), y.len(), "batch_norm: y is like x");
    assert_eq!(x.len() % c, 0, "batch_norm: whole rows of {c}");
    // y = act(scale * x + shift): one multiply-add an element.
    with_scratch(2 * c, |per_channel| {
        let (scale, shift) = per_channel.split_at_mut(c);
        for channel in 0..c {
            scale[channel] = gamma[channel] * statistics.inv_std[channel];
            shift[channel] = beta[channel] - statistics.mean[channel] * scale[channel];
        }
        let floor = activation.floor();
        let (scale, shift) = (&*scale, &*shift);
        y.par_chunks_mut(TASK_ROWS * c).zip(x.par_chunks(TASK_ROWS * c)).for_each(|(y, x)| {
            for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                    let normal = x.mul_add(*scale, *shift);
                    // Not f32::max, which would hide a NaN.
                    *y = if normal < floor { floor } else { normal };
                }
            }
        });
    });
}

/// Turns the gradient of `y` into that of `x`, in place, and adds to those of `gamma` and `beta`; training only.
///
/// ```text
/// g      = grad_y, where y > 0 if a ReLU is folded in
/// x_hat  = (x - mean) * inv_std
/// grad_beta += sum g;  grad_gamma += sum g * x_hat
/// grad_x = gamma * inv_std * (g - mean of g - x_hat * mean of (g * x_hat))
/// ```
///
/// # Shapes
/// `x`, `y`, `grad`: `(rows, c)`; `gamma`, `grad_gamma`, `grad_beta`: `(c)`.
///
/// # Panics
/// If the lengths do not fit each other.
pub fn batch_norm_backward(
    (x, y): (&[f32], &[f32]),
    batch: &ChannelStatistics,
    gamma: &[f32],
    activation: Activation,
    grad: &mut [f32],
    (grad_gamma, grad_beta): (&mut [f32], &mut [f32]),
) {
    let c = gamma.len();
    assert!(x.len() == y.len() && x.len() == grad.len(), "batch_norm: y and grad are like x");
    assert_eq!(x.len() % c, 0, "batch_norm: whole rows of {c}");
    let rows = x.len() / c;
    with_scratch(rows.div_ceil(TASK_ROWS) * 2 * c + 3 * c, |scratch| {
        let (per_channel, partial) = scratch.split_at_mut(3 * c);
        let (mean, inv_std) = (&batch.mean[..], &batch.inv_std[..]);

        let tasks = partial.par_chunks_exact_mut(2 * c).zip(grad.par_chunks_mut(TASK_ROWS * c));
        let tasks = tasks.zip(x.par_chunks(TASK_ROWS * c)).zip(y.par_chunks(TASK_ROWS * c));
        tasks.for_each(|(((partial, grad), x), y)| {
            let (sum_g, sum_gx) = partial.split_at_mut(c);
            sum_g.fill(0.0);
            sum_gx.fill(0.0);
            for ((grad, x), y) in grad.chunks_exact_mut(c).zip(x.chunks_exact(c)).zip(y.chunks_exact(c)) {
                if activation == Activation::Relu {
                    for (g, y) in grad.iter_mut().zip(y) {
                        *g = if *y > 0.0 { *g } else { 0.0 };
                    }
                }
                let channels = sum_g.iter_mut().zip(&mut *sum_gx).zip(mean).zip(&*grad).zip(x);
                for ((((sum_g, sum_gx), mean), g), x) in channels {
                    *sum_g += g;
                    *sum_gx += g * (x - mean);
                }
            }
        });

        // grad_x = a * g + b * x + d, one multiply-add each per channel.
        let (a, rest) = per_channel.split_at_mut(c);
        let (b, d) = rest.split_at_mut(c);
        for channel in 0..c {
            let total =
                |offset| partial.chunks_exact(2 * c).map(|p| f64::from(p[offset + channel])).sum::<f64>();
            let (sum_g, sum_gx) = (total(0), total(c) * f64::from(inv_std[channel]));
            grad_beta[channel] += sum_g as f32;
            grad_gamma[channel] += sum_gx as f32;
            a[channel] = gamma[channel] * inv_std[channel];
            b[channel] = -a[channel] * inv_std[channel] * (sum_gx / rows as f64) as f32;
            d[channel] = -a[channel] * (sum_g / rows as f64) as f32 - b[channel] * mean[channel];
        }
        let (a, b, d) = (&*a, &*b, &*d);
        grad.par_chunks_mut(TASK_ROWS * c).zip(x.par_chunks(TASK_ROWS * c)).for_each(|(grad, x)| {
            for (grad, x) in grad.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                for ((((g, x), a), b), d) in grad.iter_mut().zip(x).zip(a).zip(b).zip(d) {
                    *g = g.mul_add(*a, x.mul_add(*b, *d));
                }
            }
        });
    });
}
