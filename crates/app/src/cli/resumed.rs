//! What is continued: with how many threads.

use std::path::Path;

use crate::config::ConfigFile;
use crate::error::AppError;
use crate::ranks::Ranks;
use crate::training::resumption::Resumption;

/// The number of threads of what is continued in `folder`, which the first rank sees: the one that is given, else the one that was
/// given when it began, else the default of this machine.
pub(super) fn resumed_threads(
    folder: &Path,
    resumption: Resumption,
    ranks: &Ranks,
) -> Result<(usize, Resumption), AppError> {
    // A file that cannot be read is an error when its settings are.
    let of_file = || ConfigFile::read(folder).ok().and_then(|file| file.given.threads);
    let given = ranks.first(|| Ok::<_, AppError>(resumption.threads.or_else(of_file)))?.flatten();
    let mut bytes = (given.unwrap_or(0) as u64).to_le_bytes().to_vec();
    ranks.broadcast(&mut bytes)?;
    let given = bytes.try_into().map_or(0, u64::from_le_bytes) as usize;
    let n_threads = if given > 0 { given } else { ranks.default_threads()? };
    Ok((n_threads, Resumption { threads: Some(n_threads), ..resumption }))
}
