//! `U = G g Gt`, the filter in the domain of the products.

use rayon::prelude::*;
use wide::f32x16;

use super::matrices::{Filter, TileMatrices};
use super::transform::apply;
use crate::conv2d::{Conv2dGeometry, KERNEL, TAPS};
use crate::gemm::{LANES, NR, load, store};

/// Numbers in the transformed filter with tiles of `t` x `t`.
pub(in crate::conv2d) fn transformed_len(g: &Conv2dGeometry, t: usize) -> usize {
    t * t * g.c_in * g.c_out.next_multiple_of(NR)
}

/// `U` for all channels, as `[panel][part][c_in][NR]`.
pub(in crate::conv2d) fn transform_filter<W: TileMatrices<T, M>, const T: usize, const M: usize>(
    g: &Conv2dGeometry,
    weight: &[f32],
    out: &mut [f32],
) {
    out.par_chunks_exact_mut(T * g.c_in * NR).enumerate().for_each(|(index, out)| {
        transform_filter_row::<W, T, M>(g, weight, index / T, index % T, out);
    });
}

/// One row of parts for one panel, as `[part of the row][c_in][NR]`: what the products of that row read stays in the
/// second-level cache.
#[inline(never)]
pub(super) fn transform_filter_row<W: TileMatrices<T, M>, const T: usize, const M: usize>(
    g: &Conv2dGeometry,
    weight: &[f32],
    panel: usize,
    row: usize,
    out: &mut [f32],
) {
    let Conv2dGeometry { c_in, c_out, .. } = *g;
    let factors = W::FILTER[row].map(f32x16::splat);
    for (c, taps) in weight.chunks_exact(TAPS * c_out).enumerate() {
        for v in (0..NR).step_by(LANES) {
            let o = panel * NR + v;
            let mut line = [f32x16::ZERO; KERNEL];
            if o < c_out {
                for (j, slot) in line.iter_mut().enumerate() {
                    let tap = |i: usize| load(&taps[(i * KERNEL + j) * c_out + o..]);
                    let sum = factors[0].mul_add(tap(0), factors[1] * tap(1));
                    *slot = factors[2].mul_add(tap(2), sum);
                }
            }
            let parts = apply::<Filter<W, M>, T, KERNEL>(&line);
            for (part, vector) in parts.into_iter().enumerate() {
                store(vector, &mut out[(part * c_in + c) * NR + v..]);
            }
        }
    }
}
