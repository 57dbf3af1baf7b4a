//! Batch normalisation of each channel, alone or with the ReLU that follows it.

use ndarray::Array4;
use roentgen_tensor::batch_norm::{
    Activation, ChannelStatistics, Running, batch_norm_backward, batch_norm_forward, batch_norm_statistics,
    running_statistics,
};
use roentgen_tensor::parameter::{Buffer, Parameter, ParameterKind};

use crate::activation::{slice, slice_mut};
use crate::{Layer, Pass};

/// Added to the variance.
const EPS: f32 = 1e-5;
/// Weight of a new batch in the running averages.
const MOMENTUM: f32 = 0.1;

/// Batch normalisation over `(n, h, w)`.
#[derive(Debug)]
pub struct BatchNorm2d {
    gamma: Parameter,
    beta: Parameter,
    running_mean: Buffer,
    running_var: Buffer,
    activation: Activation,
    statistics: ChannelStatistics,
}

impl BatchNorm2d {
    /// Normalises `c` channels; its tensors are named `{name}.weight` (gamma), `{name}.bias` (beta),
    /// `{name}.running_mean` and `{name}.running_var`, as in PyTorch.
    #[must_use]
    pub fn new(name: &str, c: usize) -> Self {
        Self {
            gamma: Parameter::filled(format!("{name}.weight"), ParameterKind::BatchNormGamma, &[c], 1.0),
            beta: Parameter::filled(format!("{name}.bias"), ParameterKind::BatchNormBeta, &[c], 0.0),
            running_mean: Buffer { name: format!("{name}.running_mean"), value: vec![0.0; c] },
            running_var: Buffer { name: format!("{name}.running_var"), value: vec![1.0; c] },
            activation: Activation::Identity,
            statistics: ChannelStatistics::default(),
        }
    }

    /// Followed by a ReLU, in one pass over the data: `relu(batch_norm(x))`.
    #[must_use]
    pub fn with_relu(name: &str, c: usize) -> Self {
        Self { activation: Activation::Relu, ..Self::new(name, c) }
    }
}

impl Layer for BatchNorm2d {
    fn out_shape(&self, x: [usize; 4]) -> [usize; 4] {
        x
    }

    fn forward(&mut self, x: &Array4<f32>, y: &mut Array4<f32>, pass: Pass) {
        let (mean, var) = (&mut self.running_mean.value[..], &mut self.running_var.value[..]);
        match pass {
            Pass::Train { .. } => {
                let mut running = Running { mean, var, momentum: MOMENTUM };
                batch_norm_statistics(slice(x), EPS, &mut running, &mut self.statistics);
            }
            Pass::Eval => running_statistics(mean, var, EPS, &mut self.statistics),
        }
        let affine = (&self.gamma.value[..], &self.beta.value[..]);
        batch_norm_forward(slice(x), &self.statistics, affine, self.activation, slice_mut(y));
    }

    fn backward(
        &mut self,
        x: &Array4<f32>,
        y: &Array4<f32>,
        grad_y: &mut Array4<f32>,
        grad_x: Option<&mut Array4<f32>>,
    ) {
        batch_norm_backward(
            (slice(x), slice(y)),
            &self.statistics,
            &self.gamma.value,
            self.activation,
            slice_mut(grad_y),
            (&mut self.gamma.grad, &mut self.beta.grad),
        );
        if let Some(grad_x) = grad_x {
            std::mem::swap(grad_x, grad_y);
        }
    }

    fn for_each_parameter(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        visit(&mut self.gamma);
        visit(&mut self.beta);
    }

    fn for_each_buffer(&mut self, visit: &mut dyn FnMut(&mut Buffer)) {
        visit(&mut self.running_mean);
        visit(&mut self.running_var);
    }
}
