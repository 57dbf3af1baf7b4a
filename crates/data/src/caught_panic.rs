//! Decoders are other people's code: a panic of theirs is an error of its file.

use std::cell::Cell;
use std::panic::{UnwindSafe, catch_unwind};

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs a decoder; `None` if it panics.
pub(crate) fn catch_panic<T>(decoder: impl FnOnce() -> T + UnwindSafe) -> Option<T> {
    let before = IS_CAUGHT.replace(true);
    let result = catch_unwind(decoder);
    IS_CAUGHT.set(before);
    result.ok()
}

/// Whether a panic of this thread would become the error of a file, so that a panic hook does not have to show it.
#[must_use]
pub fn is_panic_caught() -> bool {
    IS_CAUGHT.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_and_said_to_be() {
        assert!(!is_panic_caught());
        assert_eq!(catch_panic(is_panic_caught), Some(true));
        assert_eq!(catch_panic(|| -> u8 { panic!("a panic that this test makes") }), None);
        assert!(!is_panic_caught());
    }
}
