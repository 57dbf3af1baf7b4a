//! Batch normalisation of each channel, together with the ReLU after it and the addition or pooling after that.

use ndarray::Array4;
use roentgen_tensor::batch_norm::{
    Affine, AffineGrad, ChannelStatistics, Running, RunningStatistics, ScaleAndShift,
    batch_norm_relu_backward, batch_norm_relu_forward, batch_norm_statistics, running_scale_and_shift,
};
use roentgen_tensor::batch_norm_max_pool::{
    MaxPool2dGeometry, batch_norm_max_pool_backward, batch_norm_max_pool_forward,
};
use roentgen_tensor::parameter::{Buffer, Parameter, ParameterKind};

use crate::activation::{slice, slice_mut};

/// Weight of a new batch in the running averages.
pub(crate) const MOMENTUM: f32 = 0.1;

/// Batch normalisation over `(n, h, w)`.
#[derive(Debug)]
pub(crate) struct BatchNorm2d {
    gamma: Parameter,
    beta: Parameter,
    running_mean: Buffer,
    running_var: Buffer,
    statistics: ChannelStatistics,
}

/// The operations after the normalisation, in the same pass over memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FusedOps {
    /// `relu(.)`, or `relu(.) + skip`.
    Relu,
    /// The 2x2 max pool of `relu(.)`.
    ReluMaxPool,
}

fn pool_geometry(x: &Array4<f32>) -> MaxPool2dGeometry {
    let (n, h, w, c) = x.dim();
    MaxPool2dGeometry::new(n, h, w, c)
}

impl BatchNorm2d {
    /// Normalises `c` channels; its tensors are named `{name}.weight` (gamma), `{name}.bias` (beta),
    /// `{name}.running_mean` and `{name}.running_var`, as in PyTorch.
    pub(crate) fn new(name: &str, c: usize) -> Self {
        Self {
            gamma: Parameter::filled(format!("{name}.weight"), ParameterKind::BatchNormGamma, &[c], 1.0),
            beta: Parameter::filled(format!("{name}.bias"), ParameterKind::BatchNormBeta, &[c], 0.0),
            running_mean: Buffer { name: format!("{name}.running_mean"), value: vec![0.0; c] },
            running_var: Buffer { name: format!("{name}.running_var"), value: vec![1.0; c] },
            statistics: ChannelStatistics::default(),
        }
    }

    /// Normalises with the statistics of the batch, and updates the running statistics with `momentum`.
    /// `skip` is for [`FusedOps::Relu`].
    pub(crate) fn forward(
        &mut self,
        x: &Array4<f32>,
        fused: FusedOps,
        skip: Option<&Array4<f32>>,
        momentum: f32,
        y: &mut Array4<f32>,
    ) {
        let (mean, var) = (&mut self.running_mean.value[..], &mut self.running_var.value[..]);
        let mut running = Running { mean, var, momentum };
        batch_norm_statistics(slice(x), &mut running, &mut self.statistics);
        let affine = Affine { gamma: &self.gamma.value, beta: &self.beta.value };
        let (x_slice, y) = (slice(x), slice_mut(y));
        match fused {
            FusedOps::Relu => {
                batch_norm_relu_forward(x_slice, &self.statistics, affine, skip.map(slice), y);
            }
            FusedOps::ReluMaxPool => {
                assert!(skip.is_none(), "a block with a pool cannot add a skip connection");
                batch_norm_max_pool_forward(&pool_geometry(x), x_slice, &self.statistics, affine, y);
            }
        }
    }

    /// Replaces `x` by its gradient, for the same operations as in the last forward pass. (A `skip` that was added has the
    /// gradient of `y`.)
    pub(crate) fn backward(&mut self, x: &mut Array4<f32>, fused: FusedOps, grad_y: &[f32]) {
        let affine = Affine { gamma: &self.gamma.value, beta: &self.beta.value };
        let grads = AffineGrad { gamma: &mut self.gamma.grad, beta: &mut self.beta.grad };
        match fused {
            FusedOps::Relu => batch_norm_relu_backward(slice_mut(x), &self.statistics, affine, grad_y, grads),
            FusedOps::ReluMaxPool => {
                let (geometry, x) = (pool_geometry(x), slice_mut(x));
                batch_norm_max_pool_backward(&geometry, x, &self.statistics, affine, grad_y, grads);
            }
        }
    }

    /// The normalisation of `x + bias` with the running statistics.
    ///
    /// # Shapes
    /// `memory`: `(2, c)`, overwritten.
    pub(crate) fn running_scale_and_shift<'a>(
        &self,
        bias: &[f32],
        memory: &'a mut [f32],
    ) -> ScaleAndShift<'a> {
        let running = RunningStatistics { mean: &self.running_mean.value, var: &self.running_var.value };
        let affine = Affine { gamma: &self.gamma.value, beta: &self.beta.value };
        running_scale_and_shift(running, affine, bias, memory)
    }

    pub(crate) fn for_each_parameter(&self, visit: &mut dyn FnMut(&Parameter)) {
        visit(&self.gamma);
        visit(&self.beta);
    }

    pub(crate) fn for_each_parameter_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        visit(&mut self.gamma);
        visit(&mut self.beta);
    }

    pub(crate) fn for_each_buffer(&self, visit: &mut dyn FnMut(&Buffer)) {
        visit(&self.running_mean);
        visit(&self.running_var);
    }

    pub(crate) fn for_each_buffer_mut(&mut self, visit: &mut dyn FnMut(&mut Buffer)) {
        visit(&mut self.running_mean);
        visit(&mut self.running_var);
    }
}
