//! Files that a user asks for by name, with `--out`, `--onnx` and the like.
//!
//! Such a file replaces only one that the same kind of command has written before. Anything else under that name, such as a
//! trained model or the image that is explained, is kept unless the user says `--force`, and anything but a regular file is
//! never replaced.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use roentgen_data::disk::{InputFile, folder_of, write_atomically};

use crate::run_dir::error::{RunDirError, WriteError};

/// A file that is about to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputFile<'a> {
    /// Where the user wants it.
    pub path: &'a Path,
    /// Files that the same command reads.
    pub inputs: &'a [&'a Path],
    /// Bytes that every file of this kind has among its first or last 4,096, and no other file.
    pub mark: &'a [u8],
    /// Whether any regular file may be replaced that is not an input.
    pub force: bool,
}

/// Bytes at the beginning and at the end of a file in which the mark is looked for.
const MARGIN: u64 = 4096;

impl OutputFile<'_> {
    /// Fails where the file must not be written. A command calls this before its work, so that none is lost.
    ///
    /// # Errors
    /// [`RunDirError::OutputTaken`].
    pub(crate) fn check(&self) -> Result<(), RunDirError> {
        let taken = |reason| Err(RunDirError::OutputTaken { path: self.path.into(), reason });
        let Ok(found) = self.path.symlink_metadata() else {
            if folder_of(self.path).is_dir() {
                return Ok(());
            }
            return taken("its folder does not exist; create it, or give another name");
        };
        if self.inputs.iter().any(|input| is_same_file(input, self.path)) {
            return taken("it is an input of this command; give another name");
        }
        if !found.is_file() {
            return taken("there is something else than a file; give another name");
        }
        if !self.force && !self.has_mark().unwrap_or(false) {
            return taken(
                "this file exists, and no earlier call of this command wrote it; give another name, or --force to replace it",
            );
        }
        Ok(())
    }

    /// Writes the file whole or not at all.
    ///
    /// # Errors
    /// As [`OutputFile::check`], and [`WriteError`].
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), RunDirError> {
        self.check()?;
        let written = write_atomically(folder_of(self.path), self.path, bytes);
        Ok(written.map_err(|source| WriteError { path: self.path.into(), source })?)
    }

    fn has_mark(&self) -> std::io::Result<bool> {
        let mut file = InputFile::open(self.path)?;
        let length = file.n_bytes()?;
        let mut margins = [Vec::new(), Vec::new()];
        (&mut file).take(MARGIN).read_to_end(&mut margins[0])?;
        file.seek(SeekFrom::Start(length.saturating_sub(MARGIN)))?;
        file.take(MARGIN).read_to_end(&mut margins[1])?;
        let has_mark = |bytes: &Vec<u8>| bytes.windows(self.mark.len()).any(|window| window == self.mark);
        Ok(length == 0 || margins.iter().any(has_mark))
    }
}

/// Whether two paths lead to one file.
fn is_same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_a_file_of_the_same_kind_is_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, force: bool| {
            let (out, input) = (path(name), path("input"));
            OutputFile { path: &out, inputs: &[&input], mark: b"a mark", force }.write(b"new, with a mark")
        };
        fs::write(path("input"), "a mark").expect("a file");
        fs::write(path("precious"), "mine").expect("a file");
        fs::create_dir(path("folder")).expect("a folder");
        write("fresh", false).expect("nothing is there");
        write("fresh", false).expect("the same command wrote it");
        assert!(matches!(write("precious", false), Err(RunDirError::OutputTaken { .. })));
        assert_eq!(fs::read(path("precious")).expect("a file"), b"mine");
        write("precious", true).expect("forced");
        for never in ["input", "folder", "missing/file"] {
            assert!(matches!(write(never, true), Err(RunDirError::OutputTaken { .. })), "{never}");
        }
        assert_eq!(fs::read(path("input")).expect("a file"), b"a mark");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_or_a_socket_is_not_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("target"), "mine").expect("a file");
        std::os::unix::fs::symlink(path("target"), path("link")).expect("a link");
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("a socket");
        for name in ["link", "socket"] {
            let out = path(name);
            let file = OutputFile { path: &out, inputs: &[], mark: b"mine", force: true };
            assert!(matches!(file.write(b"new"), Err(RunDirError::OutputTaken { .. })), "{name}");
        }
        assert_eq!(fs::read(path("target")).expect("a file"), b"mine");
    }
}
