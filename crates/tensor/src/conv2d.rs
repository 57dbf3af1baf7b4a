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
mod winograd;

use std::sync::OnceLock;

use epilogue::Epilogue;
use winograd::{F2, F3, F4, F6};

use crate::aligned::Aligned;
use crate::batch_norm::Activation;
use crate::gemm::MR;
use crate::lanes::LANES;

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
    /// Algorithms to choose from.
    pub choice: ConvChoice,
}

/// Algorithms that may serve a convolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConvChoice {
    /// All, the fastest of them.
    #[default]
    Auto,
    /// The one that multiplies as the definition says.
    Direct,
    /// Winograd's, the fastest of them; the direct one where they can't work on whole vectors of channels.
    Winograd,
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
            Self::Winograd2 => "F(2x2)",
            Self::Winograd3 => "F(3x3)",
            Self::Winograd4 => "F(4x4)",
            Self::Winograd6 => "F(6x6)",
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
    /// Checks and keeps the sizes; every algorithm may serve.
    ///
    /// # Panics
    /// If one of them is 0.
    #[must_use]
    pub fn new(n: usize, h: usize, w: usize, c_in: usize, c_out: usize) -> Self {
        let geometry = Self { n, h, w, c_in, c_out, choice: ConvChoice::Auto };
        assert!([n, h, w, c_in, c_out].iter().all(|&size| size > 0), "conv2d: a size is 0 in {geometry:?}");
        geometry
    }

    /// The same sizes with other algorithms to choose from.
    #[must_use]
    pub fn with_choice(self, choice: ConvChoice) -> Self {
        Self { choice, ..self }
    }

    /// The algorithm that serves this geometry: of those to choose from, the one with the least work.
    ///
    /// Multiplications, whole register tiles counted, and the reading of the filter, which is larger in Winograd's
    /// domain and the most of the work for a single image.
    #[must_use]
    pub fn algorithm(&self) -> Conv2dAlgorithm {
        /// Multiplications that take as long as reading one number of the filter from the third-level cache.
        const READING: usize = 16;
        let work = |algorithm: &Conv2dAlgorithm| {
            let (filters, rows) = match algorithm.tile() {
                None => (TAPS, self.pixels()),
                Some(m) => ((m + 2) * (m + 2), self.n * self.h.div_ceil(m) * self.w.div_ceil(m)),
            };
            filters * (rows.next_multiple_of(MR) + READING)
        };
        // Winograd's transforms work on whole vectors of channels.
        let whole_vectors = self.c_in.is_multiple_of(LANES) && self.c_out.is_multiple_of(LANES);
        let serves = |algorithm: &Conv2dAlgorithm| match (self.choice, algorithm.tile()) {
            (ConvChoice::Direct, tile) => tile.is_none(),
            (_, Some(_)) => whole_vectors,
            (ConvChoice::Winograd, None) => !whole_vectors,
            (ConvChoice::Auto, None) => true,
        };
        let served = Conv2dAlgorithm::ALL.into_iter().filter(serves);
        served.min_by_key(work).expect("one algorithm serves every geometry")
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
    correlate(g, g.algorithm(), x, Filter::Plain(weight), Epilogue::bias(bias), y);
}

/// A filter made ready for [`conv2d_inference`], for as long as the weights stay: once for each algorithm that needs it.
///
/// Any number of threads may share it.
#[derive(Debug, Default)]
pub struct PreparedFilter {
    /// In the order of [`Conv2dAlgorithm::ALL`].
    by_algorithm: [OnceLock<Aligned>; Conv2dAlgorithm::ALL.len()],
}

impl PreparedFilter {
    /// Forgets what was prepared; to be called when the weights change.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether nothing is prepared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_algorithm.iter().all(|slot| slot.get().is_none())
    }

    /// `weight`, `(c_in, 3, 3, c_out)`, as the algorithm of this geometry reads it.
    fn get_or_prepare(&self, g: &Conv2dGeometry, weight: &[f32]) -> &[f32] {
        let slot = &self.by_algorithm[g.algorithm() as usize];
        let prepared = match slot.get() {
            Some(prepared) => prepared,
            // Not prepared inside `get_or_init`: while this thread waits for the pool there, it may take up a task that
            // needs the same filter, and would wait for itself. If two threads prepare it at once, the first one's stays.
            None => {
                let new = prepare(g, weight);
                slot.get_or_init(|| new)
            }
        };
        prepared.as_slice()
    }
}

