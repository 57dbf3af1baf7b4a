//! `bin/roentgen` of the archive: chooses the build that suits this CPU, and becomes it.
//!
//! The archive has the program once for each level of x86-64 ([`level`]), and this launcher, which is built for the oldest
//! x86-64 CPU. It replaces itself by the program (`exec`), so that signals, exit code and process number are the program's.
#![forbid(unsafe_code)]

#[cfg(all(unix, target_arch = "x86_64"))]
mod launch;
#[cfg(all(unix, target_arch = "x86_64"))]
mod level;

use std::process::ExitCode;

/// The exit code of a usage error, as of the program.
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    let error = launch();
    eprintln!("error: {error}");
    ExitCode::from(USAGE_ERROR)
}

/// Becomes the program, or returns why not.
#[cfg(all(unix, target_arch = "x86_64"))]
fn launch() -> String {
    launch::run()
}

/// Elsewhere the archive has the program itself in this place.
#[cfg(not(all(unix, target_arch = "x86_64")))]
fn launch() -> String {
    "the launcher is for x86-64 on Unix; start the program itself".to_owned()
}
