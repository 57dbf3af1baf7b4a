//! The licences of all packages that the programs are made of, in one file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use crate::metadata::Component;

/// How the names of files with licences begin, in capitals.
const NAMES: [&str; 6] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
/// Larger files are something else.
const MAX_BYTES: u64 = 200_000;
/// How deep libraries of another language lie in a package.
const MAX_DEPTH: usize = 3;
/// The licence of the GNU C Library, of which each program contains parts.
const LGPL: &str = include_str!("../LGPL-2.1.txt");
const RULE: &str = "================================================================================";

/// The text of the file: a list of the packages, then each licence text with the packages that have it.
pub(crate) fn collected(components: &[Component]) -> Result<String, String> {
    let others: Vec<&Component> = components.iter().filter(|found| found.package.source.is_some()).collect();
    let mut text = "The programs of this archive contain the packages below, the Rust standard library, and parts of the GNU C Library.\n\
        Roentgen itself is licensed under either of Apache-2.0 and MIT (LICENSE-APACHE, LICENSE-MIT).\n\n"
        .to_owned();
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for component in &others {
        let package = &component.package;
        let folder = package.manifest_path.parent().unwrap_or(Path::new("."));
        let mut found = Vec::new();
        read_licences(folder, MAX_DEPTH, &mut found)
            .map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
        let repository = package.repository.as_deref().unwrap_or_default();
        let remark = if found.is_empty() { "  (no licence text in the package)" } else { "" };
        let _ = writeln!(text, "{}  {}  {repository}{remark}", package.title(), package.license_expression());
        for licence in found {
            texts.entry(licence).or_default().insert(package.title());
        }
    }
    let _ = write!(
        text,
        "\nRust standard library  MIT OR Apache-2.0  https://github.com/rust-lang/rust\n\
         GNU C Library  LGPL-2.1-or-later  https://sourceware.org/glibc\n\n\
         The C library is linked statically. To link the programs with another version of it, build them from their source,\n\
         which is licensed under either of Apache-2.0 and MIT: `cargo build --release`.\n"
    );
    texts.entry(LGPL.trim_end().to_owned()).or_default().insert("GNU C Library".to_owned());
    for (licence, titles) in texts {
        let titles: Vec<String> = titles.into_iter().collect();
        let _ = write!(text, "\n{RULE}\n{}\n{RULE}\n\n{licence}\n", titles.join(", "));
    }
    Ok(text)
}

/// Reads the files with licences in a folder of a package, and in the folders inside it.
fn read_licences(folder: &Path, depth: usize, found: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if depth > 0 {
                read_licences(&path, depth - 1, found)?;
            }
        } else if is_licence(&entry.file_name().to_string_lossy()) && entry.metadata()?.len() <= MAX_BYTES {
            let text = String::from_utf8_lossy(&fs::read(path)?).replace('\r', "");
            found.push(text.trim_end().to_owned());
        }
    }
    Ok(())
}

/// Whether a file has a licence, by its name.
fn is_licence(name: &str) -> bool {
    let name = name.to_uppercase();
    let is_text = !name.ends_with(".RS") && !name.ends_with(".TOML") && !name.ends_with(".HTML");
    is_text && NAMES.iter().any(|begin| name.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tests::some_components;

    #[test]
    fn each_package_of_others_is_listed_and_each_text_is_there_once() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("vendored/c")).expect("a folder");
        fs::write(folder.path().join("LICENSE-MIT"), "as you like\r\n").expect("a file");
        fs::write(folder.path().join("vendored/c/copying"), "as you like\n\n").expect("a file");
        fs::write(folder.path().join("license.rs"), "fn licence() {}").expect("a file");
        let mut components = some_components();
        for component in &mut components {
            component.package.manifest_path = folder.path().join("Cargo.toml");
        }
        let text = collected(&components).expect("licences");
        assert!(text.contains("\nrayon 1.0.0  MIT OR Apache-2.0  \n"), "{text}");
        assert_eq!(text.matches("as you like").count(), 1, "{text}");
        assert!(text.contains("GNU LESSER GENERAL PUBLIC LICENSE"));
        assert!(!text.contains("fn licence") && !text.contains("roentgen-launcher"), "{text}");
    }

    #[test]
    fn a_package_without_a_text_is_marked() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut components = some_components();
        components[0].package.manifest_path = folder.path().join("Cargo.toml");
        let text = collected(&components).expect("licences");
        assert!(
            text.contains("rayon 1.0.0  MIT OR Apache-2.0    (no licence text in the package)"),
            "{text}"
        );
    }
}
