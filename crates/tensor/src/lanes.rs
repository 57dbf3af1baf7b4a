//! Vectors of channels in slices.

use wide::f32x16;

/// Numbers in a vector.
pub const LANES: usize = 16;

/// The vector at the front of `values`.
///
/// # Panics
/// If they are fewer than `LANES`.
#[inline(always)]
pub(crate) fn load(values: &[f32]) -> f32x16 {
    bytemuck::pod_read_unaligned(bytemuck::bytes_of(values.first_chunk::<LANES>().expect("a whole vector")))
}

/// Writes `vector` to the front of `values`.
///
/// # Panics
/// If they are fewer than `LANES`.
#[inline(always)]
pub(crate) fn store(vector: f32x16, values: &mut [f32]) {
    *values.first_chunk_mut::<LANES>().expect("a whole vector") = bytemuck::cast(vector);
}

/// The vector at the front of `values`, zeros where they end.
#[inline(always)]
pub(crate) fn load_short(values: &[f32]) -> f32x16 {
    // The address is chosen, not the vector: two vectors from two branches would meet in memory.
    let mut rest = [0.0; LANES];
    let chunk = match values.first_chunk::<LANES>() {
        Some(whole) => whole,
        None => {
            rest[..values.len()].copy_from_slice(values);
            &rest
        }
    };
    bytemuck::pod_read_unaligned(bytemuck::bytes_of(chunk))
}

/// Writes as much of `vector` as there is room for to the front of `values`.
#[inline(always)]
pub(crate) fn store_short(vector: f32x16, values: &mut [f32]) {
    match values.first_chunk_mut::<LANES>() {
        Some(whole) => *whole = bytemuck::cast(vector),
        None => {
            for (value, lane) in values.iter_mut().zip(vector.to_array()) {
                *value = lane;
            }
        }
    }
}
