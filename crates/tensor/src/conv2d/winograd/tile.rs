//! The transforms of one kind of tile.
//!
//! They are generic over the matrices; the passes see a [`Tile`], so that they are written and compiled once.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::Range;

use wide::f32x16;

use super::Layout;
use super::matrices::{
    self, FilterGradMatrix, FilterMatrix, InputMatrix, OutputGradMatrix, OutputMatrix, TileMatrices,
};
use super::tiling::Region;
use super::transform::{Constant, apply, sandwich};
use super::weight::SUMS_PART;
use crate::batch_norm_max_pool::larger;
use crate::conv2d::epilogue::Epilogue;
use crate::conv2d::{Conv2dGeometry, FILTER_SIDE, TAPS};
use crate::gemm::NR;
use crate::lanes::{LANES, load, store};

/// F(2x2, 3x3).
pub(in crate::conv2d) const F2: &dyn Tile = &Nested::<matrices::F2, matrices::F2, 4, 2, 4, 2>(PhantomData);
/// F(3x3, 3x3).
pub(in crate::conv2d) const F3: &dyn Tile = &Nested::<matrices::F3, matrices::F3, 5, 3, 5, 3>(PhantomData);
/// F(4x4, 3x3).
pub(in crate::conv2d) const F4: &dyn Tile = &Nested::<matrices::F4, matrices::F4, 6, 4, 6, 4>(PhantomData);
/// F(6x6, 3x3).
pub(in crate::conv2d) const F6: &dyn Tile = &Nested::<matrices::F6, matrices::F6, 8, 6, 8, 6>(PhantomData);
/// F(6x4, 3x3): 6 rows, 4 columns.
pub(super) const F6_F4: &dyn Tile = &Nested::<matrices::F6, matrices::F4, 8, 6, 6, 4>(PhantomData);
/// F(4x6, 3x3).
pub(super) const F4_F6: &dyn Tile = &Nested::<matrices::F4, matrices::F6, 6, 4, 8, 6>(PhantomData);
/// A whole map of at most 2x2 pixels.
pub(in crate::conv2d) const MAP2: &dyn Tile =
    &Nested::<matrices::Map2, matrices::Map2, 3, 2, 3, 2>(PhantomData);
/// A whole map of at most 3x3 pixels.
pub(in crate::conv2d) const MAP3: &dyn Tile =
    &Nested::<matrices::Map3, matrices::Map3, 4, 3, 4, 3>(PhantomData);

/// A kind of tile.
pub(in crate::conv2d) trait Tile: Debug + Sync {
    /// Parts in one column and one row of a tile.
    fn parts(&self) -> (usize, usize);

    /// Output pixels in one column and one row of a tile.
    fn outputs(&self) -> (usize, usize);

    /// Parts of a tile: multiplications for each pair of channels.
    fn n_parts(&self) -> usize {
        let (down, across) = self.parts();
        down * across
    }

    /// `V = Bt d B` of the tiles, written to `v` in the layout `layout`.
    fn input(&self, region: &Region, x: &[f32], tiles: Range<usize>, layout: Layout, v: &mut [f32]);

    /// `y = epilogue(At product A)` of the tiles, for the channels `channels` of one panel.
    ///
    /// # Shapes
    /// `product`: parts `part_stride` apart, each `[tile][NR]`; `y`: `[tile][pixel of the finished tile][NR]`.
    fn output(&self, product: (&[f32], usize), epilogue: Epilogue, channels: Range<usize>, y: &mut [f32]);

    /// `Z = A grad_y At` of the tiles for one panel of channels, written to `z` in the layout `layout`.
    fn output_grad(
        &self,
        region: &Region,
        grad_y: &[f32],
        channels: Range<usize>,
        tiles: Range<usize>,
        layout: Layout,
        z: &mut [f32],
    );

    /// One row of parts of `U = G g Gt` for one panel.
    ///
    /// # Shapes
    /// `taps`: `[c_in][tap][NR]`; `u`: `[part of the row][c_in][NR]`.
    fn filter_row(&self, taps: &[f32], row: usize, u: &mut [f32]);

    /// `product = V U` of few tiles and `LANES` output channels.
    ///
    /// # Shapes
    /// `taps`: `[c_in][tap][LANES]`; `product`: parts in the layout, each `[tile][NR]`.
    fn multiply_few(&self, n_tiles: usize, taps: &[f32], v: (&[f32], Layout), product: (&mut [f32], Layout));

