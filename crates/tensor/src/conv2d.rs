//! 3x3 convolution, stride 1, padding 1: the only one that ResNet9 needs.
//!
//! ```text
//! y[n, i, j, o] = bias[o] + sum over (u, v, c) of x[n, i + u - 1, j + v - 1, c] * weight[u, v, c, o]
//! ```
//!
//! The functions here are what the layers see. How the sums are formed is the business of an algorithm in a
//! module of its own ([`im2col`]); another one takes its place for the geometries that suit it by a further arm
//! in [`Conv2dAlgorithm`], and nothing above notices. The gradients are derived in `docs/backprop.md`.

mod im2col;
mod pack;

use crate::reduce::add_column_sums;

/// Height and width of the filter.
pub const KERNEL: usize = 3;
/// Taps of the filter.
pub const TAPS: usize = KERNEL * KERNEL;

/// Sizes of one convolution, checked once and handed to all three passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dGeometry {
    /// Images in the batch.
    pub n: usize,
    /// Height of input and output.
    pub h: usize,
    /// Width of input and output.
    pub w: usize,
    /// Channels of the input.
    pub c_in: usize,
    /// Channels of the output.
    pub c_out: usize,
}

/// How a convolution is computed. Every algorithm gives the same function, up to rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conv2dAlgorithm {
    /// Patches unrolled into rows (Chellapilla, Puri and Simard 2006), multiplied by a packed matrix product.
    Im2col,
}

impl Conv2dAlgorithm {
    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Im2col => "im2col",
        }
    }
}

/// Memory that the passes of one layer reuse from step to step.
#[derive(Clone, Debug, Default)]
pub struct Conv2dScratch {
    packed_weight: Vec<f32>,
    partial_grad: Vec<f32>,
}

impl Conv2dGeometry {
    /// Checks and keeps the sizes.
    ///
    /// # Panics
    /// If one of them is 0.
    #[must_use]
    pub fn new(n: usize, h: usize, w: usize, c_in: usize, c_out: usize) -> Self {
        let geometry = Self { n, h, w, c_in, c_out };
        assert!([n, h, w, c_in, c_out].iter().all(|&size| size > 0), "conv2d: a size is 0 in {geometry:?}");
        geometry
    }

    /// The algorithm that serves this geometry best.
    #[must_use]
    pub fn algorithm(&self) -> Conv2dAlgorithm {
        Conv2dAlgorithm::Im2col
    }

    /// Pixels of the batch: rows of the matrix view of input and output.
    #[must_use]
    pub fn pixels(&self) -> usize {
        self.n * self.h * self.w
    }

    /// Numbers in the input.
    #[must_use]
    pub fn x_len(&self) -> usize {
        self.pixels() * self.c_in
    }

    /// Numbers in the output.
    #[must_use]
    pub fn y_len(&self) -> usize {
        self.pixels() * self.c_out
    }

    /// Numbers in the filter.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        TAPS * self.c_in * self.c_out
    }

    /// Floating-point operations of one pass of the direct algorithm, padding included.
    #[must_use]
    pub fn flops(&self) -> f64 {
        2.0 * self.pixels() as f64 * self.weight_len() as f64
    }

    /// The geometry of the pass back to the input, itself a convolution of the output's gradient.
    fn reversed(&self) -> Self {
        Self { c_in: self.c_out, c_out: self.c_in, ..*self }
    }

    fn check(&self, x: &[f32], weight: &[f32], y: &[f32]) {
        assert_eq!(x.len(), self.x_len(), "conv2d: length of x in {self:?}");
        assert_eq!(weight.len(), self.weight_len(), "conv2d: length of weight in {self:?}");
        assert_eq!(y.len(), self.y_len(), "conv2d: length of y in {self:?}");
    }
}

/// Convolution with bias. Backward needs `x` and `weight`, nothing else is saved.
///
/// # Shapes
/// `x`: `(n, h, w, c_in)`; `weight`: `(3, 3, c_in, c_out)`; `bias`: `(c_out)`; `y`: `(n, h, w, c_out)`, overwritten.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn conv2d_forward(
    geometry: &Conv2dGeometry,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    y: &mut [f32],
    scratch: &mut Conv2dScratch,
) {
    geometry.check(x, weight, y);
    assert_eq!(bias.len(), geometry.c_out, "conv2d: length of bias in {geometry:?}");
    match geometry.algorithm() {
        Conv2dAlgorithm::Im2col => {
            let packed = pack::pack_weight(geometry, weight, &mut scratch.packed_weight);
            im2col::correlate(geometry, x, packed, bias, y);
        }
    }
}

/// Gradient of the input: the convolution of `grad_y` with the filter turned by 180 degrees, its channels swapped.
///
/// # Shapes
/// As in [`conv2d_forward`]; `grad_x` like `x`, overwritten.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn conv2d_backward_input(
    geometry: &Conv2dGeometry,
    grad_y: &[f32],
    weight: &[f32],
    grad_x: &mut [f32],
    scratch: &mut Conv2dScratch,
) {
    geometry.check(grad_x, weight, grad_y);
    match geometry.algorithm() {
        Conv2dAlgorithm::Im2col => {
            let packed = pack::pack_reversed_weight(geometry, weight, &mut scratch.packed_weight);
            im2col::correlate(&geometry.reversed(), grad_y, packed, &[], grad_x);
        }
    }
}

/// Gradient of the filter: every patch of `x` times the gradient of the pixel that it made, summed.
///
/// # Shapes
/// As in [`conv2d_forward`]; `grad_weight` like `weight`, added to.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn conv2d_backward_weight(
    geometry: &Conv2dGeometry,
    x: &[f32],
    grad_y: &[f32],
    grad_weight: &mut [f32],
    scratch: &mut Conv2dScratch,
) {
    geometry.check(x, grad_weight, grad_y);
    match geometry.algorithm() {
        Conv2dAlgorithm::Im2col => {
            im2col::correlate_patches(geometry, x, grad_y, grad_weight, &mut scratch.partial_grad);
        }
    }
}

/// Gradient of the bias: `grad_y` summed over all pixels, added to `grad_bias`.
///
/// # Shapes
/// `grad_y`: `(n, h, w, c_out)`; `grad_bias`: `(c_out)`.
pub fn conv2d_backward_bias(grad_y: &[f32], grad_bias: &mut [f32], scratch: &mut Conv2dScratch) {
    add_column_sums(grad_y, grad_bias, &mut scratch.partial_grad);
}

#[cfg(test)]
mod tests;
