//! How the loader tells its caller how far it is; it prints nothing itself.

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Files are read, decoded and resized.
    Decoding,
    /// Copies are sought among the pictures; items are blocks of comparisons.
    Comparing,
    /// Phantom films are drawn.
    Drawing,
    /// Films are written as files.
    Writing,
}

/// Receives progress. Called from many threads, once per item; `done` values may arrive out of order. A stage that follows
/// another begins with 0.
///
/// Every `Fn(Stage, usize, usize)` that may be shared between threads is one; [`silent`] ignores everything.
pub trait Progress: Sync {
    /// `done` of `total` items of this stage are finished.
    fn report(&self, stage: Stage, done: usize, total: usize);
}

impl<F: Fn(Stage, usize, usize) + Sync> Progress for F {
    fn report(&self, stage: Stage, done: usize, total: usize) {
        self(stage, done, total);
    }
}

/// A [`Progress`] that shows nothing.
pub fn silent(_stage: Stage, _done: usize, _total: usize) {}
