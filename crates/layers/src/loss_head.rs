//! The loss function of the logits.

use ndarray::Array4;
use roentgen_tensor::scratch::with_scratch;
use roentgen_tensor::softmax_cross_entropy::softmax_cross_entropy;

use crate::activation::{reshape, shape, slice, slice_mut};

/// Softmax and cross-entropy, with optional class weights, label smoothing and logit adjustment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossHead {
    /// Weight of each class; `None` gives all classes weight 1.
    pub class_weights: Option<Vec<f32>>,
    /// Fraction of the target that is spread evenly over the classes, 0 to 1.
    pub label_smoothing: f32,
    /// Added to the logits of each class, only for the loss. With the logarithms of the class frequencies in training, the
    /// logits learn to predict as if all classes were equally frequent (logit adjustment: Menon et al. 2021, equation 10,
    /// <https://arxiv.org/abs/2007.07314>).
    pub log_prior: Option<Vec<f32>>,
}

impl LossHead {
    /// Returns the mean loss of a batch, and computes its gradient with respect to the logits.
    ///
    /// # Shapes
    /// `logits`: `(n, 1, 1, k)`; `labels`: `(n)`, each below `k`; `grad_logits` gets the shape of `logits`.
    pub fn forward_backward(
        &self,
        logits: &Array4<f32>,
        labels: &[u32],
        grad_logits: &mut Array4<f32>,
    ) -> f32 {
        reshape(grad_logits, shape(logits));
        let (logits, grad_logits) = (slice(logits), slice_mut(grad_logits));
        let class_weights = self.class_weights.as_deref();
        let Some(log_prior) = &self.log_prior else {
            return softmax_cross_entropy(logits, labels, class_weights, self.label_smoothing, grad_logits);
        };
        with_scratch(logits.len(), |adjusted| {
            for ((adjusted, logit), prior) in adjusted.iter_mut().zip(logits).zip(log_prior.iter().cycle()) {
                *adjusted = logit + prior;
            }
            softmax_cross_entropy(adjusted, labels, class_weights, self.label_smoothing, grad_logits)
        })
    }
}
