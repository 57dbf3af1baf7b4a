//! What follows the sums of a convolution, while they are at hand: a factor and a term per channel, and the activation.
//!
//! In training the term is the bias; in evaluation batch norm is such a factor and term.

use wide::f32x16;

use crate::batch_norm::Activation;
use crate::gemm::NR;
use crate::lanes::load;

/// `act(scale * . + shift)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epilogue<'a> {
    /// `(c_out)`, or empty for ones.
    pub(super) scale: &'a [f32],
    /// `(c_out)`, or empty for zeros.
    pub(super) shift: &'a [f32],
    pub(super) activation: Activation,
}

impl<'a> Epilogue<'a> {
    /// Adds `bias`; nothing, if it is empty.
    pub(super) fn bias(bias: &'a [f32]) -> Self {
        Self { scale: &[], shift: bias, activation: Activation::Identity }
    }

    /// For a vector of channels from `o` on.
    #[inline(always)]
    pub(super) fn vector(self, o: usize) -> impl Fn(f32x16) -> f32x16 {
        let scale = if self.scale.is_empty() { f32x16::ONE } else { load(&self.scale[o..]) };
        let shift = if self.shift.is_empty() { f32x16::ZERO } else { load(&self.shift[o..]) };
        let floor = f32x16::splat(self.activation.floor());
        move |sum| {
            let y = sum.mul_add(scale, shift);
            // Not a maximum, which could hide a NaN.
            y.simd_lt(floor).bitselect(floor, y)
        }
    }

    /// `y = act(scale * sums + shift)` for the pixels of `y`, `(pixels, c)`, from `first` on; sums are `[panel][rows][NR]`.
    pub(super) fn finish(self, sums: &[f32], rows: usize, first: usize, c: usize, y: &mut [f32]) {
        let floor = self.activation.floor();
        for (pixel, y) in y.chunks_exact_mut(c).enumerate() {
            for (panel, y) in y.chunks_mut(NR).enumerate() {
                let sums = &sums[(panel * rows + first + pixel) * NR..][..y.len()];
                y.copy_from_slice(sums);
                if let Some(scale) = self.scale.get(panel * NR..) {
                    y.iter_mut().zip(scale).for_each(|(y, scale)| *y *= scale);
                }
                if let Some(shift) = self.shift.get(panel * NR..) {
                    y.iter_mut().zip(shift).for_each(|(y, shift)| *y += shift);
                }
                y.iter_mut().for_each(|y| *y = if *y < floor { floor } else { *y });
            }
        }
    }
}
