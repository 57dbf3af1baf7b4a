//! Winograd's convolution: fewer multiplications for a 3x3 filter, by Lavin and Gray (2016).
//!
//! An `M` x `M` tile of the output comes from a `T` x `T` tile of the input, `T = M + 2`, overlapping its neighbours:
//!
//! ```text
//! Y = At [ (G g Gt) * (Bt d B) ] A           * element by element, summed over the input channels
//! ```
//!
//! For each of the `T * T` elements the sum over channels is a matrix product, tiles by channels. So:
//!
//! ```text
//! correlate (forward, and backward to the input with the reversed filter):
//!   U = G g Gt for all channels, in the panels that the micro-kernel reads
//!   for each group of images, in parallel; for each block of its tiles:
//!     V = Bt d B;  for each element: product = V U;  y = At product A + bias
//!
//! correlate_patches (backward to the weight):
//!   for each run of tiles:
//!     for each block of them, in parallel:   V = Bt d B, W = A grad_y At
//!     for each element, in parallel:         grad_U += V^T W
//!   grad_weight += Gt grad_U G
//! ```
//!
//! Against direct convolution that is `9 M^2 / T^2` times fewer multiplications: 4 for `M = 4`, 3.24 for 3, 2.25 for 2.
//! The transforms work on 16 channels at once and write the layout that the products read. A block is sized for
//! the second-level cache. Cuts and orders depend on the geometry alone: the same bits at any number of threads.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;
use wide::f32x16;

use super::winograd_matrices::{TileMatrices, sandwich, transpose};
use super::{Conv2dGeometry, KERNEL, TAPS};
use crate::gemm::{
    MR, NR, broadcast_tile, load_tile, multiply_columns, multiply_rows, row_stride, store_tile,
};
use crate::scratch::with_scratch;

/// Channels that a transform handles at once.
pub(super) const LANES: usize = 16;
/// Tiles in one block: a multiple of the register tile's rows, small enough for the second-level cache.
const BLOCK_TILES: usize = 48;
/// Fewest tiles for which the transformed filter is worth reading: two register tiles.
pub(super) const MIN_TILES: usize = 24;
/// Blocks in one run of the pass back to the weight: their transforms stay in the third-level cache.
const RUN_BLOCKS: usize = 12;
/// Distance that keeps the `T * T` parts of a buffer, written side by side, in different sets of a cache.
const SET_PADDING: usize = 16;

/// Multiplications of one channel of one image, with output tiles of `m` x `m`.
pub(super) fn multiplications(g: &Conv2dGeometry, m: usize) -> usize {
    (m + 2) * (m + 2) * g.h.div_ceil(m) * g.w.div_ceil(m)
}

fn load(values: &[f32]) -> f32x16 {
    f32x16::from(*values.first_chunk::<LANES>().expect("channels are a multiple of the lanes"))
}

fn store(vector: f32x16, values: &mut [f32]) {
    *values.first_chunk_mut::<LANES>().expect("channels are a multiple of the lanes") = vector.to_array();
}

/// The tiles of one convolution, and the layout of the buffers of a block of them.
#[derive(Debug)]
struct Plan<W, const T: usize, const M: usize> {
    g: Conv2dGeometry,
    /// Tiles in a row of an image.
    across: usize,
    /// Tiles of an image.
    per_image: usize,
    /// Between the rows (tiles) of a transformed input.
    v_stride: usize,
    /// Between the parts (elements of a tile) of a transformed input.
    v_part: usize,
    /// Output channels, padded to whole panels.
    width: usize,
    /// Between the parts of a product, or of a transformed gradient.
    w_part: usize,
    matrices: PhantomData<W>,
}

impl<W: TileMatrices<T, M>, const T: usize, const M: usize> Plan<W, T, M> {
    const PARTS: usize = T * T;

