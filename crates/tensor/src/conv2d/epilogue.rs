//! What follows the sums of a convolution, while they are at hand: bias and activation.

use wide::f32x16;

use crate::batch_norm::Activation;
use crate::gemm::{NR, load};

/// `act(. + bias)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epilogue<'a> {
    /// `(c_out)`, or empty for none.
    pub(super) bias: &'a [f32],
    pub(super) activation: Activation,
}

impl Epilogue<'_> {
    /// Neither bias nor activation.
    pub(super) const NONE: Self = Self { bias: &[], activation: Activation::Identity };

    /// For a vector of channels from `o` on.
    #[inline(always)]
    pub(super) fn vector(self, o: usize) -> impl Fn(f32x16) -> f32x16 {
        let bias = if self.bias.is_empty() { f32x16::ZERO } else { load(&self.bias[o..]) };
        let floor = f32x16::splat(self.activation.floor());
        move |sum| {
            let y = sum + bias;
            // Not a maximum, which could hide a NaN.
            y.simd_lt(floor).bitselect(floor, y)
        }
    }

    /// `y = act(sums + bias)` for the pixels of `y`, `(pixels, c)`, from `first` on; sums are `[panel][rows][NR]`.
    pub(super) fn finish(self, sums: &[f32], rows: usize, first: usize, c: usize, y: &mut [f32]) {
        let floor = self.activation.floor();
        for (pixel, y) in y.chunks_exact_mut(c).enumerate() {
            for (panel, y) in y.chunks_mut(NR).enumerate() {
                let sums = &sums[(panel * rows + first + pixel) * NR..][..y.len()];
                y.copy_from_slice(sums);
                if let Some(bias) = self.bias.get(panel * NR..) {
                    y.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
                }
                y.iter_mut().for_each(|y| *y = if *y < floor { floor } else { *y });
            }
        }
    }
}
