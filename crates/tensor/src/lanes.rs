//! Reading and writing vectors of channels in slices.

use wide::f32x16;

/// Elements in a vector.
pub const LANES: usize = 16;

/// The arithmetic that the kernels are compiled to. Builds with the same one compute the same bits, AVX2 and AVX-512 alike: a
/// kernel adds the terms of a sum in an order that does not depend on the width of its registers. Without fused
/// multiply-adds, each product is rounded before it is added.
pub const INSTRUCTION_SET: &str = if cfg!(all(target_arch = "x86_64", target_feature = "fma")) {
    "x86-64 with FMA"
} else if cfg!(target_arch = "x86_64") {
    "x86-64 without FMA"
} else if cfg!(target_feature = "neon") {
    "NEON"
} else {
    std::env::consts::ARCH
};

/// Reads the vector at the start of `values`.
///
/// # Panics
/// If there are fewer than `LANES` values.
#[inline(always)]
pub(crate) fn load(values: &[f32]) -> f32x16 {
    bytemuck::pod_read_unaligned(bytemuck::bytes_of(values.first_chunk::<LANES>().expect("a whole vector")))
}

/// Writes `vector` to the start of `values`.
///
/// # Panics
/// If there are fewer than `LANES` values.
#[inline(always)]
pub(crate) fn store(vector: f32x16, values: &mut [f32]) {
    *values.first_chunk_mut::<LANES>().expect("a whole vector") = bytemuck::cast(vector);
}

/// Reads the vector at the start of `values`, with zeros beyond their end.
#[inline(always)]
pub(crate) fn load_short(values: &[f32]) -> f32x16 {
    // The branches choose an address, not a vector: vectors from two branches would go through memory.
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

/// Writes `vector` to the start of `values`, as far as it fits.
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

/// [`load`] where the channels are whole vectors, which a kernel asks once; else [`load_short`], which takes twice as long.
#[inline(always)]
pub(crate) fn load_channels<const WHOLE: bool>(values: &[f32]) -> f32x16 {
    if WHOLE { load(values) } else { load_short(values) }
}

/// [`store`] where the channels are whole vectors; else [`store_short`].
#[inline(always)]
pub(crate) fn store_channels<const WHOLE: bool>(vector: f32x16, values: &mut [f32]) {
    if WHOLE { store(vector, values) } else { store_short(vector, values) }
}

/// Prefetches the cache line of `values[at]`, without waiting for it. The index may lie beyond the end.
#[inline(always)]
pub(crate) fn prefetch_line(values: &[f32], at: usize) {
    prefetch_index::prefetch_index(values, at);
}

/// How far ahead, in elements, a walk through memory prefetches what it reads or writes: 8 KiB, two pages, since the hardware
/// prefetcher stops at the end of each page.
pub(crate) const AHEAD: usize = 2048;

/// Reads one element of each cache line in the order of memory, which the hardware prefetcher recognises. What works on several
/// lines in turn, as most kernels do, finds them in the cache then.
#[inline(always)]
pub(crate) fn read_ahead(values: &[f32]) {
    let bits = values.iter().step_by(LANES).fold(0, |bits, value| bits | value.to_bits());
    std::hint::black_box(bits);
}
