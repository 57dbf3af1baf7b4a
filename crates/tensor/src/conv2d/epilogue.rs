//! What a convolution does with its sums before it writes them: a scale and a shift for each channel, a ReLU, and a max pool.
//!
//! In training only the bias is added, as a shift. In evaluation scale and shift are those of bias and batch norm.

use wide::f32x16;

use crate::gemm::NR;
use crate::lanes::{AHEAD, LANES, load, load_short, prefetch_line, store_short};

/// `pool(max(floor, scale * . + shift))`, where the pool is optional.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epilogue<'a> {
    /// `(c_out)`; empty means ones.
    pub(super) scale: &'a [f32],
    /// `(c_out)`; empty means zeros.
    pub(super) shift: &'a [f32],
    /// 0 for a ReLU, minus infinity for none.
    pub(super) floor: f32,
    /// Whether a 2x2 max pool follows, which ignores an odd last row or column. The passes that finish tiles do it.
    pub(super) is_pooled: bool,
}

impl<'a> Epilogue<'a> {
    /// Leaves the sums as they are.
    pub(super) const NONE: Self = Self { scale: &[], shift: &[], floor: f32::NEG_INFINITY, is_pooled: false };

    /// Adds `bias`.
    pub(super) fn bias(bias: &'a [f32]) -> Self {
        Self { shift: bias, ..Self::NONE }
    }

    /// Pixels of the convolution for one of the output, in one dimension.
    pub(super) fn stride(self) -> usize {
        if self.is_pooled { 2 } else { 1 }
    }

    /// `max(floor, scale * . + shift)` for the vector of channels from `o` on; beyond the last channel its values mean nothing.
    #[inline(always)]
    pub(super) fn vector(self, o: usize) -> impl Fn(f32x16) -> f32x16 {
        let scale = if self.scale.is_empty() { f32x16::ONE } else { load_short(&self.scale[o..]) };
        let shift = if self.shift.is_empty() { f32x16::ZERO } else { load_short(&self.shift[o..]) };
        let floor = f32x16::splat(self.floor);
        move |sum| {
            let y = sum.mul_add(scale, shift);
            // Not `max`, which could replace NaN by the floor.
            y.simd_lt(floor).bitselect(floor, y)
        }
    }

    /// `y = max(floor, scale * sums + shift)` for the pixels of `y`, `(pixels, c)`, which are those of the sums from row `first`
    /// on. The sums are `[panel][rows][NR]`.
    pub(super) fn finish(self, sums: &[f32], rows: usize, first: usize, c: usize, y: &mut [f32]) {
        for (pixel, y) in y.chunks_exact_mut(c).enumerate() {
            for o in (0..c).step_by(LANES) {
                prefetch_line(y, o + AHEAD);
                let sums = load(&sums[(o / NR * rows + first + pixel) * NR + o % NR..]);
                store_short(self.vector(o)(sums), &mut y[o..]);
            }
        }
    }
}
