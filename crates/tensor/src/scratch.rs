//! Temporary memory of the kernels: allocated once, kept by the thread, and reused.

use std::cell::RefCell;

use crate::aligned::AlignedBuffer;
use crate::caches::cache_bytes;
use crate::lanes::LANES;

thread_local! {
    /// Buffers not in use. They are a stack, so each depth of nested calls gets the same buffer every time.
    static FREE_BUFFERS: RefCell<Vec<AlignedBuffer>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` elements of scratch memory, whose values are unspecified.
///
/// A kernel that needs the same sizes in every step allocates in the first step only.
pub fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = FREE_BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_default();
    let result = work(buffer.resize(len));
    FREE_BUFFERS.with_borrow_mut(|free| free.push(buffer));
    result
}

/// Elements of a ring: 64 MiB, twice the L3 cache of most processors.
const RING_LEN: usize = 1 << 24;
/// Fewest elements for which a ring is used: 1 MiB. A small network would only drive its weights out of the cache.
const MIN_SHARED_LEN: usize = 1 << 18;

/// Memory from which windows are handed out in turn.
#[derive(Default)]
struct Ring {
    buffer: AlignedBuffer,
    /// Where the next window begins.
    next: usize,
}

thread_local! {
    /// Rings not in use, a stack as [`FREE_BUFFERS`].
    static FREE_RINGS: RefCell<Vec<Ring>> = const { RefCell::new(Vec::new()) };
}

/// As [`with_scratch`], for memory that each thread writes a share of and all read.
///
/// A cache line that another core has read takes 25 ns to write where the cores have no L3 cache in common, since its copy is
/// recalled first. So successive calls get different memory of a ring: caches have dropped a line when it is written again, which
/// takes 2 ns.
pub(crate) fn with_shared_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    with_window(len, shared_len(len), work)
}

/// A window of `len` elements of a ring of `ring_len`. If it is the whole ring, it is the same memory every time.
fn with_window<R>(len: usize, ring_len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut ring = FREE_RINGS.with_borrow_mut(Vec::pop).unwrap_or_default();
    let all = ring.buffer.resize(ring_len);
    let start = if ring.next + len <= all.len() { ring.next } else { 0 };
    let result = work(&mut all[start..start + len]);
    ring.next = (start + len).next_multiple_of(LANES);
    FREE_RINGS.with_borrow_mut(|free| free.push(ring));
    result
}

/// Elements that [`with_shared_scratch`] holds for windows of `len`.
pub(crate) fn shared_len(len: usize) -> usize {
    if uses_ring(len) { len.max(RING_LEN) } else { len }
}

/// One thread shares nothing: it finds the same memory in its own cache.
fn uses_ring(len: usize) -> bool {
    len >= MIN_SHARED_LEN && rayon::current_num_threads() > 1 && !has_large_shared_cache()
}

/// Whether the last cache holds a whole ring, as on server processors where all cores have one L3 cache in common: nothing would be
/// dropped from it, and what one core writes, the others read from there.
#[must_use]
pub fn has_large_shared_cache() -> bool {
    cache_bytes(3) >= RING_LEN * size_of::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_threads(n_threads: usize, test: impl FnOnce() + Send) {
        rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap().install(test);
    }

    #[test]
    fn nested_calls_find_their_own_memory_again() {
        let addresses = || {
            with_scratch(1 << 20, |outer| {
                let inner = with_scratch(1 << 10, |inner| inner.as_ptr() as usize);
                (outer.as_ptr() as usize, inner)
            })
        };
        let first = addresses();
        with_scratch(1 << 18, |_| {});
        assert_eq!(addresses(), first, "a smaller buffer is part of a larger one");
    }

    #[test]
    fn one_thread_gets_the_same_memory_again() {
        with_threads(1, || {
            let len = RING_LEN / 3;
            let address = || with_shared_scratch(len, |window| (window.as_ptr() as usize, window.len()));
            let first = address();
            assert_eq!((address(), first.1, shared_len(len)), (first, len, len));
        });
    }

    #[test]
    fn a_ring_is_for_several_threads_without_a_large_shared_cache() {
        with_threads(2, || {
            let len = MIN_SHARED_LEN;
            let expected = if has_large_shared_cache() { len } else { RING_LEN };
            assert_eq!((shared_len(len), shared_len(len - 1)), (expected, len - 1));
            with_shared_scratch(len, |window| assert_eq!(window.len(), len));
        });
    }

    #[test]
    fn windows_of_a_ring_follow_each_other_and_begin_again() {
        let len = RING_LEN / 3;
        let start = || with_window(len, RING_LEN, |window| (window.as_ptr() as usize, window.len()));
        let windows: [(usize, usize); 7] = std::array::from_fn(|_| start());
        assert!(windows.iter().all(|(_, window_len)| *window_len == len));
        let first = windows[0].0;
        let offsets = windows.map(|(address, _)| (address - first) / size_of::<f32>());
        let step = len.next_multiple_of(LANES);
        // The third would end beyond the ring by the padding.
        assert_eq!(offsets, [0, step, 0, step, 0, step, 0]);
        with_window(len, RING_LEN, |outer| {
            outer.fill(1.0);
            with_window(len, RING_LEN, |inner| inner.fill(2.0));
            assert!(outer.iter().all(|value| *value == 1.0), "nested calls get memory of their own");
        });
        let whole = with_window(2 * RING_LEN, 2 * RING_LEN, |window| window.len());
        assert_eq!(whole, 2 * RING_LEN);
    }
}
