//! 3x3 convolution, stride 1, padding 1, with bias.

use ndarray::Array4;
use roentgen_tensor::conv2d::{
    Conv2dGeometry, KERNEL, TAPS, conv2d_backward_bias, conv2d_backward_input, conv2d_backward_weight,
    conv2d_forward,
};
use roentgen_tensor::parameter::{Parameter, ParameterKind};

use crate::activation::{slice, slice_mut};
use crate::{Initializer, Layer, Pass};

/// A convolution from `c_in` to `c_out` channels; height and width stay.
#[derive(Debug)]
pub struct Conv2d {
    /// `(c_in, 3, 3, c_out)`.
    weight: Parameter,
    /// `(c_out)`.
    bias: Parameter,
}

impl Conv2d {
    /// A convolution with random weights, its parameters named `{name}.weight` and `{name}.bias`.
    #[must_use]
    pub fn new(init: &mut Initializer, name: &str, c_in: usize, c_out: usize) -> Self {
        let fan_in = TAPS * c_in;
        let shape = [c_in, KERNEL, KERNEL, c_out];
        Self {
            weight: init.uniform(format!("{name}.weight"), ParameterKind::ConvWeight, &shape, fan_in),
            bias: init.uniform(format!("{name}.bias"), ParameterKind::Bias, &[c_out], fan_in),
        }
    }

    fn geometry(&self, x: &Array4<f32>) -> Conv2dGeometry {
        let (n, h, w, c_in) = x.dim();
        Conv2dGeometry::new(n, h, w, c_in, self.bias.value.len())
    }
}

impl Layer for Conv2d {
    fn out_shape(&self, [n, h, w, _]: [usize; 4]) -> [usize; 4] {
        [n, h, w, self.bias.value.len()]
    }

    fn forward(&mut self, x: &Array4<f32>, y: &mut Array4<f32>, _pass: Pass) {
        let geometry = self.geometry(x);
        let (weight, bias) = (&self.weight.value, &self.bias.value);
        conv2d_forward(&geometry, slice(x), weight, bias, slice_mut(y));
    }

    fn backward(
        &mut self,
        x: &Array4<f32>,
        _y: &Array4<f32>,
        grad_y: &mut Array4<f32>,
        grad_x: Option<&mut Array4<f32>>,
    ) {
        let geometry = self.geometry(x);
        let grad_y = slice(grad_y);
        conv2d_backward_bias(grad_y, &mut self.bias.grad);
        conv2d_backward_weight(&geometry, slice(x), grad_y, &mut self.weight.grad);
        if let Some(grad_x) = grad_x {
            conv2d_backward_input(&geometry, grad_y, &self.weight.value, slice_mut(grad_x));
        }
    }

    fn for_each_parameter(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        visit(&mut self.weight);
        visit(&mut self.bias);
    }
}
