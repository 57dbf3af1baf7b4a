//! Dot products of many short vectors of whole numbers with many others.
//!
//! ```text
//! tile[i][j] = sum over k of a(i, k) * b(j, k)      i < ROWS, j < COLUMNS
//! ```
//!
//! As in the matrix product of `roentgen-tensor` (`gemm.rs`), a tile of sums stays in registers, so that a number that is read
//! is used several times. One instruction multiplies 16 pairs of 16-bit numbers and adds each product to its neighbour, which
//! is why numbers are packed by two: `a` as `[length / 2][ROWS][2]`, `b` as `[length / 2][COLUMNS][2]`. Sums of whole numbers
//! are exact while they fit an `i32`, whatever their order.

use bytemuck::cast;
use wide::{i16x16, i32x8};

/// Rows of a tile: 6 x 2 of the 16 registers of AVX2 hold sums.
pub(super) const ROWS: usize = 6;
/// Columns of a tile: two registers.
pub(super) const COLUMNS: usize = 16;
/// Two neighbours in a vector.
type Pair = [i16; 2];
/// Sums, a row for each vector of `a`.
pub(super) type Tile = [[i32; COLUMNS]; ROWS];

/// Vectors of `length` numbers in the order that [`multiply`] reads; `PANEL` is [`ROWS`] or [`COLUMNS`].
#[derive(Clone, Debug)]
pub(super) struct Panels<const PANEL: usize> {
    pairs: Vec<[Pair; PANEL]>,
    length: usize,
}

impl<const PANEL: usize> Panels<PANEL> {
    /// Packs `vectors`; after the last one, vectors of zeros fill its panel.
    ///
    /// # Shapes
    /// `vectors`: `(n, LENGTH)`; the result: `(n / PANEL, LENGTH / 2, PANEL, 2)`, the number of panels rounded up.
    ///
    /// # Panics
    /// If `LENGTH` is odd.
    #[must_use]
    pub(super) fn pack<const LENGTH: usize>(vectors: &[[i16; LENGTH]]) -> Self {
        assert!(LENGTH.is_multiple_of(2), "vectors of {LENGTH} numbers: expected an even number");
        let mut pairs = vec![[[0; 2]; PANEL]; vectors.len().div_ceil(PANEL) * LENGTH / 2];
        for (vectors, panel) in vectors.chunks(PANEL).zip(pairs.chunks_exact_mut(LENGTH / 2)) {
            for (at, vector) in vectors.iter().enumerate() {
                panel.iter_mut().zip(vector.as_chunks().0).for_each(|(slot, &pair)| slot[at] = pair);
            }
        }
        Self { pairs, length: LENGTH / 2 }
    }

    /// The panels, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[[Pair; PANEL]]> {
        self.pairs.chunks_exact(self.length)
    }
}

/// Computes the tile of a panel of `a` and one of `b`. Returns for each row whether one of its products is at least its `least`.
///
/// # Shapes
/// `a`: `(length / 2, ROWS, 2)`; `b`: `(length / 2, COLUMNS, 2)`; `tile`: `(ROWS, COLUMNS)`, overwritten; `least` and the
/// result: `(ROWS)`.
///
/// # Panics
/// If the panels have vectors of different lengths.
#[inline(never)]
pub(super) fn multiply(
    a: &[[Pair; ROWS]],
    b: &[[Pair; COLUMNS]],
    least: &[i32; ROWS],
    tile: &mut Tile,
) -> [bool; ROWS] {
    assert_eq!(a.len(), b.len(), "dot_products: vectors of one length");
    let mut sums = [[i32x8::ZERO; 2]; ROWS];
    for (a, b) in a.iter().zip(b) {
        let b: [i16x16; 2] = cast(*b);
        for (sums, &pair) in sums.iter_mut().zip(a) {
            let a: i16x16 = cast([pair; COLUMNS / 2]);
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum += a.dot(b);
            }
        }
    }
    *tile = cast(sums);
    std::array::from_fn(|row| {
        let [left, right] = sums[row];
        left.max(right).to_array().into_iter().fold(i32::MIN, i32::max) >= least[row]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors of some whole numbers of either sign.
    fn vectors<const LENGTH: usize>(n: usize, seed: usize) -> Vec<[i16; LENGTH]> {
        let number = |i: usize| ((i * 7919 + seed * 104_729) % 8193) as i16 - 4096;
        (0..n).map(|vector| std::array::from_fn(|at| number(vector * LENGTH + at))).collect()
    }

    fn check<const LENGTH: usize>(n_a: usize, n_b: usize) {
        let (a, b) = (vectors::<LENGTH>(n_a, 1), vectors::<LENGTH>(n_b, 2));
        let (rows, columns) = (Panels::<ROWS>::pack(&a), Panels::<COLUMNS>::pack(&b));
        let product = |i: usize, j: usize| -> i32 {
            let (Some(a), Some(b)) = (a.get(i), b.get(j)) else { return 0 };
            a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
        };
        let mut n_compared = 0;
        for (i, a) in rows.iter().enumerate() {
            for (j, b) in columns.iter().enumerate() {
                let expected: Tile = std::array::from_fn(|row| {
                    std::array::from_fn(|column| product(i * ROWS + row, j * COLUMNS + column))
                });
                let largest = expected.map(|row| row.into_iter().fold(i32::MIN, i32::max));
                let mut tile = [[-1; COLUMNS]; ROWS];
                assert_eq!(multiply(a, b, &largest, &mut tile), [true; ROWS]);
                assert_eq!(multiply(a, b, &largest.map(|largest| largest + 1), &mut tile), [false; ROWS]);
                assert_eq!(tile, expected, "{n_a} x {n_b}, length {LENGTH}, tile {i}, {j}");
                n_compared += 1;
            }
        }
        assert_eq!(n_compared, n_a.div_ceil(ROWS) * n_b.div_ceil(COLUMNS));
    }

    #[test]
    fn tiles_match_the_definition_also_where_the_last_panel_is_not_full() {
        check::<144>(13, 33);
        check::<2>(6, 16);
        check::<34>(1, 1);
        check::<144>(0, 5);
    }
}
