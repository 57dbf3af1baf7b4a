//! Fully connected layer for activations of the shape `(n, 1, 1, c)`.

use ndarray::Array4;
use roentgen_tensor::linear::{linear_backward, linear_forward};
use roentgen_tensor::parameter::{Parameter, ParameterKind};

use crate::activation::{slice, slice_mut};
use crate::{Initializer, Layer, Pass, Workspace};

/// `y = x weight + bias`.
#[derive(Debug)]
pub struct Linear {
    /// `(c_in, c_out)`.
    weight: Parameter,
    /// `(c_out)`.
    bias: Parameter,
}

impl Linear {
    /// A layer with random weights, its parameters named `{name}.weight` and `{name}.bias`.
    #[must_use]
    pub fn new(init: &mut Initializer, name: &str, c_in: usize, c_out: usize) -> Self {
        Self {
            weight: init.uniform(format!("{name}.weight"), ParameterKind::LinearWeight, &[c_in, c_out], c_in),
            bias: init.uniform(format!("{name}.bias"), ParameterKind::Bias, &[c_out], c_in),
        }
    }
}

impl Layer for Linear {
    fn out_shape(&self, [n, h, w, _]: [usize; 4]) -> [usize; 4] {
        [n, h, w, self.bias.value.len()]
    }

    fn forward(&mut self, x: &Array4<f32>, y: &mut Array4<f32>, _pass: Pass) {
        linear_forward(slice(x), &self.weight.value, &self.bias.value, slice_mut(y));
    }

    fn backward(&mut self, x: &Array4<f32>, grad_y: &Array4<f32>, grad_x: Option<&mut Array4<f32>>) {
        let inputs = (slice(x), &self.weight.value[..]);
        let grad_x = grad_x.map(slice_mut);
        linear_backward(inputs, slice(grad_y), grad_x, &mut self.weight.grad, &mut self.bias.grad);
    }

    fn infer(&self, x: &Array4<f32>, y: &mut Array4<f32>, _workspace: &mut Workspace) {
        linear_forward(slice(x), &self.weight.value, &self.bias.value, slice_mut(y));
    }

    fn for_each_parameter(&self, visit: &mut dyn FnMut(&Parameter)) {
        visit(&self.weight);
        visit(&self.bias);
    }

    fn for_each_parameter_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        visit(&mut self.weight);
        visit(&mut self.bias);
    }
}
