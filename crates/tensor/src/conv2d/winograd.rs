//! Winograd's convolution (Lavin and Gray 2016): fewer multiplications for a 3x3 filter.
//!
//! An `M` x `M` tile of the output is computed from a `T` x `T` tile of the input, in general `T = M + 2`, which overlaps its
//! neighbours:
//!
//! ```text
//! Y = At [ (G g Gt) * (Bt d B) ] A           * element by element, summed over the input channels
//! ```
//!
//! For each of the `T * T` elements, here called parts, the sum over channels is a matrix product, tiles by channels.
//! Direct convolution has `9 M^2 / T^2` times more multiplications: 5.06 for `M = 6`, 4 for `M = 4`, 3.24 for `M = 3`, 2.25
//! for `M = 2`. Where one tile is the whole map and its border is the padding, `T = M + 1` is enough: 5.06 for `M = 3`, 4 for
//! `M = 2`. The code is generic over `T` and `M`; the matrices are in `matrices`.
//!
//! - `correlate`: forward, and backward to the input, which is the same with the reversed filter;
//! - `weight`: backward to the weight;
//! - `filter`: `U = G g Gt`;
//! - `transform`: a small matrix applied to vectors of channels.
//!
//! The transforms work on 16 channels at once and write the layout that the products read. The geometry alone determines
//! the order of each sum, so the bits are the same with any number of threads.

mod correlate;
mod filter;
mod matrices;
mod transform;
mod weight;

use std::marker::PhantomData;
use std::ops::Range;

use wide::f32x16;

pub(super) use correlate::{TileCounts, correlate, tile_counts};
pub(super) use filter::{transform_filter, transformed_len};
pub(super) use matrices::{F2, F3, F4, F6, Map2, Map3};
pub(super) use weight::{correlate_patches, weight_run_tiles};

use super::Conv2dGeometry;
use crate::gemm::NR;
use crate::lanes::{LANES, load, store};
use matrices::{InputMatrix, OutputGradMatrix, TileMatrices};
use transform::{Constant, sandwich};

/// Padding between the parts of a buffer. Parts are written in turn; the padding puts them into different sets of the
/// cache.
const SET_PADDING: usize = LANES;

/// The tiles of one convolution.
#[derive(Debug)]
struct Tiling<Matrices, const T: usize, const M: usize> {
    g: Conv2dGeometry,
    /// Tiles in one row of an image.
    across: usize,
    /// Tiles in one image.
    per_image: usize,
    matrices: PhantomData<Matrices>,
}

/// The memory layout of transformed tiles: rows (tiles) of `width` channels, for each part and each group of channels.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// Channels that are contiguous: `LANES` where a product sums over them, `NR` where they are its columns.
    width: usize,
    /// Distance between parts.
    part_stride: usize,
    /// Distance between groups of channels.
    group_stride: usize,
    /// Numbers in total.
    len: usize,
}

impl Layout {
    /// `[group][part][row][width]`: the transform of a vector of channels writes one element to each part; in this layout
    /// they are within few pages of memory.
    fn by_group(n_parts: usize, rows: usize, channels: usize, width: usize) -> Self {
        let part_stride = rows * width + SET_PADDING;
        let group_stride = n_parts * part_stride;
        Self { width, part_stride, group_stride, len: channels.div_ceil(width) * group_stride }
    }

    /// `[part][group][row][width]`: a product reads memory in order.
    fn by_part(n_parts: usize, rows: usize, channels: usize, width: usize) -> Self {
        let group_stride = rows * width;
        let part_stride = channels.div_ceil(width) * group_stride + SET_PADDING;
        Self { width, part_stride, group_stride, len: n_parts * part_stride }
    }

    /// Offset of the vector of channels from `c` on, in the first part.
    fn at(&self, row: usize, c: usize) -> usize {
        c / self.width * self.group_stride + row * self.width + c % self.width
    }
}

impl<Matrices: TileMatrices<T, M>, const T: usize, const M: usize> Tiling<Matrices, T, M> {
    const PARTS: usize = T * T;

    fn new(g: &Conv2dGeometry) -> Self {
        let (down, across) = (g.h.div_ceil(M), g.w.div_ceil(M));
        Self { g: *g, across, per_image: down * across, matrices: PhantomData }
    }

    /// All tiles of the batch.
    fn n_tiles(&self) -> usize {
        self.g.n * self.per_image
    }

    /// The image of a tile, and row and column of its first output pixel.
    fn origin(&self, tile: usize) -> (usize, usize, usize) {
        let within = tile % self.per_image;
        (tile / self.per_image, within / self.across * M, within % self.across * M)
    }

    /// `V = Bt d B` of the tiles, written to `v` in the layout `layout`.
    #[inline(never)]
    fn transform_input(&self, x: &[f32], tiles: Range<usize>, layout: Layout, v: &mut [f32]) {
        // An input tile starts one pixel above and left of its output tile.
        self.transform::<InputMatrix<Matrices, M>, T>((x, self.g.c_in, 1), 0..self.g.c_in, tiles, layout, v);
    }

    /// `Z = A grad_y At` of the tiles for one panel of channels, written to `z` in the layout `layout`.
    #[inline(never)]
    fn transform_grad(
        &self,
        grad_y: &[f32],
        panel: usize,
        tiles: Range<usize>,
        layout: Layout,
        z: &mut [f32],
    ) {
        let channels = panel * NR..((panel + 1) * NR).min(self.g.c_out);
        self.transform::<OutputGradMatrix<Matrices, M>, M>(
            (grad_y, self.g.c_out, 0),
            channels,
            tiles,
            layout,
            z,
        );
    }

    /// Transforms tiles of `S` x `S` pixels of images with `c` channels. Tiles start `border` pixels above and left of
    /// their output, and are zero outside the image.
    #[inline(always)]
    fn transform<K: Constant<T, S>, const S: usize>(
        &self,
        (images, c, border): (&[f32], usize, usize),
        channels: Range<usize>,
        tiles: Range<usize>,
        layout: Layout,
        out: &mut [f32],
    ) {
        let Conv2dGeometry { h, w, .. } = self.g;
        let mut between = [[f32x16::ZERO; T]; S];
        for channel in channels.clone().step_by(LANES) {
            for (row, tile) in tiles.clone().enumerate() {
                let (n, top, left) = self.origin(tile);
                let line = |i: usize| {
                    let mut d = [f32x16::ZERO; S];
                    let Some(y) = (top + i).checked_sub(border).filter(|y| *y < h) else { return d };
                    let pixels = &images[(n * h + y) * w * c..][..w * c];
                    for (j, slot) in d.iter_mut().enumerate() {
                        let Some(x) = (left + j).checked_sub(border).filter(|x| *x < w) else { continue };
                        *slot = load(&pixels[x * c + channel..]);
                    }
                    d
                };
                let at = layout.at(row, channel - channels.start);
                let put = |i: usize, j: usize, vector| {
                    store(vector, &mut out[(i * T + j) * layout.part_stride + at..]);
                };
                sandwich::<K, T, S>(&mut between, line, put);
            }
        }
    }
}
