//! Residual connection (He et al. 2016) around two blocks.

use ndarray::Array4;
use roentgen_tensor::add::add_assign;
use roentgen_tensor::parameter::{Buffer, Parameter};

use crate::activation::{reshape, shape, slice, slice_mut};
use crate::{ConvBlock, Layer, Pass, Workspace};

/// `y = second(first(x)) + x`.
#[derive(Debug)]
pub struct Residual {
    first: ConvBlock,
    second: ConvBlock,
    /// The output of the first block, and its gradient.
    between: Array4<f32>,
    grad_between: Array4<f32>,
}

impl Residual {
    /// A connection around two blocks that keep the shape of their input.
    #[must_use]
    pub fn around(first: ConvBlock, second: ConvBlock) -> Self {
        let empty = || Array4::default((0, 0, 0, 0));
        Self { first, second, between: empty(), grad_between: empty() }
    }
}

impl Layer for Residual {
    fn out_shape(&self, x: [usize; 4]) -> [usize; 4] {
        let y = self.second.out_shape(self.first.out_shape(x));
        assert_eq!(y, x, "residual: the blocks change the shape");
        y
    }

    fn forward(&mut self, x: &Array4<f32>, y: &mut Array4<f32>, pass: Pass) {
        reshape(&mut self.between, self.first.out_shape(shape(x)));
        self.first.forward(x, &mut self.between, pass);
        self.second.forward_add(&self.between, Some(x), y, pass);
    }

    fn backward(&mut self, x: &Array4<f32>, grad_y: &Array4<f32>, mut grad_x: Option<&mut Array4<f32>>) {
        reshape(&mut self.grad_between, shape(&self.between));
        self.second.backward(&self.between, grad_y, Some(&mut self.grad_between));
        self.first.backward(x, &self.grad_between, grad_x.as_deref_mut());
        if let Some(grad_x) = grad_x {
            add_assign(slice_mut(grad_x), slice(grad_y));
        }
    }

    fn infer(&self, x: &Array4<f32>, y: &mut Array4<f32>, workspace: &mut Workspace) {
        let mut between = workspace.take(self.first.out_shape(shape(x)));
        self.first.infer(x, &mut between.array, workspace);
        self.second.infer_add(&between.array, Some(x), y, workspace);
        workspace.give_back(between);
    }

    fn for_each_parameter(&self, visit: &mut dyn FnMut(&Parameter)) {
        self.first.for_each_parameter(visit);
        self.second.for_each_parameter(visit);
    }

    fn for_each_parameter_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        self.first.for_each_parameter_mut(visit);
        self.second.for_each_parameter_mut(visit);
    }

    fn for_each_buffer(&self, visit: &mut dyn FnMut(&Buffer)) {
        self.first.for_each_buffer(visit);
        self.second.for_each_buffer(visit);
    }

    fn for_each_buffer_mut(&mut self, visit: &mut dyn FnMut(&mut Buffer)) {
        self.first.for_each_buffer_mut(visit);
        self.second.for_each_buffer_mut(visit);
    }
}
