//! The backward pass to the weight by tiles.
//!
//! ```text
//! for each group of images, in parallel:
//!   for each region, for each run of its tiles:
//!     V = Bt d B, in parallel
//!     for each panel of output channels, in parallel:
//!       Z = A grad_y At of the panel
//!       for each LANES input channels:   grad_U += V^T Z;  after the last run: grad += Gt grad_U G
//! grad_weight = sum of the groups' grad, the panels side by side
//! ```
//!
//! `Z`, the larger operand where the number of channels doubles, and the sums of a few channels stay in the L2 cache; `V`
//! is read from the L3 cache. Where each thread has a group, none waits for another, and `V` stays with its core. With more
//! threads a panel is split by input channels, and each split computes its own `Z`. This changes which thread computes a sum,
//! but not the order of its terms: the geometry determines the groups.

use std::ops::Range;

use rayon::prelude::*;

use super::tiling::{Region, Tiling};
use super::{Layout, SET_PADDING};
use crate::conv2d::{Conv2dGeometry, Scratch, TAPS};
use crate::gemm::{NR, multiply_columns};
use crate::lanes::LANES;
use crate::scratch::{shared_len, with_scratch, with_shared_scratch};

/// Tiles whose pixels are read into the cache before they are transformed.
const TILES_READ_AHEAD: usize = 16;
/// About how many tiles a run has where several groups share the images. In `conv2` of a ResNet9, its `V`, its `Z` and the pixels of
/// `grad_y` take 2 MiB; of longer runs, more comes from beyond the L2 cache.
const GROUP_RUN_TILES: usize = 48;
/// The same where there is one group. Each run adds to all sums, and such a layer has many. A product reads 24 KiB, half of the L1
/// cache: those for the first rows leave them there for those for the other rows.
const RUN_TILES: usize = 128;

/// Most groups of images: more threads share them.
const MAX_GROUPS: usize = 8;
/// Fewest parts of all tiles of a group: those of 256 tiles of 8x8. A layer of fewer tiles has one group, for the sums of each
/// group are transformed.
const MIN_GROUP_PARTS: usize = 1 << 14;
/// Most elements in the sums of all groups: 32 MiB.
const MAX_SUMS_LEN: usize = 1 << 23;

/// The scratch memory of [`correlate_patches`].
pub(in crate::conv2d) fn correlate_patches_scratch(tiling: &Tiling) -> Scratch {
    let groups = Groups::new(tiling);
    let task = |runs: Runs| runs.z_layout(runs.tiles.min(runs.region.n_tiles())).len + runs.sums_len;
    let task = groups.runs(&groups.tiling).map(task).max().unwrap_or(0);
    let (own_v, shared_v) = if groups.n > 1 { (groups.v_len, 0) } else { (0, shared_len(groups.v_len)) };
    Scratch { caller: groups.n * groups.grads_len(), task: own_v + task, shared: shared_v }
}

/// Elements that [`correlate_patches`] reads from beyond the L2 cache.
pub(in crate::conv2d) fn correlate_patches_reads(tiling: &Tiling) -> usize {
    tiling.g.x_len() + tiling.g.y_len() + tiling.n_panels() * tiling.transformed_input_len()
}

/// How the tiles of a region are divided.
#[derive(Clone, Copy)]
struct Runs {
    region: Region,
    /// Tiles in a run.
    tiles: usize,
    /// Tiles in a block, whose transform is one task: as few blocks as there are threads, since a product reads the tiles of a block
    /// in the order of memory.
    block_tiles: usize,
    /// Of a block.
    v_layout: Layout,
    /// Elements in `V` of a run.
    v_len: usize,
    /// For `LANES` input channels and one panel: the sums from which the gradient is computed.
    sums_len: usize,
}

impl Runs {
    fn new(region: Region, run_tiles: usize, n_threads: usize) -> Self {
        let n_parts = region.tile.n_parts();
        let n_runs = ((region.n_tiles() + run_tiles / 2) / run_tiles).max(1);
        let block_tiles = region.n_tiles().div_ceil(n_runs).div_ceil(n_threads);
        let v_layout = Layout::by_group(n_parts, block_tiles, region.g.c_in, LANES);
        Self {
            region,
            tiles: n_threads * block_tiles,
            block_tiles,
            v_layout,
            v_len: n_threads * v_layout.len,
            sums_len: n_parts * SUMS_PART,
        }
    }

    /// Of one panel of a run of `tiles`.
    fn z_layout(&self, tiles: usize) -> Layout {
        Layout::by_part(self.region.tile.n_parts(), tiles, NR, NR)
    }

    /// Elements that each run adds to; the sums of a single run need not be kept.
    fn kept_len(&self) -> usize {
        if self.tiles < self.region.n_tiles() { self.sums_len } else { 0 }
    }
}

/// Elements in the gradient for `LANES` input channels and one panel.
const GRAD_LEN: usize = LANES * TAPS * NR;

