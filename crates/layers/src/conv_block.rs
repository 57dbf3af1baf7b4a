//! Convolution, batch normalisation, ReLU and an optional 2x2 max pool: the block that the networks consist of.

use ndarray::Array4;
use roentgen_tensor::add::add_assign;
use roentgen_tensor::batch_norm::ScaleAndShift;
use roentgen_tensor::conv2d::{AfterConv2d, ConvChoice};
use roentgen_tensor::parameter::{Buffer, Parameter};

use crate::activation::{reshape, slice, slice_mut};
use crate::batch_norm2d::{BatchNorm2d, FusedOps, MOMENTUM};
use crate::conv2d::Conv2d;
use crate::{Initializer, Layer, Pass, Workspace};

/// `pool(relu(batch_norm(conv(x))))`, where the pool is optional.
///
/// The four operations are one layer because all except the convolution are limited by memory bandwidth. Together they
/// read the output of the convolution once and write their own once, in both directions. Backward needs only the output
/// of the convolution.
#[derive(Debug)]
pub struct ConvBlock {
    conv: Conv2d,
    norm: BatchNorm2d,
    /// What follows the batch norm.
    fused: FusedOps,
    /// The output of the convolution; after backward, its gradient.
    conv_y: Array4<f32>,
}

impl ConvBlock {
    /// A block with random weights; its tensors are named `{name}.0.*` (convolution) and `{name}.1.*` (batch norm).
    #[must_use]
    pub fn new(init: &mut Initializer, name: &str, c_in: usize, c_out: usize) -> Self {
        Self {
            conv: Conv2d::new(init, &format!("{name}.0"), c_in, c_out),
            norm: BatchNorm2d::new(&format!("{name}.1"), c_out),
            fused: FusedOps::Relu,
            conv_y: Array4::default((0, 0, 0, 0)),
        }
    }

    /// Adds a 2x2 max pool at the end, which halves height and width.
    #[must_use]
    pub fn with_pool(self) -> Self {
        Self { fused: FusedOps::ReluMaxPool, ..self }
    }

    /// Sets the algorithms to choose from for the convolution.
    #[must_use]
    pub fn with_choice(mut self, choice: ConvChoice) -> Self {
        self.conv.choice = choice;
        self
    }

    /// As [`Layer::forward`], and adds `skip` to the result; for a block without pool. The gradient of `skip` is that of `y`.
    pub(crate) fn forward_add(
        &mut self,
        x: &Array4<f32>,
        skip: Option<&Array4<f32>>,
        y: &mut Array4<f32>,
        pass: Pass,
    ) {
        let (n, h, w, _) = x.dim();
        let momentum = match pass {
            Pass::Train { .. } => MOMENTUM,
            Pass::Measure { batch } => 1.0 / (batch + 1) as f32,
        };
        reshape(&mut self.conv_y, [n, h, w, self.conv.c_out()]);
        self.conv.forward(x, &mut self.conv_y);
        self.norm.forward(&self.conv_y, self.fused, skip, momentum, y);
    }

    /// As [`Layer::infer`], and adds `skip` to the result; for a block without pool.
    pub(crate) fn infer_add(
        &self,
        x: &Array4<f32>,
        skip: Option<&Array4<f32>>,
        y: &mut Array4<f32>,
        workspace: &mut Workspace,
    ) {
        let mut per_channel = std::mem::take(&mut workspace.per_channel);
        per_channel.resize(2 * self.conv.c_out(), 0.0);
        let ScaleAndShift { scale, shift } =
            self.norm.running_scale_and_shift(self.conv.bias(), &mut per_channel);
        let is_pooled = self.fused == FusedOps::ReluMaxPool;
        self.conv.infer(x, AfterConv2d { scale, shift, is_pooled }, y);
        if let Some(skip) = skip {
            add_assign(slice_mut(y), slice(skip));
        }
        workspace.per_channel = per_channel;
    }
}

impl Layer for ConvBlock {
    fn out_shape(&self, [n, h, w, _]: [usize; 4]) -> [usize; 4] {
        let shrink = match self.fused {
            FusedOps::Relu => 1,
            FusedOps::ReluMaxPool => 2,
        };
        [n, h / shrink, w / shrink, self.conv.c_out()]
    }

    fn forward(&mut self, x: &Array4<f32>, y: &mut Array4<f32>, pass: Pass) {
        self.forward_add(x, None, y, pass);
    }

    fn backward(&mut self, x: &Array4<f32>, grad_y: &Array4<f32>, grad_x: Option<&mut Array4<f32>>) {
        self.norm.backward(&mut self.conv_y, self.fused, slice(grad_y));
        self.conv.backward(x, slice(&self.conv_y), grad_x);
    }

    fn infer(&self, x: &Array4<f32>, y: &mut Array4<f32>, workspace: &mut Workspace) {
        self.infer_add(x, None, y, workspace);
    }

    fn for_each_parameter(&self, visit: &mut dyn FnMut(&Parameter)) {
        self.conv.for_each_parameter(visit);
        self.norm.for_each_parameter(visit);
    }

    fn for_each_parameter_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        self.conv.for_each_parameter_mut(visit);
        self.norm.for_each_parameter_mut(visit);
    }

    fn for_each_buffer(&self, visit: &mut dyn FnMut(&Buffer)) {
        self.norm.for_each_buffer(visit);
    }

    fn for_each_buffer_mut(&mut self, visit: &mut dyn FnMut(&mut Buffer)) {
        self.norm.for_each_buffer_mut(visit);
    }
}
