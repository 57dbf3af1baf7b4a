//! Backward to the weight by tiles.
//!
//! ```text
//! for each run of tiles:
//!   for each block of them, in parallel:      V = Bt d B, W = A grad_y At
//!   for each LANES input channels, for each row of parts, in parallel:
//!     for each panel of output channels:      grad_U += V^T W
//! grad_weight += Gt grad_U G
//! ```
//!
//! Where one run holds all tiles, `grad_U` of a few channels goes through the last step at once and never leaves the
//! cache. A run is cut so that `V` and `W` stay in the third-level cache.

use rayon::prelude::*;

use super::matrices::TileMatrices;
use super::transform::{Transform, sandwich, transpose};
use super::{Layout, Tiling};
use crate::conv2d::{Conv2dGeometry, TAPS};
use crate::gemm::{LANES, NR, load, multiply_columns, store};
use crate::scratch::with_scratch;

/// Tiles in one block: a unit of the parallel transforms.
const BLOCK_TILES: usize = 16;
/// Most numbers in the transforms of a run: 12 MiB.
const RUN_LEN: usize = 3 << 20;

/// `grad_weight += patches(x)^T * grad_y` by tiles.
pub(in crate::conv2d) fn correlate_patches<W: TileMatrices<T, M>, const T: usize, const M: usize>(
    g: &Conv2dGeometry,
    x: &[f32],
    grad_y: &[f32],
    grad_weight: &mut [f32],
) {
    let tiling = Tiling::<W, T, M>::new(g);
    let v_layout = Layout::new(BLOCK_TILES, g.c_in, LANES);
    let w_layout = Layout::new(BLOCK_TILES, g.c_out, NR);
    let (v_block, w_block) = (T * T * v_layout.part, T * T * w_layout.part);
    let n_tiles = tiling.n_tiles();
    let run_blocks = (RUN_LEN / (v_block + w_block)).clamp(1, n_tiles.div_ceil(BLOCK_TILES));
    let is_single_run = run_blocks * BLOCK_TILES >= n_tiles;
    let grad_u_len = if is_single_run { 0 } else { T * T * g.c_in * g.c_out.next_multiple_of(NR) };
    with_scratch(run_blocks * (v_block + w_block) + grad_u_len, |scratch| {
        let (v, rest) = scratch.split_at_mut(run_blocks * v_block);
        let (w, grad_u) = rest.split_at_mut(run_blocks * w_block);
        for start in (0..n_tiles).step_by(run_blocks * BLOCK_TILES) {
            let run = start..(start + run_blocks * BLOCK_TILES).min(n_tiles);
            let block =
                |i: usize| run.start + i * BLOCK_TILES..(run.start + (i + 1) * BLOCK_TILES).min(run.end);
            let n_blocks = run.len().div_ceil(BLOCK_TILES);
            let blocks = v.par_chunks_exact_mut(v_block).zip(w.par_chunks_exact_mut(w_block)).enumerate();
            blocks.take(n_blocks).for_each(|(i, (v, w))| {
                tiling.transform_input(x, block(i), v_layout, v);
                tiling.transform_grad(grad_y, block(i), w_layout, w);
            });
            let products = Products {
                v: &v[..n_blocks * v_block],
                w: &w[..n_blocks * w_block],
                n_tiles: run.len(),
                v_layout,
                w_layout,
                v_block,
                w_block,
            };
            if is_single_run {
                tiling.finish_at_once(products, grad_weight);
            } else {
                tiling.accumulate(products, start > 0, grad_u);
            }
        }
        if !is_single_run {
            tiling.finish(grad_u, grad_weight);
        }
    });
}

/// The transforms of a run of tiles, whose products are summed.
#[derive(Clone, Copy, Debug)]
struct Products<'a> {
    v: &'a [f32],
    w: &'a [f32],
    n_tiles: usize,
    v_layout: Layout,
    w_layout: Layout,
    v_block: usize,
    w_block: usize,
}

