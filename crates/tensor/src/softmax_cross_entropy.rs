//! The loss: softmax and cross-entropy, with optional class weights and label smoothing.
//!
//! ```text
//! p    = softmax(logits)
//! t[c] = (1 - smoothing) * weight[label] * [c = label] + smoothing / k * weight[c]
//! loss = (sum over images of -sum_c t[c] * ln p[c]) / (sum over images of weight[label])
//! ```
//! The second sum is over the whole batch, also where a batch is computed in parts: then losses and gradients of the parts
//! add up to those of the batch.
//!
//! This is PyTorch's `CrossEntropyLoss` with the default reduction, `mean`. Label smoothing: Szegedy et al. (2016).

/// Writes the natural logarithm of the softmax of `logits` to `out`. It subtracts the largest logit first, so that no
/// exponential overflows.
fn log_softmax(logits: &[f32], out: &mut [f32]) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let log_sum = libm::logf(logits.iter().map(|z| libm::expf(z - max)).sum());
    for (out, z) in out.iter_mut().zip(logits) {
        *out = z - max - log_sum;
    }
}

/// The sum over images of the weight of their class: the divisor of [`softmax_cross_entropy`].
#[must_use]
pub fn total_weight(labels: &[u32], class_weights: Option<&[f32]>) -> f32 {
    labels.iter().map(|&label| class_weights.map_or(1.0, |weights| weights[label as usize])).sum()
}

/// Returns the mean loss of a batch, or the share of it that these images have, and computes its gradient with respect to
/// the logits, `(p * sum of t - t) / total_weight`.
///
/// Without `class_weights` all classes have weight 1; `smoothing` is 0 to 1; `total_weight` is [`total_weight`] of the
/// whole batch.
///
/// # Shapes
/// `logits`, `grad`: `(n, k)`, `grad` overwritten; `labels`: `(n)`, each below `k`.
///
/// # Panics
/// If the lengths do not fit, or a label is not below `k`.
pub fn softmax_cross_entropy(
    logits: &[f32],
    labels: &[u32],
    class_weights: Option<&[f32]>,
    smoothing: f32,
    total_weight: f32,
    grad: &mut [f32],
) -> f32 {
    assert!(
        !labels.is_empty() && logits.len().is_multiple_of(labels.len()),
        "softmax_cross_entropy: the length of logits is not a multiple of the number of labels"
    );
    assert_eq!(logits.len(), grad.len(), "softmax_cross_entropy: grad and logits differ in length");
    let k = logits.len() / labels.len();
    assert!(
        class_weights.is_none_or(|w| w.len() == k),
        "softmax_cross_entropy: expected a weight for each of {k} classes"
    );
    let weight = |class: usize| class_weights.map_or(1.0, |weights| weights[class]);
    let mut loss = 0.0f64;
    for ((logits, grad), &label) in logits.chunks_exact(k).zip(grad.chunks_exact_mut(k)).zip(labels) {
        let label = label as usize;
        assert!(label < k, "softmax_cross_entropy: label {label} is not below {k}");
        log_softmax(logits, grad);
        let target = |c: usize| {
            let hard = if c == label { (1.0 - smoothing) * weight(label) } else { 0.0 };
            hard + smoothing / k as f32 * weight(c)
        };
        let target_sum: f32 = (0..k).map(target).sum();
        for (c, slot) in grad.iter_mut().enumerate() {
            let log_p = *slot;
            // A class with target 0 adds nothing; 0 * -inf would add NaN.
            if target(c) != 0.0 {
                loss -= f64::from(target(c)) * f64::from(log_p);
            }
            *slot = (libm::expf(log_p) * target_sum - target(c)) / total_weight;
        }
    }
    (loss / f64::from(total_weight)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss_and_grad<const K: usize>(logits: [f32; K], label: u32) -> (f32, [f32; K]) {
        let mut grad = [f32::NAN; K];
        let loss = softmax_cross_entropy(&logits, &[label], None, 0.0, 1.0, &mut grad);
        (loss, grad)
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let logits = [1e4, 0.0, -1e4];
        assert_eq!(loss_and_grad(logits, 0), (0.0, [0.0; 3]));
        assert_eq!(loss_and_grad(logits, 1), (1e4, [1.0, -1.0, 0.0]));
        assert_eq!(loss_and_grad(logits, 2), (2e4, [1.0, 0.0, -1.0]));
    }

    #[test]
    fn another_class_of_probability_0_adds_nothing_to_the_loss() {
        assert_eq!(loss_and_grad([0.0, f32::NEG_INFINITY], 0), (0.0, [0.0; 2]));
    }
}
