//! Memory that a kernel needs while it works: made once, kept by the thread, used again.

use std::cell::RefCell;

use crate::aligned::Aligned;

thread_local! {
    /// Buffers at rest. They are taken and given back in the order of a stack, so each depth of nesting keeps its own.
    static AT_REST: RefCell<Vec<Aligned>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` numbers of scratch memory; what they hold is unspecified.
///
/// A kernel that asks for the same sizes at every step allocates at the first one only.
pub fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = AT_REST.with_borrow_mut(Vec::pop).unwrap_or_default();
    let result = work(buffer.resize(len));
    AT_REST.with_borrow_mut(|at_rest| at_rest.push(buffer));
    result
}
