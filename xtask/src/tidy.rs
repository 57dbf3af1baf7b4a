//! The rules on crates, modules and files that no other tool knows.
//!
//! 1. A crate depends only on crates below it ([`ALLOWED`]).
//! 2. Every Rust file starts with `//!` and has at most [`MAX_LINES`] lines.
//! 3. No file is called `mod.rs`, or by a name that says nothing of what is in it.
//! 4. Every library and program forbids unsafe code, and every crate takes the workspace's lints, which
//!    forbid it in tests and examples too.
//! 5. No file is larger than [`MAX_BYTES`].
//! 6. In the app and in the data crate, a module imports from lower floors only, and there is no import cycle
//!    ([`floors`]).
//! 7. In the app and in the data crate, `disk.rs` alone operates on files, so that tests can let every operation fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::floors::{self, BUILDINGS, Module};

/// Which crates of this workspace each of its packages may name, in whatever kind of dependency.
const ALLOWED: &[(&str, &[&str])] = &[
    ("roentgen-tensor", &[]),
    ("roentgen-layers", &["roentgen-tensor"]),
    ("roentgen-optim", &["roentgen-tensor"]),
    ("roentgen-data", &["roentgen-tensor"]),
    ("roentgen", &["roentgen-tensor", "roentgen-layers", "roentgen-optim", "roentgen-data"]),
    (
        "roentgen-tests",
        &["roentgen-tensor", "roentgen-layers", "roentgen-optim", "roentgen-data", "roentgen"],
    ),
    ("roentgen-launcher", &[]),
    ("roentgen-dist", &[]),
    ("xtask", &[]),
    ("roentgen-fuzz", &["roentgen"]),
];
/// Modules that operate on files: the one through which all others do; readers as fuzzing calls them; the system's own files.
const OPERATE_ON_FILES: &[&str] = &["disk", "fuzzing", "memory"];
/// Beginnings of paths to functions that operate on files.
const FILE_MODULES: &[&str] = &["fs::", "fs::File::", "File::"];
/// Other names by which files are opened and made.
const FILE_OPERATIONS: &[&str] = &["OpenOptions", "DirBuilder", "tempfile", "save_with_format("];
const MAX_LINES: usize = 500;
const MAX_BYTES: u64 = 1 << 20;
const VAGUE_NAMES: &[&str] = &["mod.rs", "utils.rs", "util.rs", "helpers.rs", "common.rs", "misc.rs"];

