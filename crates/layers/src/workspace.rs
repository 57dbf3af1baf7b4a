//! The memory of an evaluation.

use ndarray::Array4;

use crate::activation::reshape;

/// What a network computed in its last evaluation, and the memory that it needed: made at the first one, then reused.
///
/// It belongs to the caller, one to a thread, so that evaluation does not change the network.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(crate) feature_map: Array4<f32>,
    pub(crate) features: Array4<f32>,
    pub(crate) logits: Array4<f32>,
    /// Activations that no layer reads any more.
    spare: Vec<Array4<f32>>,
    /// Batch norm as a factor and a term per channel.
    pub(crate) per_channel: Vec<f32>,
    /// Places that a pool found.
    pub(crate) argmax: Vec<u32>,
}

impl Workspace {
    /// The output of the last convolutions, `(n, h / 8, w / 8, 8 * width)` for a ResNet9: where in the image the network
    /// sees what the classifier decides by.
    #[must_use]
    pub fn feature_map(&self) -> &Array4<f32> {
        &self.feature_map
    }

    /// The largest value of each channel of [`Self::feature_map`], `(n, 1, 1, c)`: the input of the classifier.
    #[must_use]
    pub fn features(&self) -> &Array4<f32> {
        &self.features
    }

    /// The logits, `(n, 1, 1, n_classes)`.
    #[must_use]
    pub fn logits(&self) -> &Array4<f32> {
        &self.logits
    }

    /// An array of this shape, its elements unspecified.
    pub(crate) fn take(&mut self, shape: [usize; 4]) -> Array4<f32> {
        let mut array = self.spare.pop().unwrap_or_default();
        reshape(&mut array, shape);
        array
    }

    /// Keeps the memory of `array` for the next [`Self::take`].
    pub(crate) fn give_back(&mut self, array: Array4<f32>) {
        self.spare.push(array);
    }
}