    fn new(g: &Conv2dGeometry) -> Self {
        let (down, across) = (g.h.div_ceil(M), g.w.div_ceil(M));
        let (v_stride, width) = (row_stride(g.c_in), g.c_out.next_multiple_of(NR));
        Self {
            g: *g,
            across,
            per_image: down * across,
            v_stride,
            v_part: BLOCK_TILES * v_stride + SET_PADDING,
            width,
            w_part: BLOCK_TILES * width + SET_PADDING,
            matrices: PhantomData,
        }
    }

    /// Image, and row and column of the first output pixel, of a tile.
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let within = tile % self.per_image;
        (tile / self.per_image, within / self.across * M, within % self.across * M)
    }

    /// `U = G g Gt`, as `[panel][part][c_in][NR]`.
    fn transform_filter(&self, weight: &[f32], out: &mut [f32]) {
        let Conv2dGeometry { c_in, c_out, .. } = self.g;
        out.par_chunks_exact_mut(Self::PARTS * c_in * NR).enumerate().for_each(|(panel_idx, panel)| {
            for (c, v) in (0..c_in).flat_map(|c| (0..NR).step_by(LANES).map(move |v| (c, v))) {
                let o = panel_idx * NR + v;
                let mut taps = [[f32x16::ZERO; KERNEL]; KERNEL];
                if o < c_out {
                    for (tap, slot) in taps.as_flattened_mut().iter_mut().enumerate() {
                        *slot = load(&weight[(tap * c_in + c) * c_out + o..]);
                    }
                }
                let transformed = sandwich(const { &W::FILTER }, &taps);
                for (part, vector) in transformed.as_flattened().iter().enumerate() {
                    store(*vector, &mut panel[(part * c_in + c) * NR + v..]);
                }
            }
        });
    }

    /// `V = Bt d B` of the tiles, as `[part][tile][channel]`.
    fn transform_input(&self, x: &[f32], tiles: Range<usize>, v: &mut [f32]) {
        let Conv2dGeometry { h, w, c_in, .. } = self.g;
        for (row, tile) in tiles.enumerate() {
            let (n, top, left) = self.place(tile);
            for c in (0..c_in).step_by(LANES) {
                let mut d = [[f32x16::ZERO; T]; T];
                for (i, d_row) in d.iter_mut().enumerate() {
                    // The tile starts one pixel above and left of its output, in the padding at the border.
                    let Some(y) = (top + i).checked_sub(1).filter(|y| *y < h) else { continue };
                    let line = &x[(n * h + y) * w * c_in..][..w * c_in];
                    for (j, slot) in d_row.iter_mut().enumerate() {
                        let Some(x) = (left + j).checked_sub(1).filter(|x| *x < w) else { continue };
                        *slot = load(&line[x * c_in + c..]);
                    }
                }
                let transformed = sandwich(const { &W::INPUT }, &d);
                for (part, vector) in transformed.as_flattened().iter().enumerate() {
                    store(*vector, &mut v[part * self.v_part + row * self.v_stride + c..]);
                }
            }
        }
    }

    /// `product = V U` for each part, as `[part][tile][channel]`.
    fn multiply(&self, n_tiles: usize, v: &[f32], filter: &[f32], product: &mut [f32]) {
        let panel_len = self.g.c_in * NR;
        for part in 0..Self::PARTS {
            for (panel_idx, panel) in filter.chunks_exact(Self::PARTS * panel_len).enumerate() {
                let panel = &panel[part * panel_len..][..panel_len];
                for row in (0..n_tiles).step_by(MR) {
                    let mut tile = broadcast_tile(&[]);
                    let rows = &v[part * self.v_part + row * self.v_stride..];
                    multiply_rows(rows, self.v_stride, panel, &mut tile);
                    let out = &mut product[part * self.w_part + row * self.width + panel_idx * NR..];
                    store_tile(&tile, out, self.width, MR, NR);
                }
            }
        }
    }

    /// `y = At product A + bias`, for tiles of images from `first_image` on, with which `y` starts.
    fn transform_output(
        &self,
        product: &[f32],
        bias: &[f32],
        tiles: Range<usize>,
        first_image: usize,
        y: &mut [f32],
    ) {
        let Conv2dGeometry { h, w, c_out, .. } = self.g;
        for (row, tile) in tiles.enumerate() {
            let (n, top, left) = self.place(tile);
            for o in (0..c_out).step_by(LANES) {
                let bias = if bias.is_empty() { f32x16::ZERO } else { load(&bias[o..]) };
                let mut parts = [[f32x16::ZERO; T]; T];
                for (part, slot) in parts.as_flattened_mut().iter_mut().enumerate() {
                    *slot = load(&product[part * self.w_part + row * self.width + o..]);
                }
                let out = sandwich(const { &W::OUTPUT }, &parts);
                for (i, out_row) in out.iter().enumerate().take(h - top) {
                    let line = ((n - first_image) * h + top + i) * w;
                    for (j, vector) in out_row.iter().enumerate().take(w - left) {
                        store(*vector + bias, &mut y[(line + left + j) * c_out + o..]);
                    }
                }
            }
        }
    }

    /// `W = A grad_y At` of the tiles, as `[part][panel][tile][NR]`; columns beyond the channels stay as they are.
    fn transform_grad(&self, grad_y: &[f32], tiles: Range<usize>, out: &mut [f32]) {
        let Conv2dGeometry { h, w, c_out, .. } = self.g;
        for (row, tile) in tiles.enumerate() {
            let (n, top, left) = self.place(tile);
            for o in (0..c_out).step_by(LANES) {
                let mut d = [[f32x16::ZERO; M]; M];
                for (i, d_row) in d.iter_mut().enumerate().take(h - top) {
                    let line = (n * h + top + i) * w;
                    for (j, slot) in d_row.iter_mut().enumerate().take(w - left) {
                        *slot = load(&grad_y[(line + left + j) * c_out + o..]);
                    }
                }
                let transformed = sandwich(const { &transpose(W::OUTPUT) }, &d);
                let at = (o / NR * BLOCK_TILES + row) * NR + o % NR;
                for (part, vector) in transformed.as_flattened().iter().enumerate() {
                    store(*vector, &mut out[part * self.w_part + at..]);
                }
            }
        }
    }

    /// `grad_weight += Gt grad_U G`, with `grad_u` as `[part][c_in][c_out]`; `taps` holds `[c_in][tap][c_out]`.
    fn transform_filter_grad(&self, grad_u: &[f32], taps: &mut [f32], grad_weight: &mut [f32]) {
        let Conv2dGeometry { c_in, c_out, .. } = self.g;
        taps.par_chunks_exact_mut(TAPS * c_out).enumerate().for_each(|(c, taps)| {
            for o in (0..c_out).step_by(LANES) {
                let mut parts = [[f32x16::ZERO; T]; T];
                for (part, slot) in parts.as_flattened_mut().iter_mut().enumerate() {
                    *slot = load(&grad_u[(part * c_in + c) * c_out + o..]);
                }
                let out = sandwich(const { &transpose(W::FILTER) }, &parts);
                for (tap, vector) in out.as_flattened().iter().enumerate() {
                    store(*vector, &mut taps[tap * c_out + o..]);
                }
            }
        });
        grad_weight.par_chunks_exact_mut(c_out).enumerate().for_each(|(row, grad)| {
            let (tap, c) = (row / c_in, row % c_in);
            for (sum, part) in grad.iter_mut().zip(&taps[(c * TAPS + tap) * c_out..]) {
                *sum += part;
            }
        });
    }
}

