//! The wheel: the same files as a Python package, which `pip install` puts into an environment.
//!
//! It has no Python code. Its name is that of a wheel for any Linux, for the programs are linked statically: manylinux2014 is
//! what pip looks for where there is glibc, musllinux where there is musl. The format is that of the Python packaging
//! guide, "Binary distribution format".

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::VERSION;
use crate::checksums;
use crate::contents::{DOC, File};
use crate::programs::Platform;

const SUMMARY: &str = "Trains, tests and explains a ResNet9 image classifier on a CPU";
const LICENCES: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "share/doc/roentgen/THIRD-PARTY-LICENSES.txt"];

/// The platforms in the name of the wheel.
fn platforms(platform: &Platform) -> [String; 2] {
    ["manylinux2014", "musllinux_1_1"].map(|system| format!("{system}_{}", platform.arch))
}

/// The name of the wheel, from which pip reads where it fits.
pub(crate) fn file_name(platform: &Platform) -> String {
    format!("roentgen-{VERSION}-py3-none-{}.whl", platforms(platform).join("."))
}

/// The bytes of the wheel.
pub(crate) fn whl(platform: &Platform, files: &[File]) -> Result<Vec<u8>, String> {
    let mut entries: Vec<File> = files.iter().map(in_environment).collect();
    entries.extend(dist_info(platform, files));
    let record_path = format!("roentgen-{VERSION}.dist-info/RECORD");
    entries.push(File::new(record_path.clone(), record(&entries, &record_path)));
    zipped(&entries).map_err(|error| format!("cannot pack the wheel: {error}"))
}

/// Where pip puts a file: commands into `bin`, `libexec` and `share` into the folders of these names beside it, and all pages
/// into one folder below `share`, where their links to each other lead somewhere.
fn in_environment(file: &File) -> File {
    let place = match file.path.split_once('/') {
        Some(("bin", name)) => format!("scripts/{name}"),
        Some(("libexec" | "share", _)) => format!("data/{}", file.path),
        _ => format!("data/{DOC}/{}", file.path),
    };
    File { path: format!("roentgen-{VERSION}.data/{place}"), ..file.clone() }
}

/// The description of the package, and its licences.
fn dist_info(platform: &Platform, files: &[File]) -> Vec<File> {
    let folder = format!("roentgen-{VERSION}.dist-info");
    let found = |name: &str| files.iter().find(|file| file.path == name);
    let licences: Vec<(&str, &File)> = LICENCES
        .iter()
        .filter_map(|path| Some((path.rsplit('/').next().unwrap_or(path), found(path)?)))
        .collect();

    let mut metadata = format!(
        "Metadata-Version: 2.4\nName: roentgen\nVersion: {VERSION}\nSummary: {SUMMARY}\nLicense-Expression: MIT OR Apache-2.0\n"
    );
    for (name, _) in &licences {
        let _ = writeln!(metadata, "License-File: {name}");
    }
    let readme = found("README.md").map(|file| String::from_utf8_lossy(&file.bytes)).unwrap_or_default();
    let _ = write!(metadata, "Description-Content-Type: text/markdown\n\n{readme}");

    let mut wheel =
        format!("Wheel-Version: 1.0\nGenerator: roentgen-dist {VERSION}\nRoot-Is-Purelib: false\n");
    for system in platforms(platform) {
        let _ = writeln!(wheel, "Tag: py3-none-{system}");
    }
    let mut entries =
        vec![File::new(format!("{folder}/METADATA"), metadata), File::new(format!("{folder}/WHEEL"), wheel)];
    let licences = licences
        .into_iter()
        .map(|(name, file)| File::new(format!("{folder}/licenses/{name}"), file.bytes.clone()));
    entries.extend(licences);
    entries
}

/// The list of all entries with digest and size, at last the list itself, which has neither.
fn record(entries: &[File], own_path: &str) -> String {
    let mut text = String::new();
    for File { path, bytes, .. } in entries {
        let digest = URL_SAFE_NO_PAD.encode(checksums::digest(bytes));
        let _ = writeln!(text, "{path},sha256={digest},{}", bytes.len());
    }
    text + own_path + ",,\n"
}

fn zipped(entries: &[File]) -> zip::result::ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for entry in entries {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(9))
            .last_modified_time(DateTime::DEFAULT)
            .unix_permissions(entry.mode());
        zip.start_file(entry.path.as_str(), options)?;
        zip.write_all(&entry.bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::process::Command;

    use super::*;
    use crate::contents::tests::some_files;

    /// A wheel of stand-ins for this machine, or one line that the test is skipped.
    fn some_wheel() -> Option<(String, Vec<u8>)> {
        match Platform::of_this_machine() {
            Ok(platform) => Some((file_name(&platform), whl(&platform, &some_files()).expect("a wheel"))),
            Err(reason) => {
                println!("skipped: {reason}");
                None
            }
        }
    }

    #[test]
    fn the_record_has_the_digest_of_each_entry() {
        let Some((_, bytes)) = some_wheel() else { return };
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).expect("a zip file");
        let mut entries = Vec::new();
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index).expect("an entry");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("its bytes");
            let is_program = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
            let path = entry.name().expect("a name").into_owned();
            entries.push(File { path, bytes, is_program });
        }
        let written = entries.pop().expect("the record");
        assert_eq!(String::from_utf8_lossy(&written.bytes), record(&entries, &written.path));
        let programs = entries.iter().filter(|entry| entry.is_program).map(|entry| entry.path.as_str());
        let data = format!("roentgen-{VERSION}.data");
        let expected =
            [format!("{data}/scripts/roentgen"), format!("{data}/data/libexec/roentgen/x86-64-v2/roentgen")];
        assert!(programs.eq(expected.iter().map(String::as_str)));
        for page in ["README.md", "docs/data.md"] {
            let path = format!("{data}/data/share/doc/roentgen/{page}");
            assert!(entries.iter().any(|entry| entry.path == path), "{path}");
        }
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        assert_eq!(some_wheel(), some_wheel());
    }

    #[test]
    fn pip_installs_the_wheel_and_the_command_finds_its_program() {
        let Some((name, bytes)) = some_wheel() else { return };
        let folder = tempfile::tempdir().expect("a folder");
        let (wheel, target) = (folder.path().join(name), folder.path().join("installed"));
        fs::write(&wheel, bytes).expect("a file");
        let pip = |arguments: &[&str]| {
            let mut command = Command::new("python3");
            command.args(["-m", "pip", "--disable-pip-version-check"]).args(arguments);
            command
        };
        if !pip(&["--version"]).output().is_ok_and(|output| output.status.success()) {
            println!("skipped: there is no pip");
            return;
        }
        let mut install = pip(&["install", "--no-index", "--no-deps", "--target"]);
        let output = install.arg(&target).arg(&wheel).output().expect("pip starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let output = Command::new(target.join("bin/roentgen")).arg("train").output().expect("it starts");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "stand-in train\n");
    }
}
