//! The file that a folder is locked with.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use super::{Operation, folder_of, open, permit, sync_folder};

/// Opens a file to lock it, and creates it if it is missing. Its content stays.
///
/// # Errors
/// That of the operating system.
pub fn open_lock(path: &Path) -> io::Result<File> {
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

/// Opens the file of a lock that exists, to see whether it is locked. What is no regular file is an error: opening a pipe would
/// wait for somebody who writes.
///
/// # Errors
/// That of the operating system.
pub fn open_existing_lock(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().read(true))
}

/// Whether a file could not be locked because its file system has no locks of files.
#[must_use]
pub fn has_no_locks(error: &io::Error) -> bool {
    #[cfg(unix)]
    if matches!(error.raw_os_error(), Some(libc::ENOLCK | libc::ENOSYS | libc::EOPNOTSUPP)) {
        return true;
    }
    error.kind() == io::ErrorKind::Unsupported
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_pipe_in_the_place_of_a_lock_is_an_error_at_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(".lock");
        assert!(open_existing_lock(&path).is_err(), "there is no lock");
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
        let (send, receive) = mpsc::channel();
        thread::spawn(move || send.send(open_existing_lock(&path).map(drop)));
        let opened = receive.recv_timeout(Duration::from_secs(20)).expect("it does not wait for a writer");
        assert!(opened.expect_err("it is no file").to_string().contains("not a regular file"));
        let path = folder.path().join("lock");
        drop(open_lock(&path).expect("a new lock"));
        assert!(open_existing_lock(&path).is_ok());
    }

    #[test]
    fn a_file_system_without_locks_is_not_another_fault() {
        for (code, expected) in [
            (libc::ENOLCK, true),
            (libc::ENOSYS, true),
            (libc::EOPNOTSUPP, true),
            (libc::ENOSPC, false),
            (libc::EACCES, false),
        ] {
            assert_eq!(has_no_locks(&io::Error::from_raw_os_error(code)), expected, "{code}");
        }
    }
}
