//! Which tiles cover the output of a convolution.
//!
//! Each dimension has tiles of one size, or both have some of 6 and then some of 4 where that takes fewer products: 32 = 4 x 6 +
//! 2 x 4 takes 44, six tiles of 6 take 48. So a map is one rectangle of equal tiles, here called a region, or four of them.

use std::ops::Range;

use super::tile::{F4, F4_F6, F6, F6_F4, Tile};
use crate::conv2d::Conv2dGeometry;
use crate::gemm::NR;
use crate::lanes::read_ahead;

/// A rectangle of the output that tiles of one kind cover; those at the lower and right border may extend beyond it.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv2d) struct Region {
    pub(super) g: Conv2dGeometry,
    pub(super) tile: &'static dyn Tile,
    /// First row and first column.
    top: usize,
    left: usize,
    /// Tiles in one column and one row of an image.
    down: usize,
    across: usize,
}

impl Region {
    /// Tiles in one image.
    pub(super) fn per_image(&self) -> usize {
        self.down * self.across
    }

    /// Tiles of the batch.
    pub(super) fn n_tiles(&self) -> usize {
        self.g.n * self.per_image()
    }

    /// Rows and columns of a finished tile, after a pool with this stride.
    pub(super) fn finished(&self, stride: usize) -> (usize, usize) {
        let (m_down, m_across) = self.tile.outputs();
        (m_down / stride, m_across / stride)
    }

    /// Elements in the finished tiles of one panel.
    pub(super) fn finished_len(&self, stride: usize) -> usize {
        let (down, across) = self.finished(stride);
        self.n_tiles() * down * across * NR
    }

    /// The image of a tile, and row and column of its first output pixel.
    pub(super) fn origin(&self, tile: usize) -> (usize, usize, usize) {
        let (m_down, m_across) = self.tile.outputs();
        let within = tile % self.per_image();
        let (i, j) = (within / self.across, within % self.across);
        (tile / self.per_image(), self.top + i * m_down, self.left + j * m_across)
    }

    /// Whether every window of a 2x2 max pool is in one tile.
    fn has_whole_windows(&self) -> bool {
        let (m_down, m_across) = self.tile.outputs();
        [m_down, m_across, self.top, self.left].iter().all(|offset| offset.is_multiple_of(2))
    }

    /// The tiles that row `row` of the batch passes through: for each its index, the row within it, and its columns of the
    /// image.
    pub(super) fn tiles_of_row(&self, row: usize) -> impl Iterator<Item = (usize, usize, Range<usize>)> {
        let (m_down, m_across) = self.tile.outputs();
        let (n, below_top) = (row / self.g.h, (row % self.g.h).checked_sub(self.top));
        let i = below_top.filter(|&i| i < self.down * m_down);
        i.into_iter().flat_map(move |i| {
            (0..self.across).map(move |j| {
                let left = self.left + j * m_across;
                let tile = n * self.per_image() + i / m_down * self.across + j;
                (tile, i % m_down, left..(left + m_across).min(self.g.w))
            })
        })
    }

    /// Reads these tiles of `images`, `(n, h, w, c)`, into the cache. The transforms go through the pixels of a tile for each
    /// vector of channels, which the hardware prefetcher does not recognise, and each read would wait for memory. Parts of a row
    /// are slow, too, so the first region of a row reads all of it.
    pub(super) fn read_ahead(&self, images: &[f32], c: usize, tiles: Range<usize>) {
        let Conv2dGeometry { h, w, .. } = self.g;
        let (m_down, m_across) = self.tile.outputs();
        let right = if self.left == 0 { w } else { (self.left + self.across * m_across).min(w) };
        for tile in (tiles.start / self.across * self.across..tiles.end).step_by(self.across) {
            let (n, top, _) = self.origin(tile);
            for y in top..(top + m_down).min(h) {
                read_ahead(&images[((n * h + y) * w + self.left) * c..((n * h + y) * w + right) * c]);
            }
        }
    }
}

/// A convolution by tiles: its sizes and its regions.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv2d) struct Tiling {
    pub(super) g: Conv2dGeometry,
    regions: [Option<Region>; 4],
}

impl Tiling {
    /// Tiles of one kind.
    pub(in crate::conv2d) fn of(g: &Conv2dGeometry, tile: &'static dyn Tile) -> Self {
        let (m_down, m_across) = tile.outputs();
        let (down, across) = (g.h.div_ceil(m_down), g.w.div_ceil(m_across));
        let region = Region { g: *g, tile, top: 0, left: 0, down, across };
        Self { g: *g, regions: [Some(region), None, None, None] }
    }

