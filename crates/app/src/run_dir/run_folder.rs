//! The folder of a run: made, locked, written and continued.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roentgen_data::disk::{self, TEMPORARY_PREFIX};

use super::file_names::{CHECKPOINT, CONFIG, DATA, METRICS, SPACE, SWEEP};
use crate::config::pseudonyms::KEY_FILE;
use crate::run_dir::error::{RunDirError, WriteError};

/// Locked while a run works in the folder.
const LOCK: &str = ".lock";

/// A run folder; it exists from [`PlannedFolder::create`] on.
#[derive(Clone, Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    /// Held as long as the run works in the folder.
    lock: Arc<File>,
}

/// The folder that a run will be written to, before there is anything to write.
#[derive(Clone, Debug)]
pub(crate) enum PlannedFolder {
    /// With a path that was given.
    Given(PathBuf),
    /// With a name that is free when the folder is created: several runs may begin in the same second.
    ByDate {
        /// The folder above.
        parent: PathBuf,
        /// The name, to which a number is added where it is taken.
        name: String,
    },
}

impl PlannedFolder {
    /// Takes `--out`, or a name after date and time under `runs/`.
    ///
    /// # Errors
    /// [`RunDirError::OutNotEmpty`] if something is there already, [`RunDirError::OutUnreadable`]. Nothing is created yet: a
    /// run that fails before it has begun leaves no folder.
    pub(crate) fn new(out: Option<&Path>) -> Result<Self, RunDirError> {
        let Some(out) = out else {
            let name = jiff::Zoned::now().strftime("%Y-%m-%d_%H-%M-%S").to_string();
            return Ok(Self::ByDate { parent: "runs".into(), name });
        };
        let is_free = match disk::list(out) {
            Ok(entries) => holds_no_run(entries.flatten().map(|entry| entry.file_name())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => false,
            Err(source) => return Err(RunDirError::OutUnreadable { path: out.into(), source }),
        };
        if is_free { Ok(Self::Given(out.into())) } else { Err(RunDirError::OutNotEmpty { path: out.into() }) }
    }

    /// Checks that the folder will not lie in the folder of the images, where its name would be taken for a class.
    ///
    /// # Errors
    /// [`RunDirError::OutInData`].
    pub(crate) fn check_outside(&self, data: &Path) -> Result<(), RunDirError> {
        let above = match self {
            Self::Given(path) => path.parent().unwrap_or(path),
            Self::ByDate { parent, .. } => parent,
        };
        // Of the folders above, the lowest that exists.
        let above = std::path::absolute(above).unwrap_or_default();
        let existing = above.ancestors().find_map(|folder| folder.canonicalize().ok());
        match (existing, data.canonicalize()) {
            (Some(existing), Ok(data)) if data.is_dir() && existing.starts_with(&data) => {
                Err(RunDirError::OutInData { data })
            }
            _ => Ok(()),
        }
    }

    /// Creates the folder.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) fn create(self) -> Result<RunFolder, RunDirError> {
        let path = match self {
            Self::Given(path) => {
                disk::create_folders(&path).map_err(|source| WriteError { path: path.clone(), source })?;
                path
            }
            Self::ByDate { parent, name } => create_with_free_name(&parent, &name)?,
        };
        RunFolder::locked(path)
    }
}

impl RunFolder {
    /// The folder of an interrupted run.
    ///
    /// # Errors
    /// [`RunDirError::NotResumable`] if it is not a run folder, or the run is finished; [`RunDirError::InUse`] if another
    /// run works in it.
    pub(crate) fn open(path: &Path) -> Result<Self, RunDirError> {
        let not_resumable =
            |reason: &str| RunDirError::NotResumable { path: path.into(), reason: reason.to_owned() };
        if !path.join(CONFIG).is_file() {
            return Err(not_resumable(
                "it is not the folder of a run; give the folder that the run named at its start",
            ));
        }
        if [METRICS, SWEEP].iter().any(|name| path.join(name).is_file()) {
            // It may have been killed just before it removed the files of an unfinished run.
            if let Ok(ended) = Self::locked(path.into()) {
                let _ = ended.finish();
            }
            return Err(not_resumable("the run is finished; start another one with --config"));
        }
        Self::locked(path.into())
    }

    fn locked(path: PathBuf) -> Result<Self, RunDirError> {
        let file = path.join(LOCK);
        let lock = disk::open_lock(&file).map_err(|source| WriteError { path: file.clone(), source })?;
        match lock.try_lock() {
            Ok(()) => {
                remove_temporary(&path);
                Ok(Self { path, lock: Arc::new(lock) })
            }
            Err(TryLockError::WouldBlock) => Err(RunDirError::InUse { path }),
            Err(TryLockError::Error(source)) => Err(WriteError { path: file, source }.into()),
        }
    }

