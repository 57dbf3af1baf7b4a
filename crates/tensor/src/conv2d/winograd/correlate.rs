//! The forward pass by tiles. The backward pass to the input is the same with the reversed filter.
//!
//! ```text
//! few channels (by_tiles):                      many channels (by_panels), for each run of images:
//!   U of all channels                             V of all tiles of the run
//!   for each block of tiles, in parallel:         for each panel of output channels, in parallel:
//!     V of the block                                for each row of parts:
//!     for each panel:                                 U of the row and the panel
//!       product = V U                                 product = V U
//!       y = act(scale * At product A + shift)       y = act(scale * At product A + shift)
//! ```
//!
//! In both cases the operand that a task computes for itself, and its product, stay in the L2 cache; the other operand is
//! read from the L3 cache.

use rayon::prelude::*;
use wide::f32x16;

use super::filter::{gather_panel, panel_len, transform_filter, transform_panel_row, transformed_len};
use super::matrices::{OutputMatrix, TileMatrices};
use super::transform::{Between, sandwich};
use super::{Layout, Tiling};
use crate::conv2d::epilogue::Epilogue;
use crate::conv2d::{Conv2dGeometry, Filter, Tile};
use crate::gemm::{MAX_FEW_ROWS, MR, NR, multiply_few_rows, multiply_rows};
use crate::lanes::{LANES, load, store};
use crate::scratch::with_scratch;

/// Most tiles in one block of `by_tiles`; the images of one task have about as many.
const BLOCK_TILES: usize = 48;
/// Most numbers in the transformed input of such a block: 768 KiB.
const BLOCK_LEN: usize = 3 << 16;
/// Fewest tiles in a block for which reading the whole transformed filter pays off.
const MIN_BLOCK_TILES: usize = 24;
/// Most numbers in the transformed input of a run of `by_panels`: 16 MiB.
const RUN_LEN: usize = 4 << 20;

/// How the tiles of a convolution are divided.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv2d) struct TileCounts {
    /// All tiles of the batch.
    pub(in crate::conv2d) n_tiles: usize,
    /// Tiles whose transformed input fits the L2 cache.
    pub(in crate::conv2d) block_tiles: usize,
    /// Tiles in a run of `by_panels`.
    pub(in crate::conv2d) run_tiles: usize,
    /// Whether `by_tiles` is used.
    pub(in crate::conv2d) is_wide: bool,
}

/// The division of a convolution into such tiles.
pub(in crate::conv2d) fn tile_counts(g: &Conv2dGeometry, Tile { t, m }: Tile) -> TileCounts {
    let per_image = g.h.div_ceil(m) * g.w.div_ceil(m);
    let n_tiles = g.n * per_image;
    let block_tiles = (BLOCK_LEN / (t * t * g.c_in) / MR * MR).clamp(MR, BLOCK_TILES);
    let run_tiles = (RUN_LEN / (t * t * g.c_in * per_image)).max(1) * per_image;
    TileCounts {
        n_tiles,
        block_tiles,
        run_tiles,
        is_wide: n_tiles >= g.c_out && block_tiles >= MIN_BLOCK_TILES,
    }
}

/// `y = act(scale * (x * weight) + shift)` by tiles.
pub(in crate::conv2d) fn correlate<Matrices: TileMatrices<T, M>, const T: usize, const M: usize>(
    g: &Conv2dGeometry,
    x: &[f32],
    filter: Filter,
    epilogue: Epilogue,
    y: &mut [f32],
) {
    let tiling = Tiling::<Matrices, T, M>::new(g);
    match filter {
        _ if !tile_counts(g, Tile { t: T, m: M }).is_wide => tiling.by_panels(x, filter, epilogue, y),
        Filter::Prepared(filter) => tiling.by_tiles(x, filter, epilogue, y),
        _ => with_scratch(transformed_len(g, T), |transformed| {
            transform_filter::<Matrices, T, M>(g, filter, transformed);
            tiling.by_tiles(x, transformed, epilogue, y);
        }),
    }
}