    /// In each dimension tiles of 6, then tiles of 4: as many as take the fewest products. For sizes that
    /// [`has_6_and_4`](Self::has_6_and_4).
    pub(in crate::conv2d) fn of_6_and_4(g: &Conv2dGeometry) -> Self {
        let ((sixes_down, fours_down), (sixes_across, fours_across)) =
            (sixes_and_fours(g.h), sixes_and_fours(g.w));
        let region = |tile: &'static dyn Tile, top, down, left, across| Region {
            g: *g,
            tile,
            top,
            left,
            down,
            across,
        };
        let (below, right) = (6 * sixes_down, 6 * sixes_across);
        let regions = [
            region(F6, 0, sixes_down, 0, sixes_across),
            region(F6_F4, 0, sixes_down, right, fours_across),
            region(F4_F6, below, fours_down, 0, sixes_across),
            region(F4, below, fours_down, right, fours_across),
        ];
        Self { g: *g, regions: regions.map(Some) }
    }

    /// Whether both dimensions have tiles of both sizes. Then there are four regions, whatever the sizes, and a filter that is
    /// prepared for one map serves all.
    pub(in crate::conv2d) fn has_6_and_4(g: &Conv2dGeometry) -> bool {
        [g.h, g.w].map(sixes_and_fours).iter().all(|&(sixes, fours)| sixes > 0 && fours > 0)
    }

    /// The same tiles of `n` images.
    pub(in crate::conv2d) fn of_images(&self, n: usize) -> Self {
        let g = Conv2dGeometry { n, ..self.g };
        Self { g, regions: self.regions.map(|region| region.map(|region| Region { g, ..region })) }
    }

    /// The regions in the order in which they are computed.
    pub(super) fn regions(&self) -> impl Iterator<Item = Region> + Clone {
        self.regions.into_iter().flatten()
    }

    /// Whether every window of a 2x2 max pool is in one tile.
    pub(in crate::conv2d) fn has_whole_windows(&self) -> bool {
        self.regions().all(|region| region.has_whole_windows())
    }

    /// Panels of output channels.
    pub(super) fn n_panels(&self) -> usize {
        self.g.c_out.div_ceil(NR)
    }

    /// The channels of a panel.
    pub(super) fn panel_channels(&self, panel: usize) -> Range<usize> {
        panel * NR..((panel + 1) * NR).min(self.g.c_out)
    }

    /// Of each region, the tiles of the batch and the parts of a tile.
    pub(in crate::conv2d) fn tiles_and_parts(&self) -> impl Iterator<Item = (usize, usize)> {
        self.regions().map(|region| (region.n_tiles(), region.tile.n_parts()))
    }

    /// Tiles of the batch.
    pub(super) fn n_tiles(&self) -> usize {
        self.regions().map(|region| region.n_tiles()).sum()
    }

    /// Elements in the transformed input of the batch.
    pub(super) fn transformed_input_len(&self) -> usize {
        self.regions().map(|region| region.n_tiles() * region.tile.n_parts() * region.g.c_in).sum()
    }

    /// Parts of a tile, added up over the regions: elements of the transformed filter for a pair of channels.
    pub(in crate::conv2d) fn n_parts(&self) -> usize {
        self.regions().map(|region| region.tile.n_parts()).sum()
    }
}

/// How many tiles of 6 (8 products each) and of 4 (6 products) cover `len` outputs with the fewest products.
fn sixes_and_fours(len: usize) -> (usize, usize) {
    let choices = (0..=2).map(|fours| (len.saturating_sub(4 * fours).div_ceil(6), fours));
    choices.min_by_key(|(sixes, fours)| 8 * sixes + 6 * fours).expect("three choices")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dimension_is_covered_with_the_fewest_products() {
        let expected =
            [(4, (0, 1)), (5, (1, 0)), (8, (0, 2)), (16, (2, 1)), (24, (4, 0)), (32, (4, 2)), (64, (10, 1))];
        for (len, tiles) in expected {
            assert_eq!(sixes_and_fours(len), tiles, "{len}");
        }
        for len in 1..100 {
            let (sixes, fours) = sixes_and_fours(len);
            assert!(6 * sixes + 4 * fours >= len, "{len}");
            let fewest = (0..=25usize)
                .flat_map(|sixes| (0..=25usize).map(move |fours| (sixes, fours)))
                .filter(|(sixes, fours)| 6 * sixes + 4 * fours >= len)
                .map(|(sixes, fours)| 8 * sixes + 6 * fours);
            assert_eq!(Some(8 * sixes + 6 * fours), fewest.min(), "{len}");
        }
    }

    #[test]
    fn every_pixel_is_in_one_tile() {
        for (h, w) in [(1, 1), (4, 6), (9, 10), (10, 32), (16, 16), (19, 28)] {
            let g = Conv2dGeometry::new(2, h, w, 16, 16);
            let mixed = Tiling::has_6_and_4(&g).then(|| Tiling::of_6_and_4(&g));
            assert_eq!(mixed.is_some(), h > 4, "{h}x{w}");
            for tiling in mixed.into_iter().chain([Tiling::of(&g, F4)]) {
                let mut covered = vec![0; g.pixels()];
                for region in tiling.regions() {
                    let (down, across) = region.tile.outputs();
                    for (n, top, left) in (0..region.n_tiles()).map(|tile| region.origin(tile)) {
                        for (y, x) in
                            (top..top + down).flat_map(|y| (left..left + across).map(move |x| (y, x)))
                        {
                            if y < h && x < w {
                                covered[(n * h + y) * w + x] += 1;
                            }
                        }
                    }
                }
                assert!(covered.iter().all(|&count| count == 1), "{h}x{w}: {covered:?}");
            }
        }
    }
}
