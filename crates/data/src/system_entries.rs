//! Files and folders that a system or a program leaves in folders of images, and that are no part of the data.

use std::ffi::OsStr;
use std::path::Path;

/// In lower case.
const NAMES: [&str; 10] = [
    "__macosx",
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "thumbs.db",
    "desktop.ini",
    // The index of a folder of DICOM files.
    "dicomdir",
    "__pycache__",
];

/// Whether an entry of a folder is hidden, or has a name that systems use, such as `Thumbs.db`: the loader passes over it.
#[must_use]
pub fn is_system_entry(name: &str) -> bool {
    name.starts_with('.') || NAMES.contains(&name.to_lowercase().as_str())
}

/// Whether a walk over the folder `root` finds `path` without following a link: it is in there, and neither it nor a folder that it
/// is in is passed over. Both are canonical.
pub(crate) fn is_found_below(path: &Path, root: &Path) -> bool {
    let is_passed_over = |name: &OsStr| is_system_entry(&name.to_string_lossy());
    path.strip_prefix(root).is_ok_and(|inside| !inside.iter().any(is_passed_over))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_entries_and_those_of_systems_are_recognised_in_any_case() {
        for name in [".ipynb_checkpoints", "._film.png", "__MACOSX", "@eaDir", "Thumbs.db", "DICOMDIR"] {
            assert!(is_system_entry(name), "{name}");
        }
        assert!(!is_system_entry("normal") && !is_system_entry("1.2.840"));
    }

    #[test]
    fn what_is_hidden_or_elsewhere_is_not_found() {
        let is_found = |path: &str| is_found_below(Path::new(path), Path::new("/.home/data"));
        assert!(is_found("/.home/data") && is_found("/.home/data/a/b.png"));
        assert!(!is_found("/.home/data/.git/a/b.png") && !is_found("/.home/other/b.png"));
    }
}
