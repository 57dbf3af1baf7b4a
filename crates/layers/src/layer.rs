//! What every layer can do.

use ndarray::Array4;
use roentgen_tensor::parameter::{Buffer, Parameter};

/// What a forward pass is for.
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
    /// Running statistics, no dropout; nothing is updated.
    Eval,
}

/// A differentiable function with parameters.
pub trait Layer: Send {
    /// Shape of the output for an input of shape `(n, h, w, c)`.
    fn out_shape(&self, x: [usize; 4]) -> [usize; 4];

    /// Computes `y`, which has the shape that [`Layer::out_shape`] says.
    fn forward(&mut self, x: &Array4<f32>, y: &mut Array4<f32>, pass: Pass);

    /// Takes the gradient of `y` back to `x` and sets the gradients of the parameters.
    ///
    /// `x` and `y` are those of the last forward, a [`Pass::Train`]. `grad_x`, shaped like `x`, is overwritten; with
    /// `None` nobody needs it. `grad_y` serves as working memory: what it holds afterwards is unspecified.
    fn backward(
        &mut self,
        x: &Array4<f32>,
        y: &Array4<f32>,
        grad_y: &mut Array4<f32>,
        grad_x: Option<&mut Array4<f32>>,
    );

    /// Visits the parameters in a fixed order.
    fn for_each_parameter(&mut self, _visit: &mut dyn FnMut(&mut Parameter)) {}

    /// Visits the state that is not trained in a fixed order.
    fn for_each_buffer(&mut self, _visit: &mut dyn FnMut(&mut Buffer)) {}
}
