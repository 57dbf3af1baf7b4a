//! `U = G g Gt`, the transformed filter.

use rayon::prelude::*;
use wide::f32x8;

use super::tiling::Tiling;
use crate::conv2d::{Conv2dGeometry, Filter, TAPS};
use crate::gemm::NR;
use crate::lanes::LANES;
use crate::scratch::with_scratch;

/// Side of the squares in which the reversed filter is transposed.
const SQUARE: usize = 8;

/// Elements in the transformed filter.
pub(in crate::conv2d) fn transformed_len(tiling: &Tiling) -> usize {
    tiling.n_panels() * tiling.n_parts() * tiling.g.c_in * NR
}

/// `U` for all channels, as `[panel][region][part][c_in][NR]`.
pub(in crate::conv2d) fn transform_filter(tiling: &Tiling, filter: Filter, out: &mut [f32]) {
    let g = &tiling.g;
    out.par_chunks_exact_mut(tiling.n_parts() * g.c_in * NR).enumerate().for_each(|(panel, mut out)| {
        with_scratch(panel_len(g), |taps| {
            gather_panel::<NR>(g, filter, panel, taps);
            for region in tiling.regions() {
                let (down, across) = region.tile.parts();
                for row in 0..down {
                    let (u, rest) = std::mem::take(&mut out).split_at_mut(across * g.c_in * NR);
                    region.tile.filter_row(taps, row, u);
                    out = rest;
                }
            }
        });
    });
}

/// Copies the filter to `[vector of output channels][c_in][tap][LANES]`, which few tiles are multiplied with.
pub(in crate::conv2d) fn gather_vectors(g: &Conv2dGeometry, filter: Filter, out: &mut [f32]) {
    let vectors = out.par_chunks_exact_mut(g.c_in * TAPS * LANES).enumerate();
    vectors.for_each(|(vector, taps)| gather_panel::<LANES>(g, filter, vector, taps));
}

/// Elements of the filter of one panel.
pub(super) fn panel_len(g: &Conv2dGeometry) -> usize {
    g.c_in * TAPS * NR
}

/// Copies the filter of one panel of `WIDTH` output channels to `[c_in][tap][WIDTH]`, with zeros beyond the channels.
pub(super) fn gather_panel<const WIDTH: usize>(
    g: &Conv2dGeometry,
    filter: Filter,
    panel: usize,
    taps: &mut [f32],
) {
    let Conv2dGeometry { c_in, c_out, .. } = *g;
    let first = panel * WIDTH;
    let valid = WIDTH.min(c_out - first);
    if valid < WIDTH {
        taps.fill(0.0);
    }
    match filter {
        Filter::Plain(weight) => {
            for (row, source) in taps.as_chunks_mut::<WIDTH>().0.iter_mut().zip(weight.chunks_exact(c_out)) {
                match source[first..].first_chunk::<WIDTH>() {
                    Some(whole) => *row = *whole,
                    None => row[..valid].copy_from_slice(&source[first..]),
                }
            }
        }
        Filter::Reversed(weight) => {
            for (o, tap) in (0..valid).step_by(SQUARE).flat_map(|o| (0..TAPS).map(move |tap| (o, tap))) {
                for c in (0..c_in).step_by(SQUARE) {
                    let square = std::array::from_fn(|i| {
                        let row = &weight[((first + o + i) * TAPS + TAPS - 1 - tap) * c_in + c..];
                        f32x8::new(*row.first_chunk().expect("whole vectors of channels"))
                    });
                    for (i, row) in f32x8::transpose(square).into_iter().enumerate() {
                        let out = taps[((c + i) * TAPS + tap) * WIDTH + o..].first_chunk_mut();
                        *out.expect("whole vectors of channels") = row.to_array();
                    }
                }
            }
        }
        Filter::Gathered(_) | Filter::Prepared(_) => unreachable!("a prepared filter is not gathered again"),
    }
}