impl Products<'_> {
    /// `c = V^T W` for `LANES` channels from `c_in` on and one panel, or `c += V^T W` with `keep`.
    #[inline(never)]
    fn sum(&self, part: usize, c_in: usize, panel: usize, c: &mut [f32], keep: bool) {
        let Self { v_layout, w_layout, .. } = self;
        let from_v = part * v_layout.part + v_layout.at(0, c_in);
        let from_w = part * w_layout.part + w_layout.at(0, panel * NR);
        let blocks = self.v.chunks_exact(self.v_block).zip(self.w.chunks_exact(self.w_block));
        let pieces = blocks.enumerate().map(|(i, (v, w))| {
            let rows = BLOCK_TILES.min(self.n_tiles - i * BLOCK_TILES);
            (&v[from_v..][..rows * LANES], &w[from_w..][..rows * NR])
        });
        multiply_columns(pieces, c, keep);
    }
}

impl<W: TileMatrices<T, M>, const T: usize, const M: usize> Tiling<W, T, M> {
    /// Adds the products of a run to `grad_u`, `[c_in / LANES][part][panel][LANES][NR]`.
    fn accumulate(&self, products: Products, keep: bool, grad_u: &mut [f32]) {
        let row_len = T * self.g.c_out.div_ceil(NR) * LANES * NR;
        grad_u.par_chunks_exact_mut(row_len).enumerate().for_each(|(index, row)| {
            let (c, i) = (index / T * LANES, index % T);
            for (j, part) in row.chunks_exact_mut(row_len / T).enumerate() {
                for (panel, sums) in part.chunks_exact_mut(LANES * NR).enumerate() {
                    products.sum(i * T + j, c, panel, sums, keep);
                }
            }
        });
    }

    /// `grad_weight += Gt grad_U G` after the last run.
    fn finish(&self, grad_u: &[f32], grad_weight: &mut [f32]) {
        let Conv2dGeometry { c_out, .. } = self.g;
        let part_len = c_out.div_ceil(NR) * LANES * NR;
        let channels = grad_weight.par_chunks_exact_mut(LANES * TAPS * c_out);
        channels.zip(grad_u.par_chunks_exact(Self::PARTS * part_len)).for_each(|(grad, grad_u)| {
            for panel in 0..c_out.div_ceil(NR) {
                self.transform_filter_grad(&grad_u[panel * LANES * NR..], part_len, panel, grad);
            }
        });
    }

    /// Both for a run that holds all tiles.
    fn finish_at_once(&self, products: Products, grad_weight: &mut [f32]) {
        let Conv2dGeometry { c_out, .. } = self.g;
        let part_len = LANES * NR + super::SET_PADDING;
        grad_weight.par_chunks_exact_mut(LANES * TAPS * c_out).enumerate().for_each(|(index, grad)| {
            with_scratch(Self::PARTS * part_len, |sums| {
                for panel in 0..c_out.div_ceil(NR) {
                    for (part, sums) in sums.chunks_exact_mut(part_len).enumerate() {
                        products.sum(part, index * LANES, panel, &mut sums[..LANES * NR], false);
                    }
                    self.transform_filter_grad(sums, part_len, panel, grad);
                }
            });
        });
    }

    /// `grad_weight += Gt grad_U G` for `LANES` input channels and one panel; parts of `grad_u` are `part_len` apart.
    #[inline(never)]
    fn transform_filter_grad(&self, grad_u: &[f32], part_len: usize, panel: usize, grad_weight: &mut [f32]) {
        let c_out = self.g.c_out;
        for (c, grad) in grad_weight.chunks_exact_mut(TAPS * c_out).enumerate() {
            for v in (0..NR.min(c_out - panel * NR)).step_by(LANES) {
                let at = c * NR + v;
                let line =
                    |i: usize| std::array::from_fn(|j| load(&grad_u[(i * T + j) * part_len + at..]));
                let put = |i: usize, j: usize, sum| {
                    let slot = &mut grad[(i * 3 + j) * c_out + panel * NR + v..];
                    store(load(slot) + sum, slot);
                };
                sandwich(const { &Transform::new(transpose(W::FILTER)) }, line, put);
            }
        }
    }
}
