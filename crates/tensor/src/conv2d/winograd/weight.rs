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

use std::ops::Range;

use rayon::prelude::*;

use super::matrices::{FilterGrad, TileMatrices};
use super::transform::sandwich;
use super::{Layout, Tiling};
use crate::conv2d::{Conv2dGeometry, KERNEL, TAPS};
use crate::gemm::{LANES, NR, load, multiply_columns, store};
use crate::scratch::with_scratch;

/// Tiles in one block: a unit of the parallel transforms.
const BLOCK_TILES: usize = 16;
/// Blocks whose pieces are summed while they are in the first-level cache.
const CHUNK_BLOCKS: usize = 128 / BLOCK_TILES;
/// Input channels of one task.
const GROUP_CHANNELS: usize = 32;
/// Panels of output channels that share what is read of `V`.
const GROUP_PANELS: usize = 2;
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
    let v_layout = Layout::by_group(T * T, BLOCK_TILES, g.c_in, LANES);
    let w_layout = Layout::by_group(T * T, BLOCK_TILES, g.c_out, NR);
    let (v_block, w_block) = (v_layout.len, w_layout.len);
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
    /// `c = V^T W`, or `c += V^T W` with `keep`, of one part, for some input channels and some panels.
    ///
    /// The sums of `LANES` of the channels and one panel, `[LANES][NR]`, stand in `sums` at `at(channels, panel)`, both
    /// counted from the first. A piece of `V` and `W` serves all of them while it is in the first-level cache.
    #[inline(never)]
    fn sum(
        &self,
        part: usize,
        c_in: Range<usize>,
        panels: Range<usize>,
        keep: bool,
        sums: &mut [f32],
        at: impl Fn(usize, usize) -> usize,
    ) {
        let Self { v_layout, w_layout, .. } = self;
        let blocks = self.v.chunks_exact(self.v_block).zip(self.w.chunks_exact(self.w_block)).enumerate();
        for first in (0..self.n_tiles.div_ceil(BLOCK_TILES)).step_by(CHUNK_BLOCKS) {
            let chunk = blocks.clone().skip(first).take(CHUNK_BLOCKS);
            for (c, panel) in (0..c_in.len() / LANES).flat_map(|c| (0..panels.len()).map(move |p| (c, p))) {
                let from_v = part * v_layout.part + v_layout.at(0, c_in.start + c * LANES);
                let from_w = part * w_layout.part + w_layout.at(0, (panels.start + panel) * NR);
                let pieces = chunk.clone().map(|(i, (v, w))| {
                    let rows = BLOCK_TILES.min(self.n_tiles - i * BLOCK_TILES);
                    (&v[from_v..][..rows * LANES], &w[from_w..][..rows * NR])
                });
                let sums = &mut sums[at(c, panel)..][..LANES * NR];
                multiply_columns(pieces, sums, keep || first > 0);
            }
        }
    }
}

impl<W: TileMatrices<T, M>, const T: usize, const M: usize> Tiling<W, T, M> {
    /// Adds the products of a run to `grad_u`, `[group of channels][part][c_in / LANES][panel][LANES][NR]`.
    fn accumulate(&self, products: Products, keep: bool, grad_u: &mut [f32]) {
        let n_panels = self.g.c_out.div_ceil(NR);
        let group_len = Self::PARTS * GROUP_CHANNELS * n_panels * NR;
        let groups = grad_u.par_chunks_mut(group_len).enumerate().flat_map(|(group, grad_u)| {
            let part_len = grad_u.len() / Self::PARTS;
            let parts = grad_u.par_chunks_exact_mut(part_len).enumerate();
            parts.map(move |(part, sums)| (group, part, sums))
        });
        groups.for_each(|(group, part, sums)| {
            let first = group * GROUP_CHANNELS;
            let channels = first..(first + GROUP_CHANNELS).min(self.g.c_in);
            for first in (0..n_panels).step_by(GROUP_PANELS) {
                let panels = first..(first + GROUP_PANELS).min(n_panels);
                let at = |c: usize, panel: usize| (c * n_panels + first + panel) * LANES * NR;
                products.sum(part, channels.clone(), panels, keep, sums, at);
            }
        });
    }

    /// `grad_weight += Gt grad_U G` after the last run.
    fn finish(&self, grad_u: &[f32], grad_weight: &mut [f32]) {
        let Conv2dGeometry { c_out, .. } = self.g;
        let n_panels = c_out.div_ceil(NR);
        let groups = grad_weight.par_chunks_mut(GROUP_CHANNELS * TAPS * c_out);
        let grads_u = grad_u.par_chunks(Self::PARTS * GROUP_CHANNELS * n_panels * NR);
        groups.zip(grads_u).for_each(|(grad, grad_u)| {
            let part_len = grad_u.len() / Self::PARTS;
            for (c, grad) in grad.chunks_exact_mut(LANES * TAPS * c_out).enumerate() {
                for panel in 0..n_panels {
                    let at = (c * n_panels + panel) * LANES * NR;
                    self.transform_filter_grad(&grad_u[at..], part_len, panel, grad);
                }
            }
        });
    }

    /// Both for a run that holds all tiles.
    fn finish_at_once(&self, products: Products, grad_weight: &mut [f32]) {
        let Conv2dGeometry { c_in, c_out, .. } = self.g;
        let n_panels = c_out.div_ceil(NR);
        let channels_len = LANES * TAPS * c_out;
        let part_len = GROUP_CHANNELS * GROUP_PANELS * NR + super::SET_PADDING;
        grad_weight.par_chunks_mut(GROUP_CHANNELS * TAPS * c_out).enumerate().for_each(|(group, grad)| {
            let first_c = group * GROUP_CHANNELS;
            let channels = first_c..(first_c + GROUP_CHANNELS).min(c_in);
            with_scratch(Self::PARTS * part_len, |sums| {
                for first in (0..n_panels).step_by(GROUP_PANELS) {
                    let panels = first..(first + GROUP_PANELS).min(n_panels);
                    let at = |c: usize, panel: usize| (c * GROUP_PANELS + panel) * LANES * NR;
                    for (part, sums) in sums.chunks_exact_mut(part_len).enumerate() {
                        products.sum(part, channels.clone(), panels.clone(), false, sums, at);
                    }
                    for (c, grad) in grad.chunks_exact_mut(channels_len).enumerate() {
                        for panel in 0..panels.len() {
                            let sums = &sums[at(c, panel)..];
                            self.transform_filter_grad(sums, part_len, first + panel, grad);
                        }
                    }
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
                let line = |i: usize| std::array::from_fn(|j| load(&grad_u[(i * T + j) * part_len + at..]));
                let put = |i: usize, j: usize, sum| {
                    let slot = &mut grad[(i * KERNEL + j) * c_out + panel * NR + v..];
                    store(load(slot) + sum, slot);
                };
                sandwich::<FilterGrad<W, M>, KERNEL, T>(line, put);
            }
        }
    }
}