/// How the images are divided.
#[derive(Clone, Copy)]
struct Groups {
    n: usize,
    /// Of the images of one group; the last may have fewer.
    tiling: Tiling,
    /// Elements in `V` of a run.
    v_len: usize,
    /// For `LANES` input channels and one panel: elements of the gradient and, after it, the sums that are kept from run to run.
    block_len: usize,
}

impl Groups {
    fn new(tiling: &Tiling) -> Self {
        let Conv2dGeometry { n: n_images, c_in, c_out, .. } = tiling.g;
        let most = |(tiles, parts): (usize, usize)| {
            (tiles * parts / MIN_GROUP_PARTS).min(MAX_SUMS_LEN / (parts * c_in * c_out)).clamp(1, MAX_GROUPS)
        };
        let group_images = n_images.div_ceil(tiling.tiles_and_parts().map(most).max().unwrap_or(1));
        let n = n_images.div_ceil(group_images);
        let groups = Self { n, tiling: tiling.of_images(group_images), v_len: 0, block_len: 0 };
        let runs = || groups.runs(&groups.tiling);
        let v_len = runs().map(|runs| runs.v_len).max().unwrap_or(0);
        let block_len = GRAD_LEN + runs().map(|runs| runs.kept_len()).max().unwrap_or(0);
        Self { v_len, block_len, ..groups }
    }

    /// Of each region of a group with the tiling `tiling`.
    fn runs(&self, tiling: &Tiling) -> impl Iterator<Item = Runs> {
        let run_tiles = if self.n > 1 { GROUP_RUN_TILES } else { RUN_TILES };
        tiling.regions().map(move |region| Runs::new(region, run_tiles, self.n_threads()))
    }

    /// Threads of a group.
    fn n_threads(&self) -> usize {
        rayon::current_num_threads().div_ceil(self.n)
    }

    /// Elements in the gradients and kept sums of a group: blocks of `LANES` input channels, for each panel.
    fn grads_len(&self) -> usize {
        self.tiling.g.c_in / LANES * self.tiling.n_panels() * self.block_len
    }
}

/// `grad_weight = patches(x)^T * grad_y` by tiles.
pub(in crate::conv2d) fn correlate_patches(
    tiling: &Tiling,
    x: &[f32],
    grad_y: &[f32],
    grad_weight: &mut [f32],
) {
    let groups = Groups::new(tiling);
    let Conv2dGeometry { n: group_images, h, w, c_in, c_out, .. } = groups.tiling.g;
    let pixels = group_images * h * w;
    with_scratch(groups.n * groups.grads_len(), |grads| {
        let images = x.par_chunks(pixels * c_in).zip(grad_y.par_chunks(pixels * c_out));
        grads.par_chunks_exact_mut(groups.grads_len()).zip(images).for_each(|(grads, (x, grad_y))| {
            let tiling = groups.tiling.of_images(x.len() / (h * w * c_in));
            for (i, runs) in groups.runs(&tiling).enumerate() {
                add_region(&groups, &runs, (x, grad_y), grads, i > 0);
            }
        });
        sum_groups(&groups, grads, grad_weight);
    });
}

/// The gradient of a group from the tiles of one region, for each panel and `LANES` input channels at the start of a block of
/// `grads`; with `accumulate`, it is added to what is there.
fn add_region(
    groups: &Groups,
    runs: &Runs,
    (x, grad_y): (&[f32], &[f32]),
    grads: &mut [f32],
    accumulate: bool,
) {
    let n_tiles = runs.region.n_tiles();
    for start in (0..n_tiles).step_by(runs.tiles) {
        let run = start..(start + runs.tiles).min(n_tiles);
        let add = |v: &mut [f32]| add_run(groups, runs, (x, grad_y), run, grads, accumulate, v);
        // Where there is one group, all threads write and read its `V`.
        if groups.n > 1 { with_scratch(runs.v_len, add) } else { with_shared_scratch(runs.v_len, add) }
    }
}

