//! The memory of an evaluation.

use ndarray::Array4;

use crate::activation::reshape;

/// The results of the last evaluation, and the memory that it needed, which is allocated once and then reused.
///
/// It belongs to the caller, so that evaluation does not change the network. Each thread needs its own.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(crate) feature_map: Array4<f32>,
    pub(crate) features: Array4<f32>,
    pub(crate) logits: Array4<f32>,
    /// Arrays for activations that are not in use.
    spare: Vec<Array4<f32>>,
    /// Batch norm of one layer, as a scale and a shift for each channel.
    pub(crate) per_channel: Vec<f32>,
    /// Indices of the largest pixels of a pool.
    pub(crate) argmax: Vec<u32>,
}

impl Workspace {
    /// The output of the last block, for a ResNet9 `(n, h / 8, w / 8, 8 * width)`. It shows where in the image the features
    /// are that the classifier uses.
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

    /// An array of this shape with unspecified elements.
    pub(crate) fn take(&mut self, shape: [usize; 4]) -> Array4<f32> {
        let mut array = self.spare.pop().unwrap_or_default();
        reshape(&mut array, shape);
        array
    }

    /// Returns the memory of `array` for the next [`Self::take`].
    pub(crate) fn give_back(&mut self, array: Array4<f32>) {
        self.spare.push(array);
    }
}