impl<Matrices: TileMatrices<T, M>, const T: usize, const M: usize> Tiling<Matrices, T, M> {
    fn by_tiles(&self, x: &[f32], filter: &[f32], epilogue: Epilogue, y: &mut [f32]) {
        let Conv2dGeometry { h, w, c_in, c_out, .. } = self.g;
        let block_tiles = tile_counts(&self.g, Tile { t: T, m: M }).block_tiles;
        let task_images = (BLOCK_TILES / self.per_image).max(1);
        let rows = block_tiles.min(task_images * self.per_image).min(self.n_tiles()).next_multiple_of(MR);
        let v_layout = Layout::by_group(Self::PARTS, rows, c_in, LANES);
        let product_layout = Layout::by_group(Self::PARTS, rows, NR, NR);
        y.par_chunks_mut(task_images * h * w * c_out).enumerate().for_each(|(task, y)| {
            let first_image = task * task_images;
            let images = first_image..first_image + y.len() / (h * w * c_out);
            let tiles = images.start * self.per_image..images.end * self.per_image;
            with_scratch(v_layout.len + product_layout.len, |scratch| {
                let (v, product) = scratch.split_at_mut(v_layout.len);
                let mut between = [[f32x16::ZERO; M]; T];
                for start in tiles.clone().step_by(rows) {
                    let block = start..(start + rows).min(tiles.end);
                    self.transform_input(x, block.clone(), v_layout, v);
                    for (panel, filter) in filter.chunks_exact(Self::PARTS * c_in * NR).enumerate() {
                        self.multiply(v, v_layout, filter, block.len(), product, product_layout);
                        for (row, tile) in block.clone().enumerate() {
                            let (n, top, left) = self.origin(tile);
                            let image = &mut y[(n - first_image) * h * w * c_out..][..h * w * c_out];
                            for o in (panel * NR..c_out.min((panel + 1) * NR)).step_by(LANES) {
                                let sums = &product[row * NR + o % NR..];
                                let pixels = Pixels { top, left, stride: c_out, values: &mut image[o..] };
                                self.transform_output(
                                    sums,
                                    product_layout.part_stride,
                                    epilogue.vector(o),
                                    &mut between,
                                    pixels,
                                );
                            }
                        }
                    }
                }
            });
        });
    }

    fn by_panels(&self, x: &[f32], filter: Filter, epilogue: Epilogue, y: &mut [f32]) {
        let Conv2dGeometry { h, w, c_in, c_out, .. } = self.g;
        let run_images = tile_counts(&self.g, Tile { t: T, m: M }).run_tiles / self.per_image;
        let runs = y.chunks_mut(run_images * h * w * c_out).zip(x.chunks(run_images * h * w * c_in));
        for (y, x) in runs {
            let run = Self::new(&Conv2dGeometry { n: y.len() / (h * w * c_out), ..self.g });
            run.run_by_panels(x, filter, epilogue, y);
        }
    }

    fn run_by_panels(&self, x: &[f32], filter: Filter, epilogue: Epilogue, y: &mut [f32]) {
        let Conv2dGeometry { h, w, c_in, c_out, .. } = self.g;
        let n_tiles = self.n_tiles();
        let n_blocks = n_tiles.div_ceil(MR);
        let block = |i: usize| i * MR..((i + 1) * MR).min(n_tiles);
        let v_layout = Layout::by_part(Self::PARTS, MR, c_in, LANES);
        let product_layout = Layout::by_part(Self::PARTS, n_blocks * MR, NR, NR);
        let n_panels = c_out.div_ceil(NR);
        let out_len = self.g.pixels() * NR;
        with_scratch(n_blocks * v_layout.len + n_panels * out_len, |scratch| {
            let (v, out) = scratch.split_at_mut(n_blocks * v_layout.len);
            v.par_chunks_exact_mut(v_layout.len).enumerate().for_each(|(i, v)| {
                self.transform_input(x, block(i), v_layout, v);
            });
            let v = &*v;
            out.par_chunks_exact_mut(out_len).enumerate().for_each(|(panel, out)| {
                let row_len = T * c_in * NR;
                with_scratch(panel_len(&self.g) + row_len + product_layout.len, |scratch| {
                    let (taps, scratch) = scratch.split_at_mut(panel_len(&self.g));
                    let (own, product) = scratch.split_at_mut(row_len);
                    let mut between = [[f32x16::ZERO; M]; T];
                    if !matches!(filter, Filter::Prepared(_)) {
                        gather_panel(&self.g, filter, panel, taps);
                    }
                    for i in 0..T {
                        let filter = match filter {
                            Filter::Prepared(filter) => &filter[(panel * T + i) * row_len..][..row_len],
                            _ => {
                                transform_panel_row::<Matrices, T, M>(taps, i, own);
                                &*own
                            }
                        };
                        let product = &mut product[i * T * product_layout.part_stride..];
                        self.multiply_row(i, (v, v_layout), filter, (product, product_layout.part_stride));
                    }
                    for tile in 0..n_tiles {
                        let (n, top, left) = self.origin(tile);
                        let image = &mut out[n * h * w * NR..][..h * w * NR];
                        for o in (panel * NR..c_out.min((panel + 1) * NR)).step_by(LANES) {
                            let sums = &product[tile * NR + o % NR..];
                            let pixels = Pixels { top, left, stride: NR, values: &mut image[o % NR..] };
                            self.transform_output(
                                sums,
                                product_layout.part_stride,
                                epilogue.vector(o),
                                &mut between,
                                pixels,
                            );
                        }
                    }
                });
            });
            interleave(out, out_len, c_out, y);
        });
    }

