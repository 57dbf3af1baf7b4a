//! Activations: contiguous arrays of the shape `(n, h, w, c)`, whose memory is reused from step to step.

use ndarray::Array4;

/// Changes the shape of `array` and reuses its memory: it allocates only for a size larger than all before. The values of
/// the elements are unspecified.
pub fn reshape(array: &mut Array4<f32>, shape: [usize; 4]) {
    if array.shape() != shape {
        let (mut memory, _) = std::mem::take(array).into_raw_vec_and_offset();
        let len = shape.iter().product();
        if len <= memory.capacity() {
            memory.resize(len, 0.0);
        } else {
            // The system hands out zeroed pages, so the first write to each is by the thread that uses it.
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
