//! Simple versions of the kernels: a few loops each, directly from the formulas, in f32 or f64.
//!
//! Tests compare the fast kernels with them, and compare their backward passes with finite differences in f64.

use num_traits::Float;

use crate::batch_norm_max_pool::MaxPool2dGeometry;
use crate::conv2d::{Conv2dGeometry, FILTER_SIDE};

/// Calls `visit(x index, weight index, y index)` for every product of a convolution, except those with padding.
fn for_each_product(g: &Conv2dGeometry, mut visit: impl FnMut(usize, usize, usize)) {
    for n in 0..g.n {
        for (i, j) in (0..g.h).flat_map(|i| (0..g.w).map(move |j| (i, j))) {
            for (u, v) in (0..FILTER_SIDE).flat_map(|u| (0..FILTER_SIDE).map(move |v| (u, v))) {
                let (row, column) = ((i + u).wrapping_sub(1), (j + v).wrapping_sub(1));
                if row >= g.h || column >= g.w {
                    continue;
                }
                for c in 0..g.c_in {
                    for o in 0..g.c_out {
                        let x = ((n * g.h + row) * g.w + column) * g.c_in + c;
                        let weight = ((c * FILTER_SIDE + u) * FILTER_SIDE + v) * g.c_out + o;
                        let y = ((n * g.h + i) * g.w + j) * g.c_out + o;
                        visit(x, weight, y);
                    }
                }
            }
        }
    }
}

/// Simple version of [`crate::conv2d::conv2d_forward`].
pub fn conv2d_forward<T: Float>(g: &Conv2dGeometry, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
    let mut out: Vec<T> = (0..g.pixels()).flat_map(|_| bias.iter().copied()).collect();
    for_each_product(g, |i, k, o| out[o] = out[o] + x[i] * weight[k]);
    out
}

/// Simple version of [`crate::conv2d::conv2d_backward_input`].
pub fn conv2d_backward_input<T: Float>(g: &Conv2dGeometry, grad_y: &[T], weight: &[T]) -> Vec<T> {
    let mut grad_x = vec![T::zero(); g.x_len()];
    for_each_product(g, |i, k, o| grad_x[i] = grad_x[i] + grad_y[o] * weight[k]);
    grad_x
}

/// Simple version of [`crate::conv2d::conv2d_backward_weight`].
pub fn conv2d_backward_weight<T: Float>(g: &Conv2dGeometry, x: &[T], grad_y: &[T]) -> Vec<T> {
    let mut grad_weight = vec![T::zero(); g.weight_len()];
    for_each_product(g, |i, k, o| grad_weight[k] = grad_weight[k] + x[i] * grad_y[o]);
    grad_weight
}

/// Mean and biased variance of each column of `x`, `(rows, c)`.
pub fn channel_moments<T: Float>(c: usize, x: &[T]) -> (Vec<T>, Vec<T>) {
    let rows = T::from(x.len() / c).expect("a count is a float");
    let column = |channel: usize| x.iter().copied().skip(channel).step_by(c);
    let mean: Vec<T> = (0..c).map(|i| column(i).fold(T::zero(), |sum, x| sum + x) / rows).collect();
    let square = |i: usize| column(i).fold(T::zero(), |sum, x| sum + (x - mean[i]).powi(2));
    let var = (0..c).map(|i| square(i) / rows).collect();
    (mean, var)
}

/// Simple version of [`crate::batch_norm::batch_norm_relu_forward`] without ReLU, with batch statistics.
pub fn batch_norm_forward<T: Float>(x: &[T], gamma: &[T], beta: &[T], eps: T) -> Vec<T> {
    let c = gamma.len();
    let (mean, var) = channel_moments(c, x);
    let normal = |(i, x): (usize, &T)| (*x - mean[i % c]) / (var[i % c] + eps).sqrt();
    x.iter().enumerate().map(|(i, x)| gamma[i % c] * normal((i, x)) + beta[i % c]).collect()
}

/// Simple version of [`crate::batch_norm::batch_norm_relu_backward`] without ReLU: the gradients of `x`, `gamma` and
/// `beta`.
pub fn batch_norm_backward<T: Float>(x: &[T], gamma: &[T], eps: T, grad_y: &[T]) -> (Vec<T>, Vec<T>, Vec<T>) {
    let c = gamma.len();
    let rows = T::from(x.len() / c).expect("a count is a float");
    let (mean, var) = channel_moments(c, x);
    let inv_std: Vec<T> = var.iter().map(|var| (*var + eps).sqrt().recip()).collect();
    let x_hat: Vec<T> = x.iter().enumerate().map(|(i, x)| (*x - mean[i % c]) * inv_std[i % c]).collect();
    let (mut grad_gamma, mut grad_beta) = (vec![T::zero(); c], vec![T::zero(); c]);
    for (i, g) in grad_y.iter().enumerate() {
        grad_gamma[i % c] = grad_gamma[i % c] + *g * x_hat[i];
        grad_beta[i % c] = grad_beta[i % c] + *g;
    }
    let grad_x = |i: usize| {
        let channel = i % c;
        let centered = grad_y[i] - (grad_beta[channel] + x_hat[i] * grad_gamma[channel]) / rows;
        gamma[channel] * inv_std[channel] * centered
    };
    ((0..x.len()).map(grad_x).collect(), grad_gamma, grad_beta)
}

