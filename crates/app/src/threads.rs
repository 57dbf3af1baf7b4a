//! The threads of a piece of work.

use roentgen_data::catch_unreadable;

use crate::error::AppError;

/// Runs `work` on a pool of `n_threads`: everything parallel below takes its threads from there. All work on images goes through
/// here, so images that can no longer be read become an error here.
///
/// # Errors
/// [`AppError::Threads`] if the threads cannot be started; [`AppError::Data`]; else as `work`.
pub(crate) fn in_pool<T: Send>(
    n_threads: usize,
    work: impl FnOnce() -> Result<T, AppError> + Send,
) -> Result<T, AppError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build();
    let pool = pool.map_err(|error| AppError::Threads { n_threads, reason: error.to_string() })?;
    catch_unreadable(|| pool.install(work))?
}
