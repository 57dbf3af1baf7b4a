//! The folder of a run: made, locked, written and continued.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use roentgen_data::disk::{self, TEMPORARY_PREFIX};
use serde::Serialize;

use super::file_names::{CHECKPOINT, CONFIG, FAILURE, METRICS};
use crate::run_dir::error::{RunDirError, START_AGAIN, WriteError, is_finished};
use crate::terminal::foreign_text::printable_json;

/// Locked while a run works in the folder.
pub(super) const LOCK: &str = ".lock";
/// How long processes that work in the same folder wait for the one that begins to write its first files.
const LONGEST_BEGINNING: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);
/// How often a lock that is taken is tried again.
const N_RETRIES: usize = 3;

/// A run folder, which exists.
#[derive(Clone, Debug)]
pub(crate) struct RunFolder {
    path: PathBuf,
    /// Held as long as the run works in the folder: alone, or with the other processes that [joined](Self::join).
    lock: Arc<File>,
}

impl RunFolder {
    /// The folder of an interrupted run.
    ///
    /// # Errors
    /// [`RunDirError::NotResumable`] if it is not a run folder; [`RunDirError::Finished`]; [`RunDirError::InUse`] if another
    /// run works in it.
    pub(crate) fn open(path: &Path) -> Result<Self, RunDirError> {
        Self::check_begun(path)?;
        Self::check_unfinished(path)?;
        let folder = Self::locked(path.into())?;
        // The run may have ended before its folder was locked.
        if is_finished(path) {
            let _ = folder.finish();
            return Err(finished(path));
        }
        Ok(folder)
    }

    /// The folder of a run that may have ended, whose parts are trained again.
    ///
    /// # Errors
    /// As [`Self::open`], but not if the run is finished.
    pub(crate) fn reopen(path: &Path) -> Result<Self, RunDirError> {
        Self::check_begun(path)?;
        Self::locked(path.into())
    }

    fn check_begun(path: &Path) -> Result<(), RunDirError> {
        if path.join(CONFIG).is_file() {
            return Ok(());
        }
        let reason = "it is not the folder of a run; give the folder that the run named at its start";
        Err(RunDirError::not_resumable(path, reason))
    }

    fn check_unfinished(path: &Path) -> Result<(), RunDirError> {
        if !is_finished(path) {
            return Ok(());
        }
        Self::finish_ended(path);
        Err(finished(path))
    }

    /// Removes the files that only an unfinished run needs, where a run that has ended was killed before it did that itself.
    pub(crate) fn finish_ended(path: &Path) {
        let is_left = [CHECKPOINT, LOCK].iter().any(|name| path.join(name).exists());
        // It may be doing it just now.
        if is_left && let Ok(ended) = Self::locked(path.into()) {
            let _ = ended.finish();
        }
    }

    /// The folder in which several processes work at the same time, each in folders of its own inside. The first of them makes
    /// it, with the files that `begin` writes.
    ///
    /// # Errors
    /// The errors of `begin`; [`RunDirError::Finished`] if the whole has ended; [`RunDirError::InUse`] if a process works in it
    /// alone.
    pub(crate) fn join(
        path: &Path,
        begin: impl Fn(&Self) -> Result<(), RunDirError>,
    ) -> Result<Self, RunDirError> {
        disk::create_folders(path).map_err(|source| WriteError { path: path.into(), source })?;
        let start = Instant::now();
        loop {
            let is_late = start.elapsed() > LONGEST_BEGINNING;
            match Self::begun(path, &begin) {
                Err(RunDirError::InUse { .. }) if !is_late => thread::sleep(PAUSE),
                result => return result,
            }
        }
    }

