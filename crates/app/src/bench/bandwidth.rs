//! How fast numbers are read from each cache and from memory, and copied in memory: besides the peak of arithmetic, the other
//! limits of a kernel.

use std::hint::black_box;

use rayon::prelude::*;
use roentgen_tensor::caches::Cache;
use serde::{Deserialize, Serialize};
use wide::f32x16;

use super::timing::measure;

/// Bytes that each thread copies: more than its own caches and most shared caches hold.
const BYTES_PER_THREAD: usize = 64 << 20;
/// Vectors that are added at once: enough to hide the latency of an addition, few enough to stay in registers.
const SUMS: usize = if cfg!(target_feature = "avx512f") { 8 } else { 4 };
/// A timed run reads at least this much: long enough that its start does not count.
const BYTES_PER_RUN: usize = 32 << 20;
/// Fewest bytes of memory for each thread to read: many threads share several caches, of which the system reports one.
const MIN_PART: usize = 16 << 20;
/// Most bytes that memory is measured with, for processors with huge caches or many threads.
const MAX_BYTES: usize = 1 << 30;

/// Reading from one level of memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ReadBandwidth {
    /// `L1`, `L2`, `L3` or `memory`.
    pub(super) level: String,
    /// Size of what is read again and again.
    pub(super) bytes: usize,
    pub(super) one_thread_gb_per_s: f64,
    /// Of all threads together.
    pub(super) all_threads_gb_per_s: f64,
}

/// Reading from each cache and from memory, by one of `threads` threads and by all of them, which read the same from a cache, and
/// each its own part from memory.
pub(super) fn measure_reads(caches: &[Cache], threads: usize) -> Vec<ReadBandwidth> {
    let measured = |(level, bytes): (String, usize)| {
        // Not zeros: the system gives one page for all pages of zeros that were never written.
        let data = vec![f32x16::ONE; bytes / size_of::<f32x16>()];
        let of_all: Vec<&[f32x16]> = match level.as_str() {
            "memory" => data.chunks(data.len().div_ceil(threads)).collect(),
            _ => vec![&data; threads],
        };
        let one_thread_gb_per_s = measure_read(&[&data]);
        let all_threads_gb_per_s = if threads == 1 { one_thread_gb_per_s } else { measure_read(&of_all) };
        ReadBandwidth { level, bytes, one_thread_gb_per_s, all_threads_gb_per_s }
    };
    working_sets(caches, threads).into_iter().map(measured).collect()
}

/// The levels, and for each a size of which nearly all is read from there, by one thread and by this number of them.
fn working_sets(caches: &[Cache], threads: usize) -> Vec<(String, usize)> {
    // What the nearer cache holds part of is read from there in part, so it is exceeded by far. Other programs, and the
    // other thread of a core, need room in the same cache.
    let inner = [0].into_iter().chain(caches.iter().map(|cache| cache.bytes));
    let sets = caches.iter().zip(inner).map(|(cache, inner)| {
        (format!("L{}", cache.level), (cache.bytes / 4).max(2 * inner), cache.bytes / 2)
    });
    // A cache that is hardly larger than the nearer one cannot be measured.
    let sets = sets.filter(|(_, bytes, most)| bytes <= most).map(|(level, bytes, _)| (level, bytes));
    let last = caches.last().map_or(0, |cache| cache.bytes);
    let of_memory = (4 * last).max(threads * MIN_PART).clamp(BYTES_PER_THREAD, MAX_BYTES);
    sets.chain([("memory".to_owned(), of_memory)]).collect()
}

/// Reading each part on a thread of its own, in GB/s.
fn measure_read(parts: &[&[f32x16]]) -> f64 {
    let passes = (BYTES_PER_RUN / size_of_val(parts[0])).max(1);
    let timing = measure(0.2, || {
        parts.par_iter().with_max_len(1).for_each(|part| {
            for _ in 0..passes {
                black_box(sum(black_box(part)));
            }
        });
    });
    let bytes: usize = parts.iter().map(|part| size_of_val(*part)).sum();
    // The fastest run, as for the peak of arithmetic.
    (passes * bytes) as f64 / timing.min_s / 1e9
}

/// Reads all of `data` once, except what does not fill the last block.
#[inline(never)]
fn sum(data: &[f32x16]) -> f32x16 {
    let mut sums = [f32x16::ZERO; SUMS];
    for block in data.as_chunks::<SUMS>().0 {
        // Not `zip`: it is not inlined here, which keeps the sums in memory.
        for at in 0..SUMS {
            sums[at] += block[at];
        }
    }
    sums.into_iter().fold(f32x16::ZERO, |total, sum| total + sum)
}

/// Reading as a table, headings first.
pub(super) fn rows(reads: &[ReadBandwidth], threads: usize) -> Vec<Vec<String>> {
    let n_columns = if threads == 1 { 3 } else { 4 };
    let heading = ["from", "KiB", "1 thread", &format!("{threads} threads")].map(str::to_owned);
    let mut rows = vec![heading.to_vec()];
    for read in reads {
        let [one, all] =
            [read.one_thread_gb_per_s, read.all_threads_gb_per_s].map(|rate| format!("{rate:.1}"));
        rows.push(vec![read.level.clone(), (read.bytes >> 10).to_string(), one, all]);
    }
    rows.iter_mut().for_each(|row| row.truncate(n_columns));
    rows
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn caches(sizes: &[usize]) -> Vec<Cache> {
        (1..).zip(sizes).map(|(level, &kib)| Cache { level, bytes: kib << 10 }).collect()
    }

    #[test]
    fn a_working_set_fits_its_cache_and_exceeds_the_nearer_one() {
        let sets_of = |sizes: &[usize], threads: usize| {
            let sets = working_sets(&caches(sizes), threads).into_iter();
            sets.map(|(level, bytes)| format!("{level} {}", bytes >> 10)).collect::<Vec<_>>()
        };
        let sets = |sizes: &[usize]| sets_of(sizes, 2);
        assert_eq!(sets(&[32, 1024, 32768]), ["L1 8", "L2 256", "L3 8192", "memory 131072"]);
        assert_eq!(sets(&[32, 128]), ["L1 8", "L2 64", "memory 65536"]);
        assert_eq!(sets(&[48, 2048, 4096, 1 << 20]), ["L1 12", "L2 512", "L4 262144", "memory 1048576"]);
        // A quarter of 128 MiB would fit the own cache of four cores of 32 MiB each.
        assert_eq!(sets_of(&[32, 1024, 32768], 32)[3], "memory 524288");
        assert_eq!(sets_of(&[32, 1024, 32768], 256)[3], "memory 1048576");
    }

    #[test]
    fn every_number_is_read() {
        let data: Vec<f32x16> = (0..SUMS as u8 * 3).map(|at| f32x16::splat(f32::from(at))).collect();
        let expected = (0..SUMS as u8 * 3).map(f32::from).sum::<f32>();
        assert_eq!(sum(&data).to_array(), [expected; 16]);
    }

    #[test]
    fn one_thread_reads_the_whole_and_several_their_parts() {
        let reads = measure_reads(&caches(&[32]), 2);
        assert_eq!(reads.iter().map(|read| read.level.as_str()).collect::<Vec<_>>(), ["L1", "memory"]);
        let rates = reads.iter().flat_map(|read| [read.one_thread_gb_per_s, read.all_threads_gb_per_s]);
        assert!(rates.into_iter().all(|rate| rate > 0.01 && rate < 1e5), "{reads:?}");
        assert_eq!(rows(&reads, 2)[0], ["from", "KiB", "1 thread", "2 threads"]);
        assert_eq!(rows(&reads, 1).iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3]);
    }
}
