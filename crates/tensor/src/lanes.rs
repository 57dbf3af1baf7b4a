//! Reading and writing vectors of channels in slices.

use wide::f32x16;

/// Numbers in a vector.
pub const LANES: usize = 16;

/// The vector instructions that the kernels are compiled to. Builds with the same ones compute the same bits; others differ in
/// the last digits:
///
/// - With AVX-512 a register tile is larger (`NR`, `MR` in `gemm`), so that another algorithm may be chosen for a
///   convolution, and the partial sums of a gradient have other lengths.
/// - Without fused multiply-adds, each product is rounded before it is added.
pub const INSTRUCTION_SET: &str = if cfg!(all(target_feature = "avx512f", target_feature = "fma")) {
    "AVX-512"
} else if cfg!(target_feature = "avx512f") {
    "AVX-512 without FMA"
} else if cfg!(all(target_feature = "avx", target_feature = "fma")) {
    "AVX2"
} else if cfg!(target_feature = "avx") {
    "AVX without FMA"
} else if cfg!(target_feature = "neon") {
    "NEON"
} else if cfg!(target_feature = "sse2") {
    "SSE"
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
