//! Whether files have changed, without reading them.

use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use axum::http::StatusCode;

use super::contents::entries;
use crate::serve::problem::Problem;
use crate::terminal::screen::thousands;

/// Most files that are looked at.
const MAX_FILES: usize = 200_000;

/// A digest of the names, lengths and times of all files of a data set.
///
/// # Errors
/// [`Problem::Refused`] if there are too many, [`Problem::Unreadable`].
pub(super) fn state_of(path: &Path) -> Result<blake3::Hash, Problem> {
    let mut state = State { hasher: blake3::Hasher::new(), n_files: 0 };
    let added = if path.is_dir() { state.add_folder(path) } else { state.add_file(path) };
    added.map_err(|error| Problem::Unreadable(format!("cannot read the images: {error}")))?;
    if state.n_files > MAX_FILES {
        let text = format!(
            "there are more than {} files, too many to check here; choose a folder further down",
            thousands(MAX_FILES)
        );
        return Err(Problem::Refused(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    Ok(state.hasher.finalize())
}

struct State {
    hasher: blake3::Hasher,
    n_files: usize,
}

impl State {
    fn add_folder(&mut self, folder: &Path) -> io::Result<()> {
        for (name, is_folder) in entries(folder)? {
            if self.n_files > MAX_FILES {
                return Ok(());
            }
            self.hasher.update(name.as_bytes()).update(&[0, u8::from(is_folder)]);
            let path = folder.join(name);
            if is_folder { self.add_folder(&path)? } else { self.add_file(&path)? }
        }
        // The end of the folder.
        self.hasher.update(&[1]);
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> io::Result<()> {
        self.n_files += 1;
        let found = path.metadata()?;
        let time = found.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.hasher.update(&found.len().to_le_bytes()).update(&time.as_nanos().to_le_bytes());
        Ok(())
    }
}
