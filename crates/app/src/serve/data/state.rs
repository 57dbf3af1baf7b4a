//! Whether files have changed, without reading them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use roentgen_data::{disk, is_table};

use crate::serve::problem::Problem;
use crate::terminal::screen::thousands;

/// Most files that are looked at.
const MAX_FILES: usize = 200_000;

/// A digest of the names, lengths and times of all files of a data set, of a table also of those in its folder: they may be its
/// images. The folder `runs` is left out: trainings write there, and it has no images to train on.
///
/// # Errors
/// [`Problem::Refused`] if there are too many, [`Problem::Unreadable`].
pub(super) fn state_of(path: &Path, runs: &Path) -> Result<blake3::Hash, Problem> {
    let unreadable = |error| Problem::Unreadable(format!("cannot read the images: {error}"));
    let path = path.canonicalize().map_err(unreadable)?;
    let (is_folder, is_table) = (path.is_dir(), is_table(&path));
    let folder = if is_table { path.parent() } else { Some(&*path).filter(|_| is_folder) };
    let mut state = State {
        hasher: blake3::Hasher::new(),
        n_files: 0,
        data: folder.unwrap_or(&path),
        runs: runs.canonicalize().ok(),
        followed: BTreeSet::new(),
    };
    if !is_folder {
        state.add_file(&path);
    }
    folder.map_or(Ok(()), |folder| state.add_folder(folder)).map_err(unreadable)?;
    if state.n_files <= MAX_FILES {
        return Ok(state.hasher.finalize());
    }
    if is_table {
        // The table may name few of them. It is inspected again each time.
        return Ok(blake3::hash(&nanoseconds(SystemTime::now())));
    }
    let text = format!(
        "there are more than {} files, too many to check here; choose a folder further down",
        thousands(MAX_FILES)
    );
    Err(Problem::Refused(StatusCode::UNPROCESSABLE_ENTITY, text))
}

fn nanoseconds(time: SystemTime) -> [u8; 16] {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_le_bytes()
}

struct State<'a> {
    hasher: blake3::Hasher,
    n_files: usize,
    /// The folder that is looked at.
    data: &'a Path,
    runs: Option<PathBuf>,
    /// Folders that links led to.
    followed: BTreeSet<PathBuf>,
}

impl State<'_> {
    fn add_folder(&mut self, folder: &Path) -> io::Result<()> {
        let names = disk::list(folder)?.map(|entry| Ok(entry?.file_name()));
        let mut names = names.collect::<io::Result<Vec<OsString>>>()?;
        names.retain(|name| !name.as_encoded_bytes().starts_with(b"."));
        names.sort_unstable();
        for name in names {
            if self.n_files > MAX_FILES {
                return Ok(());
            }
            let path = folder.join(&name);
            let is_folder = path.is_dir();
            self.hasher.update(name.as_encoded_bytes()).update(&[0, u8::from(is_folder)]);
            if !is_folder {
                self.add_file(&path);
            } else if self.enters(&path) {
                self.add_folder(&path)?;
            }
        }
        // The end of the folder.
        self.hasher.update(&[1]);
        Ok(())
    }

    /// Whether the files in a folder count. A class may be a link to a folder, wherever that is; to end at last, each such folder
    /// is entered once, and none that has the data in it.
    fn enters(&mut self, folder: &Path) -> bool {
        if !folder.is_symlink() {
            return self.runs.as_deref() != Some(folder);
        }
        let target = folder.canonicalize();
        target.is_ok_and(|target| !self.data.starts_with(&target) && self.followed.insert(target))
    }

    /// Adds a file, or the one that a link leads to; a missing one is a bad file of the data.
    fn add_file(&mut self, path: &Path) {
        self.n_files += 1;
        let Ok(found) = path.metadata() else { return };
        let time = nanoseconds(found.modified().unwrap_or(UNIX_EPOCH));
        self.hasher.update(&found.len().to_le_bytes()).update(&time);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    #[test]
    fn a_table_changes_with_its_images_but_not_with_the_runs() {
        let dir = tempfile::tempdir().expect("a folder");
        let (root, runs) = (dir.path(), dir.path().join("runs"));
        write(&root.join("films/1.png"), "one");
        write(&root.join("list.csv"), "path,label");
        write(&root.join("set.npz"), "an archive");
        write(&runs.join("run/log"), "");
        let states =
            || ["list.csv", "set.npz"].map(|name| state_of(&root.join(name), &runs).expect("a file"));
        let before = states();
        write(&runs.join("run/log"), "an epoch");
        assert_eq!(states(), before);
        write(&root.join("films/1.png"), "another");
        let after = states();
        assert!(after[0] != before[0] && after[1] == before[1]);
        write(&root.join("films/2.png"), "");
        assert_ne!(states()[0], after[0]);
    }

    #[cfg(unix)]
    #[test]
    fn what_links_lead_to_counts_and_circles_end() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().expect("a folder");
        let (data, other) = (dir.path().join("data"), dir.path().join("other"));
        write(&data.join("a/1.png"), "one");
        write(&other.join("b/2.png"), "two");
        write(&other.join("3.png"), "three");
        for (target, link) in [
            (other.join("b"), "b"),
            (other.join("3.png"), "a/3.png"),
            (other.join("nosuch.png"), "a/4.png"),
            (data.join("a"), "a/again"),
            (data.clone(), "a/circle"),
            (dir.path().to_owned(), "above"),
        ] {
            symlink(target, data.join(link)).expect("a link");
        }
        let state = || state_of(&data, Path::new("nosuch")).expect("a folder");
        let mut before = state();
        assert_eq!(state(), before);
        for changed in ["b/2.png", "3.png", "nosuch.png"] {
            write(&other.join(changed), "changed to another length");
            assert_ne!(state(), before, "{changed}");
            before = state();
        }
        write(&dir.path().join("beside.png"), "");
        assert_eq!(state(), before, "the folder above is no part of the data");
    }
}
