//! The forward pass by tiles. The backward pass to the input is the same with the reversed filter.
//!
//! ```text
//! few channels (by_tiles):                      many channels (by_panels), for each run of images:
//!   U of all channels                             V of all tiles of the run
//!   for each block of tiles, in parallel:         for each panel of output channels, in parallel:
//!     V of the block                                for each row of parts:
//!     for each panel:                                 U of the row and the panel
//!       product = V U                                 product = V U
//!       tiles = act(scale * At product A + shift)     tiles = act(scale * At product A + shift)
//!     y = tiles, their panels side by side        y = tiles, their panels side by side
//! ```
//!
//! In both cases the operand that a task computes for itself, and its product, stay in the L2 cache; the other operand is
//! read from the L3 cache. Tiles are finished panel by panel, but `y` is written pixel by pixel: writing a panel of every
//! pixel, a few lines of each page, takes four times as long as writing in the order of memory.

use super::filter::{transform_filter, transformed_len};
use super::tiling::Tiling;
use super::{by_panels, by_tiles};
use crate::conv2d::epilogue::Epilogue;
use crate::conv2d::{Filter, Scratch};
use crate::gemm::{MR, NR};
use crate::scratch::with_scratch;

/// Most tiles in one block of `by_tiles`.
const BLOCK_TILES: usize = 48;
/// Most numbers in the transformed input of such a block: 768 KiB.
const BLOCK_LEN: usize = 3 << 16;
/// Fewest tiles in a block for which reading the whole transformed filter pays off.
const MIN_BLOCK_TILES: usize = 24;

/// The most tiles of a block of `by_tiles`, whose transformed input fits the L2 cache; `None` where `by_panels` is faster.
fn block_tiles(tiling: &Tiling) -> Option<usize> {
    let n_tiles: usize = tiling.tiles_and_parts().map(|(tiles, _)| tiles).sum();
    let most_parts = tiling.tiles_and_parts().map(|(_, parts)| parts).max().unwrap_or(1);
    let block_tiles = (BLOCK_LEN / (most_parts * tiling.g.c_in) / MR * MR).min(BLOCK_TILES);
    (n_tiles >= tiling.g.c_out && block_tiles >= MIN_BLOCK_TILES).then_some(block_tiles)
}

/// `y = act(scale * (x * weight) + shift)` by tiles.
pub(in crate::conv2d) fn correlate(
    tiling: &Tiling,
    x: &[f32],
    filter: Filter,
    epilogue: Epilogue,
    y: &mut [f32],
) {
    match (block_tiles(tiling), filter) {
        (None, _) => by_panels::correlate(tiling, x, filter, epilogue, y),
        (Some(most), Filter::Prepared(filter)) => by_tiles::correlate(tiling, most, x, filter, epilogue, y),
        (Some(most), _) => with_scratch(transformed_len(tiling), |transformed| {
            transform_filter(tiling, filter, transformed);
            by_tiles::correlate(tiling, most, x, transformed, epilogue, y);
        }),
    }
}

/// The scratch memory of [`correlate`]; a prepared filter takes none.
pub(in crate::conv2d) fn correlate_scratch(tiling: &Tiling, is_prepared: bool) -> Scratch {
    match block_tiles(tiling) {
        None => by_panels::scratch(tiling),
        Some(most) => Scratch {
            caller: if is_prepared { 0 } else { transformed_len(tiling) },
            task: by_tiles::task_scratch(tiling, most),
        },
    }
}

/// Numbers that [`correlate`] reads from beyond the L2 cache.
pub(in crate::conv2d) fn correlate_reads(tiling: &Tiling) -> usize {
    tiling.g.x_len()
        + match block_tiles(tiling) {
            None => tiling.g.weight_len() + tiling.n_panels() * tiling.transformed_input_len(),
            Some(most) => by_tiles::filter_reads(tiling, most),
        }
}

/// Copies `[panel][pixel][NR]`, panels `panel_stride` apart, to `[pixel][channel]`.
pub(super) fn join_panels(finished: &[f32], panel_stride: usize, c_out: usize, y: &mut [f32]) {
    for (pixel, y) in y.chunks_exact_mut(c_out).enumerate() {
        for (panel, y) in y.chunks_mut(NR).enumerate() {
            let from: &[f32; NR] =
                finished[panel * panel_stride + pixel * NR..].first_chunk().expect("a pixel of every panel");
            match y.first_chunk_mut() {
                Some(whole) => *whole = *from,
                None => y.copy_from_slice(&from[..y.len()]),
            }
        }
    }
}
