//! Files and folders that a system or a program leaves in folders of images, and that are no part of the data.

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
}
