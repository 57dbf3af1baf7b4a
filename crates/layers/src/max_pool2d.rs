//! 2x2 max pooling.

use ndarray::Array4;
use roentgen_tensor::max_pool2d::{MaxPool2dGeometry, max_pool2d_backward, max_pool2d_forward};

use crate::activation::{slice, slice_mut};
use crate::{Layer, Pass};

/// Halves height and width, keeping the largest of each 2x2 window.
#[derive(Debug, Default)]
pub struct MaxPool2d {
    argmax: Vec<u8>,
}

fn geometry(x: &Array4<f32>) -> MaxPool2dGeometry {
    let (n, h, w, c) = x.dim();
    MaxPool2dGeometry::new(n, h, w, c)
}

impl Layer for MaxPool2d {
    fn out_shape(&self, [n, h, w, c]: [usize; 4]) -> [usize; 4] {
        [n, h / 2, w / 2, c]
    }

    fn forward(&mut self, x: &Array4<f32>, y: &mut Array4<f32>, _pass: Pass) {
        self.argmax.resize(y.len(), 0);
        max_pool2d_forward(&geometry(x), slice(x), slice_mut(y), &mut self.argmax);
    }

    fn backward(
        &mut self,
        x: &Array4<f32>,
        _y: &Array4<f32>,
        grad_y: &mut Array4<f32>,
        grad_x: Option<&mut Array4<f32>>,
    ) {
        if let Some(grad_x) = grad_x {
            max_pool2d_backward(&geometry(x), slice(grad_y), &self.argmax, slice_mut(grad_x));
        }
    }
}
