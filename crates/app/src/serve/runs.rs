//! The runs that a server has: those in its folder.

use std::io;
use std::path::{Path, PathBuf};

use roentgen_data::disk;
use serde::Serialize;

use super::is_run;
use crate::run_dir::file_names::REPORT;

/// A run with a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct RunEntry {
    /// The name of its folder.
    pub(super) name: String,
    #[serde(skip)]
    pub(super) path: PathBuf,
    /// Whether it has a report.
    pub(super) has_report: bool,
}

/// The runs in a folder, which may be a run itself; the latest name first. Links to elsewhere are left out.
///
/// # Errors
/// If the folder cannot be read.
pub(super) fn list(folder: &Path) -> io::Result<Vec<RunEntry>> {
    let root = folder.canonicalize()?;
    let entry = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        let is_inside = path.canonicalize().is_ok_and(|path| path.starts_with(&root));
        let has_report = path.join(REPORT).is_file();
        (is_inside && is_run(&path)).then_some(RunEntry { name, path, has_report })
    };
    if is_run(&root) {
        return Ok(entry(root.clone()).into_iter().collect());
    }
    let entries = disk::list(&root)?.collect::<io::Result<Vec<_>>>()?;
    let mut runs: Vec<RunEntry> = entries.into_iter().filter_map(|item| entry(item.path())).collect();
    runs.sort_by(|one, other| other.name.cmp(&one.name));
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_has_its_runs_and_nothing_of_other_folders() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let runs = parent.path().join("runs");
        for run in ["runs/a", "runs/b", "outside"] {
            fs::create_dir_all(parent.path().join(run)).expect("a folder");
            fs::write(parent.path().join(run).join("model.safetensors"), "").expect("a file");
        }
        fs::create_dir(runs.join("empty")).expect("a folder");
        fs::write(runs.join("b/report.html"), "").expect("a file");
        #[cfg(unix)]
        std::os::unix::fs::symlink(parent.path().join("outside"), runs.join("link")).expect("a link");
        let names = |folder: &Path| -> Vec<(String, bool)> {
            list(folder).expect("a folder").into_iter().map(|run| (run.name, run.has_report)).collect()
        };
        assert_eq!(names(&runs), [("b".to_owned(), true), ("a".to_owned(), false)]);
        assert_eq!(names(&runs.join("a")), [("a".to_owned(), false)]);
        assert!(list(&parent.path().join("nosuch")).is_err());
    }
}
