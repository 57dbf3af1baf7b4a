//! For tests: lets operations on the disk fail, and records them, to see what a power cut would leave.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Operation, TEMPORARY_PREFIX, folder_of};

/// Decides on an operation; an error is that of the operation.
type Hook = dyn Fn(Operation<'_>) -> io::Result<()> + Send + Sync;

/// The hooks of all tests that run now, each for its own folder.
static HOOKS: Mutex<Vec<(PathBuf, Arc<Hook>)>> = Mutex::new(Vec::new());

/// Asks the hook of the folder that an operation is in.
pub(super) fn permit(operation: Operation<'_>) -> io::Result<()> {
    let hooks = HOOKS.lock().unwrap_or_else(PoisonError::into_inner);
    let hook = hooks.iter().find(|(folder, _)| operation.path().starts_with(folder)).map(|(_, h)| h.clone());
    drop(hooks);
    hook.map_or(Ok(()), |hook| hook(operation))
}

/// A hook in place, until it is dropped.
#[derive(Debug)]
pub struct Hooked {
    folder: PathBuf,
}

/// Has every operation on `folder`, and on all that is in it, decided by `hook`.
#[must_use]
pub fn hook(folder: &Path, hook: impl Fn(Operation<'_>) -> io::Result<()> + Send + Sync + 'static) -> Hooked {
    let mut hooks = HOOKS.lock().unwrap_or_else(PoisonError::into_inner);
    hooks.push((folder.to_owned(), Arc::new(hook)));
    Hooked { folder: folder.to_owned() }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        HOOKS.lock().unwrap_or_else(PoisonError::into_inner).retain(|(folder, _)| *folder != self.folder);
    }
}

impl Operation<'_> {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_read(&self) -> bool {
        matches!(self, Self::List(_) | Self::Open(_) | Self::Read(_))
    }

    /// The file or folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::List(path)
            | Self::Open(path)
            | Self::Read(path)
            | Self::CreateFolder(path)
            | Self::Create(path)
            | Self::Write(path, _)
            | Self::Truncate(path, _)
            | Self::SyncFile(path)
            | Self::SyncFolder(path)
            | Self::Rename(path, _)
            | Self::Remove(path) => path,
        }
    }
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// With an error; the program goes on, and reports it.
    Error,
    /// The process ends before it.
    End,
    /// The process ends in the middle of it: half of the bytes are written.
    Half,
}

/// Errors of the operating system that a disk gives.
const ERRORS: [io::ErrorKind; 4] = [
    io::ErrorKind::StorageFull,
    io::ErrorKind::PermissionDenied,
    io::ErrorKind::Interrupted,
    io::ErrorKind::Other,
];

/// Calls `attempt` again and again. The function that it is given makes another operation on `folder`, or in it, fail each
/// time, until the hook is dropped. Returns the number of operations that failed.
///
/// With [`Failure::End`], those change something: a process that ends before it reads leaves what one leaves that ends before
/// its next change. With [`Failure::Half`], they are writes.
pub fn fail_each_operation(
    folder: &Path,
    failure: Failure,
    mut attempt: impl FnMut(&str, &dyn Fn() -> Hooked),
) -> usize {
    for n in 0.. {
        let count = Arc::new(Mutex::new(0));
        attempt(&format!("{failure:?} at operation {n}"), &|| {
            hook(folder, failing(n, failure, Arc::clone(&count)))
        });
        if *count.lock().unwrap_or_else(PoisonError::into_inner) <= n {
            return n;
        }
    }
    unreachable!("some attempt has fewer operations")
}

/// Cases of all tests of this process.
static N_CASES: AtomicUsize = AtomicUsize::new(0);

/// Shows how many cases a test has tried, also when the test runner captures what tests print.
pub fn show_count(what: &str, n: usize) {
    let total = N_CASES.fetch_add(n, Ordering::Relaxed) + n;
    // Without a standard error, the test passes all the same.
    let _ = writeln!(io::stderr(), "faults: {what}: {n} cases, {total} in all so far");
}

/// The hook that lets operation `n` fail, counted from 0, and that counts them.
fn failing(n: usize, failure: Failure, count: Arc<Mutex<usize>>) -> impl Fn(Operation<'_>) -> io::Result<()> {
    move |operation| {
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        let is_counted = match failure {
            Failure::Error => true,
            Failure::End => !operation.is_read(),
            Failure::Half => matches!(operation, Operation::Write(..)),
        };
        if !is_counted {
            let has_ended = failure != Failure::Error && *count > n;
            return if has_ended { Err(io::ErrorKind::Other.into()) } else { Ok(()) };
        }
        let index = *count;
        *count += 1;
        if index == n
            && let (Failure::Half, Operation::Write(path, bytes)) = (failure, operation)
        {
            let mut file = OpenOptions::new().create(true).append(true).open(path)?;
            file.write_all(&bytes[..bytes.len() / 2])?;
        }
        match failure {
            Failure::Error if index == n => Err(ERRORS[n % ERRORS.len()].into()),
            Failure::End | Failure::Half if index >= n => Err(io::ErrorKind::Other.into()),
            _ => Ok(()),
        }
    }
}

/// A change of a file's content.
#[derive(Debug)]
enum ContentChange {
    Append(Vec<u8>),
    Truncate(u64),
}

/// A change of a name. A file is a number: it keeps its content under another name.
#[derive(Debug)]
enum NameChange {
    Link(PathBuf, usize),
    Unlink(PathBuf),
}

