//! Temporary memory of the kernels: allocated once, kept by the thread, and reused.

use std::cell::RefCell;

use crate::aligned::AlignedBuffer;

thread_local! {
    /// Buffers not in use. They are a stack, so each depth of nested calls gets the same buffer every time.
    static FREE_BUFFERS: RefCell<Vec<AlignedBuffer>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` numbers of scratch memory, whose values are unspecified.
///
/// A kernel that needs the same sizes in every step allocates in the first step only.
pub fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = FREE_BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_default();
    let result = work(buffer.resize(len));
    FREE_BUFFERS.with_borrow_mut(|free| free.push(buffer));
    result
}