/// ReLU, which the fast kernels do together with the operation before it.
pub fn relu_forward<T: Float>(x: &[T]) -> Vec<T> {
    x.iter().map(|x| x.max(T::zero())).collect()
}

/// Backward of [`relu_forward`].
pub fn relu_backward<T: Float>(y: &[T], grad_y: &[T]) -> Vec<T> {
    y.iter().zip(grad_y).map(|(y, g)| if *y > T::zero() { *g } else { T::zero() }).collect()
}

/// The index of the input that each output of a pool takes: the first of the largest in `window(output)`.
fn argmax<T: Float, W: Iterator<Item = usize>>(
    n_out: usize,
    x: &[T],
    window: impl Fn(usize) -> W,
) -> Vec<usize> {
    let first_largest = |best: usize, i: usize| if x[i] > x[best] { i } else { best };
    (0..n_out).map(|out| window(out).reduce(first_largest).expect("a window has pixels")).collect()
}

/// The index of the input that each output of a 2x2 max pool takes, the first of equal ones.
pub fn max_pool2d_argmax<T: Float>(g: &MaxPool2dGeometry, x: &[T]) -> Vec<usize> {
    let (h_out, w_out) = (g.h_out(), g.w_out());
    argmax(g.n * h_out * w_out * g.c, x, |out| {
        let (channel, j, i) = (out % g.c, out / g.c % w_out, out / g.c / w_out % h_out);
        let n = out / g.c / w_out / h_out;
        let at = move |u: usize, v: usize| ((n * g.h + 2 * i + u) * g.w + 2 * j + v) * g.c + channel;
        [at(0, 0), at(0, 1), at(1, 0), at(1, 1)].into_iter()
    })
}

/// The index of the input that each output of [`crate::global_max_pool2d::global_max_pool2d_forward`] takes.
pub fn global_max_pool2d_argmax<T: Float>(n: usize, c: usize, x: &[T]) -> Vec<usize> {
    let image = x.len() / n;
    argmax(n * c, x, |out| (0..image / c).map(move |pixel| out / c * image + pixel * c + out % c))
}

/// Forward pass of a pool, from its argmax.
pub fn pool_forward<T: Float>(x: &[T], argmax: &[usize]) -> Vec<T> {
    argmax.iter().map(|&i| x[i]).collect()
}

/// Backward pass of a pool, from its argmax.
pub fn pool_backward<T: Float>(x_len: usize, argmax: &[usize], grad_y: &[T]) -> Vec<T> {
    let mut grad_x = vec![T::zero(); x_len];
    for (&i, &g) in argmax.iter().zip(grad_y) {
        grad_x[i] = grad_x[i] + g;
    }
    grad_x
}

/// Simple version of [`crate::linear::linear_forward`].
pub fn linear_forward<T: Float>(x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
    let c_out = bias.len();
    let c_in = weight.len() / c_out;
    let term =
        |n: usize, o: usize| (0..c_in).fold(bias[o], |sum, k| sum + x[n * c_in + k] * weight[k * c_out + o]);
    (0..x.len() / c_in).flat_map(|n| (0..c_out).map(move |o| (n, o))).map(|(n, o)| term(n, o)).collect()
}

/// Simple version of [`crate::linear::linear_backward`]: the gradients of `x`, `weight` and `bias`.
pub fn linear_backward<T: Float>(
    x: &[T],
    weight: &[T],
    c_out: usize,
    grad_y: &[T],
) -> (Vec<T>, Vec<T>, Vec<T>) {
    let c_in = weight.len() / c_out;
    let (mut grad_x, mut grad_weight) = (vec![T::zero(); x.len()], vec![T::zero(); weight.len()]);
    let mut grad_bias = vec![T::zero(); c_out];
    for (i, g) in grad_y.iter().enumerate() {
        let (n, o) = (i / c_out, i % c_out);
        grad_bias[o] = grad_bias[o] + *g;
        for k in 0..c_in {
            grad_x[n * c_in + k] = grad_x[n * c_in + k] + *g * weight[k * c_out + o];
            grad_weight[k * c_out + o] = grad_weight[k * c_out + o] + *g * x[n * c_in + k];
        }
    }
    (grad_x, grad_weight, grad_bias)
}

/// Simple version of [`crate::softmax_cross_entropy::softmax_cross_entropy`]: the loss and the gradient of the logits.
pub fn softmax_cross_entropy<T: Float>(
    logits: &[T],
    labels: &[u32],
    weights: &[T],
    smoothing: T,
) -> (T, Vec<T>) {
    let k = weights.len();
    let total = labels.iter().fold(T::zero(), |sum, &label| sum + weights[label as usize]);
    let share = smoothing / T::from(k).expect("a count is a float");
    let (mut loss, mut grad) = (T::zero(), Vec::new());
    for (z, &label) in logits.chunks_exact(k).zip(labels) {
        let target = |c: usize| {
            let hard = if c == label as usize { (T::one() - smoothing) * weights[c] } else { T::zero() };
            hard + share * weights[c]
        };
        let sum = z.iter().fold(T::zero(), |sum, z| sum + z.exp());
        let target_sum = (0..k).fold(T::zero(), |sum, c| sum + target(c));
        loss = (0..k).fold(loss, |loss, c| loss - target(c) * (z[c].exp() / sum).ln() / total);
        grad.extend((0..k).map(|c| (z[c].exp() / sum * target_sum - target(c)) / total));
    }
    (loss, grad)
}
