//! Every operation of the program on files and folders. Nothing else opens, reads, writes, renames or removes one
//! (`cargo xtask tidy` checks it), so that a test can let every single operation fail (`disk/faults.rs`, which is compiled
//! only with the feature `fault-injection`).

use std::fs::{self, File, OpenOptions, ReadDir};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, PersistError, TempDir, TempPath};

#[cfg(any(test, feature = "fault-injection"))]
pub mod faults;
mod lock_file;
mod positioned_file;
mod removed_folder;

pub use lock_file::{has_no_locks, open_existing_lock, open_lock};
pub use positioned_file::PositionedFile;
pub use removed_folder::{REMOVED_PREFIX, remove_folder};

/// How the name of a file that is being written begins.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// Permissions of a file: whoever the user's umask lets read may read it.
const PUBLIC: u32 = 0o666;
/// Permissions of a file for its owner alone.
const PRIVATE: u32 = 0o600;

/// One operation, as a test sees it before it is done.
#[derive(Clone, Copy, Debug)]
pub enum Operation<'a> {
    /// The entries of a folder are listed.
    List(&'a Path),
    /// A file is opened to be read.
    Open(&'a Path),
    /// Bytes are read from a file.
    Read(&'a Path),
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
    /// A file is removed, or a temporary folder with all that is in it.
    Remove(&'a Path),
}

/// Whether an operation may be done; a test may refuse it.
#[cfg(not(any(test, feature = "fault-injection")))]
#[expect(clippy::unnecessary_wraps, reason = "tests refuse")]
fn permit(_: Operation<'_>) -> io::Result<()> {
    Ok(())
}

#[cfg(any(test, feature = "fault-injection"))]
use faults::permit;

/// A file that is open for reading.
#[derive(Debug)]
pub struct InputFile {
    file: File,
    path: PathBuf,
}

impl InputFile {
    /// Opens a file.
    ///
    /// # Errors
    /// That of the operating system.
    pub fn open(path: &Path) -> io::Result<Self> {
        permit(Operation::Open(path))?;
        Ok(Self { file: File::open(path)?, path: path.into() })
    }

    /// Its length in bytes.
    ///
    /// # Errors
    /// That of the operating system.
    pub fn n_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

impl Read for InputFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        permit(Operation::Read(&self.path))?;
        self.file.read(buffer)
    }
}

impl Seek for InputFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Whether a file cannot be opened because this process, or the system, has as many open as it may have. That says nothing of
/// the file.
#[must_use]
pub fn is_out_of_open_files(error: &io::Error) -> bool {
    #[cfg(unix)]
    return matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE));
    #[cfg(not(unix))]
    false
}

/// Whether something could not be written because the disk is full, or the share of it that the user may have.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The entries of a folder, in any order.
///
/// # Errors
/// That of the operating system.
pub fn list(folder: &Path) -> io::Result<ReadDir> {
    permit(Operation::List(folder))?;
    fs::read_dir(folder)
}

/// Writes a file so that a reader, or a power cut, sees either the old one or the new one: a temporary file in the same
/// folder, fsync, rename, fsync of the folder.
///
/// # Errors
/// That of the operating system.
pub fn write_atomically(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = TemporaryFile::new(folder, PUBLIC)?;
    file.write(bytes)?;
    file.rename(path)?;
    sync_folder(folder)
}

/// The same for a file that nobody but its owner may read.
///
/// # Errors
/// That of the operating system.
pub fn write_private(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = TemporaryFile::new(folder, PRIVATE)?;
    file.write(bytes)?;
    file.rename(path)?;
    sync_folder(folder)
}

/// The same for a file that must not exist yet: of several processes that write it, one succeeds.
///
/// # Errors
/// That of the operating system.
pub fn write_new(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = TemporaryFile::new(folder, PUBLIC)?;
    file.write(bytes)?;
    file.rename_to_new(path)?;
    sync_folder(folder)
}

