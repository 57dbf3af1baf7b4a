//! The speed of memory copies: besides the peak of arithmetic, the other limit of a kernel.

use rayon::prelude::*;

use super::timing::measure;

/// Bytes that each thread copies: more than its own caches and most shared caches hold.
const BYTES_PER_THREAD: usize = 64 << 20;

/// Copying from memory to memory on `threads` threads, in GB/s; bytes read and bytes written both count.
pub(super) fn measure_copy_gb_per_s(threads: usize) -> f64 {
    let source = vec![1u8; threads * BYTES_PER_THREAD];
    let mut target = vec![0u8; source.len()];
    let timing = measure(0.7, || {
        let parts = target.par_chunks_mut(BYTES_PER_THREAD).zip(source.par_chunks(BYTES_PER_THREAD));
        parts.with_max_len(1).for_each(|(target, source)| target.copy_from_slice(source));
    });
    (2 * source.len()) as f64 / timing.min_s / 1e9
}
