//! The launcher among stand-ins for the programs: shell scripts that print their level and arguments.
#![cfg(all(unix, target_arch = "x86_64"))]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held by an archive: a program that is being written can't be started, and a process that another test starts meanwhile
/// keeps the file open for a moment.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// An unpacked archive under the temporary folder; removed at the end.
struct Unpacked(PathBuf, #[expect(dead_code, reason = "released when dropped")] MutexGuard<'static, ()>);

impl Unpacked {
    fn new(name: &str, levels: &[&str]) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let root = std::env::temp_dir().join(format!("roentgen-launcher-{name}-{}", std::process::id()));
        fs::create_dir_all(root.join("bin")).expect("a folder");
        fs::copy(env!("CARGO_BIN_EXE_roentgen-launcher"), root.join("bin/roentgen")).expect("a copy");
        for level in levels {
            let folder = root.join("libexec/roentgen").join(level);
            fs::create_dir_all(&folder).expect("a folder");
            let program = folder.join("roentgen");
            fs::write(&program, format!("#!/bin/sh\necho {level} $$ \"$@\"\nexit 7\n")).expect("a script");
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
        }
        Self(root, turn)
    }

    fn call(&self, level: &str) -> Output {
        run(&self.0.join("bin/roentgen"), level)
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(program: &Path, level: &str) -> Output {
    let mut command = Command::new(program);
    command.args(["train", "two words"]).env("ROENTGEN_LEVEL", level);
    command.output().expect("the launcher starts")
}

/// Whether this machine can run the lowest level; if not, one line that the test is skipped.
fn has_v2() -> bool {
    let has = std::is_x86_feature_detected!("sse4.2") && std::is_x86_feature_detected!("popcnt");
    if !has {
        println!("skipped: this CPU is below x86-64-v2");
    }
    has
}

#[test]
fn the_launcher_becomes_the_program() {
    if !has_v2() {
        return;
    }
    let archive = Unpacked::new("becomes", &["x86-64-v2", "x86-64-v3", "x86-64-v4"]);
    let mut command = Command::new(archive.0.join("bin/roentgen"));
    let child = command.args(["train", "two words"]).env("ROENTGEN_LEVEL", "v2");
    let child = child.stdout(std::process::Stdio::piped()).spawn().expect("the launcher starts");
    let process = child.id();
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("x86-64-v2 {process} train two words\n"));
    assert_eq!(output.status.code(), Some(7), "the exit code of the program");
}

#[test]
fn without_the_variable_the_highest_level_of_this_cpu_runs() {
    if !has_v2() {
        return;
    }
    let archive = Unpacked::new("highest", &["x86-64-v2", "x86-64-v3", "x86-64-v4"]);
    let expected = match () {
        () if std::is_x86_feature_detected!("avx512vl") => "x86-64-v4",
        () if std::is_x86_feature_detected!("avx2") => "x86-64-v3",
        () => "x86-64-v2",
    };
    let output = archive.call("");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.starts_with(expected), "{printed} {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_link_to_the_launcher_finds_the_programs() {
    if !has_v2() {
        return;
    }
    let archive = Unpacked::new("link", &["x86-64-v2"]);
    let link = archive.0.join("somewhere");
    std::os::unix::fs::symlink(archive.0.join("bin/roentgen"), &link).expect("a link");
    assert_eq!(run(&link, "x86-64-v2").status.code(), Some(7));
}

#[test]
fn a_missing_program_and_an_unknown_level_are_one_line_and_exit_code_2() {
    if !has_v2() {
        return;
    }
    let archive = Unpacked::new("missing", &["x86-64-v3"]);
    for (level, cause) in
        [("v2", "libexec/roentgen/x86-64-v2/roentgen is missing"), ("best", "ROENTGEN_LEVEL is `best`")]
    {
        let output = archive.call(level);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(
            error.starts_with("error: ") && error.contains(cause) && error.lines().count() == 1,
            "{error}"
        );
    }
}
