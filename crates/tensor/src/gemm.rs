//! The inner matrix product: a tile of sums in registers, computed from packed panels.
//!
//! ```text
//! tile[i][j] += sum over k of a(i, k) * b[k][j]      j < NR
//! ```
//!
//! This is the micro-kernel of Goto and van de Geijn (2008); each convolution pass has its own blocking around it and its
//! own panels. `b` is always packed as `[k][NR]`. `a` is packed as `[block][row][LANES]`: vectors of `LANES` channels,
//! which are contiguous in NHWC images, so that packing only copies vectors. There are two products, which read `a` in
//! different directions:
//!
//! - [`multiply_rows`]: rows are the rows of the product, channels are summed (forward, backward to the input);
//! - [`multiply_columns`]: channels are the rows of the product, rows are summed (backward to the weight).
//!
//! Both add up the sums of a tile in the order of `k`, whatever the blocking, so the bits do not depend on the blocking.

use wide::f32x16;

use crate::lanes::{LANES, load, prefetch_line, store};

/// An `f32x16` is two registers with AVX2, one with AVX-512.
const TILE_VECTORS: usize = if cfg!(target_feature = "avx512f") { 2 } else { 1 };
/// Columns of the register tile: two registers.
pub(crate) const NR: usize = LANES * TILE_VECTORS;
/// Rows of the register tile in [`multiply_rows`].
///
/// With AVX-512, 12 x 2 of the 32 registers hold sums, enough to hide the latency of two multiply-adds a cycle. With
/// AVX2, 6 x 2 of the 16 registers do. The last rows of a product have a smaller tile.
pub(crate) const MR: usize = if cfg!(target_feature = "avx512f") { 12 } else { 6 };
/// Rows of the register tile in [`multiply_columns`]: a divisor of `LANES`.
const MR_COLUMNS: usize = if cfg!(target_feature = "avx512f") { 8 } else { 4 };

/// Rows of the operands that are prefetched ahead of the products. They come from the L2 cache or from beyond it, many short
/// pieces of memory, with each of which the hardware prefetcher begins anew.
const ROWS_AHEAD: usize = LANES;
/// The same for `a` of [`multiply_rows`], in blocks of `LANES` channels: it may come from the L3 cache.
const BLOCKS_AHEAD: usize = 2;

/// The tile of sums in registers: rows of `NR` sums.
type Tile<const ROWS: usize> = [[f32x16; TILE_VECTORS]; ROWS];

/// The first `ROWS` rows of `WIDTH` elements. Their number is known to the compiler, so that it keeps a tile in registers.
#[inline(always)]
pub(crate) fn first_rows<const WIDTH: usize, const ROWS: usize>(values: &[f32]) -> &[[f32; WIDTH]; ROWS] {
    values.as_chunks().0.first_chunk().expect("every row of an operand of the product")
}

/// As [`first_rows`], to change them.
#[inline(always)]
fn first_rows_mut<const WIDTH: usize, const ROWS: usize>(values: &mut [f32]) -> &mut [[f32; WIDTH]; ROWS] {
    values.as_chunks_mut().0.first_chunk_mut().expect("every row of the register tile")
}

/// Reads a tile if `accumulate`; zeros otherwise.
#[inline(always)]
fn load_tile<const ROWS: usize>(c: &[[f32; NR]; ROWS], accumulate: bool) -> Tile<ROWS> {
    let mut tile = [[f32x16::ZERO; TILE_VECTORS]; ROWS];
    if accumulate {
        for (slots, row) in tile.iter_mut().zip(c) {
            *slots = std::array::from_fn(|v| load(&row[v * LANES..]));
        }
    }
    tile
}

#[inline(always)]
fn store_tile<const ROWS: usize>(tile: &Tile<ROWS>, c: &mut [[f32; NR]; ROWS]) {
    for (vectors, row) in tile.iter().zip(c) {
        for (v, vector) in vectors.iter().enumerate() {
            store(*vector, &mut row[v * LANES..]);
        }
    }
}

