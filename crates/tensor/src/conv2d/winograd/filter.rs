//! `U = G g Gt`, the transformed filter.

use rayon::prelude::*;
use wide::f32x16;

use super::matrices::{FilterMatrix, TileMatrices};
use super::transform::apply;
use crate::conv2d::{Conv2dGeometry, FILTER_SIDE, Filter, TAPS};
use crate::gemm::NR;
use crate::lanes::{LANES, load, store};
use crate::scratch::with_scratch;

/// Numbers in the transformed filter with tiles of `t` x `t`.
pub(in crate::conv2d) fn transformed_len(g: &Conv2dGeometry, t: usize) -> usize {
    t * t * g.c_in * g.c_out.next_multiple_of(NR)
}

/// `U` for all channels, as `[panel][part][c_in][NR]`.
pub(in crate::conv2d) fn transform_filter<Matrices: TileMatrices<T, M>, const T: usize, const M: usize>(
    g: &Conv2dGeometry,
    filter: Filter,
    out: &mut [f32],
) {
    out.par_chunks_exact_mut(T * T * g.c_in * NR).enumerate().for_each(|(panel, out)| {
        with_scratch(panel_len(g), |taps| {
            gather_panel(g, filter, panel, taps);
            for (row, out) in out.chunks_exact_mut(T * g.c_in * NR).enumerate() {
                transform_panel_row::<Matrices, T, M>(taps, row, out);
            }
        });
    });
}

/// Numbers of the filter of one panel.
pub(super) fn panel_len(g: &Conv2dGeometry) -> usize {
    g.c_in * TAPS * NR
}

/// Copies the filter of one panel of output channels to `[c_in][tap][NR]`, with zeros beyond the channels.
pub(super) fn gather_panel(g: &Conv2dGeometry, filter: Filter, panel: usize, taps: &mut [f32]) {
    let Conv2dGeometry { c_in, c_out, .. } = *g;
    let first = panel * NR;
    let valid = NR.min(c_out - first);
    if valid < NR {
        taps.fill(0.0);
    }
    match filter {
        Filter::Plain(weight) => {
            for (row, source) in taps.as_chunks_mut::<NR>().0.iter_mut().zip(weight.chunks_exact(c_out)) {
                match source[first..].first_chunk::<NR>() {
                    Some(whole) => *row = *whole,
                    None => row[..valid].copy_from_slice(&source[first..]),
                }
            }
        }
        Filter::Reversed(weight) => {
            for (v, tap) in (0..valid).step_by(LANES).flat_map(|v| (0..TAPS).map(move |tap| (v, tap))) {
                for c in (0..c_in).step_by(LANES) {
                    let from = |i: usize| ((first + v + i) * TAPS + TAPS - 1 - tap) * c_in + c;
                    let square = std::array::from_fn(|i| load(&weight[from(i)..]));
                    for (i, row) in f32x16::transpose(square).into_iter().enumerate() {
                        store(row, &mut taps[((c + i) * TAPS + tap) * NR + v..]);
                    }
                }
            }
        }
        Filter::Prepared(_) => unreachable!("a prepared filter is not gathered again"),
    }
}

/// One row of parts of `U` for one panel, as `[part of the row][c_in][NR]`, from the result of [`gather_panel`]. The
/// products of one row then read it from the L2 cache.
#[inline(never)]
pub(super) fn transform_panel_row<Matrices: TileMatrices<T, M>, const T: usize, const M: usize>(
    taps: &[f32],
    row: usize,
    out: &mut [f32],
) {
    let factors = Matrices::FILTER[row].map(f32x16::splat);
    let part_len = taps.len() / TAPS;
    for (c, taps) in taps.chunks_exact(TAPS * NR).enumerate() {
        for v in (0..NR).step_by(LANES) {
            let line = std::array::from_fn(|j| {
                let tap = |i: usize| load(&taps[(i * FILTER_SIDE + j) * NR + v..]);
                let sum = factors[0].mul_add(tap(0), factors[1] * tap(1));
                factors[2].mul_add(tap(2), sum)
            });
            let parts = apply::<FilterMatrix<Matrices, M>, T, FILTER_SIDE>(&line);
            for (part, vector) in parts.into_iter().enumerate() {
                store(vector, &mut out[part * part_len + c * NR + v..]);
            }
        }
    }
}
