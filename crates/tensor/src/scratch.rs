//! Memory that a kernel needs for the length of one task: a buffer per thread, made once and kept.

use std::cell::RefCell;

thread_local! {
    static PANELS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` numbers of this thread's scratch memory; what they hold is unspecified.
///
/// `work` must not wait for other rayon tasks: one of them could run on this thread and ask for the same memory.
///
/// # Panics
/// If called within itself.
pub fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    PANELS.with_borrow_mut(|panels| {
        if panels.len() < len {
            panels.resize(len, 0.0);
        }
        work(&mut panels[..len])
    })
}

/// Grows `buffer` to at least `len` numbers and gives the first `len`; it never shrinks, so that a steady
/// caller allocates once.
pub fn at_least(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}
