//! Activations: contiguous `(n, h, w, c)` arrays whose memory is reused from step to step.

use ndarray::Array4;

/// Gives `array` another shape, keeping its memory; it allocates only beyond the largest size so far. What the
/// elements hold is unspecified.
pub fn reshape(array: &mut Array4<f32>, shape: [usize; 4]) {
    if array.shape() != shape {
        let (mut memory, _) = std::mem::take(array).into_raw_vec_and_offset();
        let len = shape.iter().product();
        if len <= memory.capacity() {
            memory.resize(len, 0.0);
        } else {
            // Zeros straight from the system are written by nobody before the threads that use them.
            memory = vec![0.0; len];
        }
        *array = Array4::from_shape_vec(shape, memory).expect("the memory has the length of the shape");
    }
}

/// The shape as an array.
pub(crate) fn shape(array: &Array4<f32>) -> [usize; 4] {
    array.dim().into()
}

/// The elements in memory order.
pub(crate) fn slice(array: &Array4<f32>) -> &[f32] {
    array.as_slice().expect("activations are contiguous")
}

/// The elements in memory order.
pub(crate) fn slice_mut(array: &mut Array4<f32>) -> &mut [f32] {
    array.as_slice_mut().expect("activations are contiguous")
}
