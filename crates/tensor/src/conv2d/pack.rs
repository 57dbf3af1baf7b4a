//! The filter as the right-hand matrix of a convolution, in the order in which the micro-kernel reads it.
//!
//! The matrix has a row per `(u, v, c)` and a column per output channel. It is cut into blocks of at most `KC`
//! rows, each block into panels of `NR` columns (the last one padded with zeros), each panel stored row after row.

use rayon::prelude::*;

use super::{Conv2dGeometry, TAPS};
use crate::gemm::{KC, NR};
use crate::scratch::at_least;

/// A packed matrix of `k` rows and `columns` columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackedWeight<'a> {
    data: &'a [f32],
    k: usize,
    columns: usize,
}

impl<'a> PackedWeight<'a> {
    /// The blocks in order: the rows of each, and its panels.
    pub(super) fn blocks(
        self,
    ) -> impl Iterator<Item = (std::ops::Range<usize>, std::slice::ChunksExact<'a, f32>)> {
        let width = self.columns.next_multiple_of(NR);
        block_ranges(self.k).map(move |rows| {
            let block = &self.data[rows.start * width..rows.end * width];
            let panels = block.chunks_exact(rows.len() * NR);
            (rows, panels)
        })
    }
}

/// Cuts `0..k` into the fewest blocks of at most `KC`, of nearly equal length.
fn block_ranges(k: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let block_len = k.div_ceil(k.div_ceil(KC));
    (0..k).step_by(block_len).map(move |start| start..(start + block_len).min(k))
}

/// Packs a matrix whose row `k`, columns `first..first + row.len()`, `fill(k, first, row)` writes.
fn pack<'a>(
    k: usize,
    columns: usize,
    buffer: &'a mut Vec<f32>,
    fill: impl Fn(usize, usize, &mut [f32]) + Sync,
) -> PackedWeight<'a> {
    let width = columns.next_multiple_of(NR);
    let data = at_least(buffer, k * width);
    let mut rest = &mut *data;
    for rows in block_ranges(k) {
        let (block, tail) = rest.split_at_mut(rows.len() * width);
        rest = tail;
        block.par_chunks_exact_mut(rows.len() * NR).enumerate().for_each(|(panel_idx, panel)| {
            let first = panel_idx * NR;
            let valid = NR.min(columns - first);
            for (row, k) in panel.chunks_exact_mut(NR).zip(rows.clone()) {
                fill(k, first, &mut row[..valid]);
                row[valid..].fill(0.0);
            }
        });
    }
    PackedWeight { data, k, columns }
}

/// The filter itself, for forward: rows `(u, v, c_in)`, columns `c_out`.
pub(super) fn pack_weight<'a>(
    g: &Conv2dGeometry,
    weight: &[f32],
    buffer: &'a mut Vec<f32>,
) -> PackedWeight<'a> {
    pack(TAPS * g.c_in, g.c_out, buffer, |k, first, row| {
        row.copy_from_slice(&weight[k * g.c_out + first..][..row.len()]);
    })
}

/// The filter turned and its channels swapped, for the pass back to the input: rows `(2 - u, 2 - v, c_out)`,
/// columns `c_in`.
pub(super) fn pack_reversed_weight<'a>(
    g: &Conv2dGeometry,
    weight: &[f32],
    buffer: &'a mut Vec<f32>,
) -> PackedWeight<'a> {
    pack(TAPS * g.c_out, g.c_in, buffer, |k, first, row| {
        let (tap, o) = (TAPS - 1 - k / g.c_out, k % g.c_out);
        let of_tap = &weight[(tap * g.c_in + first) * g.c_out + o..];
        for (packed, value) in row.iter_mut().zip(of_tap.iter().step_by(g.c_out)) {
            *packed = *value;
        }
    })
}
