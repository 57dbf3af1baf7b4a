//! The trait that every layer implements.

use ndarray::Array4;
use roentgen_tensor::parameter::{Buffer, Parameter};

use crate::Workspace;

/// The kinds of forward pass in training. (Evaluation is [`Layer::infer`].)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Batch statistics and dropout; saves what backward needs.
    Train {
        /// Seed of the run; with `step` and `shard` it determines the dropout masks.
        seed: u64,
        /// Number of steps before this one.
        step: u64,
        /// Which part of the batch of the step it is; 0 for a whole batch.
        shard: u64,
    },
    /// Batch statistics and no dropout; the running statistics become the mean of those of batches `0..=batch`. For weights
    /// that differ from those in training, such as an average (Izmailov et al. 2018, section 3.2).
    Measure {
        /// Number of batches before this one.
        batch: u64,
    },
}

/// A differentiable function with parameters.
///
/// A layer with parameters or buffers implements both visitors of them, the one that reads and the one that writes.
pub trait Layer: Send + Sync {
    /// Shape of the output for an input of shape `(n, h, w, c)`.
    fn out_shape(&self, x: [usize; 4]) -> [usize; 4];

    /// Computes `y`, which has the shape that [`Layer::out_shape`] returns.
    fn forward(&mut self, x: &Array4<f32>, y: &mut Array4<f32>, pass: Pass);

    /// Computes the gradient of `x` from that of `y`, and sets the gradients of the parameters.
    ///
    /// `x` is that of the last [`Layer::forward`], a [`Pass::Train`]. `grad_x` has the shape of `x` and is overwritten;
    /// `None` means that it is not needed.
    fn backward(&mut self, x: &Array4<f32>, grad_y: &Array4<f32>, grad_x: Option<&mut Array4<f32>>);

    /// Computes `y` in evaluation: with running statistics and without dropout. The layer does not change, so any number of
    /// threads may share it, each with its own workspace.
    fn infer(&self, x: &Array4<f32>, y: &mut Array4<f32>, workspace: &mut Workspace);

    /// Reads the parameters in a fixed order.
    fn for_each_parameter(&self, _visit: &mut dyn FnMut(&Parameter)) {}

    /// Visits the parameters in the same order, to change them.
    fn for_each_parameter_mut(&mut self, _visit: &mut dyn FnMut(&mut Parameter)) {}

    /// Reads the state that is not trained, in a fixed order.
    fn for_each_buffer(&self, _visit: &mut dyn FnMut(&Buffer)) {}

    /// Visits the state that is not trained in the same order, to change it.
    fn for_each_buffer_mut(&mut self, _visit: &mut dyn FnMut(&mut Buffer)) {}
}
