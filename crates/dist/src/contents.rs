//! The files of the archive: programs, and what a user finds beside them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::metadata::Component;
use crate::programs::Built;
use crate::{bill_of_materials, licences};

/// Files of the repository at the top of the archive.
const TOP: [&str; 4] = ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];
/// Where shells look for completions below a prefix such as `/usr/local`.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/roentgen"),
    ("fish", "share/fish/vendor_completions.d/roentgen.fish"),
    ("zsh", "share/zsh/site-functions/_roentgen"),
];
/// The folder of licences and the bill of materials.
const DOC: &str = "share/doc/roentgen";

/// A file of the archive.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct File {
    /// Where it lies in the archive, separated by `/`.
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_program: bool,
}

impl File {
    pub(crate) fn new(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), bytes: bytes.into(), is_program: false }
    }

    /// The mode that it is unpacked with.
    pub(crate) fn mode(&self) -> u32 {
        if self.is_program { 0o755 } else { 0o644 }
    }
}

/// All files, sorted by path.
pub(crate) fn gather(root: &Path, built: &Built, components: &[Component]) -> Result<Vec<File>, String> {
    let mut files: Vec<File> = built
        .programs
        .iter()
        .map(|program| File { path: program.path.clone(), bytes: program.bytes.clone(), is_program: true })
        .collect();
    for name in TOP {
        files.push(File::new(name, read(&root.join(name))?));
    }
    files.push(File::new(format!("{DOC}/install.md"), read(&root.join("docs/install.md"))?));
    for (shell, path) in COMPLETIONS {
        files.push(File::new(path, printed(Command::new(&built.lowest).args(["completions", shell]))?));
    }
    files.extend(manual_pages(&built.lowest)?);
    files.push(File::new(format!("{DOC}/THIRD-PARTY-LICENSES.txt"), licences::collected(components)?));
    let version = String::from_utf8_lossy(&printed(Command::new("rustc").arg("--version"))?).into_owned();
    let version = version.split(' ').nth(1).unwrap_or_default();
    files.push(File::new(
        format!("{DOC}/roentgen.cdx.json"),
        bill_of_materials::cyclone_dx(components, version),
    ));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The pages that `roentgen man --out` writes.
fn manual_pages(program: &Path) -> Result<Vec<File>, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("cannot make a temporary folder: {error}"))?;
    printed(Command::new(program).args(["man", "--out"]).arg(folder.path()))?;
    let unreadable = |error| format!("cannot read {}: {error}", folder.path().display());
    let mut pages = Vec::new();
    for entry in fs::read_dir(folder.path()).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        pages.push(File::new(format!("share/man/man1/{name}"), read(&entry.path())?));
    }
    Ok(pages)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// What a program prints; an error if it fails.
pub(crate) fn printed(command: &mut Command) -> Result<Vec<u8>, String> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|error| format!("cannot start {shown}: {error}"))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(format!("{shown}: {}: {error}", output.status))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Stand-ins for the files of an archive, sorted.
    pub(crate) fn some_files() -> Vec<File> {
        let program = |path: &str, text: &str| {
            let bytes = text.as_bytes().to_vec();
            File { path: path.to_owned(), bytes, is_program: true }
        };
        vec![
            File::new("LICENSE-MIT", "as you like\n"),
            File::new("README.md", "# Roentgen\n"),
            program(
                "bin/roentgen",
                "#!/bin/sh\nexec \"${0%/*}/../libexec/roentgen/x86-64-v2/roentgen\" \"$@\"\n",
            ),
            program("libexec/roentgen/x86-64-v2/roentgen", "#!/bin/sh\necho stand-in \"$@\"\n"),
            File::new("share/man/man1/roentgen.1", ".TH roentgen 1\n"),
        ]
    }
}
