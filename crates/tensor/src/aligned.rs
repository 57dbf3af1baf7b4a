//! Memory aligned to cache lines: a vector that crosses the border of two lines costs two accesses.

use std::alloc::{Layout, handle_alloc_error};

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
            let n_vectors = len.div_ceil(LANES);
            self.vectors = bytemuck::try_zeroed_vec(n_vectors).unwrap_or_else(|()| missing_memory(n_vectors));
        }
        self.len = len;
        &mut bytemuck::cast_slice_mut(&mut self.vectors)[..len]
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.vectors)[..self.len]
    }
}

/// Ends the program as a `Vec` does that the system has no memory for, not with a panic.
fn missing_memory(n_vectors: usize) -> ! {
    handle_alloc_error(Layout::array::<f32x16>(n_vectors).unwrap_or(Layout::new::<f32x16>()))
}
