//! `cargo xtask dist`: the archive and the wheel for distribution.
//!
//! 1. [`programs`] builds the program for each level of x86-64, and the launcher that chooses one.
//! 2. [`contents`] adds the documentation, manual pages, completions, licences ([`licences`]) and the bill of materials
//!    ([`bill_of_materials`]), both from what Cargo knows of the dependencies ([`metadata`]).
//! 3. [`archive`] and [`wheel`] pack the same files, and [`output`] writes both and their checksums: no file gets its name before all are
//!    on the disk.
//! 4. [`check`], with `--check`, unpacks, installs and runs them.
//!
//! The same sources, packed by the same compiler, give the same bytes: files are sorted and have one fixed date, and no
//! program contains the name of a folder of the machine that built it.
//!
//! A crate of its own, and not a part of `xtask`: it needs libraries, and `xtask` is built before everything else.
#![forbid(unsafe_code)]

mod archive;
mod bill_of_materials;
mod check;
mod checksums;
mod contents;
mod licences;
mod metadata;
mod output;
mod programs;
mod wheel;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// The version of all crates of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

const HELP: &str = "\
Usage: cargo xtask dist [--out DIR] [--check]

Builds the program for x86-64-v2, -v3 and -v4, and packs it with a launcher that chooses one:
  roentgen-VERSION-x86_64-linux.tar.gz   unpack and run bin/roentgen
  roentgen-VERSION-py3-none-*.whl        `pip install` it for the command roentgen
  SHA256SUMS                             the checksums of both

  --out DIR   the folder for them [default: target/packages]
  --check     also unpack and install them, and run each program that this machine can run; as root,
              in an empty root folder; with qemu-x86_64, also as on a CPU of 2008
";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
struct Request {
    out: PathBuf,
    check: bool,
}

fn main() -> ExitCode {
    // The manifest lies two folders below the root of the workspace.
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies in the workspace");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let (error, code) = match parse(&arguments, root) {
        Ok(request) => match run(root, &request) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => (error, 1),
        },
        Err(error) => (format!("{error}; `cargo xtask dist --help` explains the flags"), 2),
    };
    eprintln!("error: {error}");
    ExitCode::from(code)
}

fn parse(arguments: &[String], root: &Path) -> Result<Request, String> {
    let mut request = Request { out: root.join("target/packages"), check: false };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--check" => request.check = true,
            "--out" => request.out = rest.next().ok_or("--out needs a folder")?.into(),
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    Ok(request)
}

fn run(root: &Path, request: &Request) -> Result<(), String> {
    let start = Instant::now();
    let platform = programs::Platform::of_this_machine()?;
    let built = programs::build(root, &platform)?;
    let components = metadata::shipped(root, platform.triple)?;
    let files = contents::gather(root, &built, &components)?;
    let packages = [
        (format!("{}.tar.gz", platform.archive_stem()), archive::tar_gz(&platform.archive_stem(), &files)?),
        (wheel::file_name(&platform), wheel::whl(&platform, &files)?),
    ];
    output::write(&request.out, &packages)?;
    for (name, bytes) in &packages {
        println!("dist: {} {:.1} MB", request.out.join(name).display(), bytes.len() as f64 / 1e6);
    }
    println!("dist: after {:.0} s", start.elapsed().as_secs_f64());
    if request.check { check::run(&request.out, &platform, &packages.map(|(name, _)| name)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_and_unknown_ones_are_errors() {
        let read = |arguments: &[&str]| {
            parse(&arguments.iter().map(|&argument| argument.to_owned()).collect::<Vec<_>>(), Path::new("/w"))
        };
        let default = Request { out: "/w/target/packages".into(), check: false };
        assert_eq!(read(&[]), Ok(default));
        assert_eq!(read(&["--check", "--out", "d"]), Ok(Request { out: "d".into(), check: true }));
        assert!(read(&["--out"]).is_err_and(|error| error.contains("--out needs a folder")));
        assert!(read(&["d"]).is_err_and(|error| error.contains("`d`")));
    }
}
