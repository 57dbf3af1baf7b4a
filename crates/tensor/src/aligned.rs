//! Memory aligned to cache lines: a vector that crosses the border of two lines costs two accesses.

use wide::f32x16;

use crate::lanes::LANES;

/// A buffer of numbers that grows but never shrinks.
#[derive(Debug, Default)]
pub(crate) struct AlignedBuffer {
    vectors: Vec<f32x16>,
    len: usize,
}

impl AlignedBuffer {
    /// Sets the length; the values are unspecified.
    pub(crate) fn resize(&mut self, len: usize) -> &mut [f32] {
        if self.vectors.len() * LANES < len {
            // The system hands out zeroed pages, so the first write to each is by the thread that uses it.
            self.vectors = bytemuck::zeroed_vec(len.div_ceil(LANES));
        }
        self.len = len;
        &mut bytemuck::cast_slice_mut(&mut self.vectors)[..len]
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.vectors)[..self.len]
    }
}
