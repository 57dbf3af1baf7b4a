//! Reports progress to the caller; this crate prints nothing.

/// The current task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Files are read, decoded and resized.
    Decoding,
    /// Images are compared to find duplicates; items are blocks of comparisons.
    Comparing,
    /// Phantom films are generated.
    Drawing,
    /// Films are written as files.
    Writing,
}

/// Receives progress. Called from many threads, once per item; `done` values may arrive out of order. A stage that follows
/// another starts with 0.
///
/// Every `Fn(Stage, usize, usize) + Sync` implements it; [`silent`] ignores all reports.
pub trait Progress: Sync {
    /// `done` of `total` items of this stage are finished.
    fn report(&self, stage: Stage, done: usize, total: usize);

    /// Whether the caller wants no result any more. Asked before each image is decoded, and many times a second while images are
    /// compared; the error is then [`DataError::Cancelled`](crate::DataError::Cancelled).
    fn is_cancelled(&self) -> bool {
        false
    }
}

impl<F: Fn(Stage, usize, usize) + Sync> Progress for F {
    fn report(&self, stage: Stage, done: usize, total: usize) {
        self(stage, done, total);
    }
}

/// A [`Progress`] that ignores all reports.
pub fn silent(_stage: Stage, _done: usize, _total: usize) {}
