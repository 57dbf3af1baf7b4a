//! Global max pooling: one number for each channel and image, at any height and width.

use ndarray::Array4;
use roentgen_tensor::global_max_pool2d::{global_max_pool2d_backward, global_max_pool2d_forward};

use crate::activation::{slice, slice_mut};
use crate::{Layer, Pass, Workspace};

/// `(n, h, w, c)` to `(n, 1, 1, c)`.
#[derive(Debug, Default)]
pub struct GlobalMaxPool2d {
    argmax: Vec<u32>,
}

impl Layer for GlobalMaxPool2d {
    fn out_shape(&self, [n, _, _, c]: [usize; 4]) -> [usize; 4] {
        [n, 1, 1, c]
    }

    fn forward(&mut self, x: &Array4<f32>, y: &mut Array4<f32>, _pass: Pass) {
        self.argmax.resize(y.len(), 0);
        global_max_pool2d_forward(x.dim().3, slice(x), slice_mut(y), &mut self.argmax);
    }

    fn backward(&mut self, x: &Array4<f32>, grad_y: &Array4<f32>, grad_x: Option<&mut Array4<f32>>) {
        if let Some(grad_x) = grad_x {
            global_max_pool2d_backward(x.dim().3, slice(grad_y), &self.argmax, slice_mut(grad_x));
        }
    }

    fn infer(&self, x: &Array4<f32>, y: &mut Array4<f32>, workspace: &mut Workspace) {
        // The kernel also returns the index of the largest pixel, which evaluation does not need.
        let argmax = &mut workspace.argmax;
        argmax.resize(y.len(), 0);
        global_max_pool2d_forward(x.dim().3, slice(x), slice_mut(y), argmax);
    }
}