/// Prefetches the `NR` elements from `at` on, which may lie beyond the end.
#[inline(always)]
pub(crate) fn prefetch_row(values: &[f32], at: usize) {
    (0..NR).step_by(LANES).for_each(|column| prefetch_line(values, at + column));
}

/// Adds the products of one `k`: the outer product of `ROWS` elements of `a` and one row of `b`.
#[inline(always)]
fn rank_one<const ROWS: usize>(tile: &mut Tile<ROWS>, a: impl Fn(usize) -> f32, b_row: &[f32; NR]) {
    let b: [f32x16; TILE_VECTORS] = std::array::from_fn(|v| load(&b_row[v * LANES..]));
    for (i, sums) in tile.iter_mut().enumerate() {
        let a_i = f32x16::splat(a(i));
        for (sum, b_v) in sums.iter_mut().zip(b) {
            *sum = a_i.mul_add(b_v, *sum);
        }
    }
}

/// `c = a b`, or with `accumulate` `c += a b`.
///
/// # Shapes
/// `a`: `[k / LANES][rows][LANES]`, its blocks `a_stride` apart; `b`: `[k][NR]`; `c`: `[rows][NR]`.
#[inline(never)]
pub(crate) fn multiply_rows(a: &[f32], a_stride: usize, b: &[f32], c: &mut [f32], accumulate: bool) {
    let (whole, rest) = c.as_chunks_mut::<{ MR * NR }>();
    for (i, c) in whole.iter_mut().enumerate() {
        multiply_tile::<MR>((&a[i * MR * LANES..], a_stride), b, c, accumulate);
    }
    if !rest.is_empty() {
        multiply_last_rows((&a[whole.len() * MR * LANES..], a_stride), b, rest, accumulate);
    }
}

/// [`multiply_rows`] for fewer rows than `MR`: a smaller register tile.
#[inline(never)]
fn multiply_last_rows(a: (&[f32], usize), b: &[f32], c: &mut [f32], accumulate: bool) {
    match c.len() / NR {
        1 => multiply_tile::<1>(a, b, c, accumulate),
        2 => multiply_tile::<2>(a, b, c, accumulate),
        3 => multiply_tile::<3>(a, b, c, accumulate),
        4 => multiply_tile::<4>(a, b, c, accumulate),
        5 => multiply_tile::<5>(a, b, c, accumulate),
        6 if MR > 6 => multiply_tile::<6>(a, b, c, accumulate),
        7 if MR > 7 => multiply_tile::<7>(a, b, c, accumulate),
        8 if MR > 8 => multiply_tile::<8>(a, b, c, accumulate),
        9 if MR > 9 => multiply_tile::<9>(a, b, c, accumulate),
        10 if MR > 10 => multiply_tile::<10>(a, b, c, accumulate),
        11 if MR > 11 => multiply_tile::<11>(a, b, c, accumulate),
        rows => unreachable!("multiply_rows: {rows} rows left"),
    }
}

/// [`multiply_rows`] for the rows of one register tile.
#[inline(always)]
fn multiply_tile<const ROWS: usize>(
    (a, a_stride): (&[f32], usize),
    b: &[f32],
    c: &mut [f32],
    accumulate: bool,
) {
    let c = first_rows_mut(c);
    let mut tile: Tile<ROWS> = load_tile(c, accumulate);
    let (blocks, ragged) = b.as_chunks::<NR>().0.as_chunks::<LANES>();
    for (i, (b_rows, a_block)) in blocks.iter().zip(a.chunks(a_stride)).enumerate() {
        let a_block: &[[f32; LANES]; ROWS] = first_rows(a_block);
        for (k, b_row) in b_rows.iter().enumerate() {
            prefetch_row(b, (i * LANES + k + ROWS_AHEAD) * NR);
            if k < ROWS {
                prefetch_line(a, (i + BLOCKS_AHEAD) * a_stride + k * LANES);
            }
            rank_one(&mut tile, |row| a_block[row][k], b_row);
        }
    }
    if !ragged.is_empty() {
        let a: &[[f32; LANES]; ROWS] = first_rows(&a[blocks.len() * a_stride..]);
        for (k, b_row) in ragged.iter().enumerate() {
            rank_one(&mut tile, |row| a[row][k], b_row);
        }
    }
    store_tile(&tile, c);
}