/// [`add_region`] for the tiles `run`; the gradient is complete after the last run. `v` is memory for their `V`.
fn add_run(
    groups: &Groups,
    runs: &Runs,
    (x, grad_y): (&[f32], &[f32]),
    run: Range<usize>,
    grads: &mut [f32],
    accumulate: bool,
    v: &mut [f32],
) {
    let Runs { region, block_tiles, v_layout, v_len, sums_len, .. } = *runs;
    let Conv2dGeometry { c_in, c_out, .. } = region.g;
    let (n_panels, n_blocks) = (groups.tiling.n_panels(), c_in / LANES);
    let n_splits = (2 * groups.n_threads()).div_ceil(n_panels).clamp(1, n_blocks);
    let split_blocks = n_blocks.div_ceil(n_splits);
    v.par_chunks_exact_mut(v_layout.len).enumerate().for_each(|(i, v)| {
        let first = run.start + i * block_tiles;
        let end = (first + block_tiles).min(run.end);
        for start in (first..end).step_by(TILES_READ_AHEAD) {
            let tiles = start..(start + TILES_READ_AHEAD).min(end);
            region.read_ahead(x, c_in, tiles.clone());
            region.read_ahead(grad_y, c_out, tiles.clone());
            region.tile.input(&region, x, tiles, v_layout, &mut v[v_layout.at(start - first, 0)..]);
        }
    });
    let v = &*v;
    let panels = grads.par_chunks_exact_mut(n_blocks * groups.block_len).enumerate();
    let splits = panels.flat_map(|(panel, grads)| {
        let splits = grads.par_chunks_mut(split_blocks * groups.block_len).enumerate();
        splits.map(move |(split, grads)| (panel, split * split_blocks, grads))
    });
    splits.for_each(|(panel, first_block, grads)| {
        let z_layout = runs.z_layout(run.len());
        with_scratch(z_layout.len + sums_len, |scratch| {
            let (z, own_sums) = scratch.split_at_mut(z_layout.len);
            let channels = groups.tiling.panel_channels(panel);
            region.tile.output_grad(&region, grad_y, channels, run.clone(), z_layout, z);
            for (block, grads) in grads.chunks_exact_mut(groups.block_len).enumerate() {
                let (grad, kept) = grads.split_at_mut(GRAD_LEN);
                let sums = if runs.kept_len() == 0 { &mut *own_sums } else { &mut kept[..sums_len] };
                let c = (first_block + block) * LANES;
                for part in 0..region.tile.n_parts() {
                    let (sums, next) = sums[part * SUMS_PART..].split_at_mut(SUMS_PART);
                    let v = &v[part * v_layout.part_stride + v_layout.at(0, c)..v_len];
                    let z = &z[part * z_layout.part_stride..][..run.len() * NR];
                    let (v, z) = ((v, v_layout.len), (z, block_tiles));
                    sum_products(v, z, &mut sums[..LANES * NR], run.start > 0, next);
                }
                if run.end == region.n_tiles() {
                    region.tile.filter_grad(sums, grad, accumulate);
                }
            }
        });
    });
}

/// Distance between the parts of the sums of `LANES` input channels and one panel; each part is `[LANES][NR]`.
pub(super) const SUMS_PART: usize = LANES * NR + SET_PADDING;

/// `sums = V^T Z` for `LANES` channels and one panel, or with `accumulate` `sums += V^T Z`. Blocks of `v`, each of `block_tiles`
/// tiles, are `v_block` elements apart. `next` is prefetched.
#[inline(never)]
fn sum_products(
    (v, v_block): (&[f32], usize),
    (z, block_tiles): (&[f32], usize),
    sums: &mut [f32],
    accumulate: bool,
    next: &[f32],
) {
    let pieces = v.chunks(v_block).zip(z.chunks(block_tiles * NR));
    multiply_columns(pieces.map(|(v, z)| (&v[..z.len() / NR * LANES], z)), sums, accumulate, next);
}

/// Adds up the gradients of the groups, each `[panel][c_in / LANES][LANES][tap][NR]`, whose second axis has stride `block_len`,
/// to `[c_in][tap][c_out]`.
fn sum_groups(groups: &Groups, grads: &[f32], grad_weight: &mut [f32]) {
    let Conv2dGeometry { c_in, c_out, .. } = groups.tiling.g;
    let panel_len = c_in / LANES * groups.block_len;
    grad_weight.par_chunks_exact_mut(TAPS * c_out).enumerate().for_each(|(c, taps)| {
        for (group, panels) in grads.chunks_exact(groups.grads_len()).enumerate() {
            for (panel, grads) in panels.chunks_exact(panel_len).enumerate() {
                let grads = &grads[c / LANES * groups.block_len + c % LANES * TAPS * NR..][..TAPS * NR];
                for (grad, panel_grad) in taps.chunks_exact_mut(c_out).zip(grads.chunks_exact(NR)) {
                    for (grad, sum) in grad[panel * NR..].iter_mut().zip(panel_grad) {
                        *grad = if group == 0 { *sum } else { *grad + *sum };
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv2d::conv2d_backward_weight;
    use crate::rng::{CounterRng, Purpose};

    #[test]
    fn several_groups_have_the_same_bits_with_any_number_of_threads() {
        let g = Conv2dGeometry::new(1_001, 12, 12, 16, 32);
        let groups = Groups::new(&g.algorithm().tiling(&g).expect("an algorithm by tiles"));
        assert!(groups.n > 1, "{} group", groups.n);
        // The sums are kept from run to run.
        assert!(groups.runs(&groups.tiling).any(|runs| runs.kept_len() > 0), "one run");
        let mut rng = CounterRng::new(0, Purpose::Synthetic, 0, 7);
        let mut random = |len: usize| (0..len).map(|_| rng.range(-1.0, 1.0)).collect::<Vec<f32>>();
        let (x, grad_y) = (random(g.x_len()), random(g.y_len()));
        let with = |n_threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("a thread pool");
            let mut grad_weight = vec![f32::NAN; g.weight_len()];
            pool.install(|| conv2d_backward_weight(&g, &x, &grad_y, &mut grad_weight));
            assert!(grad_weight.iter().all(|grad| grad.is_finite()), "{n_threads} threads");
            grad_weight.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
        };
        let expected = with(1);
        for n_threads in [2, 3, 7] {
            assert!(with(n_threads) == expected, "{n_threads} threads");
        }
    }
}
