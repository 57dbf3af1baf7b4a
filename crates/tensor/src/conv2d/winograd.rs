//! Winograd's convolution: fewer multiplications for a 3x3 filter, by Lavin and Gray (2016).
//!
//! An `M` x `M` tile of the output comes from a `T` x `T` tile of the input, `T = M + 2`, overlapping its neighbours:
//!
//! ```text
//! Y = At [ (G g Gt) * (Bt d B) ] A           * element by element, summed over the input channels
//! ```
//!
//! For each of the `T * T` elements, here called parts, the sum over channels is a matrix product, tiles by channels.
//! Against direct convolution that is `9 M^2 / T^2` times fewer multiplications: 5.06 for `M = 6`, 4 for 4, 3.24 for 3,
//! 2.25 for 2. Everything is written once over `T` and `M`; the sets of matrices stand in `matrices`.
//!
//! - `correlate`: forward, and backward to the input with the reversed filter;
//! - `weight`: backward to the weight;
//! - `filter`: `U = G g Gt`; `transform`: how a small matrix is applied to vectors of channels.
//!
//! The transforms work on 16 channels at once and write the layout that the products read. Each sum runs in an order
//! that the geometry alone decides: the same bits at any number of threads.

mod correlate;
mod filter;
mod matrices;
mod transform;
mod weight;

use std::marker::PhantomData;
use std::ops::Range;

use wide::f32x16;

pub(super) use correlate::{correlate, correlate_transformed};
pub(super) use filter::{transform_filter, transformed_len};
pub(super) use matrices::{F2, F3, F4, F6};
pub(super) use weight::correlate_patches;

use super::Conv2dGeometry;
use crate::gemm::{LANES, load, store};
use matrices::TileMatrices;
use transform::{Transform, sandwich, transpose};

/// Fewest tiles for which the transformed filter is worth making.
pub(super) const MIN_TILES: usize = 8;
/// Distance that keeps the parts of a buffer, written side by side, in different sets of a cache.
const SET_PADDING: usize = LANES;

/// Multiplications of one channel of one image, with output tiles of `m` x `m`.
pub(super) fn multiplications(g: &Conv2dGeometry, m: usize) -> usize {
    (m + 2) * (m + 2) * g.h.div_ceil(m) * g.w.div_ceil(m)
}

/// The tiles of one convolution.
#[derive(Debug)]
struct Tiling<W, const T: usize, const M: usize> {
    g: Conv2dGeometry,
    /// Tiles in a row of an image.
    across: usize,
    /// Tiles of an image.
    per_image: usize,
    matrices: PhantomData<W>,
}

/// Transformed tiles in memory: `[part][channels / width][row][width]`, a row per tile.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// Rows, of which a block may leave the last ones unused.
    rows: usize,
    /// Channels that lie side by side: `LANES` where they are summed over, `NR` where they are columns.
    width: usize,
    /// Distance between parts.
    part: usize,
}

impl Layout {
    fn new(rows: usize, channels: usize, width: usize) -> Self {
        Self { rows, width, part: rows * channels.next_multiple_of(width) + SET_PADDING }
    }

    /// Where the vector of channels from `c` on stands in a part.
    fn at(&self, row: usize, c: usize) -> usize {
        (c / self.width * self.rows + row) * self.width + c % self.width
    }
}

impl<W: TileMatrices<T, M>, const T: usize, const M: usize> Tiling<W, T, M> {
    const PARTS: usize = T * T;

    fn new(g: &Conv2dGeometry) -> Self {
        let (down, across) = (g.h.div_ceil(M), g.w.div_ceil(M));
        Self { g: *g, across, per_image: down * across, matrices: PhantomData }
    }

    /// All tiles of the batch.
    fn n_tiles(&self) -> usize {
        self.g.n * self.per_image
    }

    /// Image, and row and column of the first output pixel, of a tile.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let within = tile % self.per_image;
        (tile / self.per_image, within / self.across * M, within % self.across * M)
    }

    /// `V = Bt d B` of the tiles.
    #[inline(never)]
    fn transform_input(&self, x: &[f32], tiles: Range<usize>, layout: Layout, v: &mut [f32]) {
        let Conv2dGeometry { h, w, c_in, .. } = self.g;
        for (row, tile) in tiles.enumerate() {
            let (n, top, left) = self.place(tile);
            for c in (0..c_in).step_by(LANES) {
                // The tile starts one pixel above and left of its output, in the padding at the border.
                let line = |i: usize| {
                    let mut d = [f32x16::ZERO; T];
                    let Some(y) = (top + i).checked_sub(1).filter(|y| *y < h) else { return d };
                    let pixels = &x[(n * h + y) * w * c_in..][..w * c_in];
                    for (j, slot) in d.iter_mut().enumerate() {
                        let Some(x) = (left + j).checked_sub(1).filter(|x| *x < w) else { continue };
                        *slot = load(&pixels[x * c_in + c..]);
                    }
                    d
                };
                let at = layout.at(row, c);
                let put = |i: usize, j: usize, part| store(part, &mut v[(i * T + j) * layout.part + at..]);
                sandwich(const { &Transform::new(W::INPUT) }, line, put);
            }
        }
    }

    /// `W = A grad_y At` of the tiles.
    #[inline(never)]
    fn transform_grad(&self, grad_y: &[f32], tiles: Range<usize>, layout: Layout, out: &mut [f32]) {
        let Conv2dGeometry { h, w, c_out, .. } = self.g;
        for (row, tile) in tiles.enumerate() {
            let (n, top, left) = self.place(tile);
            for o in (0..c_out).step_by(LANES) {
                let line = |i: usize| {
                    let mut d = [f32x16::ZERO; M];
                    if top + i < h {
                        let pixels = &grad_y[((n * h + top + i) * w + left) * c_out..][..(w - left) * c_out];
                        for (slot, pixel) in d.iter_mut().zip(pixels.chunks_exact(c_out)) {
                            *slot = load(&pixel[o..]);
                        }
                    }
                    d
                };
                let at = layout.at(row, o);
                let put = |i: usize, j: usize, part| store(part, &mut out[(i * T + j) * layout.part + at..]);
                sandwich(const { &Transform::new(transpose(W::OUTPUT)) }, line, put);
            }
        }
    }
}
