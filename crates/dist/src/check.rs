//! `--check`: unpacks the archive, installs the wheel, and runs the programs in them as far as this machine can.
//!
//! What needs root, `python3` with `venv`, or `qemu-x86_64` is skipped with one line where that is missing.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;

use crate::checksums;
use crate::contents::printed;
use crate::programs::{Platform, program_path};

/// A short measurement, whose JSON names what the program was built for.
const BENCH: [&str; 8] = ["bench", "--filter", "infer:1", "--size", "8", "--threads", "1", "--json"];
/// Training in which nothing is left out, of a network that is small enough for an emulated CPU.
const TRAIN: [&str; 12] =
    ["train", "--epochs", "1", "--width", "16", "--size", "8", "--threads", "1", "--quiet", "--out", "run"];
/// The default training, short.
const TRAIN_DEFAULT: [&str; 5] = ["train", "--epochs", "2", "--out", "/run"];

/// Checks the archive and the wheel of these names in `folder`.
pub(crate) fn run(folder: &Path, platform: &Platform, names: &[String; 2]) -> Result<(), String> {
    let temporary =
        tempfile::tempdir().map_err(|error| format!("cannot make a temporary folder: {error}"))?;
    let [archive, wheel] = names.each_ref().map(|name| folder.join(name));
    let root = unpacked(&archive, temporary.path(), platform)?;
    check_sums(&root)?;
    for &level in platform.levels {
        check_level(&root, level)?;
    }
    check_empty_root(&root)?;
    check_old_cpu(&root, platform, temporary.path())?;
    check_wheel(&wheel, temporary.path())?;
    println!("dist: all checks passed");
    Ok(())
}

/// Unpacks the archive, and returns the folder in it.
fn unpacked(archive: &Path, folder: &Path, platform: &Platform) -> Result<PathBuf, String> {
    let wrong = |error: std::io::Error| format!("cannot unpack {}: {error}", archive.display());
    let file = fs::File::open(archive).map_err(wrong)?;
    tar::Archive::new(GzDecoder::new(file)).unpack(folder).map_err(wrong)?;
    Ok(folder.join(platform.archive_stem()))
}

/// Compares each file with `SHA256SUMS`.
fn check_sums(root: &Path) -> Result<(), String> {
    let read = |path: &str| fs::read(root.join(path)).map_err(|error| format!("cannot read {path}: {error}"));
    let sums = String::from_utf8_lossy(&read("SHA256SUMS")?).into_owned();
    for line in sums.lines() {
        let (_, path) = line.split_once("  ").ok_or_else(|| format!("a checksum without a file: {line}"))?;
        if checksums::sums([(path, read(path)?.as_slice())]) != format!("{line}\n") {
            return Err(format!("{path} does not have its checksum"));
        }
    }
    println!("dist: checksums: {} files", sums.lines().count());
    Ok(())
}

/// Forces a level: its program runs, or the launcher names what this CPU lacks.
fn check_level(root: &Path, level: &str) -> Result<(), String> {
    let mut command = Command::new(root.join("bin/roentgen"));
    match printed(command.args(BENCH).env("ROENTGEN_LEVEL", level)) {
        Ok(json) => is_built_for(&json, level),
        Err(error) if error.contains("this CPU lacks") => {
            println!("dist: {level}: skipped, this CPU lacks it");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Whether the JSON of a bench is from a program for this level.
fn is_built_for(json: &[u8], level: &str) -> Result<(), String> {
    let value: serde_json::Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    if value["build_target"] != level {
        return Err(format!("a program for {level} names {} in its bench", value["build_target"]));
    }
    println!("dist: {level}: runs");
    Ok(())
}

/// Trains and predicts in a root folder that has nothing but the archive.
fn check_empty_root(root: &Path) -> Result<(), String> {
    let chroot = |arguments: &[&str]| {
        let mut command = Command::new("chroot");
        command.arg(root).arg("/bin/roentgen").args(arguments);
        command
    };
    // What `chroot` itself could not do; what the program could not is a fault.
    let is_missing =
        |error: &String| error.starts_with("cannot start ") || error.contains("exit status: 125: ");
    if printed(&mut chroot(&["--version"])).is_err_and(|error| is_missing(&error)) {
        println!("dist: empty root: skipped, chroot needs root");
        return Ok(());
    }
    let trained = printed(&mut chroot(&TRAIN_DEFAULT))?;
    printed(&mut chroot(&["data", "phantom", "--films", "48", "--out", "/films", "--quiet"]))?;
    let predictions = printed(&mut chroot(&["predict", "/run", "/films/test", "--csv"]))?;
    let trained = String::from_utf8_lossy(&trained);
    let line = trained.lines().find(|line| line.starts_with("test ")).unwrap_or_default();
    let n_rows = String::from_utf8_lossy(&predictions).lines().count();
    println!("dist: empty root: trained two epochs, {line}; predicted {} images", n_rows.saturating_sub(1));
    Ok(())
}

/// Runs the lowest level as on a Nehalem of 2008, which has x86-64-v2 and not more.
fn check_old_cpu(root: &Path, platform: &Platform, folder: &Path) -> Result<(), String> {
    let Some(&lowest) = platform.levels.first() else { return Ok(()) };
    let qemu = |program: &Path, arguments: &[&str]| {
        let mut command = Command::new("qemu-x86_64");
        command.args(["-cpu", "Nehalem"]).arg(program).args(arguments).current_dir(folder);
        command
    };
    if Command::new("qemu-x86_64").arg("--version").output().is_err() {
        println!("dist: emulated CPU of 2008: skipped, there is no qemu-x86_64");
        return Ok(());
    }
    // The emulated launcher starts the program on the real CPU, so the program is also emulated by itself.
    is_built_for(&printed(&mut qemu(&root.join("bin/roentgen"), &BENCH))?, lowest)?;
    printed(&mut qemu(&root.join(program_path(lowest)), &TRAIN))?;
    println!("dist: emulated CPU of 2008: the launcher chooses {lowest}, which trains");
    Ok(())
}

/// Installs the wheel in a new environment, and starts the command.
fn check_wheel(wheel: &Path, folder: &Path) -> Result<(), String> {
    let venv = folder.join("venv");
    let python = |program: &OsStr, arguments: &[&OsStr]| printed(Command::new(program).args(arguments));
    if python("python3".as_ref(), &["-m".as_ref(), "venv".as_ref(), venv.as_ref()]).is_err() {
        println!("dist: wheel: skipped, `python3 -m venv` does not work");
        return Ok(());
    }
    python(venv.join("bin/pip").as_ref(), &["install".as_ref(), "--no-index".as_ref(), wheel.as_ref()])?;
    let version = python(venv.join("bin/roentgen").as_ref(), &["--version".as_ref()])?;
    println!("dist: wheel: installed; {}", String::from_utf8_lossy(&version).trim());
    Ok(())
}
