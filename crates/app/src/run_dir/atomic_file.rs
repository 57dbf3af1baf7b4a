//! Files written so that a reader, or a power failure, sees either the old one or the new one: a temporary file in the
//! same folder, fsync, rename, fsync of the folder.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::run_dir::error::WriteError;

/// First letters of the name of a file that is being written.
pub(super) const TEMPORARY: &str = ".tmp-";

/// Writes a file whole or not at all, wherever the user wants it.
///
/// # Errors
/// [`WriteError`]
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    write_whole(folder, path, bytes).map_err(|source| WriteError { path: path.into(), source })
}

/// Writes a file whole or not at all, into `folder`.
pub(crate) fn write_whole(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    // Readable for whoever the user's umask lets read; temporary files are private otherwise.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The new name is on the disk only when the folder is. Windows cannot open folders, and does not need it.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
