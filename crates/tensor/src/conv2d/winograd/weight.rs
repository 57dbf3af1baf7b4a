//! The backward pass to the weight by tiles.
//!
//! ```text
//! for each region, for each run of its tiles:
//!   V = Bt d B, in parallel
//!   for each panel of output channels, in parallel:
//!     Z = A grad_y At of the panel
//!     for each LANES input channels:   grad_U += V^T Z;  after the last run: grad += Gt grad_U G
//! grad_weight = grad, its panels side by side
//! ```
//!
//! `Z`, the larger operand where the number of channels doubles, and the sums of a few channels stay in the L2 cache; `V`
//! is read from the L3 cache. With many threads a panel is split by input channels, and each split computes its own `Z`.
//! This changes which thread computes a sum, but not the order of its terms.

use rayon::prelude::*;

use super::tiling::{Region, Tiling};
use super::{Layout, SET_PADDING};
use crate::conv2d::{Conv2dGeometry, Scratch, TAPS};
use crate::gemm::{NR, multiply_columns};
use crate::lanes::LANES;
use crate::scratch::{shared_len, with_scratch, with_shared_scratch};

/// Tiles in one block: one task of the transform of the input.
const BLOCK_TILES: usize = 16;
/// Most numbers in the `Z` of one panel of a run: 1 MiB. Twice as many are up to 15 % slower; half as many are, too, on some
/// processors.
const RUN_LEN: usize = 1 << 18;

/// The scratch memory of [`correlate_patches`].
pub(in crate::conv2d) fn correlate_patches_scratch(tiling: &Tiling) -> Scratch {
    let (v_len, block_len) = lens(tiling);
    let task = |runs: Runs| runs.z_layout(runs.tiles.min(runs.region.n_tiles())).len + runs.sums_len;
    Scratch {
        caller: n_blocks(tiling) * block_len,
        task: tiling.regions().map(Runs::new).map(task).max().unwrap_or(0),
        shared: shared_len(v_len),
    }
}

/// Numbers that [`correlate_patches`] reads from beyond the L2 cache.
pub(in crate::conv2d) fn correlate_patches_reads(tiling: &Tiling) -> usize {
    tiling.g.x_len() + tiling.g.y_len() + tiling.n_panels() * tiling.transformed_input_len()
}

/// Tiles of one run, for tiles of `n_parts` parts.
fn run_tiles(n_tiles: usize, n_parts: usize) -> usize {
    let n_runs = n_tiles.div_ceil(RUN_LEN / (n_parts * NR));
    n_tiles.div_ceil(n_runs).next_multiple_of(BLOCK_TILES)
}

/// How the tiles of a region are divided.
#[derive(Clone, Copy)]
struct Runs {
    region: Region,
    /// Tiles in a run.
    tiles: usize,
    /// Of a block of tiles.
    v_layout: Layout,
    /// Numbers in `V` of a run.
    v_len: usize,
    /// For `LANES` input channels and one panel: the sums from which the gradient is computed.
    sums_len: usize,
}

impl Runs {
    fn new(region: Region) -> Self {
        let n_parts = region.tile.n_parts();
        let tiles = run_tiles(region.n_tiles(), n_parts);
        let v_layout = Layout::by_group(n_parts, BLOCK_TILES, region.g.c_in, LANES);
        let v_len = tiles / BLOCK_TILES * v_layout.len;
        Self { region, tiles, v_layout, v_len, sums_len: n_parts * SUMS_PART }
    }

    /// Of one panel of a run of `tiles`.
    fn z_layout(&self, tiles: usize) -> Layout {
        Layout::by_part(self.region.tile.n_parts(), tiles, NR, NR)
    }

    /// Numbers that each run adds to; the sums of a single run need not be kept.
    fn kept_len(&self) -> usize {
        if self.tiles < self.region.n_tiles() { self.sums_len } else { 0 }
    }
}

/// Numbers in the gradient for `LANES` input channels and one panel.
const GRAD_LEN: usize = LANES * TAPS * NR;

/// Numbers in `V` of a run; and for `LANES` input channels and one panel in the gradient and, after it, the sums that are kept
/// from run to run.
fn lens(tiling: &Tiling) -> (usize, usize) {
    let regions = tiling.regions().map(Runs::new);
    regions.fold((0, GRAD_LEN), |(v, block), runs| (v.max(runs.v_len), block.max(GRAD_LEN + runs.kept_len())))
}

/// Blocks of `LANES` input channels and one panel.
fn n_blocks(tiling: &Tiling) -> usize {
    tiling.g.c_in / LANES * tiling.n_panels()
}

/// `grad_weight = patches(x)^T * grad_y` by tiles.
pub(in crate::conv2d) fn correlate_patches(
    tiling: &Tiling,
    x: &[f32],
    grad_y: &[f32],
    grad_weight: &mut [f32],
) {
    let (_, block_len) = lens(tiling);
    with_scratch(n_blocks(tiling) * block_len, |grads| {
        for (i, runs) in tiling.regions().map(Runs::new).enumerate() {
            add_region(tiling, &runs, x, grad_y, (grads, block_len), i > 0);
        }
        join_panels(grads, block_len, &tiling.g, grad_weight);
    });
}

