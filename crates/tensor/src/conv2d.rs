//! 3x3 convolution, stride 1, padding 1: the only one that ResNet9 needs.
//!
//! ```text
//! y[n, i, j, o] = bias[o] + sum over (u, v, c) of x[n, i + u - 1, j + v - 1, c] * weight[c, u, v, o]
//! ```
//!
//! The functions here are what the layers see. How the sums are formed is the business of an algorithm in a module of
//! its own (`im2col`, `winograd`); which one serves a geometry, [`Conv2dGeometry::algorithm`] decides, and nothing
//! above notices. The gradients are derived in `docs/backprop.md`.

mod epilogue;
mod im2col;
mod reverse;
mod winograd;

use epilogue::Epilogue;
use winograd::{F2, F3, F4, F6};

use crate::gemm::LANES;
use crate::reduce::add_column_sums;
use crate::scratch::with_scratch;

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
    /// Winograd's minimal filtering (Lavin and Gray 2016), F(2x2, 3x3).
    Winograd2,
    /// F(3x3, 3x3).
    Winograd3,
    /// F(4x4, 3x3).
    Winograd4,
    /// F(6x6, 3x3).
    Winograd6,
}

impl Conv2dAlgorithm {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Im2col, Self::Winograd2, Self::Winograd3, Self::Winograd4, Self::Winograd6];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Im2col => "im2col",
            Self::Winograd2 => "winograd 2x2",
            Self::Winograd3 => "winograd 3x3",
            Self::Winograd4 => "winograd 4x4",
            Self::Winograd6 => "winograd 6x6",
        }
    }

    /// Side of an output tile; `None` for im2col.
    fn tile(self) -> Option<usize> {
        match self {
            Self::Im2col => None,
            Self::Winograd2 => Some(2),
            Self::Winograd3 => Some(3),
            Self::Winograd4 => Some(4),
            Self::Winograd6 => Some(6),
        }
    }
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

    /// The algorithm that serves this geometry best: the one with the fewest multiplications.
    #[must_use]
    pub fn algorithm(&self) -> Conv2dAlgorithm {
        let cost = |algorithm: &Conv2dAlgorithm| match algorithm.tile() {
            None => TAPS * self.h * self.w,
            Some(m) => winograd::multiplications(self, m),
        };
        let supported = Conv2dAlgorithm::ALL.into_iter().filter(|algorithm| self.supports(*algorithm));
        supported.min_by_key(cost).expect("im2col serves every geometry")
    }

    /// Whether `algorithm` can serve this geometry, and can gain by it.
    ///
    /// Winograd's transforms work on whole vectors of channels, its products on all of them at once; and for a few
    /// tiles its larger filters cost more to read than the multiplications they save.
    fn supports(&self, algorithm: Conv2dAlgorithm) -> bool {
        let whole_vectors = |c: usize| c.is_multiple_of(LANES);
        let Some(m) = algorithm.tile() else { return true };
        let n_tiles = self.n * self.h.div_ceil(m) * self.w.div_ceil(m);
        whole_vectors(self.c_in) && whole_vectors(self.c_out) && n_tiles >= winograd::MIN_TILES
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
/// `x`: `(n, h, w, c_in)`; `weight`: `(c_in, 3, 3, c_out)`; `bias`: `(c_out)`; `y`: `(n, h, w, c_out)`, overwritten.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn conv2d_forward(g: &Conv2dGeometry, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    g.check(x, weight, y);
    assert_eq!(bias.len(), g.c_out, "conv2d: length of bias in {g:?}");
    correlate(g, g.algorithm(), x, weight, Epilogue { bias, ..Epilogue::NONE }, y);
}

/// Gradient of the input: the convolution of `grad_y` with the filter turned by 180 degrees, its channels swapped.
///
/// # Shapes
/// As in [`conv2d_forward`]; `grad_x` like `x`, overwritten.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn conv2d_backward_input(g: &Conv2dGeometry, grad_y: &[f32], weight: &[f32], grad_x: &mut [f32]) {
    g.check(grad_x, weight, grad_y);
    with_scratch(g.weight_len(), |reversed| {
        reverse::reverse_weight(g, weight, reversed);
        correlate(&g.reversed(), g.algorithm(), grad_y, reversed, Epilogue::NONE, grad_x);
    });
}

/// Gradient of the filter: every patch of `x` times the gradient of the pixel that it made, summed.
///
/// # Shapes
/// As in [`conv2d_forward`]; `grad_weight` like `weight`, added to.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn conv2d_backward_weight(g: &Conv2dGeometry, x: &[f32], grad_y: &[f32], grad_weight: &mut [f32]) {
    g.check(x, grad_weight, grad_y);
    correlate_patches(g, g.algorithm(), x, grad_y, grad_weight);
}

/// Gradient of the bias: `grad_y` summed over all pixels, added to `grad_bias`.
///
/// # Shapes
/// `grad_y`: `(n, h, w, c_out)`; `grad_bias`: `(c_out)`.
pub fn conv2d_backward_bias(grad_y: &[f32], grad_bias: &mut [f32]) {
    add_column_sums(grad_y, grad_bias);
}

/// `y = act(bias + x * weight)`.
fn correlate(
    g: &Conv2dGeometry,
    algorithm: Conv2dAlgorithm,
    x: &[f32],
    weight: &[f32],
    epilogue: Epilogue,
    y: &mut [f32],
) {
    match algorithm {
        Conv2dAlgorithm::Im2col => im2col::correlate(g, x, weight, epilogue, y),
        Conv2dAlgorithm::Winograd2 => winograd::correlate::<F2, 4, 2>(g, x, weight, epilogue, y),
        Conv2dAlgorithm::Winograd3 => winograd::correlate::<F3, 5, 3>(g, x, weight, epilogue, y),
        Conv2dAlgorithm::Winograd4 => winograd::correlate::<F4, 6, 4>(g, x, weight, epilogue, y),
        Conv2dAlgorithm::Winograd6 => winograd::correlate::<F6, 8, 6>(g, x, weight, epilogue, y),
    }
}

/// `grad_weight += patches(x)^T * grad_y`.
fn correlate_patches(
    g: &Conv2dGeometry,
    algorithm: Conv2dAlgorithm,
    x: &[f32],
    grad_y: &[f32],
    grad_weight: &mut [f32],
) {
    match algorithm {
        Conv2dAlgorithm::Im2col => im2col::correlate_patches(g, x, grad_y, grad_weight),
        Conv2dAlgorithm::Winograd2 => winograd::correlate_patches::<F2, 4, 2>(g, x, grad_y, grad_weight),
        Conv2dAlgorithm::Winograd3 => winograd::correlate_patches::<F3, 5, 3>(g, x, grad_y, grad_weight),
        Conv2dAlgorithm::Winograd4 => winograd::correlate_patches::<F4, 6, 4>(g, x, grad_y, grad_weight),
        Conv2dAlgorithm::Winograd6 => winograd::correlate_patches::<F6, 8, 6>(g, x, grad_y, grad_weight),
    }
}

#[cfg(test)]
mod tests;
