//! Reading a whole file of a user's: only a regular one, and only up to a limit. Both are checked before a byte is read:
//! opening a pipe would wait for somebody who writes, and a file may pretend to have terabytes.

use std::fs::FileType;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

use crate::disk::InputFile;

/// Bytes that are read from a file of lines together.
const READ_BYTES: usize = 1 << 16;

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
    /// More bytes in a line than such a file ever has.
    #[error("it has a line of more than {limit} bytes")]
    LongLine {
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
    let mut bytes = Vec::new();
    open(path, limit)?.read_to_end(&mut bytes)?;
    let n_bytes = bytes.len() as u64;
    if n_bytes > limit { Err(ReadFileError::TooLarge { bytes: n_bytes, limit }) } else { Ok(bytes) }
}

/// Calls `each` with the lines of a regular file of at most `limit` bytes, one after the other: a file of any size takes no more
/// memory than its longest line.
///
/// # Errors
/// The first one of `each`; [`ReadFileError`], also for a line of more than `line_limit` bytes.
pub fn for_each_line<E: From<ReadFileError>>(
    path: &Path,
    limit: u64,
    line_limit: u64,
    mut each: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = BufReader::with_capacity(READ_BYTES, open(path, limit)?);
    let (mut line, mut n_read) = (Vec::new(), 0);
    loop {
        line.clear();
        // `Take` of a buffered reader is one, too.
        let mut part = reader.by_ref().take(line_limit.saturating_add(1));
        let n_bytes = part.read_until(b'\n', &mut line).map_err(ReadFileError::Io)? as u64;
        match n_bytes {
            0 => return Ok(()),
            bytes if bytes > line_limit => Err(ReadFileError::LongLine { limit: line_limit })?,
            _ => {}
        }
        n_read += n_bytes;
        if n_read > limit {
            Err(ReadFileError::TooLarge { bytes: n_read, limit })?;
        }
        let text = str::from_utf8(&line).map_err(|_| ReadFileError::NotUtf8)?;
        each(text.trim_end_matches(['\r', '\n']))?;
    }
}

/// Opens a regular file of at most `limit` bytes, to read one more at most.
fn open(path: &Path, limit: u64) -> Result<impl Read, ReadFileError> {
    let metadata = path.metadata()?;
    if !metadata.is_file() {
        return Err(ReadFileError::NotRegular { found: name_of(metadata.file_type()) });
    }
    if metadata.len() > limit {
        return Err(ReadFileError::TooLarge { bytes: metadata.len(), limit });
    }
    // It may grow while it is read, and files of the system show no size.
    Ok(InputFile::open(path)?.take(limit.saturating_add(1)))
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

    #[test]
    fn lines_are_read_one_by_one_up_to_a_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "one\r\n\nthree\nlast").unwrap();
        let read = |limit: u64, line_limit: u64| -> Result<Vec<String>, ReadFileError> {
            let mut lines = Vec::new();
            for_each_line(&path, limit, line_limit, |line| {
                lines.push(line.to_owned());
                Ok::<_, ReadFileError>(())
            })?;
            Ok(lines)
        };
        assert_eq!(read(16, 6).unwrap(), ["one", "", "three", "last"]);
        assert!(matches!(read(16, 5), Err(ReadFileError::LongLine { limit: 5 })));
        assert!(matches!(read(15, 6), Err(ReadFileError::TooLarge { bytes: 16, limit: 15 })));
        // A file that pretends to have a terabyte has one line.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(read(1 << 41, 1 << 20), Err(ReadFileError::LongLine { .. })));
        fs::write(&path, b"one\n\xff\n").unwrap();
        assert!(matches!(read(9, 9), Err(ReadFileError::NotUtf8)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_with_more_bytes_than_its_size_is_read_up_to_the_limit_at_most() {
        // Files of the system show no size.
        let path = Path::new("/proc/self/status");
        assert!(matches!(read_file(path, 30), Err(ReadFileError::TooLarge { bytes: 31, limit: 30 })));
        let lines = for_each_line(path, 30, 1 << 20, |_| Ok::<_, ReadFileError>(()));
        assert!(matches!(lines, Err(ReadFileError::TooLarge { bytes: 31, limit: 30 })));
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
