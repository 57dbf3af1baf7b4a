//! The loss function of the logits.

use ndarray::Array4;
use roentgen_tensor::scratch::with_scratch;
use roentgen_tensor::softmax_cross_entropy::{softmax_cross_entropy, total_weight};

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
    ///
    /// # Panics
    /// If there are no labels or not one for each image, if a label is not below `k`, or if the class weights or the
    /// logarithms of the prior are not `k`.
    pub fn forward_backward(
        &self,
        logits: &Array4<f32>,
        labels: &[u32],
        grad_logits: &mut Array4<f32>,
    ) -> f32 {
        self.forward_backward_shard(logits, labels, self.total_weight(labels), grad_logits)
    }

    /// The sum of the class weights of the images of a batch.
    #[must_use]
    pub fn total_weight(&self, labels: &[u32]) -> f32 {
        total_weight(labels, self.class_weights.as_deref())
    }

    /// As [`Self::forward_backward`], for a part of a batch of which `total_weight` is the [`Self::total_weight`]: losses
    /// and gradients of all parts add up to those of the batch.
    ///
    /// # Panics
    /// As [`Self::forward_backward`].
    pub fn forward_backward_shard(
        &self,
        logits: &Array4<f32>,
        labels: &[u32],
        total_weight: f32,
        grad_logits: &mut Array4<f32>,
    ) -> f32 {
        let (n, _, _, k) = logits.dim();
        assert_eq!(labels.len(), n, "LossHead: the number of labels is not that of the images");
        reshape(grad_logits, shape(logits));
        let (logits, grad_logits) = (slice(logits), slice_mut(grad_logits));
        let (class_weights, smoothing) = (self.class_weights.as_deref(), self.label_smoothing);
        let Some(log_prior) = &self.log_prior else {
            return softmax_cross_entropy(
                logits,
                labels,
                class_weights,
                smoothing,
                total_weight,
                grad_logits,
            );
        };
        assert_eq!(log_prior.len(), k, "LossHead: the length of log_prior is not the number of classes");
        with_scratch(logits.len(), |adjusted| {
            for ((adjusted, logit), prior) in adjusted.iter_mut().zip(logits).zip(log_prior.iter().cycle()) {
                *adjusted = logit + prior;
            }
            softmax_cross_entropy(adjusted, labels, class_weights, smoothing, total_weight, grad_logits)
        })
    }
}
