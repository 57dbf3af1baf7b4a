//! The forward pass by tiles. The backward pass to the input is the same with the reversed filter.
//!
//! ```text
//! few channels (by_tiles):                      many channels (by_panels), for each run of images:
//!   U of all channels                             V of all tiles of the run
//!   for each few images, in parallel:             for each panel of output channels, in parallel:
//!     for each block of their tiles:                for each row of parts:
//!       V of the block                                U of the row and the panel
//!       for each panel:                               product = V U
//!         product = V U                               tiles = epilogue(At product A)
//!         tiles = epilogue(At product A)
//!       y = tiles, their panels side by side      y = tiles, their panels side by side
//! ```
//!
//! In both cases the operand that a task computes for itself, and its product, stay in the L2 cache; the other operand is
//! read from the L3 cache. Tiles are finished panel by panel, but `y` is written pixel by pixel: writing a panel of every
//! pixel, a few lines of each page, takes four times as long as writing in the order of memory.
//!
//! Evaluation of few tiles has an order of its own (few_tiles).

use rayon::prelude::*;

use super::filter::{transform_filter, transformed_len};
use super::tiling::{Region, Tiling};
use super::{by_panels, by_tiles, few_tiles};
use crate::caches::cache_bytes;
use crate::conv2d::epilogue::Epilogue;
use crate::conv2d::{Conv2dGeometry, Filter, Scratch};
use crate::gemm::{MR, NR, prefetch_row};
use crate::scratch::{has_large_shared_cache, shared_len, with_shared_scratch};
use crate::tasks::TASK_ELEMENTS;

/// Most tiles in one block of `by_tiles`.
const BLOCK_TILES: usize = 48;
/// Most elements in the transformed input of such a block where the L2 cache is small or not known: 768 KiB.
const BLOCK_LEN: usize = 3 << 16;
/// Fewest tiles in a block for which reading the whole transformed filter pays off.
const MIN_BLOCK_TILES: usize = 12;
/// Most elements in the transformed input of a block of so few: 864 KiB.
const MIN_BLOCK_LEN: usize = 27 << 13;

/// The most tiles of a block of `by_tiles`, whose transformed input takes three quarters of the L2 cache; `None` where `by_panels`
/// is faster.
fn block_tiles(tiling: &Tiling) -> Option<usize> {
    let most_parts = tiling.tiles_and_parts().map(|(_, parts)| parts).max().unwrap_or(1);
    let tile_len = most_parts * tiling.g.c_in;
    if tiling.n_tiles() < tiling.g.c_out || MIN_BLOCK_TILES * tile_len > MIN_BLOCK_LEN {
        return None;
    }
    let block_len = BLOCK_LEN.max(cache_bytes(2) / size_of::<f32>() / 4 * 3);
    let most = (block_len / tile_len / MR * MR).clamp(MIN_BLOCK_TILES, BLOCK_TILES);
    (!prefers_panels(tiling, most)).then_some(most)
}

/// Whether `by_panels` reads much less than `by_tiles` with these blocks, which pays off where all cores have one cache in common,
/// for half of what a core reads was written by others; and whether all threads have as many panels.
fn prefers_panels(tiling: &Tiling, block_tiles: usize) -> bool {
    let reads_less = 2 * panel_reads(tiling) < by_tiles::filter_reads(tiling, block_tiles);
    let fills_threads = tiling.n_panels().is_multiple_of(rayon::current_num_threads());
    reads_less && fills_threads && has_large_shared_cache()
}

/// Elements of the transformed input that all panels read.
fn panel_reads(tiling: &Tiling) -> usize {
    tiling.n_panels() * tiling.transformed_input_len()
}

/// `y = epilogue(x * weight)` by tiles.
pub(in crate::conv2d) fn correlate(
    tiling: &Tiling,
    x: &[f32],
    filter: Filter,
    epilogue: Epilogue,
    y: &mut [f32],
) {
    match (block_tiles(tiling), filter) {
        (None, Filter::Prepared(_) | Filter::Gathered(_)) if few_tiles::fits(tiling) => {
            few_tiles::correlate(tiling, x, filter, epilogue, y);
        }
        (None, _) => by_panels::correlate(tiling, x, filter, epilogue, y),
        (Some(most), Filter::Prepared(filter)) => by_tiles::correlate(tiling, most, x, filter, epilogue, y),
        (Some(most), _) => with_shared_scratch(transformed_len(tiling), |transformed| {
            transform_filter(tiling, filter, transformed);
            by_tiles::correlate(tiling, most, x, transformed, epilogue, y);
        }),
    }
}

