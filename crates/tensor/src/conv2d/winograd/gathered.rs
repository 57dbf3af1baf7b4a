//! The product of few tiles with the filter itself, `V (G g Gt)`: the transformed filter never leaves the registers.
//!
//! ```text
//! for each block of input channels, for each row of parts:
//!   for each few tiles:
//!     for each channel:
//!       row of G g Gt
//!       product += V times this row
//! ```
//!
//! Each row of parts reads the taps again, so they are read in blocks, which stay in the L1 cache; between blocks, the sums are
//! in `product`. Where registers cannot hold the sums of four tiles, half of the row is multiplied and then the other half. Where they
//! hold the sums of a whole tile, the taps are read once, channel by channel.

use wide::f32x16;

use super::Layout;
use super::matrices::TileMatrices;
use super::tile::Nested;
use crate::conv2d::TAPS;
use crate::gemm::{NR, first_rows};
use crate::lanes::{LANES, load, prefetch_line, store};

/// Most vectors of sums beside a row of the filter, except those of a pair of tiles. With AVX-512, registers hold them; with AVX2, it
/// is what was fastest.
const MAX_SUMS: usize = if cfg!(target_feature = "avx512f") { 20 } else { 9 };
/// Parts of a row that are multiplied at once where those of four tiles have more sums than that.
const FEW_PARTS: usize = 4;

/// Input channels of a block.
const BLOCK_CHANNELS: usize = 2 * LANES;
/// Taps of a block, for one vector of output channels: 18 KiB.
const BLOCK_LEN: usize = BLOCK_CHANNELS * TAPS * LANES;

/// Input channels whose taps are prefetched ahead of the products, where there are no blocks.
const CHANNELS_AHEAD: usize = 8;

impl<Down, Across, const TD: usize, const MD: usize, const TA: usize, const MA: usize>
    Nested<Down, Across, TD, MD, TA, MA>
