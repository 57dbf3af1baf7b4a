//! Remembers for a second that no training on a set can be resumed, so that the runs are not listed for every file of an upload.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the runs are not listed again for a set without such trainings.
const LISTED_FOR: Duration = Duration::from_secs(1);

/// The set that had no such training when the runs were listed last, and when that was.
#[derive(Debug, Default)]
pub(super) struct UnusedSet(Mutex<Option<(PathBuf, Instant)>>);

impl UnusedSet {
    pub(super) fn is(&self, set: &Path) -> bool {
        self.lock().as_ref().is_some_and(|(unused, since)| unused == set && since.elapsed() < LISTED_FOR)
    }

    pub(super) fn set(&self, set: &Path) {
        *self.lock() = Some((set.to_owned(), Instant::now()));
    }

    fn lock(&self) -> MutexGuard<'_, Option<(PathBuf, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