    /// `grad = Gt grad_U G` for `LANES` input channels and one panel; with `accumulate`, it is added.
    ///
    /// # Shapes
    /// `grad_u`: parts `SUMS_PART` apart, each `[LANES][NR]`; `grad`: `[LANES][tap][NR]`.
    fn filter_grad(&self, grad_u: &[f32], grad: &mut [f32], accumulate: bool);
}

/// The tile with the matrices `Down` in the dimension of rows, `TD` parts for `MD` outputs, and `Across` in that of columns.
#[derive(Debug)]
pub(super) struct Nested<Down, Across, const TD: usize, const MD: usize, const TA: usize, const MA: usize>(
    PhantomData<(Down, Across)>,
);

impl<Down, Across, const TD: usize, const MD: usize, const TA: usize, const MA: usize>
    Nested<Down, Across, TD, MD, TA, MA>
where
    Down: TileMatrices<TD, MD>,
    Across: TileMatrices<TA, MA>,
{
    /// Row `row` of the parts of `U = G g Gt`, for the vector of output channels at the start of each tap of `taps`, which are
    /// `width` elements apart.
    #[inline(always)]
    pub(super) fn filter_line((taps, width): (&[f32], usize), row: usize) -> [f32x16; TA] {
        let factors = Down::FILTER[row].map(f32x16::splat);
        let taps = &taps[..(TAPS - 1) * width + LANES];
        let tap = |i: usize, j: usize| load(&taps[(i * FILTER_SIDE + j) * width..]);
        let sum = |j: usize| {
            let sum = factors[0].mul_add(tap(0, j), factors[1] * tap(1, j));
            factors[2].mul_add(tap(2, j), sum)
        };
        // Not `from_fn`, which the compiler calls for each vector.
        let line = [sum(0), sum(1), sum(2)];
        apply::<FilterMatrix<Across, MA>, TA, FILTER_SIDE>(&line)
    }
}

impl<Down, Across, const TD: usize, const MD: usize, const TA: usize, const MA: usize> Tile
    for Nested<Down, Across, TD, MD, TA, MA>
where
    Down: TileMatrices<TD, MD>,
    Across: TileMatrices<TA, MA>,
{
    fn parts(&self) -> (usize, usize) {
        (TD, TA)
    }

    fn outputs(&self) -> (usize, usize) {
        (MD, MA)
    }

    #[inline(never)]
    fn input(&self, region: &Region, x: &[f32], tiles: Range<usize>, layout: Layout, v: &mut [f32]) {
        // An input tile starts one pixel above and left of its output tile.
        transform::<InputMatrix<Down, MD>, InputMatrix<Across, MA>, TD, TD, TA, TA>(
            region,
            (x, 0..region.g.c_in, 1),
            tiles,
            layout,
            v,
        );
    }

    #[inline(never)]
    fn output(
        &self,
        (product, part_stride): (&[f32], usize),
        epilogue: Epilogue,
        channels: Range<usize>,
        y: &mut [f32],
    ) {
        let mut between = [[f32x16::ZERO; MA]; TD];
        let mut whole = [[f32x16::ZERO; MA]; MD];
        let stride = epilogue.stride();
        for (row, y) in y.chunks_exact_mut(MD / stride * (MA / stride) * NR).enumerate() {
            for o in channels.clone().step_by(LANES) {
                let finish = epilogue.vector(o);
                let at = row * NR + o % NR;
                let line =
                    |i: usize| std::array::from_fn(|j| load(&product[(i * TA + j) * part_stride + at..]));
                if epilogue.is_pooled {
                    sandwich::<OutputMatrix<Down, MD>, OutputMatrix<Across, MA>, MD, TD, MA, TA>(
                        &mut between,
                        line,
                        |i, j, sum| whole[i][j] = finish(sum),
                    );
                    pool(&whole, &mut y[o % NR..]);
                } else {
                    sandwich::<OutputMatrix<Down, MD>, OutputMatrix<Across, MA>, MD, TD, MA, TA>(
                        &mut between,
                        line,
                        |i, j, sum| store(finish(sum), &mut y[(i * MA + j) * NR + o % NR..]),
                    );
                }
            }
        }
    }

    #[inline(never)]
    fn output_grad(
        &self,
        region: &Region,
        grad_y: &[f32],
        channels: Range<usize>,
        tiles: Range<usize>,
        layout: Layout,
        z: &mut [f32],
    ) {
        transform::<OutputGradMatrix<Down, MD>, OutputGradMatrix<Across, MA>, TD, MD, TA, MA>(
            region,
            (grad_y, channels, 0),
            tiles,
            layout,
            z,
        );
    }

    #[inline(never)]
    fn filter_row(&self, taps: &[f32], row: usize, u: &mut [f32]) {
        let part_len = taps.len() / TAPS;
        for (c, taps) in taps.chunks_exact(TAPS * NR).enumerate() {
            for v in (0..NR).step_by(LANES) {
                let parts = Self::filter_line((&taps[v..], NR), row);
                for (part, vector) in parts.into_iter().enumerate() {
                    store(vector, &mut u[part * part_len + c * NR + v..]);
                }
            }
        }
    }

    fn multiply_few(&self, n_tiles: usize, taps: &[f32], v: (&[f32], Layout), product: (&mut [f32], Layout)) {
        Self::multiply_tiles(n_tiles, taps, v, product);
    }

    #[inline(never)]
    fn filter_grad(&self, grad_u: &[f32], grad: &mut [f32], accumulate: bool) {
        let mut between = [[f32x16::ZERO; FILTER_SIDE]; TD];
        for (c, grad) in grad.chunks_exact_mut(TAPS * NR).enumerate() {
            for v in (0..NR).step_by(LANES) {
                let line = |i: usize| {
                    std::array::from_fn(|j| load(&grad_u[(i * TA + j) * SUMS_PART + c * NR + v..]))
                };
                let put = |i: usize, j: usize, sum: f32x16| {
                    let tap = &mut grad[(i * FILTER_SIDE + j) * NR + v..];
                    store(if accumulate { load(tap) + sum } else { sum }, tap);
                };
                sandwich::<FilterGradMatrix<Down, MD>, FilterGradMatrix<Across, MA>, 3, TD, 3, TA>(
                    &mut between,
                    line,
                    put,
                );
            }
        }
    }
}

