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
    f32x16::from(*values.first_chunk::<LANES>().expect("a whole vector"))
}

/// Writes `vector` to the front of `values`.
///
/// # Panics
/// If they are fewer than `LANES`.
#[inline(always)]
pub(crate) fn store(vector: f32x16, values: &mut [f32]) {
    *values.first_chunk_mut::<LANES>().expect("a whole vector") = vector.to_array();
}

/// The vector at the front of `values`, zeros where they end.
#[inline(always)]
pub(crate) fn load_short(values: &[f32]) -> f32x16 {
    if values.len() >= LANES { load(values) } else { load_rest(values) }
}

/// Writes as much of `vector` as there is room for to the front of `values`.
#[inline(always)]
pub(crate) fn store_short(vector: f32x16, values: &mut [f32]) {
    if values.len() >= LANES { store(vector, values) } else { store_rest(vector, values) }
}

// Apart, lest both cases become one copy of unknown length.
#[cold]
#[inline(never)]
fn load_rest(values: &[f32]) -> f32x16 {
    let mut full = [0.0; LANES];
    full[..values.len()].copy_from_slice(values);
    f32x16::from(full)
}

#[cold]
#[inline(never)]
fn store_rest(vector: f32x16, values: &mut [f32]) {
    values.copy_from_slice(&vector.to_array()[..values.len()]);
}