/// Appends to a file, creates it if it is missing, and returns its length. The bytes are on the disk when this returns.
///
/// # Errors
/// That of the operating system.
pub fn append(path: &Path, bytes: &[u8]) -> io::Result<u64> {
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
///
/// # Errors
/// That of the operating system.
pub fn truncate(path: &Path, bytes: u64) -> io::Result<u64> {
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
///
/// # Errors
/// That of the operating system.
pub fn create_folders(path: &Path) -> io::Result<()> {
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
///
/// # Errors
/// That of the operating system.
pub fn create_new_folder(path: &Path) -> io::Result<()> {
    permit(Operation::CreateFolder(path))?;
    fs::create_dir(path)?;
    sync_folder(folder_of(path))
}

/// Makes a folder that nobody but its owner may enter, unless it is there.
///
/// # Errors
/// That of the operating system.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    permit(Operation::CreateFolder(path))?;
    #[cfg_attr(not(unix), expect(unused_mut, reason = "permissions of Unix"))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.and_then(|()| sync_folder(folder_of(path))),
    }
}

/// Gives a folder another name, beside it.
///
/// # Errors
/// That of the operating system.
pub fn rename_folder(path: &Path, to: &Path) -> io::Result<()> {
    permit(Operation::Rename(path, to))?;
    fs::rename(path, to)?;
    sync_folder(folder_of(to))
}

/// Removes a file; there may be none.
///
/// # Errors
/// That of the operating system.
pub fn remove(path: &Path) -> io::Result<()> {
    permit(Operation::Remove(path))?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A file that is being written under a temporary name; removed if it does not get its own.
#[derive(Debug)]
pub struct TemporaryFile(Option<NamedTempFile>);

impl TemporaryFile {
    /// Makes an empty one in `folder`.
    ///
    /// # Errors
    /// That of the operating system.
    pub fn create(folder: &Path) -> io::Result<Self> {
        Self::new(folder, PUBLIC)
    }

    #[cfg_attr(not(unix), expect(unused_variables, reason = "permissions of Unix"))]
    fn new(folder: &Path, mode: u32) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(TEMPORARY_PREFIX);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
        permit(Operation::Create(&folder.join(TEMPORARY_PREFIX)))?;
        builder.tempfile_in(folder).map(Some).map(Self).map_err(without_name)
    }

    fn file(&mut self) -> &mut NamedTempFile {
        self.0.as_mut().expect("it has its temporary name still")
    }

    /// The same file, to read and write at any position.
    ///
    /// # Errors
    /// That of the operating system.
    pub fn positioned(&mut self) -> io::Result<PositionedFile> {
        let file = self.file();
        Ok(PositionedFile::new(file.as_file().try_clone()?, file.path()))
    }

    /// Forces it onto the disk, and gives it its name, in the place of a file that has it.
    ///
    /// # Errors
    /// That of the operating system.
    pub fn publish(mut self, path: &Path) -> io::Result<()> {
        self.sync()?;
        self.rename(path)?;
        sync_folder(folder_of(path))
    }

    fn sync(&mut self) -> io::Result<()> {
        permit(Operation::SyncFile(self.file().path()))?;
        self.file().as_file().sync_all()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file();
        permit(Operation::Write(file.path(), bytes))?;
        file.write_all(bytes)?;
        self.sync()
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

/// The error without the temporary name that its text ends with.
fn without_name(error: io::Error) -> io::Error {
    let text = error.to_string();
    io::Error::new(error.kind(), text.split(" at path ").next().unwrap_or(&text))
}

/// A folder that is being written under a temporary name; removed, with all that is in it, if it does not get its own.
#[derive(Debug)]
pub struct TemporaryFolder(Option<TempDir>);

impl TemporaryFolder {
    /// Makes one in `parent`, which is made if it is missing.
    ///
    /// # Errors
    /// That of the operating system.
    pub fn new(parent: &Path) -> io::Result<Self> {
        create_folders(parent)?;
        permit(Operation::CreateFolder(&parent.join(TEMPORARY_PREFIX)))?;
        tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempdir_in(parent).map(Some).map(Self)
    }

    fn path(&self) -> &Path {
        self.0.as_ref().expect("it has its temporary name still").path()
    }

    /// Makes a folder in it, and those above that are missing.
    ///
    /// # Errors
    /// That of the operating system.
    pub fn create_folders(&self, name: &Path) -> io::Result<()> {
        create_folders(&self.path().join(name))
    }

    /// Writes a new file in it. The bytes are not forced onto the disk.
    ///
    /// # Errors
    /// That of the operating system.
    pub fn write(&self, name: &Path, bytes: &[u8]) -> io::Result<()> {
        let path = self.path().join(name);
        permit(Operation::Create(&path))?;
        let mut file = open(&path, OpenOptions::new().create_new(true).write(true))?;
        permit(Operation::Write(&path, bytes))?;
        file.write_all(bytes)
    }

    /// Gives it its name. Nothing may have that name, except an empty folder.
    ///
    /// # Errors
    /// That of the operating system.
    pub fn rename(mut self, path: &Path) -> io::Result<()> {
        permit(Operation::Rename(self.path(), path))?;
        fs::rename(self.path(), path)?;
        // It has another name now, under which it is not removed.
        self.0.take().map(TempDir::keep);
        sync_folder(folder_of(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Some(folder) = self.0.take()
            && permit(Operation::Remove(folder.path())).is_err()
        {
            let _ = folder.keep();
        }
    }
}

/// A file in the system's folder for temporary files, whose name ends with `ending`; removed when the result is dropped.
///
/// # Errors
/// That of the operating system.
pub fn write_temporary(ending: &str, bytes: &[u8]) -> io::Result<TempPath> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX).suffix(ending);
    permit(Operation::Create(&std::env::temp_dir().join(TEMPORARY_PREFIX)))?;
    let mut file = builder.tempfile()?;
    permit(Operation::Write(file.path(), bytes))?;
    file.write_all(bytes)?;
    Ok(file.into_temp_path())
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
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
