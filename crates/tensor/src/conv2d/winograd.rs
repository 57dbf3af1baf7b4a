//! Winograd's convolution (Lavin and Gray 2016): fewer multiplications for a 3x3 filter.
//!
//! In one dimension, `M` outputs are computed from `T` inputs, in general `T = M + 2`; in two, a tile of `M` x `M` outputs
//! from `T` x `T` inputs, which overlap those of its neighbours:
//!
//! ```text
//! Y = At [ (G g Gt) * (Bt d B) ] A           * element by element, summed over the input channels
//! ```
//!
//! For each of the `T * T` elements, here called parts, the sum over channels is a matrix product, tiles by channels.
//! Direct convolution has `9 M^2 / T^2` times as many multiplications: 5.06 for `M = 6`, 4 for `M = 4`, 3.24 for `M = 3`, 2.25
//! for `M = 2`. Where one tile is the whole map and its border is the padding, `T = M + 1` is enough: 5.06 for `M = 3`, 4 for
//! `M = 2`. Rows and columns of a tile may have different `M`, and a map may have tiles of several kinds.
//!
//! - `matrices`: `Bt`, `G` and `At`, the description of an algorithm from which everything else follows;
//! - `tile`: the transforms of a kind of tile, `Bt d B` and so on; `transform`: a small matrix applied to vectors of channels;
//! - `tiling`: which tiles cover a map;
//! - `filter`: `U = G g Gt`;
//! - `correlate`: forward, and backward to the input, which is the same with the reversed filter; `by_tiles`, `by_panels` and
//!   `few_tiles` are its three orders of work; `gathered`: the product of few tiles, which transforms the filter in registers;
//! - `weight`: backward to the weight.
//!
//! The transforms work on 16 channels at once and write the layout that the products read. The geometry alone determines
//! the order of each sum, so the bits are the same with any number of threads.

mod by_panels;
mod by_tiles;
mod correlate;
mod few_tiles;
mod filter;
mod gathered;
mod matrices;
mod tile;
mod tiling;
mod transform;
mod weight;

pub(super) use correlate::{correlate, correlate_reads, correlate_scratch};
pub(super) use few_tiles::reads_gathered;
pub(super) use filter::{gather_vectors, transform_filter, transformed_len};
pub(super) use tile::{F2, F3, F4, F6, MAP2, MAP3};
pub(super) use tiling::Tiling;
pub(super) use weight::{correlate_patches, correlate_patches_reads, correlate_patches_scratch};

use crate::lanes::LANES;

/// Padding between the parts of a buffer. Parts are written in turn; the padding puts them into different sets of the
/// cache.
const SET_PADDING: usize = LANES;

/// The memory layout of transformed tiles: rows (tiles) of `width` channels, for each part and each group of channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Channels that are contiguous: `LANES` where a product sums over them, `NR` where they are its columns.
    width: usize,
    /// Distance between parts.
    part_stride: usize,
    /// Distance between groups of channels.
    group_stride: usize,
    /// Elements in total.
    len: usize,
}

impl Layout {
    /// `[group][part][row][width]`: the transform of a vector of channels writes one element to each part; in this layout
    /// they are within few pages of memory.
    fn by_group(n_parts: usize, rows: usize, channels: usize, width: usize) -> Self {
        let part_stride = rows * width + SET_PADDING;
        let group_stride = n_parts * part_stride;
        Self { width, part_stride, group_stride, len: channels.div_ceil(width) * group_stride }
    }

    /// `[part][group][row][width]`: a product reads memory in order.
    fn by_part(n_parts: usize, rows: usize, channels: usize, width: usize) -> Self {
        let group_stride = rows * width;
        let part_stride = channels.div_ceil(width) * group_stride + SET_PADDING;
        Self { width, part_stride, group_stride, len: n_parts * part_stride }
    }

    /// Offset of the vector of channels from `c` on, in the first part.
    fn at(&self, row: usize, c: usize) -> usize {
        c / self.width * self.group_stride + row * self.width + c % self.width
    }
}
