//! Every operation with which the program changes the files of a run, and other output. Nothing else in this crate creates,
//! writes, renames or removes a file, so that a test can let every single operation fail (`disk/faults.rs`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use tempfile::{NamedTempFile, PersistError};

#[cfg(test)]
pub(crate) mod faults;

/// How the name of a file that is being written begins.
pub(crate) const TEMPORARY_PREFIX: &str = ".tmp-";

/// Permissions of a file: whoever the user's umask lets read may read it.
const PUBLIC: u32 = 0o666;
/// Permissions of a file for its owner alone.
const PRIVATE: u32 = 0o600;

/// One change of the disk, as a test sees it before it is made.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "read by tests"))]
pub(crate) enum Operation<'a> {
    /// A folder is made.
    CreateFolder(&'a Path),
    /// An empty file is made.
    Create(&'a Path),
    /// Bytes are appended to a file.
    Write(&'a Path, &'a [u8]),
    /// A file is cut to a length.
    Truncate(&'a Path, u64),
    /// What was written to a file is forced onto the disk.
    SyncFile(&'a Path),
    /// What was made, renamed and removed in a folder is forced onto the disk.
    SyncFolder(&'a Path),
    /// A file gets another name, and replaces the file that has it.
    Rename(&'a Path, &'a Path),
    /// A file is removed.
    Remove(&'a Path),
}

/// Whether an operation may be done; a test may refuse it.
#[cfg(not(test))]
#[expect(clippy::unnecessary_wraps, reason = "tests refuse")]
fn permit(_: Operation<'_>) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
use faults::permit;

/// Writes a file so that a reader, or a power cut, sees either the old one or the new one: a temporary file in the same
/// folder, fsync, rename, fsync of the folder.
pub(crate) fn write_atomically(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = TemporaryFile::new(folder, PUBLIC)?;
    file.write(bytes)?;
    file.rename(path)?;
    sync_folder(folder)
}

/// The same for a file that nobody but its owner may read.
pub(crate) fn write_private(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = TemporaryFile::new(folder, PRIVATE)?;
    file.write(bytes)?;
    file.rename(path)?;
    sync_folder(folder)
}

/// The same for a file that must not exist yet: of several processes that write it, one succeeds.
pub(crate) fn write_new(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = TemporaryFile::new(folder, PUBLIC)?;
    file.write(bytes)?;
    file.rename_to_new(path)?;
    sync_folder(folder)
}

/// Appends to a file, creates it if it is missing, and returns its length. The bytes are on the disk when this returns.
pub(crate) fn append(path: &Path, bytes: &[u8]) -> io::Result<u64> {
    let is_new = !path.exists();
    if is_new {
        permit(Operation::Create(path))?;
    }
    let mut file = open(path, OpenOptions::new().create(true).append(true))?;
    permit(Operation::Write(path, bytes))?;
    file.write_all(bytes)?;
    permit(Operation::SyncFile(path))?;
    file.sync_data()?;
    if is_new {
        sync_folder(folder_of(path))?;
    }
    Ok(file.metadata()?.len())
}

/// Cuts a file to its first `bytes` bytes, and returns the length that it had. A shorter file stays as it is.
pub(crate) fn truncate(path: &Path, bytes: u64) -> io::Result<u64> {
    let file = open(path, OpenOptions::new().write(true))?;
    let length = file.metadata()?.len();
    if length > bytes {
        permit(Operation::Truncate(path, bytes))?;
        file.set_len(bytes)?;
        permit(Operation::SyncFile(path))?;
        file.sync_data()?;
    }
    Ok(length)
}

/// Makes a folder, and those above it that are missing.
pub(crate) fn create_folders(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = folder_of(path);
    create_folders(parent)?;
    permit(Operation::CreateFolder(path))?;
    match fs::create_dir(path) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.and_then(|()| sync_folder(parent)),
    }
}

/// Makes a folder that nobody else has made: of several processes, one succeeds, and the others find that it exists.
pub(crate) fn create_new_folder(path: &Path) -> io::Result<()> {
    permit(Operation::CreateFolder(path))?;
    fs::create_dir(path)?;
    sync_folder(folder_of(path))
}

/// Opens a file to lock it, and creates it if it is missing. Its content stays.
pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
    let is_new = !path.exists();
    if is_new {
        permit(Operation::Create(path))?;
    }
    let file = open(path, OpenOptions::new().create(true).truncate(false).write(true))?;
    if is_new {
        sync_folder(folder_of(path))?;
    }
    Ok(file)
}

/// Removes a file; there may be none.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    permit(Operation::Remove(path))?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A file that is being written under a temporary name; removed if it does not get its own.
struct TemporaryFile(Option<NamedTempFile>);

impl TemporaryFile {
    #[cfg_attr(not(unix), expect(unused_variables, reason = "permissions of Unix"))]
    fn new(folder: &Path, mode: u32) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(TEMPORARY_PREFIX);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
        permit(Operation::Create(&folder.join(TEMPORARY_PREFIX)))?;
        builder.tempfile_in(folder).map(Some).map(Self)
    }

    fn file(&mut self) -> &mut NamedTempFile {
        self.0.as_mut().expect("it has its temporary name still")
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file();
        permit(Operation::Write(file.path(), bytes))?;
        file.write_all(bytes)?;
        permit(Operation::SyncFile(file.path()))?;
        file.as_file().sync_all()
    }

    /// Gives it its name, in the place of a file that has it.
    fn rename(self, path: &Path) -> io::Result<()> {
        self.persist(path, |file, path| file.persist(path))
    }

    /// Gives it its name, unless a file has it.
    fn rename_to_new(self, path: &Path) -> io::Result<()> {
        self.persist(path, |file, path| file.persist_noclobber(path))
    }

    fn persist(
        mut self,
        path: &Path,
        persist: impl FnOnce(NamedTempFile, &Path) -> Result<File, PersistError>,
    ) -> io::Result<()> {
        permit(Operation::Rename(self.file().path(), path))?;
        match persist(self.0.take().expect("it has its temporary name still"), path) {
            Ok(_) => Ok(()),
            Err(refused) => {
                self.0 = Some(refused.file);
                Err(refused.error)
            }
        }
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if let Some(file) = self.0.take()
            && permit(Operation::Remove(file.path())).is_err()
        {
            // Here the process has ended, as far as the test is concerned.
            let _ = file.keep();
        }
    }
}

/// Opens a file, but never through a symbolic link: a link in a run folder may lead to any file of the user's.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    if path.symlink_metadata().is_ok_and(|found| found.is_symlink()) {
        return Err(io::Error::other("it is a symbolic link; nothing is written through one"));
    }
    // Without O_NONBLOCK, opening a pipe waits until somebody reads from it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

/// Forces onto the disk what was made, renamed and removed in a folder. Windows cannot open folders, and does not need it.
fn sync_folder(folder: &Path) -> io::Result<()> {
    permit(Operation::SyncFolder(folder))?;
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
