//! Forward by tiles; backward to the input is the same with the reversed filter.
//!
//! ```text
//! few channels, many tiles (by_tiles):             many channels, few tiles (by_panels):
//!   U of all channels                                V of all tiles
//!   for each block of tiles, in parallel:            for each panel of output channels, in parallel:
//!     V of the block                                   for each row of parts:
//!     for each panel:                                    U of the row and the panel
//!       product = V U                                    product = V U
//!       y = act(scale * At product A + shift)                   y = act(scale * At product A + shift)
//! ```
//!
//! Either way the operand that a task makes for itself, and its product, stay in its second-level cache; the other
//! operand, the smaller one, is made once and streams from the third level.

use rayon::prelude::*;
use wide::f32x16;

use super::filter::{transform_filter, transform_filter_row, transformed_len};
use super::matrices::{Output, TileMatrices};
use super::transform::sandwich;
use super::{Layout, Tiling};
use crate::conv2d::epilogue::Epilogue;
use crate::conv2d::{Conv2dGeometry, Filter};
use crate::gemm::{LANES, MR, NR, load, multiply_rows, store};
use crate::scratch::with_scratch;

/// Most tiles in one block of `by_tiles`, and about as many in the images of one task.
const BLOCK_TILES: usize = 48;
/// Most numbers in the transformed input of such a block: 768 KiB.
const BLOCK_LEN: usize = 3 << 16;
/// Tiles in one block of `by_panels`: a unit of the parallel transform of the input.
const PANEL_BLOCK_TILES: usize = 12;

/// `y = act(scale * (x * weight) + shift)` by tiles.
pub(in crate::conv2d) fn correlate<W: TileMatrices<T, M>, const T: usize, const M: usize>(
    g: &Conv2dGeometry,
    x: &[f32],
    filter: Filter,
    epilogue: Epilogue,
    y: &mut [f32],
) {
    let tiling = Tiling::<W, T, M>::new(g);
    match filter {
        _ if tiling.n_tiles() < g.c_out => tiling.by_panels(x, filter, epilogue, y),
        Filter::Prepared(filter) => tiling.by_tiles(x, filter, epilogue, y),
        Filter::Plain(weight) => with_scratch(transformed_len(g, T), |filter| {
            transform_filter::<W, T, M>(g, weight, filter);
            tiling.by_tiles(x, filter, epilogue, y);
        }),
    }
}

impl<W: TileMatrices<T, M>, const T: usize, const M: usize> Tiling<W, T, M> {
    fn by_tiles(&self, x: &[f32], filter: &[f32], epilogue: Epilogue, y: &mut [f32]) {
        let Conv2dGeometry { h, w, c_in, c_out, .. } = self.g;
        let block_tiles = (BLOCK_LEN / (Self::PARTS * c_in) / MR * MR).clamp(MR, BLOCK_TILES);
        let group_images = (BLOCK_TILES / self.per_image).max(1);
        let rows = block_tiles.min(group_images * self.per_image).min(self.n_tiles()).next_multiple_of(MR);
        let v_layout = Layout::by_group(Self::PARTS, rows, c_in, LANES);
        let product_layout = Layout::by_group(Self::PARTS, rows, NR, NR);
        y.par_chunks_mut(group_images * h * w * c_out).enumerate().for_each(|(group, y)| {
            let first_image = group * group_images;
            let images = first_image..first_image + y.len() / (h * w * c_out);
            let tiles = images.start * self.per_image..images.end * self.per_image;
            with_scratch(v_layout.len + product_layout.len, |scratch| {
                let (v, product) = scratch.split_at_mut(v_layout.len);
                for start in tiles.clone().step_by(rows) {
                    let block = start..(start + rows).min(tiles.end);
                    self.transform_input(x, block.clone(), v_layout, v);
                    for (panel, filter) in filter.chunks_exact(Self::PARTS * c_in * NR).enumerate() {
                        self.multiply(v, v_layout, filter, block.len(), product, product_layout);
                        for (row, tile) in block.clone().enumerate() {
                            let (n, top, left) = self.place(tile);
                            let image = &mut y[(n - first_image) * h * w * c_out..][..h * w * c_out];
                            for o in (panel * NR..c_out.min((panel + 1) * NR)).step_by(LANES) {
                                let sums = &product[row * NR + o % NR..];
                                let pixels = Pixels { top, left, stride: c_out, values: &mut image[o..] };
                                self.transform_output(sums, product_layout.part, epilogue.vector(o), pixels);
                            }
                        }
                    }
                }
            });
        });
    }