/// A change, and whether a sync has forced it onto the disk.
#[derive(Debug)]
struct Pending<T> {
    change: T,
    is_synced: bool,
}

impl<T> Pending<T> {
    fn new(change: T) -> Self {
        Self { change, is_synced: false }
    }
}

/// What was done to the files of a folder, by the rules of POSIX alone: only a sync of a file puts its content onto the
/// disk, and only a sync of a folder puts the names in it there. Everything else survives a power cut or not, each
/// change by itself.
#[derive(Debug, Default)]
pub struct Journal {
    /// By file: its changes.
    contents: Vec<Vec<Pending<ContentChange>>>,
    names: Vec<Pending<NameChange>>,
    /// The names as the program sees them.
    now: BTreeMap<PathBuf, usize>,
}

impl Journal {
    /// Takes down an operation that is about to be done.
    pub fn record(&mut self, operation: Operation<'_>) {
        match operation {
            // A temporary file is announced under the bare prefix; its real name is known at its first write.
            Operation::Create(path) if path.ends_with(TEMPORARY_PREFIX) => {}
            Operation::Create(path) => _ = self.file(path),
            Operation::Write(path, bytes) => self.change(path, ContentChange::Append(bytes.to_vec())),
            Operation::Truncate(path, bytes) => self.change(path, ContentChange::Truncate(bytes)),
            Operation::SyncFile(path) => {
                let file = self.file(path);
                self.contents[file].iter_mut().for_each(|pending| pending.is_synced = true);
            }
            Operation::SyncFolder(folder) => {
                let names = self.names.iter_mut().filter(|pending| match &pending.change {
                    NameChange::Link(path, _) | NameChange::Unlink(path) => folder_of(path) == folder,
                });
                names.for_each(|pending| pending.is_synced = true);
            }
            Operation::Rename(from, to) => {
                let file = self.file(from);
                self.unlink(from);
                self.link(to, file);
            }
            Operation::Remove(path) => self.unlink(path),
            // Folders are made again where a file of theirs is left.
            Operation::CreateFolder(_) => {}
            _ => assert!(operation.is_read()),
        }
    }

    /// The file of this name; creates it if it is missing.
    fn file(&mut self, path: &Path) -> usize {
        if let Some(&file) = self.now.get(path) {
            return file;
        }
        self.contents.push(Vec::new());
        self.link(path, self.contents.len() - 1);
        self.contents.len() - 1
    }

    fn change(&mut self, path: &Path, change: ContentChange) {
        let file = self.file(path);
        self.contents[file].push(Pending::new(change));
    }

    fn link(&mut self, path: &Path, file: usize) {
        self.now.insert(path.to_owned(), file);
        self.names.push(Pending::new(NameChange::Link(path.to_owned(), file)));
    }

    fn unlink(&mut self, path: &Path) {
        self.now.remove(path);
        self.names.push(Pending::new(NameChange::Unlink(path.to_owned())));
    }

    /// The files after a power cut, where `survives` decides on each change that no sync has forced onto the disk.
    #[must_use]
    pub fn after_power_cut(&self, mut survives: impl FnMut() -> bool) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut names = BTreeMap::new();
        for pending in &self.names {
            if pending.is_synced || survives() {
                match &pending.change {
                    NameChange::Link(path, file) => _ = names.insert(path.clone(), *file),
                    NameChange::Unlink(path) => _ = names.remove(path),
                }
            }
        }
        let contents: Vec<Vec<u8>> =
            self.contents.iter().map(|changes| content(changes, &mut survives)).collect();
        names.into_iter().map(|(path, file)| (path, contents[file].clone())).collect()
    }
}

/// The content of a file. Where bytes are lost that others follow, there are zeros.
fn content(changes: &[Pending<ContentChange>], survives: &mut impl FnMut() -> bool) -> Vec<u8> {
    let (mut bytes, mut end) = (Vec::new(), 0);
    for pending in changes {
        let is_there = pending.is_synced || survives();
        match &pending.change {
            ContentChange::Append(more) if is_there => {
                bytes.resize(end, 0);
                bytes.extend(more);
                end = bytes.len();
            }
            ContentChange::Append(more) => end += more.len(),
            ContentChange::Truncate(length) if is_there => {
                end = *length as usize;
                bytes.resize(end, 0);
            }
            ContentChange::Truncate(_) => {}
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_sync_has_forced_onto_the_disk_is_sure_to_survive() {
        let [folder, temporary, path] = ["/run", "/run/.tmp-x", "/run/model"].map(Path::new);
        let mut journal = Journal::default();
        let expect = |journal: &Journal, survives: bool, files: &[(&str, &[u8])]| {
            let files = files.iter().map(|&(name, bytes)| (name.into(), bytes.to_vec())).collect();
            assert_eq!(journal.after_power_cut(|| survives), files);
        };
        journal.record(Operation::Write(temporary, b"new"));
        expect(&journal, false, &[]);
        expect(&journal, true, &[("/run/.tmp-x", b"new")]);
        journal.record(Operation::Rename(temporary, path));
        journal.record(Operation::SyncFolder(folder));
        // A rename without a sync of the content before it.
        expect(&journal, false, &[("/run/model", b"")]);
        journal.record(Operation::SyncFile(path));
        expect(&journal, false, &[("/run/model", b"new")]);
        journal.record(Operation::Write(path, b"lost"));
        journal.record(Operation::Write(path, b"kept"));
        let mut survives = [false, true].into_iter();
        let files = journal.after_power_cut(|| survives.next().expect("two changes"));
        assert_eq!(files[path], b"new\0\0\0\0kept");
    }
}
