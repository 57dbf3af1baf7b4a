//! 3x3 convolution with stride 1 and padding 1, the only kind that the networks here have.
//!
//! ```text
//! y[n, i, j, o] = bias[o] + sum over (u, v, c) of x[n, i + u - 1, j + v - 1, c] * weight[c, u, v, o]
//! ```
//!
//! Layers call the functions of this file, and in evaluation those of `inference`. Each algorithm that computes the sums has
//! its own module (`im2col`, `winograd`); [`Conv2dGeometry::algorithm`] chooses one for a geometry. The gradients are derived
//! in `docs/backprop.md`.

mod epilogue;
mod im2col;
mod inference;
mod memory;
mod winograd;
mod work;

use epilogue::Epilogue;
pub use inference::{AfterConv2d, PreparedFilter, conv2d_inference};
pub use memory::Scratch;
use winograd::Tiling;
pub use work::Conv2dPass;

use crate::lanes::LANES;

/// Height and width of the filter.
pub const FILTER_SIDE: usize = 3;
/// Number of taps of the filter.
pub const TAPS: usize = FILTER_SIDE * FILTER_SIDE;
/// The batch that the algorithm of evaluation is chosen for: a compromise. Some layers of a few images would be faster with smaller
/// tiles, whose filters are smaller, and some of a large batch with larger ones.
const INFERENCE_BATCH: usize = 32;

/// Sizes of one convolution, checked once and used in all three passes.
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

/// The algorithms that a convolution may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConvChoice {
    /// Any algorithm: the fastest one for the sizes.
    #[default]
    Auto,
    /// Patches unrolled into rows, then a matrix product: the multiplications of the definition.
    Im2col,
    /// The fastest of Winograd's algorithms; im2col if the channels do not fill whole vectors.
    Winograd,
}

/// An algorithm that computes a convolution. All compute the same function, up to rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conv2dAlgorithm {
    /// Patches unrolled into rows (Chellapilla, Puri and Simard 2006), then a matrix product.
    Im2col,
    /// Winograd's minimal filtering (Lavin and Gray 2016), F(2x2, 3x3).
    Winograd2,
    /// F(3x3, 3x3).
    Winograd3,
    /// F(4x4, 3x3).
    Winograd4,
    /// F(6x6, 3x3).
    Winograd6,
    /// Tiles of 6 and of 4 side by side in both dimensions, as many of each as take the fewest products.
    Winograd6And4,
    /// Of whole maps of at most 2x2 pixels: products with the padding are left out.
    Map2,
    /// Of whole maps of at most 3x3 pixels.
    Map3,
}

impl Conv2dAlgorithm {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Im2col,
        Self::Winograd2,
        Self::Winograd3,
        Self::Winograd4,
        Self::Winograd6,
        Self::Winograd6And4,
        Self::Map2,
        Self::Map3,
    ];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Im2col => "im2col",
            Self::Winograd2 => "F(2x2)",
            Self::Winograd3 => "F(3x3)",
            Self::Winograd4 => "F(4x4)",
            Self::Winograd6 => "F(6x6)",
            Self::Winograd6And4 => "F(6, 4)",
            Self::Map2 => "2x2 map",
            Self::Map3 => "3x3 map",
        }
    }

    /// The tiles that cover an output of these sizes; `None` for im2col.
    fn tiling(self, g: &Conv2dGeometry) -> Option<Tiling> {
        Some(match self {
            Self::Im2col => return None,
            Self::Winograd2 => Tiling::of(g, winograd::F2),
            Self::Winograd3 => Tiling::of(g, winograd::F3),
            Self::Winograd4 => Tiling::of(g, winograd::F4),
            Self::Winograd6 => Tiling::of(g, winograd::F6),
            Self::Winograd6And4 => Tiling::of_6_and_4(g),
            Self::Map2 => Tiling::of(g, winograd::MAP2),
            Self::Map3 => Tiling::of(g, winograd::MAP3),
        })
    }

    /// Whether it computes convolutions of these sizes.
    fn fits(self, g: &Conv2dGeometry) -> bool {
        // Winograd's transforms work on whole vectors of channels.
        let whole_vectors = g.c_in.is_multiple_of(LANES) && g.c_out.is_multiple_of(LANES);
        match self {
            Self::Im2col => true,
            Self::Winograd6And4 => whole_vectors && Tiling::has_6_and_4(g),
            Self::Map2 => whole_vectors && g.h <= 2 && g.w <= 2,
            Self::Map3 => whole_vectors && g.h <= 3 && g.w <= 3,
            _ => whole_vectors,
        }
    }
}

impl Conv2dGeometry {
    /// Checks the sizes. Any algorithm may be used.
    ///
    /// # Panics
    /// If a size is 0.
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