    /// Removes the files that only an unfinished run needs.
    ///
    /// # Errors
    /// [`WriteError`]
    pub(crate) fn finish(&self) -> Result<(), RunDirError> {
        for name in [CHECKPOINT, LOCK] {
            let path = self.file(name);
            disk::remove(&path).map_err(|source| WriteError { path, source })?;
        }
        // Unlocked by the system at the latest when the program ends.
        let _ = self.lock.unlock();
        Ok(())
    }

    /// A folder in this one, for a run that is part of this.
    #[must_use]
    pub(crate) fn inside(&self, name: &str) -> PlannedFolder {
        PlannedFolder::Given(self.path.join(name))
    }

    /// Its path.
    #[must_use]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of one of its files.
    #[must_use]
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The error about a file that could not be written: once the settings are written, the run can be continued from its
    /// checkpoint or from its beginning.
    fn write_error(&self, path: PathBuf, source: io::Error) -> RunDirError {
        if self.file(CONFIG).is_file() {
            RunDirError::ResumableWrite { path, source, run: self.path.clone() }
        } else {
            WriteError { path, source }.into()
        }
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// [`WriteError`]; [`RunDirError::ResumableWrite`] if the run can be continued.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RunDirError> {
        let path = self.file(name);
        disk::write_atomically(&self.path, &path, bytes).map_err(|source| self.write_error(path, source))
    }

    /// Writes a whole file that only the user may read.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn write_private(&self, name: &str, bytes: &[u8]) -> Result<(), RunDirError> {
        let path = self.file(name);
        disk::write_private(&self.path, &path, bytes).map_err(|source| self.write_error(path, source))
    }

    /// Appends to a file.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn append(&self, name: &str, bytes: &[u8]) -> Result<(), RunDirError> {
        let path = self.file(name);
        disk::append(&path, bytes).map(|_| ()).map_err(|source| self.write_error(path, source))
    }

    /// Makes a folder inside, unless it exists.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn create_subfolder(&self, name: &str) -> Result<(), RunDirError> {
        let path = self.file(name);
        disk::create_folders(&path).map_err(|source| self.write_error(path, source))
    }

    /// Appends a line to a log, and returns the length of the file after it. The line is on the disk when this returns.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn append_line(&self, name: &str, line: &str) -> Result<u64, RunDirError> {
        let path = self.file(name);
        disk::append(&path, format!("{line}\n").as_bytes()).map_err(|source| self.write_error(path, source))
    }

    /// Shortens a log to its first `bytes` bytes.
    ///
    /// # Errors
    /// [`RunDirError::NotResumable`] if it has fewer; else as [`Self::write`].
    pub(crate) fn truncate(&self, name: &str, bytes: u64) -> Result<(), RunDirError> {
        let path = self.file(name);
        if bytes == 0 && !path.exists() {
            return Ok(());
        }
        let length = disk::truncate(&path, bytes).map_err(|source| self.write_error(path.clone(), source))?;
        if length < bytes {
            let reason = format!(
                "it has {length} bytes, expected at least {bytes} by the checkpoint; start the run again"
            );
            return Err(RunDirError::NotResumable { path, reason });
        }
        Ok(())
    }
}

/// Creates `parent/name`, or `parent/name_2` and so on where that exists. The system creates a folder for one process only,
/// so that two runs never get the same one.
fn create_with_free_name(parent: &Path, name: &str) -> Result<PathBuf, WriteError> {
    disk::create_folders(parent).map_err(|source| WriteError { path: parent.into(), source })?;
    let mut path = parent.join(name);
    for count in 2_u32.. {
        match disk::create_new_folder(&path) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                path = parent.join(format!("{name}_{count}"));
            }
            Err(source) => return Err(WriteError { path, source }),
        }
    }
    Ok(path)
}

/// Whether a folder is empty, or has only the files of a run that was killed before its settings were written.
fn holds_no_run(names: impl Iterator<Item = OsString>) -> bool {
    let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    let is_of_beginning = |name: &String| {
        [LOCK, DATA, SPACE, KEY_FILE].contains(&name.as_str()) || name.starts_with(TEMPORARY_PREFIX)
    };
    names.is_empty() || (names.iter().any(|name| name == LOCK) && names.iter().all(is_of_beginning))
}

