//! The filter for the pass back to the input.

use rayon::prelude::*;
use wide::f32x16;

use super::{Conv2dGeometry, TAPS};
use crate::gemm::{LANES, load, store};

/// The filter turned by 180 degrees, its channels swapped: `out[o, 2 - u, 2 - v, c] = weight[c, u, v, o]`.
///
/// With it the pass back to the input is a convolution of the output's gradient.
pub(super) fn reverse_weight(g: &Conv2dGeometry, weight: &[f32], out: &mut [f32]) {
    let Conv2dGeometry { c_in, c_out, .. } = *g;
    out.par_chunks_mut(LANES * TAPS * c_in).enumerate().for_each(|(band, out)| {
        let first = band * LANES;
        for (tap, c) in (0..TAPS).flat_map(|tap| (0..c_in).step_by(LANES).map(move |c| (tap, c))) {
            let from = |i: usize| ((c + i) * TAPS + TAPS - 1 - tap) * c_out + first;
            let to = |i: usize| (i * TAPS + tap) * c_in + c;
            if first + LANES <= c_out && c + LANES <= c_in {
                let square = std::array::from_fn(|i| load(&weight[from(i)..]));
                for (i, row) in f32x16::transpose(square).into_iter().enumerate() {
                    store(row, &mut out[to(i)..]);
                }
            } else {
                for i in 0..LANES.min(c_out - first) {
                    for j in 0..LANES.min(c_in - c) {
                        out[to(i) + j] = weight[from(j) + i];
                    }
                }
            }
        }
    });
}
