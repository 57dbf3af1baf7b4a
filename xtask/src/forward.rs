//! Any command of the app: builds it in release mode, then becomes it. The same for the packer of archives.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Cargo, as a command on the workspace at `root`.
pub(crate) fn cargo(root: &Path, subcommand: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.arg(subcommand).arg("--manifest-path").arg(root.join("Cargo.toml"));
    command
}

/// Runs the app with `arguments`; its exit code is ours.
pub(crate) fn run(root: &Path, arguments: &[OsString]) -> ExitCode {
    // Two steps, so that a long build shows what it does and a run starts without Cargo's own lines.
    let built = cargo(root, "build").args(["--release", "--package", "roentgen"]).status();
    match built {
        Ok(status) if status.success() => {}
        Ok(_) => return ExitCode::FAILURE,
        Err(error) => return cannot_start(&error),
    }
    let mut app = cargo(root, "run");
    app.args(["--release", "--quiet", "--package", "roentgen", "--"]).args(arguments);
    become_it(app)
}

/// Packs the archives (`crates/dist`).
pub(crate) fn dist(root: &Path, arguments: &[OsString]) -> ExitCode {
    let mut packer = cargo(root, "run");
    packer.args(["--quiet", "--package", "roentgen-dist", "--"]).args(arguments);
    become_it(packer)
}

/// Replaces this process, so that Ctrl-C and the exit code reach the right one by themselves.
#[cfg(unix)]
fn become_it(mut command: Command) -> ExitCode {
    use std::os::unix::process::CommandExt;
    cannot_start(&command.exec())
}

/// Waits for the app, where a process can't be replaced.
#[cfg(not(unix))]
fn become_it(mut command: Command) -> ExitCode {
    match command.status() {
        Ok(status) => status.code().map_or(ExitCode::FAILURE, |code| ExitCode::from(code as u8)),
        Err(error) => cannot_start(&error),
    }
}

fn cannot_start(error: &std::io::Error) -> ExitCode {
    eprintln!("error: cannot start cargo: {error}; is it on the PATH?");
    ExitCode::FAILURE
}