/// Removes the temporary files of a run that was killed while it wrote.
fn remove_temporary(folder: &Path) {
    for entry in disk::list(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            // A file that cannot be removed does no harm.
            let _ = disk::remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_in_use_is_refused_and_an_empty_one_taken() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let plan = |name: &str| PlannedFolder::new(Some(&parent.path().join(name)));
        fs::create_dir(parent.path().join("empty")).expect("a folder");
        fs::write(parent.path().join("file"), "x").expect("a file");
        assert!(plan("empty").is_ok() && plan("new/deep").is_ok());
        assert!(!parent.path().join("new").exists(), "planning must create nothing");
        let run = plan("new/deep").and_then(PlannedFolder::create).expect("a run folder");
        run.write("config.toml", b"seed = 1\n").expect("a written file");
        for taken in ["file", "new/deep"] {
            assert!(matches!(plan(taken), Err(RunDirError::OutNotEmpty { .. })), "{taken}");
        }
    }

    #[test]
    fn a_run_folder_inside_the_data_is_refused() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let data = parent.path().join("data");
        fs::create_dir_all(data.join("normal")).expect("folders");
        let check = |out: &str| PlannedFolder::Given(parent.path().join(out)).check_outside(&data);
        for inside in ["data/run", "data/new/deep", "data/normal/../run"] {
            assert!(matches!(check(inside), Err(RunDirError::OutInData { .. })), "{inside}");
        }
        for outside in ["run", "data2/run", "data/../run"] {
            assert!(check(outside).is_ok(), "{outside}");
        }
    }

    #[test]
    fn runs_that_begin_in_the_same_second_get_folders_of_their_own() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let planned = PlannedFolder::ByDate {
            parent: parent.path().join("runs"),
            name: "2026-11-27_12-00-00".to_owned(),
        };
        // All are planned before the first one is created.
        let runs: Vec<RunFolder> =
            (0..3).map(|_| planned.clone().create().expect("a run folder of its own")).collect();
        let names: Vec<_> = runs.iter().filter_map(|run| run.path().file_name()).collect();
        assert_eq!(names, ["2026-11-27_12-00-00", "2026-11-27_12-00-00_2", "2026-11-27_12-00-00_3"]);
    }

    #[test]
    fn what_a_run_left_that_was_killed_before_it_began_is_no_run() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let out = parent.path().join("run");
        let run = PlannedFolder::new(Some(&out)).and_then(PlannedFolder::create).expect("a run folder");
        run.write(DATA, b"{}").expect("a written file");
        fs::write(run.file(".tmp-abc"), "half").expect("a file");
        let again = PlannedFolder::new(Some(&out)).expect("nothing of a run");
        assert!(
            matches!(again.clone().create(), Err(RunDirError::InUse { .. })),
            "it is just about to begin"
        );
        drop(run);
        let again = again.create().expect("nobody works in it");
        assert!(!again.file(".tmp-abc").exists());
        again.write(CONFIG, b"").expect("a written file");
        assert!(PlannedFolder::new(Some(&out)).is_err());
        // Without a lock, the file is the user's.
        let other = parent.path().join("other");
        fs::create_dir(&other).expect("a folder");
        fs::write(other.join(DATA), "precious").expect("a file");
        assert!(PlannedFolder::new(Some(&other)).is_err());
    }

    #[test]
    fn what_cannot_be_written_says_how_to_go_on_if_that_is_possible() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let out = parent.path().join("my run");
        let run = PlannedFolder::new(Some(&out)).and_then(PlannedFolder::create).expect("a run folder");
        let full = || run.write_error(run.file("log.jsonl"), io::ErrorKind::StorageFull.into()).to_string();
        assert!(full().contains("free space") && !full().contains("--resume"), "{}", full());
        run.write(CONFIG, b"").expect("a written file");
        let words = format!("then continue with: roentgen train --resume '{}'", out.display());
        assert!(full().ends_with(&words), "{}", full());
    }

    #[test]
    fn a_whole_file_replaces_the_old_one_and_leaves_nothing_beside_it() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let run =
            PlannedFolder::new(Some(parent.path())).and_then(PlannedFolder::create).expect("a run folder");
        run.write("m", b"first").expect("a written file");
        run.write("m", b"second").expect("a written file");
        run.append_line("log", "1").expect("a line");
        run.append_line("log", "2").expect("a line");
        assert_eq!(fs::read(run.file("m")).expect("a file"), b"second");
        assert_eq!(fs::read_to_string(run.file("log")).expect("a file"), "1\n2\n");
        assert_eq!(fs::read_dir(parent.path()).expect("a folder").count(), 3, "the lock is the third");
    }
}