/// The gradient from the tiles of one region, for each panel and `LANES` input channels at the start of a block of `grads`;
/// with `accumulate`, it is added to what is there.
fn add_region(
    tiling: &Tiling,
    runs: &Runs,
    x: &[f32],
    grad_y: &[f32],
    (grads, block_len): (&mut [f32], usize),
    accumulate: bool,
) {
    let Runs { region, v_layout, v_len, sums_len, .. } = *runs;
    let Conv2dGeometry { c_in, c_out, .. } = region.g;
    let (n_tiles, n_panels, n_blocks) = (region.n_tiles(), tiling.n_panels(), c_in / LANES);
    let n_splits = (2 * rayon::current_num_threads()).div_ceil(n_panels).clamp(1, n_blocks);
    let split_blocks = n_blocks.div_ceil(n_splits);
    for start in (0..n_tiles).step_by(runs.tiles) {
        let run = start..(start + runs.tiles).min(n_tiles);
        with_shared_scratch(v_len, |v| {
            v.par_chunks_exact_mut(v_layout.len).enumerate().for_each(|(i, v)| {
                let first = run.start + i * BLOCK_TILES;
                let block = first.min(run.end)..(first + BLOCK_TILES).min(run.end);
                region.prefetch(x, c_in, block.clone());
                region.prefetch(grad_y, c_out, block.clone());
                region.tile.input(&region, x, block, v_layout, v);
            });
            let v = &*v;
            let panels = grads.par_chunks_exact_mut(n_blocks * block_len).enumerate();
            let splits = panels.flat_map(|(panel, grads)| {
                let splits = grads.par_chunks_mut(split_blocks * block_len).enumerate();
                splits.map(move |(split, grads)| (panel, split * split_blocks, grads))
            });
            splits.for_each(|(panel, first_block, grads)| {
                let z_layout = runs.z_layout(run.len());
                with_scratch(z_layout.len + sums_len, |scratch| {
                    let (z, own_sums) = scratch.split_at_mut(z_layout.len);
                    let channels = tiling.panel_channels(panel);
                    region.tile.output_grad(&region, grad_y, channels, run.clone(), z_layout, z);
                    for (block, grads) in grads.chunks_exact_mut(block_len).enumerate() {
                        let (grad, kept) = grads.split_at_mut(GRAD_LEN);
                        let sums = if runs.kept_len() == 0 { &mut *own_sums } else { &mut kept[..sums_len] };
                        let c = (first_block + block) * LANES;
                        for (part, sums) in sums.chunks_exact_mut(SUMS_PART).enumerate() {
                            let v = &v[part * v_layout.part_stride + v_layout.at(0, c)..v_len];
                            let z = &z[part * z_layout.part_stride..][..run.len() * NR];
                            sum_products(v, v_layout.len, z, &mut sums[..LANES * NR], start > 0);
                        }
                        if run.end == n_tiles {
                            region.tile.filter_grad(sums, grad, accumulate);
                        }
                    }
                });
            });
        });
    }
}

/// Distance between the parts of the sums of `LANES` input channels and one panel; each part is `[LANES][NR]`.
pub(super) const SUMS_PART: usize = LANES * NR + SET_PADDING;

/// `sums = V^T Z` for `LANES` channels and one panel, or with `accumulate` `sums += V^T Z`. Blocks of `v` are `v_block` numbers
/// apart.
#[inline(never)]
fn sum_products(v: &[f32], v_block: usize, z: &[f32], sums: &mut [f32], accumulate: bool) {
    let pieces = v.chunks(v_block).zip(z.chunks(BLOCK_TILES * NR));
    multiply_columns(pieces.map(|(v, z)| (&v[..z.len() / NR * LANES], z)), sums, accumulate);
}

/// Copies `[panel][c_in / LANES][LANES][tap][NR]`, whose second axis has stride `block_len`, to `[c_in][tap][c_out]`.
fn join_panels(grads: &[f32], block_len: usize, g: &Conv2dGeometry, grad_weight: &mut [f32]) {
    grad_weight.par_chunks_exact_mut(TAPS * g.c_out).enumerate().for_each(|(c, taps)| {
        for (panel, grads) in grads.chunks_exact(g.c_in / LANES * block_len).enumerate() {
            let grads = &grads[c / LANES * block_len + c % LANES * TAPS * NR..][..TAPS * NR];
            for (grad, panel_grad) in taps.chunks_exact_mut(g.c_out).zip(grads.chunks_exact(NR)) {
                for (grad, sum) in grad[panel * NR..].iter_mut().zip(panel_grad) {
                    *grad = *sum;
                }
            }
        }
    });
}
