//! The runs that a server has: those in its folder, with and without a model.

use std::cmp::Reverse;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use roentgen_data::disk;
use serde::Serialize;
use utoipa::ToSchema;

use super::is_run;
use crate::run_dir::file_names::{CONFIG, REPORT, SPACE};

/// A run with a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct RunEntry {
    /// The name of its folder.
    pub(super) name: String,
    #[serde(skip)]
    pub(super) path: PathBuf,
    /// Whether it has a report.
    pub(super) has_report: bool,
}

impl RunEntry {
    /// When it was begun, for people.
    pub(super) fn begun(&self) -> Option<String> {
        let time = begun(&self.path).and_then(|time| Timestamp::try_from(time).ok())?;
        Some(time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string())
    }
}

/// When the run in a folder was begun: its settings are written first.
fn begun(folder: &Path) -> Option<SystemTime> {
    folder.join(CONFIG).metadata().or_else(|_| folder.metadata()).ok()?.modified().ok()
}

/// The runs with a model in a folder, which may be a run itself; the latest first. Links to elsewhere are left out.
///
/// # Errors
/// If the folder cannot be read.
pub(super) fn list(folder: &Path) -> io::Result<Vec<RunEntry>> {
    let entry = |(name, path): (String, PathBuf)| {
        let has_report = path.join(REPORT).is_file();
        RunEntry { name, path, has_report }
    };
    Ok(folders(folder, is_run)?.into_iter().map(entry).collect())
}

/// The names and folders of all trainings, also of those that are at work or interrupted, without sweeps.
///
/// # Errors
/// As [`list`].
pub(super) fn trainings(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    folders(folder, |path| path.join(CONFIG).is_file() && !path.join(SPACE).is_file())
}

/// Whether a folder is that of a run, and not of several.
pub(super) fn is_single(folder: &Path) -> bool {
    is_run(folder) || folder.join(CONFIG).is_file()
}

fn folders(folder: &Path, is_wanted: impl Fn(&Path) -> bool) -> io::Result<Vec<(String, PathBuf)>> {
    let root = folder.canonicalize()?;
    let entry = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        let is_inside = path.canonicalize().is_ok_and(|path| path.starts_with(&root));
        (is_inside && is_wanted(&path)).then_some((name, path))
    };
    if is_single(&root) {
        return Ok(entry(root.clone()).into_iter().collect());
    }
    let entries = disk::list(&root)?.collect::<io::Result<Vec<_>>>()?;
    let mut found: Vec<_> = entries.into_iter().filter_map(|item| entry(item.path())).collect();
    found.sort_by_cached_key(|(name, path)| Reverse((begun(path), name.clone())));
    Ok(found)
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
        for run in ["b", "begun", "sweep"] {
            fs::create_dir_all(runs.join(run)).expect("a folder");
            fs::write(runs.join(run).join("config.toml"), "").expect("a file");
        }
        fs::write(runs.join("sweep/space.toml"), "").expect("a file");
        let begun: Vec<String> =
            trainings(&runs).expect("a folder").into_iter().map(|(name, _)| name).collect();
        assert_eq!(begun, ["begun", "b"]);
        assert_eq!(names(&runs).len(), 2, "none of them has a model");
        assert!(list(&parent.path().join("nosuch")).is_err());
    }
}