/// `y = bias + x * weight` by tiles; an empty bias counts as zeros.
pub(super) fn correlate<W: TileMatrices<T, M>, const T: usize, const M: usize>(
    g: &Conv2dGeometry,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    y: &mut [f32],
) {
    let plan = Plan::<W, T, M>::new(g);
    let parts = T * T;
    with_scratch(parts * g.c_in * plan.width, |filter| {
        plan.transform_filter(weight, filter);
        let filter = &*filter;
        let group_images = (BLOCK_TILES / plan.per_image).max(1);
        let image_len = g.h * g.w * g.c_out;
        y.par_chunks_mut(group_images * image_len).enumerate().for_each(|(group, y)| {
            let first_image = group * group_images;
            let images = first_image..first_image + y.len() / image_len;
            let tiles = images.start * plan.per_image..images.end * plan.per_image;
            with_scratch(parts * (plan.v_part + plan.w_part), |scratch| {
                let (v, product) = scratch.split_at_mut(parts * plan.v_part);
                for start in tiles.clone().step_by(BLOCK_TILES) {
                    let block = start..(start + BLOCK_TILES).min(tiles.end);
                    plan.transform_input(x, block.clone(), v);
                    plan.multiply(block.len(), v, filter, product);
                    plan.transform_output(product, bias, block, first_image, y);
                }
            });
        });
    });
}