    fn by_panels(&self, x: &[f32], filter: Filter, epilogue: Epilogue, y: &mut [f32]) {
        let Conv2dGeometry { h, w, c_in, c_out, .. } = self.g;
        let n_tiles = self.n_tiles();
        let rows = PANEL_BLOCK_TILES.min(n_tiles).next_multiple_of(MR);
        let n_blocks = n_tiles.div_ceil(rows);
        let block = |i: usize| i * rows..((i + 1) * rows).min(n_tiles);
        let v_layout = Layout::by_part(Self::PARTS, rows, c_in, LANES);
        let product_layout = Layout::by_part(Self::PARTS, rows, NR, NR);
        let (v_block, product_block) = (v_layout.len, product_layout.len);
        let n_panels = c_out.div_ceil(NR);
        let panel_len = self.g.pixels() * NR;
        with_scratch(n_blocks * v_block + n_panels * panel_len, |scratch| {
            let (v, out) = scratch.split_at_mut(n_blocks * v_block);
            v.par_chunks_exact_mut(v_block).enumerate().for_each(|(i, v)| {
                self.transform_input(x, block(i), v_layout, v);
            });
            let v = &*v;
            out.par_chunks_exact_mut(panel_len).enumerate().for_each(|(panel, out)| {
                with_scratch(T * c_in * NR + n_blocks * product_block, |scratch| {
                    let (own, product) = scratch.split_at_mut(T * c_in * NR);
                    for i in 0..T {
                        let filter = match filter {
                            Filter::Prepared(filter) => &filter[(panel * T + i) * own.len()..][..own.len()],
                            Filter::Plain(weight) => {
                                transform_filter_row::<W, T, M>(&self.g, weight, panel, i, own);
                                &*own
                            }
                        };
                        for (j, filter) in filter.chunks_exact(c_in * NR).enumerate() {
                            let part = i * T + j;
                            let blocks = v.chunks_exact(v_block).zip(product.chunks_exact_mut(product_block));
                            for (index, (v, product)) in blocks.enumerate() {
                                let used = block(index).len().next_multiple_of(MR) * NR;
                                let product = &mut product[part * product_layout.part..][..used];
                                multiply_rows(
                                    &v[part * v_layout.part..],
                                    v_layout.group,
                                    filter,
                                    product,
                                    false,
                                );
                            }
                        }
                    }
                    for (index, product) in product.chunks_exact(product_block).enumerate() {
                        for (row, tile) in block(index).enumerate() {
                            let (n, top, left) = self.place(tile);
                            let image = &mut out[n * h * w * NR..][..h * w * NR];
                            for o in (panel * NR..c_out.min((panel + 1) * NR)).step_by(LANES) {
                                let sums = &product[row * NR + o % NR..];
                                let pixels = Pixels { top, left, stride: NR, values: &mut image[o % NR..] };
                                self.transform_output(sums, product_layout.part, epilogue.vector(o), pixels);
                            }
                        }
                    }
                });
            });
            interleave(out, panel_len, c_out, y);
        });
    }

    /// `product = V U` for each part of a block and one panel.
    fn multiply(
        &self,
        v: &[f32],
        v_layout: Layout,
        filter: &[f32],
        n_tiles: usize,
        product: &mut [f32],
        product_layout: Layout,
    ) {
        let c_in = self.g.c_in;
        let used = n_tiles.next_multiple_of(MR) * NR;
        for (part, filter) in filter.chunks_exact(c_in * NR).enumerate() {
            let product = &mut product[part * product_layout.part..][..used];
            multiply_rows(&v[part * v_layout.part..], v_layout.group, filter, product, false);
        }
    }

    /// `y = act(scale * At product A + shift)` for a vector of channels of one tile; parts of `product` are `part` apart.
    #[inline(never)]
    fn transform_output(
        &self,
        product: &[f32],
        part: usize,
        epilogue: impl Fn(f32x16) -> f32x16,
        pixels: Pixels,
    ) {
        let Conv2dGeometry { h, w, .. } = self.g;
        let Pixels { top, left, stride, values } = pixels;
        let line = |i: usize| std::array::from_fn(|j| load(&product[(i * T + j) * part..]));
        let put = |i: usize, j: usize, sum: f32x16| {
            if top + i < h && left + j < w {
                store(epilogue(sum), &mut values[((top + i) * w + left + j) * stride..]);
            }
        };
        sandwich::<Output<W, M>, M, T>(line, put);
    }
}

/// Where a tile of the output goes: a vector of channels of every pixel of an image, `stride` apart.
#[derive(Debug)]
struct Pixels<'a> {
    /// First row of the tile.
    top: usize,
    /// First column of the tile.
    left: usize,
    stride: usize,
    values: &'a mut [f32],
}

/// Pixels of one task of [`interleave`].
const INTERLEAVE_PIXELS: usize = 64;

/// Brings `[panel][pixel][NR]` into `[pixel][channel]`.
fn interleave(panels: &[f32], panel_len: usize, c_out: usize, y: &mut [f32]) {
    y.par_chunks_mut(INTERLEAVE_PIXELS * c_out).enumerate().for_each(|(task, y)| {
        for (i, y) in y.chunks_exact_mut(c_out).enumerate() {
            let pixel = task * INTERLEAVE_PIXELS + i;
            for (y, panel) in y.chunks_mut(NR).zip(panels.chunks_exact(panel_len)) {
                y.copy_from_slice(&panel[pixel * NR..][..y.len()]);
            }
        }
    });
}