/// Checks the workspace at `root` and prints what breaks a rule.
pub(crate) fn run(root: &Path) -> ExitCode {
    match check(root) {
        Ok(violations) if violations.is_empty() => ExitCode::SUCCESS,
        Ok(violations) => {
            for violation in &violations {
                eprintln!("tidy: {violation}");
            }
            eprintln!("tidy: {} broken rules; xtask/src/tidy.rs explains them", violations.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("tidy: cannot read the workspace: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Everything under `root` that breaks a rule, one line each.
fn check(root: &Path) -> std::io::Result<Vec<String>> {
    let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let mut files = Vec::new();
    list_files(
        root,
        &ignored.lines().map(|line| root.join(line.trim_matches('/'))).collect::<Vec<_>>(),
        &mut files,
    )?;
    files.sort();
    let mut violations = Vec::new();
    let mut modules = BUILDINGS.map(|_| Vec::new());
    for path in &files {
        let shown = path.strip_prefix(root).unwrap_or(path).display().to_string();
        let n_bytes = fs::symlink_metadata(path)?.len();
        if n_bytes > MAX_BYTES {
            violations.push(format!("{shown}: {n_bytes} bytes; files may have {MAX_BYTES}"));
        } else if path.ends_with("Cargo.toml") {
            violations.extend(
                manifest_violations(&fs::read_to_string(path)?).iter().map(|f| format!("{shown}: {f}")),
            );
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path)?;
            violations.extend(source_violations(path, &text).iter().map(|f| format!("{shown}: {f}")));
            for (building, modules) in BUILDINGS.iter().zip(&mut modules) {
                let inside = path.strip_prefix(root.join(building.folder)).ok().and_then(Path::to_str);
                modules.extend(inside.map(|relative| Module::new(relative, text.clone())));
            }
        }
    }
    for (building, modules) in BUILDINGS.iter().zip(&modules) {
        let found = floors::violations(building, modules);
        let operations = modules.iter().flat_map(file_operations);
        let shown = |violation| format!("{}: {violation}", building.folder);
        violations.extend(found.into_iter().chain(operations).map(shown));
    }
    Ok(violations)
}

/// The lines of a module that operate on files, unless the module is allowed to. Tests may operate on files. Names under `/proc`
/// and `/sys` are not counted: they are values of the system, not files.
fn file_operations(module: &Module) -> Vec<String> {
    let name = module.path.join("/");
    let is_test = module.path.iter().any(|name| name == "tests" || name.ends_with("_tests"));
    if is_test || OPERATE_ON_FILES.iter().any(|allowed| name.starts_with(allowed)) {
        return Vec::new();
    }
    let code = floors::without_tests_and_comments(&module.text);
    let is_of_system = |line: &str| ["\"/proc/", "\"/sys/"].iter().any(|folder| line.contains(folder));
    let lines = code.lines().filter(|line| operates_on_files(line) && !is_of_system(line));
    lines.map(|line| format!("{name}.rs: call roentgen_data::disk instead of `{}`", line.trim())).collect()
}

/// Whether a line has the path of a function of `std::fs`, or another name by which files are opened. Types, which begin with a
/// capital letter, and paths into other modules, such as `rustix::fs::`, do not count.
fn operates_on_files(line: &str) -> bool {
    let has_function_of = |module: &&str| {
        line.match_indices(*module).any(|(at, _)| {
            let is_whole = floors::is_word_start(line, at) || line[..at].ends_with("std::");
            is_whole && line[at + module.len()..].starts_with(char::is_lowercase)
        })
    };
    FILE_MODULES.iter().any(has_function_of)
        || FILE_OPERATIONS.iter().any(|operation| line.contains(operation))
}

/// All files below `folder`, without version control's own and what it ignores.
fn list_files(folder: &Path, ignored: &[PathBuf], files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if ignored.contains(&path) || entry.file_name() == ".git" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            list_files(&path, ignored, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// What is wrong with one manifest: lints left out, dependencies that point upwards or sideways.
fn manifest_violations(manifest: &str) -> Vec<String> {
    let mut section = String::new();
    let mut package = String::new();
    let mut named = Vec::new();
    let mut takes_lints = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_matches(['[', ']']).to_owned();
            // `[dependencies.roentgen-data]` names its crate in the header.
            if let Some((_, name)) = section.split_once("dependencies.") {
                named.push(name.to_owned());
            }
        } else if section == "package" && line.starts_with("name") {
            package = line.split('"').nth(1).unwrap_or_default().to_owned();
        } else if section == "lints" {
            takes_lints |= line == "workspace = true";
        } else if section.contains("dependencies.") && line.starts_with("package") {
            // A renamed dependency names its crate in a line of its own.
            named.extend(line.split(['"', '\'']).nth(1).map(str::to_owned));
        } else if section.ends_with("dependencies") && section != "workspace.dependencies" {
            let is_name = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
            let line = line.split('#').next().unwrap_or_default();
            if package == "xtask" && !line.is_empty() {
                named.push(line.to_owned());
            }
            named.extend(line.split(|c| !is_name(c)).map(str::to_owned));
        }
    }
    if package.is_empty() {
        return Vec::new(); // the workspace's own
    }
    let mut violations = Vec::new();
    // The fuzzing targets are a workspace of their own, which has no lints to take over.
    if !takes_lints && package != "roentgen-fuzz" {
        violations.push("add `[lints]` with `workspace = true`".to_owned());
    }
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package) else {
        violations.push(format!(
            "package {package} is not in the list of crates; add it and what it may depend on in tidy.rs"
        ));
        return violations;
    };
    let is_ours = |name: &str| ALLOWED.iter().any(|(ours, _)| *ours == name) || package == "xtask";
    let wrong =
        named.iter().filter(|name| !name.is_empty() && is_ours(name) && !allowed.contains(&name.as_str()));
    violations.extend(wrong.map(|name| format!("{package} may not depend on {name}")));
    violations
}

/// What is wrong with one Rust file.
fn source_violations(path: &Path, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if VAGUE_NAMES.contains(&name) {
        violations
            .push("name the file after what is in it (`foo.rs` beside `foo/`, not `foo/mod.rs`)".to_owned());
    }
    if !text.starts_with("//!") {
        violations.push("start with `//!` and what the file is about".to_owned());
    }
    let n_lines = text.lines().count();
    if n_lines > MAX_LINES {
        violations.push(format!("{n_lines} lines; split it at {MAX_LINES}"));
    }
    let is_crate_root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
    if is_crate_root && !text.lines().any(|line| line == "#![forbid(unsafe_code)]") {
        violations.push("a crate root, so it needs `#![forbid(unsafe_code)]`".to_owned());
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace");
        let violations = check(root).expect("the workspace can be read");
        assert!(violations.is_empty(), "{}", violations.join("\n"));
    }

    #[test]
    fn wrong_edges_are_found_however_they_are_written() {
        let violations = |package: &str, dependency: &str| {
            let head = format!("[package]\nname = \"{package}\"\n[lints]\nworkspace = true\n");
            manifest_violations(&(head + dependency)).len()
        };
        let sideways = [
            "[dependencies]\nroentgen-data.workspace = true",
            "[dev-dependencies]\nroentgen-data = { workspace = true }",
            "[dependencies.roentgen-data]\nworkspace = true",
            "[target.'cfg(unix)'.dependencies]\nother = { package = \"roentgen-data\", path = \"../data\" }",
            "[dependencies.other]\npackage = \"roentgen-data\"\npath = \"../data\"",
        ];
        for dependency in sideways {
            assert_eq!(violations("roentgen-layers", dependency), 1, "{dependency}");
            assert_eq!(violations("roentgen", dependency), 0, "{dependency}");
        }
        assert_eq!(violations("roentgen-tensor", "[dependencies]\nroentgen.workspace = true"), 1);
        assert_eq!(violations("roentgen-tensor", "[dependencies]\nrayon.workspace = true # not roentgen"), 0);
        assert!(violations("xtask", "[dependencies]\nrayon = \"1\"") > 0);
        assert_eq!(violations("newcomer", ""), 1);
        assert_eq!(manifest_violations("[package]\nname = \"xtask\"\n").len(), 1, "lints left out");
    }

    #[test]
    fn operations_on_files_are_found_outside_of_their_module() {
        let n_found = |path: &str, line: &str| {
            file_operations(&Module::new(
                path,
                format!("//! About.\n{line}\n#[cfg(test)]\nmod tests {{ fs::read(x) }}"),
            ))
            .len()
        };
        for line in [
            "    fs::write(path, bytes)?;",
            "let file = File::open(path)?;",
            "let file = Some(File::create(path)?);",
            "    if std::fs::read_dir(x)",
            "let length = std::fs::metadata(path)?.len();",
            "copied += std::fs::copy(from, to)?;",
            "    if !fs::exists(path)? {",
            "paths.map(fs::read)",
            "let file = std::fs::File::options();",
            "fs::DirBuilder::new().recursive(true)",
        ] {
            assert_eq!(n_found("model/onnx.rs", line), 1, "{line}");
            assert_eq!(n_found("disk/faults.rs", line), 0, "{line}");
            assert_eq!(n_found("training/durability_tests.rs", line), 0, "{line}");
        }
        for line in [
            "disk::remove(path)?",
            "fs::read_to_string(\"/proc/self/status\")",
            "fs::read_to_string(format!(\"/sys/devices/{name}\"))",
            "use rustix::fs::{OFlags};",
            "rustix::fs::fcntl_getfl(file)",
            "use std::fs::{self, File};",
            "path.metadata().ok().filter(std::fs::Metadata::is_file)?",
        ] {
            assert_eq!(n_found("model/onnx.rs", line), 0, "{line}");
        }
    }

    #[test]
    fn violations_of_source_files_are_found() {
        let violations = |path: &str, text: &str| source_violations(Path::new(path), text).len();
        assert_eq!(violations("crates/x/src/relu.rs", "//! Fine.\n"), 0);
        assert_eq!(violations("crates/x/src/relu.rs", "fn f() {}\n"), 1);
        assert_eq!(violations("crates/x/src/utils.rs", "//! Vague.\n"), 1);
        assert_eq!(violations("crates/x/src/lib.rs", "//! No lint.\n"), 1);
        assert_eq!(violations("crates/x/src/lib.rs", "//! Fine.\n#![forbid(unsafe_code)]\n"), 0);
        assert_eq!(violations("crates/x/src/relu.rs", &"//!\n".repeat(MAX_LINES + 1)), 1);
    }
}
