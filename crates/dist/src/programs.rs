//! The programs: built by Cargo once for each level, with link-time optimisation, without shared libraries.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::VERSION;

/// What the archive is for.
pub(crate) struct Platform {
    /// The name of the architecture in file names.
    pub(crate) arch: &'static str,
    pub(crate) triple: &'static str,
    /// A program for each of these, chosen by the launcher; none if one program is for all CPUs.
    pub(crate) levels: &'static [&'static str],
    /// The CPU that the launcher is built for, or the program where there is no launcher.
    baseline: &'static str,
}

const X86_64: Platform = Platform {
    arch: "x86_64",
    triple: "x86_64-unknown-linux-gnu",
    levels: &["x86-64-v2", "x86-64-v3", "x86-64-v4"],
    baseline: "x86-64",
};
/// Every 64-bit ARM CPU has the vectors (NEON) that the kernels use.
const AARCH64: Platform =
    Platform { arch: "aarch64", triple: "aarch64-unknown-linux-gnu", levels: &[], baseline: "generic" };

impl Platform {
    /// The platform that this program runs on, which is the one that it builds for.
    pub(crate) fn of_this_machine() -> Result<Self, String> {
        match (env::consts::OS, env::consts::ARCH) {
            ("linux", "x86_64") => Ok(X86_64),
            ("linux", "aarch64") => Ok(AARCH64),
            (os, arch) => {
                Err(format!("archives are made on Linux, for x86-64 and aarch64; this is {os} on {arch}"))
            }
        }
    }

    /// The name of the archive without its ending, and of the folder in it.
    pub(crate) fn archive_stem(&self) -> String {
        format!("roentgen-{VERSION}-{}-linux", self.arch)
    }

    /// The CPUs that the program is built for, with the place of each program in the archive.
    fn programs(&self) -> Vec<(&'static str, String)> {
        if self.levels.is_empty() {
            return vec![(self.baseline, "bin/roentgen".to_owned())];
        }
        self.levels.iter().map(|level| (*level, program_path(level))).collect()
    }
}

/// Where the launcher looks for the program of a level. Not in `lib`, of which `pip install --target` drops all but Python.
pub(crate) fn program_path(level: &str) -> String {
    format!("libexec/roentgen/{level}/roentgen")
}

/// A program, and its place in the archive.
pub(crate) struct Program {
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
}

/// What was built.
pub(crate) struct Built {
    pub(crate) programs: Vec<Program>,
    /// A file that this machine can run, whatever it is.
    pub(crate) lowest: PathBuf,
}

/// Builds all programs for the platform.
pub(crate) fn build(root: &Path, platform: &Platform) -> Result<Built, String> {
    let target = root.join("target/dist");
    let mut programs = Vec::new();
    for (cpu, path) in platform.programs() {
        let bytes = build_one(root, platform.triple, "roentgen", cpu)?;
        let copy = target.join("programs").join(cpu).join("roentgen");
        save_program(&copy, &bytes).map_err(|error| format!("cannot write {}: {error}", copy.display()))?;
        programs.push(Program { path, bytes });
    }
    if !platform.levels.is_empty() {
        let bytes = build_one(root, platform.triple, "roentgen-launcher", platform.baseline)?;
        programs.push(Program { path: "bin/roentgen".to_owned(), bytes });
    }
    let lowest = platform.programs()[0].0;
    Ok(Built { programs, lowest: target.join("programs").join(lowest).join("roentgen") })
}

/// Builds one package, whose program has its name, for one CPU.
fn build_one(root: &Path, triple: &str, package: &str, cpu: &str) -> Result<Vec<u8>, String> {
    println!("dist: building {package} for {cpu} ...");
    let target = root.join("target/dist");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--locked", "--profile", "dist", "--bin", package, "--package", package]);
    // With `--target`, build scripts and macros are not built for the level, and once for all of them.
    cargo.args(["--target", triple, "--manifest-path"]).arg(root.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(&target);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", rust_flags(root, cpu));
    cargo.env("ROENTGEN_COMMIT", commit(root));
    match cargo.status() {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("cargo build of {package} for {cpu} failed: {status}")),
        Err(error) => return Err(format!("cannot start cargo: {error}")),
    }
    let program = target.join(triple).join("dist").join(package);
    fs::read(&program).map_err(|error| format!("cannot read {}: {error}", program.display()))
}

/// In place of the `target-cpu=native` of `.cargo/config.toml`; separated as `CARGO_ENCODED_RUSTFLAGS` has it.
fn rust_flags(root: &Path, cpu: &str) -> OsString {
    let home = env::var_os("CARGO_HOME")
        .map_or_else(|| PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cargo"), PathBuf::from);
    // Static, so that no particular C library is needed on the machine that runs it.
    let mut flags = OsString::from(format!("-Ctarget-cpu={cpu}\x1f-Ctarget-feature=+crt-static"));
    for (folder, name) in [(root, "roentgen"), (&home, "cargo")] {
        flags.push("\x1f--remap-path-prefix=");
        flags.push(folder);
        flags.push(format!("={name}"));
    }
    flags
}

/// The commit that is built, followed by `+` if files differ from it; empty outside a repository.
fn commit(root: &Path) -> String {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        let output = command.arg("-C").arg(root).args(args).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else { return String::new() };
    let is_modified = git(&["status", "--porcelain"]).is_some_and(|list| !list.is_empty());
    if is_modified { commit + "+" } else { commit }
}

fn save_program(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes)?;
    make_executable(path)
}

#[cfg(unix)]
fn make_executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_has_its_place_and_one_build_is_the_command_itself() {
        let places =
            |platform: &Platform| platform.programs().into_iter().map(|(_, path)| path).collect::<Vec<_>>();
        assert_eq!(
            places(&X86_64),
            ["x86-64-v2", "x86-64-v3", "x86-64-v4"].map(|level| format!("libexec/roentgen/{level}/roentgen"))
        );
        assert_eq!(places(&AARCH64), ["bin/roentgen"]);
    }
}
