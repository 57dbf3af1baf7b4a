//! The backward pass to the weight by tiles.
//!
//! ```text
//! for each run of tiles:
//!   V = Bt d B, in parallel
//!   for each panel of output channels, in parallel:
//!     Z = A grad_y At of the panel
//!     for each LANES input channels:   grad_U += V^T Z;  after the last run: grad = Gt grad_U G
//! grad_weight = grad, its panels side by side
//! ```
//!
//! `Z`, the larger operand where the number of channels doubles, and the sums of a few channels stay in the L2 cache; `V`
//! is read from the L3 cache. With many threads a panel is split by input channels, and each split computes its own `Z`.
//! This changes which thread computes a sum, but not the order of its terms.

use rayon::prelude::*;
use wide::f32x16;

use super::matrices::{FilterGradMatrix, TileMatrices};
use super::transform::sandwich;
use super::{Layout, SET_PADDING, Tiling};
use crate::conv2d::{Conv2dGeometry, FILTER_SIDE, TAPS};
use crate::gemm::{NR, multiply_columns};
use crate::lanes::{LANES, load, store};
use crate::scratch::with_scratch;

/// Tiles in one block: one task of the transform of the input.
const BLOCK_TILES: usize = 16;
/// Most numbers in the `Z` of one panel of a run: 1 MiB. Half and twice as many are 2 to 15 % slower.
const RUN_LEN: usize = 1 << 18;

/// Tiles of one run, with input tiles of `t` x `t`.
pub(in crate::conv2d) fn weight_run_tiles(n_tiles: usize, t: usize) -> usize {
    let n_runs = n_tiles.div_ceil(RUN_LEN / (t * t * NR));
    n_tiles.div_ceil(n_runs).next_multiple_of(BLOCK_TILES)
}

/// `grad_weight = patches(x)^T * grad_y` by tiles.
pub(in crate::conv2d) fn correlate_patches<Matrices: TileMatrices<T, M>, const T: usize, const M: usize>(
    g: &Conv2dGeometry,
    x: &[f32],
    grad_y: &[f32],
    grad_weight: &mut [f32],
) {
    let tiling = Tiling::<Matrices, T, M>::new(g);
    let (n_tiles, n_panels, n_blocks) = (tiling.n_tiles(), g.c_out.div_ceil(NR), g.c_in / LANES);
    let run_tiles = weight_run_tiles(n_tiles, T);
    let is_single_run = run_tiles >= n_tiles;
    let v_layout = Layout::by_group(T * T, BLOCK_TILES, g.c_in, LANES);
    let v_len = run_tiles / BLOCK_TILES * v_layout.len;
    // For LANES input channels and one panel: the gradient; with several runs also the sums that it is computed from.
    let sums_len = T * T * SUMS_PART;
    let grad_len = LANES * TAPS * NR;
    let block_len = grad_len + if is_single_run { 0 } else { sums_len };
    let n_splits = (2 * rayon::current_num_threads()).div_ceil(n_panels).clamp(1, n_blocks);
    let split_blocks = n_blocks.div_ceil(n_splits);
    with_scratch(v_len + n_panels * n_blocks * block_len, |scratch| {
        let (v, grads) = scratch.split_at_mut(v_len);
        for start in (0..n_tiles).step_by(run_tiles) {
            let run = start..(start + run_tiles).min(n_tiles);
            v.par_chunks_exact_mut(v_layout.len).enumerate().for_each(|(i, v)| {
                let first = run.start + i * BLOCK_TILES;
                let block = first.min(run.end)..(first + BLOCK_TILES).min(run.end);
                tiling.transform_input(x, block, v_layout, v);
            });
            let v = &*v;
            let panels = grads.par_chunks_exact_mut(n_blocks * block_len).enumerate();
            let splits = panels.flat_map(|(panel, grads)| {
                let splits = grads.par_chunks_mut(split_blocks * block_len).enumerate();
                splits.map(move |(split, grads)| (panel, split * split_blocks, grads))
            });
            splits.for_each(|(panel, first_block, grads)| {
                let z_layout = Layout::by_part(T * T, run.len(), NR, NR);
                with_scratch(z_layout.len + sums_len, |scratch| {
                    let (z, own_sums) = scratch.split_at_mut(z_layout.len);
                    tiling.transform_grad(grad_y, panel, run.clone(), z_layout, z);
                    for (block, grads) in grads.chunks_exact_mut(block_len).enumerate() {
                        let (grad, sums) = grads.split_at_mut(grad_len);
                        let sums = if is_single_run { &mut *own_sums } else { sums };
                        let c = (first_block + block) * LANES;
                        for (part, sums) in sums.chunks_exact_mut(SUMS_PART).enumerate() {
                            let v = &v[part * v_layout.part_stride + v_layout.at(0, c)..];
                            let z = &z[part * z_layout.part_stride..][..run.len() * NR];
                            sum_products(v, v_layout.len, z, &mut sums[..LANES * NR], start > 0);
                        }
                        if run.end == n_tiles {
                            transform_filter_grad::<Matrices, T, M>(sums, grad);
                        }
                    }
                });
            });
        }
        interleave_panels(grads, block_len, g, grad_weight);
    });
}

/// Distance between the parts of the sums of `LANES` input channels and one panel; each part is `[LANES][NR]`.
const SUMS_PART: usize = LANES * NR + SET_PADDING;

/// `sums = V^T Z` for `LANES` channels and one panel, or with `accumulate` `sums += V^T Z`. Blocks of `v` are `v_block` numbers
/// apart.
#[inline(never)]
fn sum_products(v: &[f32], v_block: usize, z: &[f32], sums: &mut [f32], accumulate: bool) {
    let pieces = v.chunks(v_block).zip(z.chunks(BLOCK_TILES * NR));
    multiply_columns(pieces.map(|(v, z)| (&v[..z.len() / NR * LANES], z)), sums, accumulate);
}

/// `grad = Gt grad_U G` for `LANES` input channels and one panel, as `[LANES][tap][NR]`.
#[inline(never)]
fn transform_filter_grad<Matrices: TileMatrices<T, M>, const T: usize, const M: usize>(
    grad_u: &[f32],
    grad: &mut [f32],
) {
    let mut between = [[f32x16::ZERO; FILTER_SIDE]; T];
    for (c, grad) in grad.chunks_exact_mut(TAPS * NR).enumerate() {
        for v in (0..NR).step_by(LANES) {
            let line =
                |i: usize| std::array::from_fn(|j| load(&grad_u[(i * T + j) * SUMS_PART + c * NR + v..]));
            let put = |i: usize, j: usize, sum| store(sum, &mut grad[(i * FILTER_SIDE + j) * NR + v..]);
            sandwich::<FilterGradMatrix<Matrices, M>, FILTER_SIDE, T>(&mut between, line, put);
        }
    }
}

/// Copies `[panel][c_in / LANES][LANES][tap][NR]`, whose second axis has stride `block_len`, to `[c_in][tap][c_out]`.
fn interleave_panels(grads: &[f32], block_len: usize, g: &Conv2dGeometry, grad_weight: &mut [f32]) {
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
