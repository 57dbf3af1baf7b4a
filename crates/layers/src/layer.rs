//! What every layer can do.

use ndarray::Array4;
use roentgen_tensor::parameter::{Buffer, Parameter};

use crate::Workspace;

/// What a forward pass of training is for. (Evaluation is [`Layer::infer`].)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Batch statistics, dropout; saves what backward needs.
    Train {
        /// Seed of the run; with `step` it decides the dropout masks.
        seed: u64,
        /// Steps taken before this one.
        step: u64,
    },
    /// Batch statistics, no dropout; the running statistics become the mean of those of batches `0..=batch`. For
    /// weights that were not trained as they stand, such as an average (Izmailov et al. 2018, section 3.2).
    Measure {
        /// Batches measured before this one.
        batch: u64,
    },
}

/// A differentiable function with parameters.
///
/// A layer with parameters or buffers implements both visitors of them, the one that reads and the one that writes.
pub trait Layer: Send + Sync {
    /// Shape of the output for an input of shape `(n, h, w, c)`.
    fn out_shape(&self, x: [usize; 4]) -> [usize; 4];

    /// Computes `y`, which has the shape that [`Layer::out_shape`] says.
    fn forward(&mut self, x: &Array4<f32>, y: &mut Array4<f32>, pass: Pass);

    /// Computes `y` as evaluation does: with running statistics and without dropout. The layer does not change, so any
    /// number of threads may share it, each with a workspace of its own.
    fn infer(&self, x: &Array4<f32>, y: &mut Array4<f32>, workspace: &mut Workspace);

    /// Takes the gradient of `y` back to `x` and sets the gradients of the parameters.
    ///
    /// `x` and `y` are those of the last [`Layer::forward`], a [`Pass::Train`]. `grad_x`, shaped like `x`, is overwritten; with
    /// `None` nobody needs it. `grad_y` serves as working memory: what it holds afterwards is unspecified.
    fn backward(
        &mut self,
        x: &Array4<f32>,
        y: &Array4<f32>,
        grad_y: &mut Array4<f32>,
        grad_x: Option<&mut Array4<f32>>,
    );

    /// Reads the parameters in a fixed order.
    fn for_each_parameter(&self, _visit: &mut dyn FnMut(&Parameter)) {}

    /// Visits the parameters in the same order, to change them.
    fn for_each_parameter_mut(&mut self, _visit: &mut dyn FnMut(&mut Parameter)) {}

    /// Reads the state that is not trained, in a fixed order.
    fn for_each_buffer(&self, _visit: &mut dyn FnMut(&Buffer)) {}

    /// Visits the state that is not trained in the same order, to change it.
    fn for_each_buffer_mut(&mut self, _visit: &mut dyn FnMut(&mut Buffer)) {}
}
