//! Residual connection (He et al. 2016).

use ndarray::Array4;
use roentgen_tensor::add::add_assign;
use roentgen_tensor::parameter::{Buffer, Parameter};

use crate::activation::{resize, shape, slice, slice_mut};
use crate::{Layer, Pass, Sequential};

/// `y = body(x) + x`.
#[derive(Debug)]
pub struct Residual {
    body: Sequential,
    /// The body's output before `x` is added; its backward needs it.
    body_y: Array4<f32>,
    grad_skip: Array4<f32>,
}

impl Residual {
    /// A connection around `body`, which must keep the shape of its input.
    #[must_use]
    pub fn around(body: Sequential) -> Self {
        Self { body, body_y: Array4::default((0, 0, 0, 0)), grad_skip: Array4::default((0, 0, 0, 0)) }
    }
}

impl Layer for Residual {
    fn out_shape(&self, x: [usize; 4]) -> [usize; 4] {
        x
    }

    fn forward(&mut self, x: &Array4<f32>, y: &mut Array4<f32>, pass: Pass) {
        self.body.forward(x, &mut self.body_y, pass);
        assert_eq!(self.body_y.shape(), x.shape(), "residual: the body keeps the shape");
        y.assign(&self.body_y);
        add_assign(slice_mut(y), slice(x));
    }

    fn backward(
        &mut self,
        x: &Array4<f32>,
        _y: &Array4<f32>,
        grad_y: &mut Array4<f32>,
        grad_x: Option<&mut Array4<f32>>,
    ) {
        resize(&mut self.grad_skip, shape(grad_y));
        self.grad_skip.assign(grad_y);
        match grad_x {
            Some(grad_x) => {
                self.body.backward(x, &self.body_y, grad_y, Some(grad_x));
                add_assign(slice_mut(grad_x), slice(&self.grad_skip));
            }
            None => self.body.backward(x, &self.body_y, grad_y, None),
        }
    }

    fn for_each_parameter(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        self.body.for_each_parameter(visit);
    }

    fn for_each_buffer(&mut self, visit: &mut dyn FnMut(&mut Buffer)) {
        self.body.for_each_buffer(visit);
    }
}
