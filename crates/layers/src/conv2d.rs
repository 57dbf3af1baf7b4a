//! 3x3 convolution with bias, stride 1 and padding 1.

use ndarray::Array4;
use roentgen_tensor::conv2d::{
    AfterConv2d, Conv2dGeometry, ConvChoice, FILTER_SIDE, PreparedFilter, TAPS, conv2d_backward_input,
    conv2d_backward_weight, conv2d_forward, conv2d_inference,
};
use roentgen_tensor::parameter::{Parameter, ParameterKind};

use crate::Initializer;
use crate::activation::{slice, slice_mut};

/// A convolution from `c_in` to `c_out` channels that keeps height and width. A batch norm follows it
/// ([`crate::ConvBlock`]).
#[derive(Debug)]
pub(crate) struct Conv2d {
    /// `(c_in, 3, 3, c_out)`.
    weight: Parameter,
    /// `(c_out)`.
    bias: Parameter,
    /// Algorithms to choose from.
    pub(crate) choice: ConvChoice,
    /// The filter in the form that evaluation reads, kept from batch to batch.
    prepared: PreparedFilter,
}

impl Conv2d {
    /// A convolution with random weights, its parameters named `{name}.weight` and `{name}.bias`.
    pub(crate) fn new(init: &mut Initializer, name: &str, c_in: usize, c_out: usize) -> Self {
        let fan_in = TAPS * c_in;
        let shape = [c_in, FILTER_SIDE, FILTER_SIDE, c_out];
        Self {
            weight: init.uniform(format!("{name}.weight"), ParameterKind::ConvWeight, &shape, fan_in),
            bias: init.uniform(format!("{name}.bias"), ParameterKind::Bias, &[c_out], fan_in),
            choice: ConvChoice::Auto,
            prepared: PreparedFilter::default(),
        }
    }

    pub(crate) fn c_out(&self) -> usize {
        self.bias.value.len()
    }

    pub(crate) fn bias(&self) -> &[f32] {
        &self.bias.value
    }

    fn geometry(&self, x: &Array4<f32>) -> Conv2dGeometry {
        let (n, h, w, c_in) = x.dim();
        Conv2dGeometry::new(n, h, w, c_in, self.c_out()).with_choice(self.choice)
    }

    /// `y = x * weight + bias`.
    pub(crate) fn forward(&self, x: &Array4<f32>, y: &mut Array4<f32>) {
        conv2d_forward(&self.geometry(x), slice(x), &self.weight.value, &self.bias.value, slice_mut(y));
    }

    /// Sets the gradient of the weight, and computes that of `x` if it is needed.
    ///
    /// The gradient of the bias is always zero, because the batch norm after the convolution subtracts every constant.
    pub(crate) fn backward(&mut self, x: &Array4<f32>, grad_y: &[f32], grad_x: Option<&mut Array4<f32>>) {
        let geometry = self.geometry(x);
        conv2d_backward_weight(&geometry, slice(x), grad_y, &mut self.weight.grad);
        if let Some(grad_x) = grad_x {
            conv2d_backward_input(&geometry, grad_y, &self.weight.value, slice_mut(grad_x));
        }
    }

    /// `y = pool(relu(scale * (x * weight) + shift))`; the pool is optional. The bias is in the shift.
    pub(crate) fn infer(&self, x: &Array4<f32>, after: AfterConv2d, y: &mut Array4<f32>) {
        let filter = (&self.weight.value[..], &self.prepared);
        conv2d_inference(&self.geometry(x), slice(x), filter, after, slice_mut(y));
    }

    pub(crate) fn for_each_parameter(&self, visit: &mut dyn FnMut(&Parameter)) {
        visit(&self.weight);
        visit(&self.bias);
    }

    pub(crate) fn for_each_parameter_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        // The visitor may change the weights.
        self.prepared.clear();
        visit(&mut self.weight);
        visit(&mut self.bias);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepared_filter_is_kept_while_weights_are_read_and_forgotten_when_they_may_change() {
        let mut conv = Conv2d::new(&mut Initializer::new(0), "conv", 3, 5);
        let (x, mut y) = (Array4::zeros((1, 8, 8, 3)), Array4::zeros((1, 8, 8, 5)));
        assert!(conv.prepared.is_empty());
        let after = AfterConv2d { scale: &[1.0; 5], shift: &[0.0; 5], is_pooled: false };
        conv.infer(&x, after, &mut y);
        assert!(!conv.prepared.is_empty());
        let mut n_read = 0;
        conv.for_each_parameter(&mut |parameter| n_read += parameter.value.len());
        assert!(n_read > 0 && !conv.prepared.is_empty(), "{n_read} numbers read");
        conv.for_each_parameter_mut(&mut |_| {});
        assert!(conv.prepared.is_empty());
    }
}
