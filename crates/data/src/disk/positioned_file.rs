//! A file that is read and written at positions, by many threads at once: it has no position of its own.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::{Operation, permit};

/// An open file. It stays what it is when its name is given to another file.
#[derive(Debug)]
pub struct PositionedFile {
    file: File,
    /// As it was opened.
    path: PathBuf,
    /// Elsewhere than on Unix, a read moves the position of the file first.
    #[cfg(not(unix))]
    turn: std::sync::Mutex<()>,
}

impl PositionedFile {
    /// Opens a file to read.
    ///
    /// # Errors
    /// That of the operating system.
    pub fn open(path: &Path) -> io::Result<Self> {
        permit(Operation::Open(path))?;
        Ok(Self::new(File::open(path)?, path))
    }

    pub(super) fn new(file: File, path: &Path) -> Self {
        Self {
            file,
            path: path.into(),
            #[cfg(not(unix))]
            turn: std::sync::Mutex::default(),
        }
    }

    /// Fills `buffer` with the bytes from `position`.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends before; else that of the operating system.
    pub fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        permit(Operation::Read(&self.path))?;
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, position);
        #[cfg(not(unix))]
        self.at(position, |mut file| io::Read::read_exact(&mut file, buffer))
    }

    /// Writes `bytes` from `position` on.
    ///
    /// # Errors
    /// That of the operating system.
    pub fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        permit(Operation::Write(&self.path, bytes))?;
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, position);
        #[cfg(not(unix))]
        self.at(position, |mut file| io::Write::write_all(&mut file, bytes))
    }

    #[cfg(not(unix))]
    fn at(&self, position: u64, work: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        io::Seek::seek(&mut &self.file, io::SeekFrom::Start(position))?;
        work(&self.file)
    }
}