/// `grad_weight += patches(x)^T * grad_y` by tiles.
pub(super) fn correlate_patches<W: TileMatrices<T, M>, const T: usize, const M: usize>(
    g: &Conv2dGeometry,
    x: &[f32],
    grad_y: &[f32],
    grad_weight: &mut [f32],
) {
    let plan = Plan::<W, T, M>::new(g);
    let parts = T * T;
    let n_tiles = g.n * plan.per_image;
    let run_blocks = RUN_BLOCKS.min(n_tiles.div_ceil(BLOCK_TILES));
    let (v_block, w_block) = (parts * plan.v_part, parts * plan.w_part);
    let lens = [run_blocks * v_block, run_blocks * w_block, parts * g.c_in * g.c_out, grad_weight.len()];
    with_scratch(lens.iter().sum(), |scratch| {
        let (v, rest) = scratch.split_at_mut(lens[0]);
        let (w, rest) = rest.split_at_mut(lens[1]);
        let (grad_u, taps) = rest.split_at_mut(lens[2]);
        for start in (0..n_tiles).step_by(run_blocks * BLOCK_TILES) {
            let run = start..(start + run_blocks * BLOCK_TILES).min(n_tiles);
            let block =
                |i: usize| run.start + i * BLOCK_TILES..(run.start + (i + 1) * BLOCK_TILES).min(run.end);
            let n_blocks = run.len().div_ceil(BLOCK_TILES);
            let blocks = v.par_chunks_exact_mut(v_block).zip(w.par_chunks_exact_mut(w_block)).enumerate();
            blocks.take(n_blocks).for_each(|(i, (v, w))| {
                plan.transform_input(x, block(i), v);
                plan.transform_grad(grad_y, block(i), w);
            });
            let (v, w) = (&*v, &*w);
            grad_u.par_chunks_exact_mut(g.c_in * g.c_out).enumerate().for_each(|(part, grad_u)| {
                for c in (0..g.c_in).step_by(MR) {
                    let rows = MR.min(g.c_in - c);
                    for o in (0..g.c_out).step_by(NR) {
                        let columns = NR.min(g.c_out - o);
                        let out = &mut grad_u[c * g.c_out + o..];
                        let is_first = start == 0;
                        let mut tile = if is_first {
                            broadcast_tile(&[])
                        } else {
                            load_tile(out, g.c_out, rows, columns)
                        };
                        for i in 0..n_blocks {
                            let v = &v[i * v_block + part * plan.v_part..][..block(i).len() * plan.v_stride];
                            let w = &w[i * w_block + part * plan.w_part + o / NR * BLOCK_TILES * NR..];
                            multiply_columns(v, plan.v_stride, c, &w[..block(i).len() * NR], &mut tile);
                        }
                        store_tile(&tile, out, g.c_out, rows, columns);
                    }
                }
            });
        }
        plan.transform_filter_grad(grad_u, taps, grad_weight);
    });
}
