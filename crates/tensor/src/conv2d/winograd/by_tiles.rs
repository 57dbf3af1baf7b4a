//! The forward pass for few channels: tasks are a few images, all regions of them, and each reads the whole filter.

use std::ops::Range;

use rayon::prelude::*;

use super::Layout;
use super::correlate::join_panels;
use super::tiling::{Region, Tiling};
use crate::conv2d::Conv2dGeometry;
use crate::conv2d::epilogue::Epilogue;
use crate::gemm::{MR, NR, multiply_rows};
use crate::lanes::LANES;
use crate::scratch::with_scratch;

/// `y = epilogue(x * weight)`, with blocks of at most `block_tiles` tiles.
///
/// # Shapes
/// `filter`: the result of [`transform_filter`](super::filter::transform_filter).
pub(super) fn correlate(
    tiling: &Tiling,
    block_tiles: usize,
    x: &[f32],
    filter: &[f32],
    epilogue: Epilogue,
    y: &mut [f32],
) {
    let Conv2dGeometry { n, c_in, .. } = tiling.g;
    let image_out_len = y.len() / n;
    let panel_len = tiling.n_parts() * c_in * NR;
    let task_images = task_images(tiling, block_tiles);
    y.par_chunks_mut(task_images * image_out_len).enumerate().for_each(|(task, y)| {
        let first_image = task * task_images;
        let images = first_image..first_image + y.len() / image_out_len;
        let mut first_part = 0;
        for region in tiling.regions() {
            let n_parts = region.tile.n_parts();
            let blocks = Blocks::new(region, task_images, block_tiles, epilogue.stride());
            let first_filter = first_part * c_in * NR;
            let tiles = images.start * region.per_image()..images.end * region.per_image();
            with_scratch(blocks.scratch_len(), |scratch| {
                let (v, scratch) = scratch.split_at_mut(blocks.v_layout.len);
                let (product, finished) = scratch.split_at_mut(blocks.product_layout.len);
                for start in tiles.clone().step_by(blocks.rows) {
                    let block = start..(start + blocks.rows).min(tiles.end);
                    region.read_ahead(x, c_in, block.clone());
                    region.tile.input(&region, x, block.clone(), blocks.v_layout, v);
                    let panels =
                        filter.chunks_exact(panel_len).zip(finished.chunks_exact_mut(blocks.finished_len));
                    for (panel, (filter, finished)) in panels.enumerate() {
                        let filter = &filter[first_filter..][..n_parts * c_in * NR];
                        blocks.multiply(v, filter, block.len(), product);
                        let product = (&*product, blocks.product_layout.part_stride);
                        let finished = &mut finished[..block.len() * blocks.tile_len];
                        region.tile.output(product, epilogue, tiling.panel_channels(panel), finished);
                    }
                    blocks.write(finished, block, epilogue, (first_image, y));
                }
            });
            first_part += n_parts;
        }
    });
}

/// The blocks of a region.
#[derive(Clone, Copy)]
struct Blocks {
    region: Region,
    /// Tiles in a block, rounded up to whole register tiles.
    rows: usize,
    v_layout: Layout,
    product_layout: Layout,
    /// Elements in a finished tile and in those of a panel.
    tile_len: usize,
    finished_len: usize,
}

impl Blocks {
    fn new(region: Region, task_images: usize, block_tiles: usize, stride: usize) -> Self {
        let (down, across) = region.finished(stride);
        let tile_len = down * across * NR;
        let most = block_tiles.min(task_images * region.per_image()).min(region.n_tiles());
        let (rows, n_parts) = (most.next_multiple_of(MR), region.tile.n_parts());
        Self {
            region,
            rows,
            v_layout: Layout::by_group(n_parts, rows, region.g.c_in, LANES),
            product_layout: Layout::by_group(n_parts, rows, NR, NR),
            tile_len,
            finished_len: rows * tile_len,
        }
    }

    /// Elements of scratch memory of a task.
    fn scratch_len(&self) -> usize {
        let n_panels = self.region.g.c_out.div_ceil(NR);
        self.v_layout.len + self.product_layout.len + n_panels * self.finished_len
    }

    /// `product = V U` for each part of a block of `n_tiles` tiles and one panel.
    fn multiply(&self, v: &[f32], filter: &[f32], n_tiles: usize, product: &mut [f32]) {
        for (part, filter) in filter.chunks_exact(self.region.g.c_in * NR).enumerate() {
            let v = &v[part * self.v_layout.part_stride..];
            let product = &mut product[part * self.product_layout.part_stride..][..n_tiles * NR];
            multiply_rows(v, self.v_layout.group_stride, filter, product, false);
        }
    }

    /// Writes finished tiles to `y`, which begins with image `first_image`.
    fn write(
        &self,
        finished: &[f32],
        tiles: Range<usize>,
        epilogue: Epilogue,
        (first_image, y): (usize, &mut [f32]),
    ) {
        let Conv2dGeometry { h, w, c_out, .. } = self.region.g;
        let stride = epilogue.stride();
        let (h_out, w_out) = (h / stride, w / stride);
        let (down, across) = self.region.finished(stride);
        // The tile below is prefetched.
        let ahead = down * w_out * c_out;
        for (index, tile) in tiles.enumerate() {
            let (n, top, left) = self.region.origin(tile);
            let (top, left) = (top / stride, left / stride);
            for i in 0..down.min(h_out - top) {
                let at = ((n - first_image) * h_out + top + i) * w_out + left;
                let pixels = &mut y[at * c_out..][..across.min(w_out - left) * c_out];
                let finished = &finished[(index * down + i) * across * NR..];
                join_panels(finished, self.finished_len, c_out, ahead, pixels);
            }
        }
    }
}

/// How many images a task has, so that all threads finish together and register tiles are full.
fn task_images(tiling: &Tiling, block_tiles: usize) -> usize {
    /// Fewest tasks per thread, for one may be slower than the others.
    const TASKS: usize = 8;
    /// What a block costs besides its tiles, mostly reading the filter; in tiles.
    const BLOCK_COST: usize = 2;
    let (n, n_threads) = (tiling.g.n, rayon::current_num_threads());
    let per_image = tiling.regions().map(|region| region.per_image()).max().unwrap_or(1);
    let most = (n / (TASKS * n_threads)).max(MR.div_ceil(per_image)).min(n);
    let cost = |images: &usize| {
        let task_cost = |region: Region| {
            let tiles = images * region.per_image();
            region.tile.n_parts() * (tiles + BLOCK_COST * tiles.div_ceil(block_tiles))
        };
        n.div_ceil(*images).div_ceil(n_threads) * tiling.regions().map(task_cost).sum::<usize>()
    };
    (1..=most).min_by_key(cost).unwrap_or(1)
}

/// Elements of the transformed filter that all blocks read.
pub(super) fn filter_reads(tiling: &Tiling, block_tiles: usize) -> usize {
    let task_images = task_images(tiling, block_tiles);
    let reads = |region: Region| {
        let n_blocks = region.n_tiles().div_ceil(Blocks::new(region, task_images, block_tiles, 1).rows);
        n_blocks * region.tile.n_parts() * region.g.c_in * region.g.c_out.next_multiple_of(NR)
    };
    tiling.regions().map(reads).sum()
}

/// Elements of scratch memory that a task of [`correlate`] takes.
pub(super) fn task_scratch(tiling: &Tiling, block_tiles: usize) -> usize {
    let task_images = task_images(tiling, block_tiles);
    let blocks = tiling.regions().map(|region| Blocks::new(region, task_images, block_tiles, 1));
    blocks.map(|blocks| blocks.scratch_len()).max().unwrap_or(0)
}