/// 2x2 max pool of a tile, to `[pixel][NR]`.
#[inline(always)]
fn pool<const MD: usize, const MA: usize>(tile: &[[f32x16; MA]; MD], y: &mut [f32]) {
    for (i, rows) in tile.as_chunks::<2>().0.iter().enumerate() {
        for j in 0..MA / 2 {
            let [[a, b], [c, d]] =
                [[rows[0][2 * j], rows[0][2 * j + 1]], [rows[1][2 * j], rows[1][2 * j + 1]]];
            store(larger(larger(a, b), larger(c, d)), &mut y[(i * (MA / 2) + j) * NR..]);
        }
    }
}

/// Transforms tiles of `SD` x `SA` pixels of images, for some of their channels. Tiles start `border` pixels above and left
/// of their output, and are zero outside the image.
#[inline(always)]
fn transform<KD, KA, const TD: usize, const SD: usize, const TA: usize, const SA: usize>(
    region: &Region,
    (images, channels, border): (&[f32], Range<usize>, usize),
    tiles: Range<usize>,
    layout: Layout,
    out: &mut [f32],
) where
    KD: Constant<TD, SD>,
    KA: Constant<TA, SA>,
{
    let Conv2dGeometry { n: n_images, h, w, .. } = region.g;
    let c = images.len() / (n_images * h * w);
    let mut between = [[f32x16::ZERO; TA]; SD];
    for channel in channels.clone().step_by(LANES) {
        for (row, tile) in tiles.clone().enumerate() {
            let (n, top, left) = region.origin(tile);
            let line = |i: usize| {
                let mut d = [f32x16::ZERO; SA];
                let Some(y) = (top + i).checked_sub(border).filter(|y| *y < h) else { return d };
                let pixels = &images[(n * h + y) * w * c..][..w * c];
                for (j, slot) in d.iter_mut().enumerate() {
                    let Some(x) = (left + j).checked_sub(border).filter(|x| *x < w) else { continue };
                    *slot = load(&pixels[x * c + channel..]);
                }
                d
            };
            let at = layout.at(row, channel - channels.start);
            let put = |i: usize, j: usize, vector| {
                store(vector, &mut out[(i * TA + j) * layout.part_stride + at..]);
            };
            sandwich::<KD, KA, TD, SD, TA, SA>(&mut between, line, put);
        }
    }
}