    /// As [`Self::join`], but [`RunDirError::InUse`] also while another process begins.
    fn begun(path: &Path, begin: impl Fn(&Self) -> Result<(), RunDirError>) -> Result<Self, RunDirError> {
        if !path.join(CONFIG).is_file() {
            let alone = Self::locked(path.into())?;
            // Another process may have just begun.
            if !path.join(CONFIG).is_file() {
                begin(&alone)?;
            }
        }
        Self::check_unfinished(path)?;
        let file = path.join(LOCK);
        let lock = disk::open_lock(&file).map_err(|source| WriteError { path: file.clone(), source })?;
        match lock.try_lock_shared() {
            // The whole may have ended before it was locked.
            Ok(()) => Self::check_unfinished(path).map(|()| Self { path: path.into(), lock: Arc::new(lock) }),
            Err(TryLockError::WouldBlock) => Err(RunDirError::InUse { path: path.into() }),
            Err(TryLockError::Error(source)) => Err(lock_error(file, source)),
        }
    }

    pub(super) fn locked(path: PathBuf) -> Result<Self, RunDirError> {
        let file = path.join(LOCK);
        let lock = disk::open_lock(&file).map_err(|source| WriteError { path: file.clone(), source })?;
        let mut result = lock.try_lock();
        for _ in 0..N_RETRIES {
            // Somebody may only look whether it is in use.
            if !matches!(result, Err(TryLockError::WouldBlock)) {
                break;
            }
            thread::sleep(PAUSE);
            result = lock.try_lock();
        }
        match result {
            Ok(()) => {
                remove_temporary(&path);
                Ok(Self { path, lock: Arc::new(lock) })
            }
            Err(TryLockError::WouldBlock) => Err(RunDirError::InUse { path }),
            Err(TryLockError::Error(source)) => Err(lock_error(file, source)),
        }
    }

    /// Whether a run, or several tasks together, work in the folder `path` now. To find out, its lock is taken for a moment.
    #[cfg(feature = "serve")]
    pub(crate) fn is_in_use(path: &Path) -> bool {
        let Ok(lock) = disk::open_existing_lock(&path.join(LOCK)) else { return false };
        matches!(lock.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Gives the folder of a run another name, if no run works in it.
    ///
    /// # Errors
    /// [`RunDirError::InUse`], or [`WriteError`].
    #[cfg(feature = "serve")]
    pub(crate) fn rename(path: &Path, to: &Path) -> Result<(), RunDirError> {
        let alone = Self::locked(path.into())?;
        disk::rename_folder(path, to).map_err(|source| WriteError { path: path.into(), source })?;
        // Made when it was locked; a run that is resumed makes it again.
        let _ = disk::remove(&to.join(LOCK));
        drop(alone);
        Ok(())
    }

    /// Removes the folder of a run with all that is in it, if no run works in it.
    ///
    /// # Errors
    /// As [`Self::rename`].
    #[cfg(feature = "serve")]
    pub(crate) fn remove(path: &Path) -> Result<(), RunDirError> {
        let alone = match Self::locked(path.into()) {
            // A run that worked in it would have made the lock that now has no space.
            Err(RunDirError::Write(WriteError { source, .. })) if disk::is_full(&source) => None,
            locked => Some(locked?),
        };
        disk::remove_folder(path).map_err(|source| WriteError { path: path.into(), source })?;
        drop(alone);
        Ok(())
    }

    /// Writes `metrics.json`, with which the run has ended.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn end(&self, metrics: &impl Serialize) -> Result<(), RunDirError> {
        self.write_json(METRICS, metrics)?;
        self.finish()
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

    /// Whether the training in its folder `name` has ended, with results or with a failure.
    #[must_use]
    pub(crate) fn has_ended(&self, name: &str) -> bool {
        let training = self.file(name);
        [METRICS, FAILURE].iter().any(|end| training.join(end).is_file())
    }

    /// The error about a file that could not be written: once the settings are written, the run can be continued from its
    /// checkpoint or from its beginning, also in another place.
    fn write_error(&self, path: PathBuf, source: io::Error) -> RunDirError {
        if source.kind() == io::ErrorKind::NotFound && !self.path.exists() {
            RunDirError::Moved { path }
        } else if self.file(CONFIG).is_file() {
            RunDirError::ResumableWrite { path, source, run: self.path.clone() }
        } else {
            WriteError { path, source }.into()
        }
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// [`WriteError`]; [`RunDirError::ResumableWrite`] if the run can be continued, [`RunDirError::Moved`] in another folder.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RunDirError> {
        let path = self.file(name);
        disk::write_atomically(&self.path, &path, bytes).map_err(|source| self.write_error(path, source))
    }

    /// Writes a record as JSON.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn write_json(&self, name: &str, record: &impl Serialize) -> Result<(), RunDirError> {
        let json = serde_json::to_string_pretty(record).expect("records are plain numbers and names");
        self.write(name, (printable_json(&json) + "\n").as_bytes())
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
            let reason =
                format!("it has {length} bytes, expected at least {bytes} by the checkpoint; {START_AGAIN}");
            return Err(RunDirError::not_resumable(path, reason));
        }
        Ok(())
    }
}