fn prepare(g: &Conv2dGeometry, weight: &[f32]) -> Aligned {
    let algorithm = g.algorithm();
    let len = match algorithm.tile() {
        None => im2col::packed_len(g),
        Some(m) => winograd::transformed_len(g, m + 2),
    };
    let mut prepared = Aligned::default();
    let (data, filter) = (prepared.resize(len), Filter::Plain(weight));
    match algorithm {
        Conv2dAlgorithm::Im2col => im2col::pack_filter(g, filter, data),
        Conv2dAlgorithm::Winograd2 => winograd::transform_filter::<F2, 4, 2>(g, filter, data),
        Conv2dAlgorithm::Winograd3 => winograd::transform_filter::<F3, 5, 3>(g, filter, data),
        Conv2dAlgorithm::Winograd4 => winograd::transform_filter::<F4, 6, 4>(g, filter, data),
        Conv2dAlgorithm::Winograd6 => winograd::transform_filter::<F6, 8, 6>(g, filter, data),
    }
    prepared
}

/// Convolution, then a factor and a term per channel and an activation: `y = act(scale * (x * weight) + shift)`.
///
/// # Shapes
/// As in [`conv2d_forward`]; `scale`, `shift`: `(c_out)`.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn conv2d_inference(
    g: &Conv2dGeometry,
    x: &[f32],
    (weight, prepared): (&[f32], &PreparedFilter),
    (scale, shift): (&[f32], &[f32]),
    activation: Activation,
    y: &mut [f32],
) {
    g.check(x, weight, y);
    assert!(scale.len() == g.c_out && shift.len() == g.c_out, "conv2d: length of scale and shift in {g:?}");
    let filter = Filter::Prepared(prepared.get_or_prepare(g, weight));
    correlate(g, g.algorithm(), x, filter, Epilogue { scale, shift, activation }, y);
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
    let reversed = g.reversed();
    correlate(&reversed, g.algorithm(), grad_y, Filter::Reversed(weight), Epilogue::bias(&[]), grad_x);
}

/// Gradient of the filter: every patch of `x` times the gradient of the pixel that it made, summed.
///
/// # Shapes
/// As in [`conv2d_forward`]; `grad_weight` like `weight`, overwritten.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn conv2d_backward_weight(g: &Conv2dGeometry, x: &[f32], grad_y: &[f32], grad_weight: &mut [f32]) {
    g.check(x, grad_weight, grad_y);
    correlate_patches(g, g.algorithm(), x, grad_y, grad_weight);
}

/// A filter as an algorithm takes it.
#[derive(Clone, Copy, Debug)]
enum Filter<'a> {
    /// `(c_in, 3, 3, c_out)`.
    Plain(&'a [f32]),
    /// `(c_out, 3, 3, c_in)`, to be turned by 180 degrees and its channels swapped: the filter of the pass back to the
    /// input, whose `c_in` are the output channels.
    Reversed(&'a [f32]),
    /// In the order, or the domain, of the products.
    Prepared(&'a [f32]),
}

/// `y = act(scale * (x * weight) + shift)`.
fn correlate(
    g: &Conv2dGeometry,
    algorithm: Conv2dAlgorithm,
    x: &[f32],
    filter: Filter,
    epilogue: Epilogue,
    y: &mut [f32],
) {
    match algorithm {
        Conv2dAlgorithm::Im2col => im2col::correlate(g, x, filter, epilogue, y),
        Conv2dAlgorithm::Winograd2 => winograd::correlate::<F2, 4, 2>(g, x, filter, epilogue, y),
        Conv2dAlgorithm::Winograd3 => winograd::correlate::<F3, 5, 3>(g, x, filter, epilogue, y),
        Conv2dAlgorithm::Winograd4 => winograd::correlate::<F4, 6, 4>(g, x, filter, epilogue, y),
        Conv2dAlgorithm::Winograd6 => winograd::correlate::<F6, 8, 6>(g, x, filter, epilogue, y),
    }
}

/// `grad_weight = patches(x)^T * grad_y`.
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