    /// `product = V U` for row `i` of the parts, all tiles and one panel; `v` is in blocks of `MR` tiles.
    fn multiply_row(
        &self,
        i: usize,
        (v, v_layout): (&[f32], Layout),
        filter: &[f32],
        (product, product_part): (&mut [f32], usize),
    ) {
        let c_in = self.g.c_in;
        if self.n_tiles() <= MAX_FEW_ROWS {
            let v = (&v[i * T * v_layout.part_stride..], v_layout.part_stride, v_layout.group_stride);
            multiply_few_rows(self.n_tiles(), v, (filter, c_in), (product, product_part));
            return;
        }
        for (j, filter) in filter.chunks_exact(c_in * NR).enumerate() {
            let products = product[j * product_part..].chunks_exact_mut(MR * NR);
            for (v, product) in v.chunks_exact(v_layout.len).zip(products) {
                let v = &v[(i * T + j) * v_layout.part_stride..];
                multiply_rows(v, v_layout.group_stride, filter, product, false);
            }
        }
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
            let product = &mut product[part * product_layout.part_stride..][..used];
            multiply_rows(&v[part * v_layout.part_stride..], v_layout.group_stride, filter, product, false);
        }
    }

    /// `y = act(scale * At product A + shift)` for a vector of channels of one tile. The parts of `product` are `part`
    /// numbers apart.
    #[inline(never)]
    fn transform_output(
        &self,
        product: &[f32],
        part: usize,
        epilogue: impl Fn(f32x16) -> f32x16,
        between: &mut Between<M, T>,
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
        sandwich::<OutputMatrix<Matrices, M>, M, T>(between, line, put);
    }
}

/// The destination of a tile of the output: a vector of channels of every pixel of an image, `stride` numbers apart.
#[derive(Debug)]
struct Pixels<'a> {
    /// First row of the tile.
    top: usize,
    /// First column of the tile.
    left: usize,
    stride: usize,
    values: &'a mut [f32],
}

/// Pixels in one task of [`interleave`].
const INTERLEAVE_PIXELS: usize = 64;

/// Copies `[panel][pixel][NR]` to `[pixel][channel]`.
fn interleave(panels: &[f32], panel_len: usize, c_out: usize, y: &mut [f32]) {
    y.par_chunks_mut(INTERLEAVE_PIXELS * c_out).enumerate().for_each(|(task, y)| {
        for (i, y) in y.chunks_exact_mut(c_out).enumerate() {
            let pixel = task * INTERLEAVE_PIXELS + i;
            for (y, panel) in y.chunks_mut(NR).zip(panels.chunks_exact(panel_len)) {
                let row: &[f32; NR] = panel[pixel * NR..].first_chunk().expect("a row of every panel");
                match y.first_chunk_mut::<NR>() {
                    Some(whole) => *whole = *row,
                    None => y.copy_from_slice(&row[..y.len()]),
                }
            }
        }
    });
}
