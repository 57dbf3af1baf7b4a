//! The standard output. A line that cannot be written does not stop a training, but the program does not end as if it had
//! been: it remembers the first error, and `main` reports it.

use std::io::{self, Write, stdout};
use std::sync::{Mutex, PoisonError};

static FIRST_ERROR: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints a line.
pub(crate) fn print(line: &str) {
    let mut out = stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        let mut first = FIRST_ERROR.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader that went away (`| head`) has what it wanted.
        if error.kind() != io::ErrorKind::BrokenPipe {
            first.get_or_insert(error);
        }
    }
}

/// The first error of this process, once.
#[must_use]
pub(crate) fn take_error() -> Option<io::Error> {
    FIRST_ERROR.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Whether the standard output is the null device, open for reading and writing. Rust opens it so in place of one that was closed
/// (`>&-`), and other programs for one whose output they do not want (Python's `DEVNULL`): the two cannot be told apart.
#[must_use]
pub(crate) fn is_lost() -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{OFlags, fcntl_getfl, fstat, major, minor};
        let out = stdout();
        let is_null = fstat(&out).is_ok_and(|found| (major(found.st_rdev), minor(found.st_rdev)) == (1, 3));
        is_null && fcntl_getfl(&out).is_ok_and(|flags| flags.contains(OFlags::RDWR))
    }
    #[cfg(not(target_os = "linux"))]
    false
}
