//! The filter as the right-hand matrix of a convolution, in the order in which the micro-kernel reads it.
//!
//! The matrix has a row per `(u, v, c)` and a column per output channel. It is cut into blocks of at most `KC`
//! rows, each block into panels of `NR` columns (the last one padded with zeros), each panel stored row after row.

use rayon::prelude::*;

use super::{Conv2dGeometry, TAPS};
use crate::gemm::{KC, NR};

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

/// Numbers that [`pack_weight`] needs.
pub(super) fn packed_len(g: &Conv2dGeometry) -> usize {
    TAPS * g.c_in * g.c_out.next_multiple_of(NR)
}

/// Packs the filter into `data`: rows `(u, v, c_in)`, columns `c_out`.
pub(super) fn pack_weight<'a>(g: &Conv2dGeometry, weight: &[f32], data: &'a mut [f32]) -> PackedWeight<'a> {
    let (k, columns) = (TAPS * g.c_in, g.c_out);
    let width = columns.next_multiple_of(NR);
    let mut rest = &mut *data;
    for rows in block_ranges(k) {
        let (block, tail) = rest.split_at_mut(rows.len() * width);
        rest = tail;
        block.par_chunks_exact_mut(rows.len() * NR).enumerate().for_each(|(panel_idx, panel)| {
            let first = panel_idx * NR;
            let valid = NR.min(columns - first);
            for (row, k) in panel.chunks_exact_mut(NR).zip(rows.clone()) {
                row[..valid].copy_from_slice(&weight[k * columns + first..][..valid]);
                row[valid..].fill(0.0);
            }
        });
    }
    PackedWeight { data, k, columns }
}

/// Side of the squares in which [`reverse_weight`] transposes: 16 numbers are one cache line.
const SQUARE: usize = 16;

/// The filter turned by 180 degrees, its channels swapped: `out[2 - u, 2 - v, o, c] = weight[u, v, c, o]`.
///
/// With it the pass back to the input is a convolution of the output's gradient.
pub(super) fn reverse_weight(g: &Conv2dGeometry, weight: &[f32], out: &mut [f32]) {
    let Conv2dGeometry { c_in, c_out, .. } = *g;
    let taps = out.par_chunks_exact_mut(c_out * c_in).zip(weight.par_chunks_exact(c_in * c_out).rev());
    taps.for_each(|(out, tap)| {
        out.par_chunks_mut(SQUARE * c_in).enumerate().for_each(|(band, out)| {
            for c_start in (0..c_in).step_by(SQUARE) {
                for (i, row) in out.chunks_exact_mut(c_in).enumerate() {
                    let o = band * SQUARE + i;
                    for (slot, source) in
                        row[c_start..].iter_mut().take(SQUARE).zip(tap[c_start * c_out..].chunks(c_out))
                    {
                        *slot = source[o];
                    }
                }
            }
        });
    });
}