/// The scratch memory of [`correlate`]; a prepared filter takes none.
pub(in crate::conv2d) fn correlate_scratch(tiling: &Tiling, is_prepared: bool) -> Scratch {
    match block_tiles(tiling) {
        None if is_prepared && few_tiles::fits(tiling) => few_tiles::scratch(tiling),
        None => by_panels::scratch(tiling),
        Some(most) => Scratch {
            caller: 0,
            shared: if is_prepared { 0 } else { shared_len(transformed_len(tiling)) },
            task: by_tiles::task_scratch(tiling, most),
        },
    }
}

/// Elements that [`correlate`] reads from beyond the L2 cache.
pub(in crate::conv2d) fn correlate_reads(tiling: &Tiling) -> usize {
    tiling.g.x_len()
        + match block_tiles(tiling) {
            None => tiling.g.weight_len() + panel_reads(tiling),
            Some(most) => by_tiles::filter_reads(tiling, most),
        }
}

/// Writes finished tiles to `y`, row by row.
///
/// # Shapes
/// `finished`: `[panel][region][tile][pixel of the finished tile][NR]`, panels `panel_len` apart.
pub(super) fn join_tiles(
    g: &Conv2dGeometry,
    regions: impl Iterator<Item = Region> + Clone + Sync,
    (finished, panel_len): (&[f32], usize),
    epilogue: Epilogue,
    y: &mut [f32],
) {
    let stride = epilogue.stride();
    let (h_out, row_len) = (g.h / stride, g.w / stride * g.c_out);
    let rows = y.par_chunks_mut(row_len).with_min_len(TASK_ELEMENTS.div_ceil(row_len)).enumerate();
    rows.for_each(|(row, y)| {
        let row = row / h_out * g.h + row % h_out * stride;
        let mut rest = finished;
        for region in regions.clone() {
            let (down, across) = region.finished(stride);
            for (tile, i, pixels) in region.tiles_of_row(row) {
                let line = &rest[(tile * down + i / stride) * across * NR..];
                let y = &mut y[pixels.start / stride * g.c_out..pixels.end / stride * g.c_out];
                join_panels(line, panel_len, g.c_out, row_len, y);
            }
            rest = &rest[region.finished_len(stride)..];
        }
    });
}

/// Copies `[panel][pixel][NR]`, panels `panel_stride` apart, to `[pixel][channel]`, and prefetches the memory `ahead` elements after
/// each element that it writes.
pub(super) fn join_panels(finished: &[f32], panel_stride: usize, c_out: usize, ahead: usize, y: &mut [f32]) {
    for (pixel, y) in y.chunks_exact_mut(c_out).enumerate() {
        for (panel, y) in y.chunks_mut(NR).enumerate() {
            prefetch_row(y, ahead);
            let from: &[f32; NR] =
                finished[panel * panel_stride + pixel * NR..].first_chunk().expect("a pixel of every panel");
            match y.first_chunk_mut() {
                Some(whole) => *whole = *from,
                None => y.copy_from_slice(&from[..y.len()]),
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::conv2d::winograd::{F4, F6};

    /// Numbers between -0.5 and 0.5.
    pub(in crate::conv2d::winograd) fn numbers(len: usize) -> Vec<f32> {
        (0..len).map(|i| (i * 7919 % 1013) as f32 / 1013.0 - 0.5).collect()
    }

    #[test]
    fn both_orders_of_work_have_the_same_bits() {
        let g = Conv2dGeometry::new(5, 10, 16, 48, 80);
        let (x, weight) = (numbers(g.x_len()), numbers(g.weight_len()));
        let bits = |y: Vec<f32>| y.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
        for tiling in [Tiling::of(&g, F4), Tiling::of(&g, F6), Tiling::of_6_and_4(&g)] {
            let (mut by_tile, mut by_panel) = (vec![f32::NAN; g.y_len()], vec![f32::NAN; g.y_len()]);
            let mut transformed = vec![f32::NAN; transformed_len(&tiling)];
            transform_filter(&tiling, Filter::Plain(&weight), &mut transformed);
            by_tiles::correlate(&tiling, MIN_BLOCK_TILES, &x, &transformed, Epilogue::NONE, &mut by_tile);
            by_panels::correlate(&tiling, &x, Filter::Plain(&weight), Epilogue::NONE, &mut by_panel);
            let mut by_prepared_panel = vec![f32::NAN; g.y_len()];
            let prepared = Filter::Prepared(&transformed);
            by_panels::correlate(&tiling, &x, prepared, Epilogue::NONE, &mut by_prepared_panel);
            assert!(by_tile.iter().all(|y| y.is_finite()), "{tiling:?}");
            let by_tile = bits(by_tile);
            assert!(by_tile == bits(by_panel), "{tiling:?}");
            assert!(by_tile == bits(by_prepared_panel), "{tiling:?}, prepared");
        }
    }
}