/// The error for a run that has ended.
fn finished(path: &Path) -> RunDirError {
    RunDirError::Finished { path: path.into() }
}

/// The error for a lock that cannot be taken, though no other process has it.
fn lock_error(path: PathBuf, source: io::Error) -> RunDirError {
    if disk::has_no_locks(&source) {
        return RunDirError::NoLocks { path, source };
    }
    WriteError { path, source }.into()
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use roentgen_data::disk::{Operation, faults};

    use super::*;

    fn new_folder(path: &Path) -> RunFolder {
        fs::create_dir_all(path).expect("a folder");
        RunFolder::locked(path.into()).expect("a run folder")
    }

    #[test]
    fn the_first_of_several_processes_begins_and_all_work_in_the_folder() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let path = parent.path().join("whole");
        let n_begun = AtomicUsize::new(0);
        let begin = |folder: &RunFolder| {
            n_begun.fetch_add(1, Ordering::Relaxed);
            // The others come while it writes.
            thread::sleep(5 * PAUSE);
            folder.write(CONFIG, b"")
        };
        let joined: Vec<RunFolder> = thread::scope(|scope| {
            let join = || scope.spawn(|| RunFolder::join(&path, begin).expect("a folder"));
            let threads = [join(), join(), join()];
            threads.map(|thread| thread.join().expect("no panic")).into()
        });
        assert_eq!(n_begun.into_inner(), 1);
        assert!(matches!(RunFolder::open(&path), Err(RunDirError::InUse { .. })), "they work in it");
        drop(joined);
        let alone = RunFolder::open(&path).expect("all have ended");
        alone.write(METRICS, b"").expect("a written file");
        alone.finish().expect("the end");
        let error = RunFolder::join(&path, |_| Ok(())).expect_err("it has ended").to_string();
        assert!(error.contains("the run is finished"), "{error}");
    }

    #[test]
    fn a_run_that_ends_before_its_folder_is_locked_is_not_opened() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let run = new_folder(parent.path());
        run.write(CONFIG, b"").expect("a written file");
        run.finish().expect("nothing left of it but its settings");
        // The other process writes its last file between the first look and the lock.
        let metrics = parent.path().join(METRICS);
        let _hooked = faults::hook(parent.path(), move |operation| match operation {
            Operation::Create(path) if path.ends_with(LOCK) => fs::write(&metrics, "{}"),
            _ => Ok(()),
        });
        let error = RunFolder::open(parent.path()).expect_err("it has ended").to_string();
        assert!(error.contains("the run is finished"), "{error}");
        assert!(!parent.path().join(LOCK).exists());
    }

    #[cfg(feature = "serve")]
    #[test]
    fn who_looks_whether_a_folder_is_in_use_is_in_nobodys_way() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        assert!(!RunFolder::is_in_use(parent.path()) && !parent.path().join(LOCK).exists());
        let run = new_folder(parent.path());
        assert!(RunFolder::is_in_use(parent.path()));
        run.write(CONFIG, b"").expect("a written file");
        drop(run);
        let task = RunFolder::join(parent.path(), |_| Ok(())).expect("a task");
        assert!(RunFolder::is_in_use(parent.path()), "others may join it");
        drop(task);
        let looks = File::open(parent.path().join(LOCK)).expect("a lock");
        looks.lock_shared().expect("it is free");
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(PAUSE / 2);
                looks.unlock().expect("it was locked");
            });
            RunFolder::locked(parent.path().into()).expect("it is free after a moment");
        });
    }

    #[cfg(feature = "serve")]
    #[test]
    fn a_run_is_removed_from_a_full_disk_unless_one_works_in_it() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let path = parent.path().join("run");
        let run = new_folder(&path);
        run.write(CONFIG, b"").expect("a written file");
        let _hooked = faults::hook(parent.path(), |operation| match operation {
            Operation::CreateFolder(_) | Operation::Create(_) => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        });
        assert!(matches!(RunFolder::remove(&path), Err(RunDirError::InUse { .. })));
        run.finish().expect("the end");
        assert!(!path.join(LOCK).exists());
        RunFolder::remove(&path).expect("it needs no space");
        assert_eq!(fs::read_dir(parent.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn what_cannot_be_written_says_how_to_go_on_if_that_is_possible() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let out = parent.path().join("my run");
        let run = new_folder(&out);
        let full = || run.write_error(run.file("log.jsonl"), io::ErrorKind::StorageFull.into()).to_string();
        assert!(full().contains("free space") && !full().contains("--resume"), "{}", full());
        run.write(CONFIG, b"").expect("a written file");
        let words = format!("then continue with: roentgen train --resume '{}'", out.display());
        assert!(full().ends_with(&words), "{}", full());
    }

    /// Windows does not rename the folder of an open file.
    #[cfg(unix)]
    #[test]
    fn a_run_that_was_moved_continues_in_its_new_folder() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let (old, new) = (parent.path().join("old"), parent.path().join("new"));
        let run = new_folder(&old);
        run.write(CONFIG, b"").expect("a written file");
        fs::rename(&old, &new).expect("another name");
        for result in [
            run.append_line("log.jsonl", "{}").map(|_| ()),
            run.append("times.jsonl", b""),
            run.write("model", b""),
            run.write_private("key", b""),
        ] {
            let error = result.expect_err("it is elsewhere").to_string();
            assert!(error.contains("was moved or removed") && error.contains("--resume"), "{error}");
            assert!(!error.contains("free space"), "{error}");
        }
        assert!(!old.exists(), "nothing is written there");
        drop(run);
        RunFolder::open(&new).expect("an interrupted run");
    }

    #[test]
    fn a_file_system_without_locks_is_not_a_full_disk() {
        let error = |kind: io::ErrorKind| lock_error("run/.lock".into(), kind.into()).to_string();
        let without_locks = error(io::ErrorKind::Unsupported);
        assert!(without_locks.contains("no locks of files (flock)"), "{without_locks}");
        assert!(!without_locks.contains("free space"), "{without_locks}");
        assert!(error(io::ErrorKind::StorageFull).contains("free space"));
    }

    #[test]
    fn a_whole_file_replaces_the_old_one_and_leaves_nothing_beside_it() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let run = new_folder(parent.path());
        run.write("m", b"first").expect("a written file");
        run.write("m", b"second").expect("a written file");
        run.append_line("log", "1").expect("a line");
        run.append_line("log", "2").expect("a line");
        assert_eq!(fs::read(run.file("m")).expect("a file"), b"second");
        assert_eq!(fs::read_to_string(run.file("log")).expect("a file"), "1\n2\n");
        assert_eq!(fs::read_dir(parent.path()).expect("a folder").count(), 3, "the lock is the third");
    }
}
