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

pub(super) use correlate::correlate;
pub(super) use filter::{transform_filter, transformed_len};
pub(super) use matrices::{F2, F3, F4, F6};
pub(super) use weight::correlate_patches;

use super::Conv2dGeometry;
use crate::gemm::NR;
use crate::lanes::{LANES, load, store};
use matrices::{Input, OutputGrad, TileMatrices};
use transform::{Constant, sandwich};

/// Distance that keeps the parts of a buffer, written side by side, in different sets of a cache.
const SET_PADDING: usize = LANES;

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

/// Transformed tiles in memory: rows (tiles) of `width` channels, for each part and each group of channels.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// Channels that lie side by side: `LANES` where they are summed over, `NR` where they are columns.
    width: usize,
    /// Distance between parts.
    part: usize,
    /// Distance between groups of channels.
    group: usize,
    /// Numbers in all.
    len: usize,
}

impl Layout {
    /// `[group][part][row][width]`: what the transform of a vector of channels writes, one element to each part, lies
    /// close together, within few pages.
    fn by_group(n_parts: usize, rows: usize, channels: usize, width: usize) -> Self {
        let part = rows * width + SET_PADDING;
        let group = n_parts * part;
        Self { width, part, group, len: channels.div_ceil(width) * group }
    }

    /// `[part][group][row][width]`: what a product reads lies in a row.
    fn by_part(n_parts: usize, rows: usize, channels: usize, width: usize) -> Self {
        let group = rows * width;
        let part = channels.div_ceil(width) * group + SET_PADDING;
        Self { width, part, group, len: n_parts * part }
    }

    /// Where the vector of channels from `c` on stands in the first part.
    fn at(&self, row: usize, c: usize) -> usize {
        c / self.width * self.group + row * self.width + c % self.width
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

    /// `V = Bt d B` of the tiles, `v` laid out by `layout`.
    #[inline(never)]
    fn transform_input(&self, x: &[f32], tiles: Range<usize>, layout: Layout, v: &mut [f32]) {
        // A tile starts one pixel above and left of its output.
        self.transform::<Input<W, M>, T>((x, self.g.c_in, 1), 0..self.g.c_in, tiles, layout, v);
    }

    /// `W = A grad_y At` of the tiles for one panel of channels, `w` laid out by `layout`.
    #[inline(never)]
    fn transform_grad(
        &self,
        grad_y: &[f32],
        panel: usize,
        tiles: Range<usize>,
        layout: Layout,
        w: &mut [f32],
    ) {
        let channels = panel * NR..((panel + 1) * NR).min(self.g.c_out);
        self.transform::<OutputGrad<W, M>, M>((grad_y, self.g.c_out, 0), channels, tiles, layout, w);
    }

    /// Transforms tiles of `S` x `S` pixels of images with `c` channels; tiles start `border` pixels above and left of
    /// their place, and are zero outside the image.
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
                let (n, top, left) = self.place(tile);
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
                    store(vector, &mut out[(i * T + j) * layout.part + at..]);
                };
                sandwich::<K, T, S>(&mut between, line, put);
            }
        }
    }
}
