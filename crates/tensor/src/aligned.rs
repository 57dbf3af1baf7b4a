//! Memory that starts on a cache line: a vector that lies across two of them costs two accesses.

use wide::f32x16;

use crate::lanes::LANES;

/// A buffer of numbers that grows and never shrinks.
#[derive(Debug, Default)]
pub(crate) struct Aligned {
    vectors: Vec<f32x16>,
    len: usize,
}

impl Aligned {
    /// Gives the buffer `len` numbers, what they hold unspecified.
    pub(crate) fn resize(&mut self, len: usize) -> &mut [f32] {
        if self.vectors.len() * LANES < len {
            // Zeros straight from the system are written by nobody before the threads that use them.
            self.vectors = bytemuck::zeroed_vec(len.div_ceil(LANES));
        }
        self.len = len;
        &mut bytemuck::cast_slice_mut(&mut self.vectors)[..len]
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.vectors)[..self.len]
    }
}
