//! ReLU as a layer of its own, for where no batch norm precedes it.

use ndarray::Array4;
use roentgen_tensor::relu::{relu_backward, relu_forward};

use crate::activation::{slice, slice_mut};
use crate::{Layer, Pass};

/// `max(0, x)`.
#[derive(Debug, Default)]
pub struct Relu;

impl Layer for Relu {
    fn out_shape(&self, x: [usize; 4]) -> [usize; 4] {
        x
    }

    fn forward(&mut self, x: &Array4<f32>, y: &mut Array4<f32>, _pass: Pass) {
        relu_forward(slice(x), slice_mut(y));
    }

    fn backward(
        &mut self,
        _x: &Array4<f32>,
        y: &Array4<f32>,
        grad_y: &mut Array4<f32>,
        grad_x: Option<&mut Array4<f32>>,
    ) {
        relu_backward(slice(y), slice_mut(grad_y));
        if let Some(grad_x) = grad_x {
            std::mem::swap(grad_x, grad_y);
        }
    }
}