    /// The algorithm for this geometry: the one with the least work, of those to choose from.
    ///
    /// Work is the number of multiplications, rounded up to whole register tiles, and the reading of the filter. After
    /// Winograd's transform the filter is larger, and reading it is most of the work for a single image. Where a map has tiles
    /// of several kinds, each kind has its own filter, and a task of few images reads all of them.
    #[must_use]
    pub fn algorithm(&self) -> Conv2dAlgorithm {
        /// The number of multiplications that take as long as reading one element of the filter from the L3 cache.
        const READ_COST: usize = 16;
        /// Rows of the largest register tile. Not `MR`: builds for other vectors choose the same algorithms.
        const TILE_ROWS: usize = 12;
        /// The number of tiles of an image that take as long as reading the filter of one more kind of tile.
        const KIND_COST: usize = 2;
        let products = |filters: usize, rows: usize| filters * (rows.next_multiple_of(TILE_ROWS) + READ_COST);
        let work = |algorithm: &Conv2dAlgorithm| match algorithm.tiling(self) {
            None => products(TAPS, self.pixels()),
            Some(tiling) => {
                let of_kinds = tiling.tiles_and_parts().map(|(tiles, parts)| products(parts, tiles));
                let more_kinds = tiling.tiles_and_parts().skip(1).map(|(_, parts)| parts).sum::<usize>();
                of_kinds.sum::<usize>() + more_kinds * KIND_COST * self.n
            }
        };
        let has_tiles = Conv2dAlgorithm::Winograd2.fits(self);
        let is_allowed = |algorithm: &Conv2dAlgorithm| match self.choice {
            ConvChoice::Auto => algorithm.fits(self),
            ConvChoice::Winograd if has_tiles => {
                algorithm.fits(self) && *algorithm != Conv2dAlgorithm::Im2col
            }
            ConvChoice::Im2col | ConvChoice::Winograd => *algorithm == Conv2dAlgorithm::Im2col,
        };
        let allowed = Conv2dAlgorithm::ALL.into_iter().filter(is_allowed);
        allowed.min_by_key(work).expect("at least one algorithm is allowed for every geometry")
    }

    /// The algorithm of [`conv2d_inference`]: the fastest one for a batch of `INFERENCE_BATCH` images, whatever the batch is.
    /// Different algorithms round differently, and the result for an image must not depend on how many other images there are.
    #[must_use]
    pub fn inference_algorithm(&self) -> Conv2dAlgorithm {
        Self { n: INFERENCE_BATCH, ..*self }.algorithm()
    }

    /// Whether the max pool of evaluation is a pass of its own: where its windows extend over several tiles.
    fn pools_apart(&self, is_pooled: bool) -> bool {
        is_pooled && !self.inference_algorithm().tiling(self).is_some_and(|tiling| tiling.has_whole_windows())
    }

    /// Pixels of the batch: the rows of input and output as matrices.
    #[must_use]
    pub fn pixels(&self) -> usize {
        self.n * self.h * self.w
    }

    /// Elements of the input.
    #[must_use]
    pub fn x_len(&self) -> usize {
        self.pixels() * self.c_in
    }

    /// Elements of the output.
    #[must_use]
    pub fn y_len(&self) -> usize {
        self.pixels() * self.c_out
    }

    /// Elements of the filter.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        TAPS * self.c_in * self.c_out
    }

    /// Floating-point operations of one pass of the direct algorithm, padding included.
    #[must_use]
    pub fn flops(&self) -> f64 {
        2.0 * self.pixels() as f64 * self.weight_len() as f64
    }

    /// The geometry of the backward pass to the input, which is a convolution of the gradient of the output.
    fn reversed(&self) -> Self {
        Self { c_in: self.c_out, c_out: self.c_in, ..*self }
    }

    fn check(&self, x: &[f32], weight: &[f32], y: &[f32]) {
        assert_eq!(x.len(), self.x_len(), "conv2d: length of x in {self:?}");
        assert_eq!(weight.len(), self.weight_len(), "conv2d: length of weight in {self:?}");
        assert_eq!(y.len(), self.y_len(), "conv2d: length of y in {self:?}");
    }
}

/// Convolution with bias. Backward needs `x` and `weight` only.
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

/// Gradient of the input: the convolution of `grad_y` with the filter rotated by 180 degrees, with input and output
/// channels swapped.
///
/// # Shapes
/// As in [`conv2d_forward`]; `grad_x` has the shape of `x` and is overwritten.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn conv2d_backward_input(g: &Conv2dGeometry, grad_y: &[f32], weight: &[f32], grad_x: &mut [f32]) {
    g.check(grad_x, weight, grad_y);
    let reversed = g.reversed();
    correlate(&reversed, g.algorithm(), grad_y, Filter::Reversed(weight), Epilogue::NONE, grad_x);
}

/// Gradient of the filter: the sum over all output pixels of their gradient times their patch of `x`.
///
/// # Shapes
/// As in [`conv2d_forward`]; `grad_weight` has the shape of `weight` and is overwritten.
///
/// # Panics
/// If a length does not fit the geometry.
pub fn conv2d_backward_weight(g: &Conv2dGeometry, x: &[f32], grad_y: &[f32], grad_weight: &mut [f32]) {
    g.check(x, grad_weight, grad_y);
    correlate_patches(g, g.algorithm(), x, grad_y, grad_weight);
}

/// A filter, in one of the forms that an algorithm can read.
#[derive(Clone, Copy, Debug)]
enum Filter<'a> {
    /// `(c_in, 3, 3, c_out)`.
    Plain(&'a [f32]),
    /// `(c_out, 3, 3, c_in)`, to be rotated by 180 degrees with its channels swapped: the filter of the backward pass to
    /// the input, whose input channels are the output channels of the forward pass.
    Reversed(&'a [f32]),
    /// The vectors of output channels one after the other, each `(c_in, 3, 3, LANES)`, by a [`PreparedFilter`].
    Gathered(&'a [f32]),
    /// Packed or transformed by a [`PreparedFilter`].
    Prepared(&'a [f32]),
}

/// `y = epilogue(x * weight)`.
fn correlate(
    g: &Conv2dGeometry,
    algorithm: Conv2dAlgorithm,
    x: &[f32],
    filter: Filter,
    epilogue: Epilogue,
    y: &mut [f32],
) {
    match algorithm.tiling(g) {
        None => im2col::correlate(g, x, filter, epilogue, y),
        Some(tiling) => winograd::correlate(&tiling, x, filter, epilogue, y),
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
    match algorithm.tiling(g) {
        None => im2col::correlate_patches(g, x, grad_y, grad_weight),
        Some(tiling) => winograd::correlate_patches(&tiling, x, grad_y, grad_weight),
    }
}

#[cfg(test)]
mod tests;
