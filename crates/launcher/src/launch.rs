//! From the launcher's own path to the program that it becomes.

use std::env;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::level::{self, Level};

/// The environment variable that forces a level.
const VARIABLE: &str = "ROENTGEN_LEVEL";

/// Becomes the program, with the arguments of this process; returns only an error.
pub(crate) fn run() -> String {
    match chosen_program() {
        Ok(program) => start(&program),
        Err(error) => error,
    }
}

fn chosen_program() -> Result<PathBuf, String> {
    let forced = env::var_os(VARIABLE).filter(|value| !value.is_empty());
    let forced = forced.as_deref().map(OsStr::to_string_lossy);
    let level = level::choose(forced.as_deref(), Level::missing)?;
    let own = own_path().ok_or("cannot find out where the launcher is; start it by its full path")?;
    program(&own, level)
}

/// The path of this file, with links followed.
fn own_path() -> Option<PathBuf> {
    // The system's answer needs /proc, which a bare root folder lacks. There the name of the call leads to it.
    env::current_exe().ok().or_else(|| {
        let name = env::args_os().next()?;
        found_by_name(Path::new(&name), &env::var_os("PATH").unwrap_or_default())
    })
}

/// The file that a shell starts by this name.
fn found_by_name(name: &Path, search_path: &OsStr) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return name.canonicalize().ok();
    }
    let files = env::split_paths(search_path).map(|folder| folder.join(name));
    files.filter(|file| file.is_file()).find_map(|file| file.canonicalize().ok())
}

/// The program for a level: `../libexec/roentgen/LEVEL/roentgen`, seen from the folder of the launcher.
fn program(own: &Path, level: Level) -> Result<PathBuf, String> {
    let root = own.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    let program = root.join("libexec/roentgen").join(level.name()).join("roentgen");
    if program.is_file() {
        return Ok(program);
    }
    Err(format!(
        "{} is missing; keep `bin` and `libexec` of the archive side by side, and link to {} instead of copying it",
        program.display(),
        own.display()
    ))
}

fn start(program: &Path) -> String {
    let error = Command::new(program).args(env::args_os().skip(1)).exec();
    format!("cannot start {}: {error}; unpack the archive again", program.display())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_program_is_beside_the_folder_of_the_launcher() {
        let own = Path::new("/nowhere/bin/roentgen");
        let error = program(own, Level::V3).expect_err("there is no such file");
        assert!(error.starts_with("/nowhere/libexec/roentgen/x86-64-v3/roentgen is missing"), "{error}");
    }

    #[test]
    fn without_proc_the_name_of_the_call_leads_to_the_launcher() {
        let root = env::temp_dir().join(format!("roentgen-launcher-{}", std::process::id()));
        let (bin, other) = (root.join("bin"), root.join("other"));
        fs::create_dir_all(&bin).expect("a folder");
        fs::create_dir_all(other.join("roentgen")).expect("a folder of that name");
        fs::write(bin.join("roentgen"), "").expect("a file");
        std::os::unix::fs::symlink(bin.join("roentgen"), root.join("link")).expect("a link");

        let expected = bin.join("roentgen").canonicalize().ok();
        let path = env::join_paths([&other, &bin]).expect("a search path");
        assert_eq!(found_by_name(Path::new("roentgen"), &path), expected);
        assert_eq!(found_by_name(&root.join("link"), OsStr::new("")), expected);
        assert_eq!(found_by_name(Path::new("roentgen"), other.as_os_str()), None);
        fs::remove_dir_all(&root).expect("the folder of the test");
    }
}