where
    Down: TileMatrices<TD, MD>,
    Across: TileMatrices<TA, MA>,
{
    /// `product = V U` of `n_tiles` tiles, with the bits that the product with a transformed filter has.
    ///
    /// # Shapes
    /// `taps`: `[c_in][tap][LANES]`; `product`: in its layout, each part `[tile][NR]`.
    #[inline(always)]
    pub(super) fn multiply_tiles(
        n_tiles: usize,
        taps: &[f32],
        (v, v_layout): (&[f32], Layout),
        (product, product_layout): (&mut [f32], Layout),
    ) {
        if n_tiles == 1 && const { TD * TA <= MAX_SUMS } {
            return Self::multiply_whole_tile(taps, (v, v_layout), (product, product_layout));
        }
        for (block, taps) in taps.chunks(BLOCK_LEN).enumerate() {
            let v = &v[block * (BLOCK_CHANNELS / LANES) * v_layout.group_stride..];
            for row in 0..TD {
                let at = (row, block > 0);
                let mut tile = 0;
                while tile < n_tiles {
                    let v = (&v[tile * LANES..], v_layout);
                    let mut product = (&mut product[tile * NR..], product_layout);
                    tile += match n_tiles - tile {
                        1 => {
                            Self::multiply_parts::<0, TA, 1>(at, taps, v, &mut product);
                            1
                        }
                        4.. if const { 4 * TA <= MAX_SUMS } => {
                            Self::multiply_parts::<0, TA, 4>(at, taps, v, &mut product);
                            4
                        }
                        4.. if const { 4 * FEW_PARTS <= MAX_SUMS } => {
                            Self::multiply_parts::<0, FEW_PARTS, 4>(at, taps, v, &mut product);
                            Self::multiply_parts::<FEW_PARTS, FEW_PARTS, 4>(at, taps, v, &mut product);
                            4
                        }
                        _ => {
                            Self::multiply_parts::<0, TA, 2>(at, taps, v, &mut product);
                            2
                        }
                    };
                }
            }
        }
    }

    /// The products of a block of input channels and `TILES` tiles: of row `row`, the `PARTS` parts from `FIRST` on. With
    /// `accumulate`, they are added to those of the blocks before.
    #[inline(always)]
    fn multiply_parts<const FIRST: usize, const PARTS: usize, const TILES: usize>(
        (row, accumulate): (usize, bool),
        taps: &[f32],
        (v, v_layout): (&[f32], Layout),
        (product, product_layout): &mut (&mut [f32], Layout),
    ) {
        let n_parts = PARTS.min(TA.saturating_sub(FIRST));
        let part = |j: usize| row * TA + FIRST + j;
        let mut sums = [[f32x16::ZERO; TILES]; PARTS];
        if accumulate {
            for (j, sums) in sums.iter_mut().enumerate().take(n_parts) {
                let product = &product[part(j) * product_layout.part_stride..];
                *sums = std::array::from_fn(|tile| load(&product[tile * NR..]));
            }
        }
        for (group, group_taps) in taps.chunks_exact(LANES * TAPS * LANES).enumerate() {
            let v = &v[group * v_layout.group_stride..];
            let v: [&[[f32; LANES]; TILES]; PARTS] =
                std::array::from_fn(|j| first_rows(&v[part(j.min(n_parts - 1)) * v_layout.part_stride..]));
            for (k, channel_taps) in group_taps.chunks_exact(TAPS * LANES).enumerate() {
                if FIRST == 0 {
                    // Each row prefetches its share of the next block.
                    let next = BLOCK_LEN + (group * LANES + k) * TAPS * LANES;
                    (row..TAPS).step_by(TD).for_each(|tap| prefetch_line(taps, next + tap * LANES));
                }
                let line = Self::filter_line((channel_taps, LANES), row);
                for ((sums, v), u) in sums.iter_mut().zip(v).zip(&line[FIRST..FIRST + n_parts]) {
                    for (sum, v) in sums.iter_mut().zip(v) {
                        *sum = f32x16::splat(v[k]).mul_add(*u, *sum);
                    }
                }
            }
        }
        for (j, sums) in sums.iter().enumerate().take(n_parts) {
            for (tile, sum) in sums.iter().enumerate() {
                store(*sum, &mut product[part(j) * product_layout.part_stride + tile * NR..]);
            }
        }
    }

    /// All products of a single tile.
    #[inline(always)]
    fn multiply_whole_tile(
        taps: &[f32],
        (v, v_layout): (&[f32], Layout),
        (product, product_layout): (&mut [f32], Layout),
    ) {
        let part = |i: usize, j: usize| i * TA + j;
        let mut sums = [[f32x16::ZERO; TA]; TD];
        for (group, group_taps) in taps.chunks_exact(LANES * TAPS * LANES).enumerate() {
            let v = &v[group * v_layout.group_stride..];
            let v: [[&[[f32; LANES]; 1]; TA]; TD] = std::array::from_fn(|i| {
                std::array::from_fn(|j| first_rows(&v[part(i, j) * v_layout.part_stride..]))
            });
            for (k, channel_taps) in group_taps.chunks_exact(TAPS * LANES).enumerate() {
                let ahead = (group * LANES + k + CHANNELS_AHEAD) * TAPS;
                (ahead..ahead + TAPS).for_each(|tap| prefetch_line(taps, tap * LANES));
                for (row, (sums, v)) in sums.iter_mut().zip(&v).enumerate() {
                    let line = Self::filter_line((channel_taps, LANES), row);
                    for ((sum, [v]), u) in sums.iter_mut().zip(v).zip(line) {
                        *sum = f32x16::splat(v[k]).mul_add(u, *sum);
                    }
                }
            }
        }
        for (i, j) in (0..TD).flat_map(|i| (0..TA).map(move |j| (i, j))) {
            store(sums[i][j], &mut product[part(i, j) * product_layout.part_stride..]);
        }
    }
}
