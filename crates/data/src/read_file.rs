//! Reading a whole file of a user's: only a regular one, and only up to a limit. Both are checked before a byte is read:
//! opening a pipe would wait for somebody who writes, and a file may pretend to have terabytes.

use std::fs::FileType;
use std::io::{self, Read as _};
use std::path::Path;

use crate::disk::InputFile;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadFileError {
    /// The error of the operating system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A folder, a pipe, a device or a socket.
    #[error("it is not a regular file, but {found}")]
    NotRegular {
        /// What it is.
        found: &'static str,
    },
    /// More bytes than such a file ever has.
    #[error("it has {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The most that is read.
        limit: u64,
    },
    /// Bytes that are not text.
    #[error("it is not UTF-8")]
    NotUtf8,
}

impl ReadFileError {
    /// Whether there is no such file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

impl From<ReadFileError> for io::Error {
    fn from(error: ReadFileError) -> Self {
        match error {
            ReadFileError::Io(error) => error,
            other => Self::other(other),
        }
    }
}

/// The bytes of a regular file of at most `limit` bytes.
///
/// # Errors
/// [`ReadFileError`]; nothing is read of a file that is too large.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, ReadFileError> {
    let metadata = path.metadata()?;
    if !metadata.is_file() {
        return Err(ReadFileError::NotRegular { found: name_of(metadata.file_type()) });
    }
    let too_large = |bytes: u64| Err(ReadFileError::TooLarge { bytes, limit });
    if metadata.len() > limit {
        return too_large(metadata.len());
    }
    let mut bytes = Vec::new();
    // It may grow while it is read, and files of the system show no size.
    InputFile::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { too_large(bytes.len() as u64) } else { Ok(bytes) }
}

/// The text of a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`read_file`], and [`ReadFileError::NotUtf8`].
pub fn read_text_file(path: &Path, limit: u64) -> Result<String, ReadFileError> {
    String::from_utf8(read_file(path, limit)?).map_err(|_| ReadFileError::NotUtf8)
}

fn name_of(kind: FileType) -> &'static str {
    if kind.is_dir() {
        return "a folder";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
    }
    "a device"
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "ten bytes.").unwrap();
        assert_eq!(read_file(&path, 10).unwrap(), b"ten bytes.");
        assert!(matches!(read_file(&path, 9), Err(ReadFileError::TooLarge { bytes: 10, limit: 9 })));
        assert!(read_file(&dir.path().join("missing"), 9).unwrap_err().is_not_found());
        assert_eq!(
            read_file(dir.path(), 9).unwrap_err().to_string(),
            "it is not a regular file, but a folder"
        );
        fs::write(&path, b"\xff").unwrap();
        assert!(matches!(read_text_file(&path, 9), Err(ReadFileError::NotUtf8)));
        // A file that pretends to have a terabyte.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(read_file(&path, 1 << 30), Err(ReadFileError::TooLarge { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_or_a_device_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(read_file(&path, 9).unwrap_err().to_string(), "it is not a regular file, but a socket");
        let found = read_file(Path::new("/dev/zero"), 9).unwrap_err().to_string();
        assert_eq!(found, "it is not a regular file, but a device");
    }
}