/// `c = a^T b`, or with `accumulate` `c += a^T b`. The rows to sum over come in pieces `(a, b)`.
///
/// # Shapes
/// Of each piece `a`: `[rows][LANES]` and `b`: `[rows][NR]`; `c`: `[LANES][NR]`. `next` is the `c` of the next product, which is
/// prefetched; it may be empty.
#[inline(always)]
pub(crate) fn multiply_columns<'a>(
    pieces: impl Iterator<Item = (&'a [f32], &'a [f32])> + Clone,
    c: &mut [f32],
    accumulate: bool,
    next: &[f32],
) {
    let mut next_lines = (0..next.len().min(LANES * NR)).step_by(LANES);
    for (i, c) in c.chunks_exact_mut(MR_COLUMNS * NR).enumerate() {
        let c = first_rows_mut(c);
        let mut tile: Tile<MR_COLUMNS> = load_tile(c, accumulate);
        for (a, b) in pieces.clone() {
            for (t, (a_row, b_row)) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<NR>().0).enumerate()
            {
                // The other rows of the product find the operands in the L1 cache.
                if i == 0 {
                    prefetch_line(a, (t + ROWS_AHEAD) * LANES);
                    prefetch_row(b, (t + ROWS_AHEAD) * NR);
                    if let Some(at) = next_lines.next() {
                        prefetch_line(next, at);
                    }
                }
                let a_row: &[f32; MR_COLUMNS] =
                    a_row[i * MR_COLUMNS..].first_chunk().expect("MR_COLUMNS divides LANES");
                rank_one(&mut tile, |row| a_row[row], b_row);
            }
        }
        store_tile(&tile, c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small whole numbers: their products and sums are exact.
    fn number(i: usize) -> f32 {
        (i * 7 % 11) as f32 - 5.0
    }

    #[test]
    fn rows_match_the_definition_for_a_ragged_k_and_add_on_demand() {
        for rows in 1..=2 * MR {
            let (stride, k_len) = (rows * LANES + 1, LANES + 3);
            let a: Vec<f32> = (0..2 * stride).map(number).collect();
            let b: Vec<f32> = (0..k_len * NR).map(|i| number(i + 3)).collect();
            let mut c = vec![f32::NAN; rows * NR];
            multiply_rows(&a, stride, &b, &mut c, false);
            multiply_rows(&a, stride, &b, &mut c, true);
            for (i, j) in (0..rows).flat_map(|i| (0..NR).map(move |j| (i, j))) {
                let product = |k: usize| a[k / LANES * stride + i * LANES + k % LANES] * b[k * NR + j];
                let sum: f32 = (0..k_len).map(product).sum();
                assert_eq!(c[i * NR + j], 2.0 * sum, "row {i} of {rows}, column {j}");
            }
        }
    }

    #[test]
    fn columns_match_the_definition_over_pieces() {
        let rows = 5;
        let a: Vec<f32> = (0..rows * LANES).map(number).collect();
        let b: Vec<f32> = (0..rows * NR).map(|i| number(i + 3)).collect();
        let pieces = [(&a[..2 * LANES], &b[..2 * NR]), (&a[2 * LANES..], &b[2 * NR..])];
        let mut c = vec![f32::NAN; LANES * NR];
        multiply_columns(pieces.into_iter(), &mut c, false, &[]);
        for (i, j) in (0..LANES).flat_map(|i| (0..NR).map(move |j| (i, j))) {
            let sum: f32 = (0..rows).map(|k| a[k * LANES + i] * b[k * NR + j]).sum();
            assert_eq!(c[i * NR + j], sum, "row {i}, column {j}");
        }
    }
}
