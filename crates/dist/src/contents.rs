//! The files of the archive: programs, and what a user finds beside them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::metadata::Component;
use crate::programs::Built;
use crate::{bill_of_materials, licences};

/// Pages of the repository that have the same place in the archive, so that their links to each other lead somewhere. So do all
/// files of [`DOCS`].
const PAGES: [&str; 7] = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "data/README.md",
];
const DOCS: &str = "docs";
/// Where shells look for completions below a prefix such as `/usr/local`.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/roentgen"),
    ("fish", "share/fish/vendor_completions.d/roentgen.fish"),
    ("zsh", "share/zsh/site-functions/_roentgen"),
];
/// The folder of licences and the bill of materials.
pub(crate) const DOC: &str = "share/doc/roentgen";

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
    files.extend(pages(root)?);
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

/// What there is to read: the pages at the top of the repository and in [`DOCS`].
fn pages(root: &Path) -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    for path in PAGES {
        files.push(File::new(path, read(&root.join(path))?));
    }
    add_folder(root, DOCS, &mut files)?;
    Ok(files)
}

/// Adds all files in `folder` and below.
fn add_folder(root: &Path, folder: &str, files: &mut Vec<File>) -> Result<(), String> {
    let unreadable = |error| format!("cannot read {}: {error}", root.join(folder).display());
    for entry in fs::read_dir(root.join(folder)).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().map_err(unreadable)?.is_dir() {
            add_folder(root, &path, files)?;
        } else {
            files.push(File::new(path, read(&entry.path())?));
        }
    }
    Ok(())
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

    /// A heading as the end of a link names it: `#what-is-read`.
    fn anchor(heading: &str) -> String {
        let is_part = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        heading.to_lowercase().chars().filter(is_part).collect::<String>().replace(' ', "-")
    }

    /// What is wrong with a link of the page `from`. Files of the repository that are no pages, such as source, are not packed.
    fn broken(root: &Path, pages: &[File], from: &str, link: &str) -> Option<String> {
        let (target, heading) = link.split_once('#').unwrap_or((link, ""));
        let mut path = Path::new(from).parent().unwrap_or(Path::new("")).to_owned();
        for part in target.split('/').filter(|part| !part.is_empty()) {
            match part {
                ".." => drop(path.pop()),
                _ => path.push(part),
            }
        }
        let path = if target.is_empty() { from.to_owned() } else { path.display().to_string() };
        if !root.join(&path).exists() {
            return Some(format!("{from}: {link} leads to nothing"));
        }
        if !path.ends_with(".md") {
            return None;
        }
        let Some(page) = pages.iter().find(|page| page.path == path) else {
            // Read by those who have the source.
            return (!path.starts_with("fuzz/")).then(|| format!("{from}: {link} is not packed"));
        };
        let text = String::from_utf8_lossy(&page.bytes);
        let mut headings = text.lines().filter(|line| line.starts_with('#'));
        let is_there = |line: &str| anchor(line.trim_start_matches('#').trim()) == heading;
        (!heading.is_empty() && !headings.any(is_there)).then(|| format!("{from}: {link} names no heading"))
    }

    #[test]
    fn links_of_the_pages_lead_somewhere() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace");
        let pages = pages(root).expect("the pages can be read");
        let (mut n_links, mut wrong) = (0, Vec::new());
        for page in pages.iter().filter(|page| page.path.ends_with(".md")) {
            let text = String::from_utf8_lossy(&page.bytes).into_owned();
            for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if !link.contains("://") {
                    n_links += 1;
                    wrong.extend(broken(root, &pages, &page.path, link));
                }
            }
        }
        assert!(n_links > 100 && wrong.is_empty(), "{n_links} links, {}", wrong.join("\n"));
    }

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
            File::new("docs/data.md", "# Data\n"),
            program("libexec/roentgen/x86-64-v2/roentgen", "#!/bin/sh\necho stand-in \"$@\"\n"),
            File::new("share/man/man1/roentgen.1", ".TH roentgen 1\n"),
        ]
    }
}
