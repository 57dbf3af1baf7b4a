//! Dropout.

use ndarray::Array4;
use roentgen_tensor::dropout::{dropout_backward, dropout_forward};
use roentgen_tensor::rng::{CounterRng, Purpose};

use crate::activation::{slice, slice_mut};
use crate::{Layer, Pass, Workspace};

/// Sets each element to 0 with probability `p` in training; does nothing in evaluation.
#[derive(Debug)]
pub struct Dropout {
    p: f32,
    mask: Vec<f32>,
}

impl Dropout {
    /// Dropout with probability `p`, in `[0, 1)`.
    #[must_use]
    pub fn new(p: f32) -> Self {
        Self { p, mask: Vec::new() }
    }
}

impl Layer for Dropout {
    fn out_shape(&self, x: [usize; 4]) -> [usize; 4] {
        x
    }

    fn forward(&mut self, x: &Array4<f32>, y: &mut Array4<f32>, pass: Pass) {
        match pass {
            Pass::Train { seed, step, shard } => {
                let mut rng = CounterRng::new(seed, Purpose::Dropout, step, shard);
                self.mask.resize(x.len(), 0.0);
                dropout_forward(self.p, &mut rng, slice(x), slice_mut(y), &mut self.mask);
            }
            Pass::Measure { .. } => y.assign(x),
        }
    }

    fn backward(&mut self, _x: &Array4<f32>, grad_y: &Array4<f32>, grad_x: Option<&mut Array4<f32>>) {
        if let Some(grad_x) = grad_x {
            dropout_backward(&self.mask, slice(grad_y), slice_mut(grad_x));
        }
    }

    fn infer(&self, x: &Array4<f32>, y: &mut Array4<f32>, _workspace: &mut Workspace) {
        y.assign(x);
    }
}
