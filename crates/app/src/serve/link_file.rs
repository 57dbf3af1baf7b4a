//! The link in a file that only its owner may read, for the browser to open: what a program is started with, all users of the machine
//! can list.
//!
//! It is in a private folder beside the runs, and not in that for temporary files, which browsers in a sandbox cannot read.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use maud::{DOCTYPE, PreEscaped, html};
use roentgen_data::disk;

/// What the folder begins with.
const PREFIX: &str = ".link-";
const FILE: &str = "open.html";
/// Locked by the server as long as it runs.
const LOCK: &str = ".lock";
/// Digits in the name of the folder.
const DIGITS: usize = 16;
/// How old a folder without a lock has to be: a server makes the lock at once.
const WITHOUT_LOCK: Duration = Duration::from_secs(60);

/// See the module; removed when dropped.
#[derive(Debug)]
pub(super) struct LinkFile {
    folder: PathBuf,
    lock: Option<File>,
}

impl LinkFile {
    /// For a link, in a folder that is made in `runs`; `token` is a random one, for its name.
    ///
    /// # Errors
    /// That of the operating system.
    pub(super) fn new(runs: &Path, link: &str, token: &str) -> io::Result<Self> {
        let folder = runs.canonicalize()?.join(format!("{PREFIX}{}", &token[..DIGITS]));
        let mut made = Self { folder, lock: None };
        disk::create_private_folder(&made.folder)?;
        let lock = disk::open_lock(&made.folder.join(LOCK))?;
        lock.try_lock()?;
        made.lock = Some(lock);
        let page = page_to(link).into_string();
        disk::write_private(&made.folder, &made.path(), page.as_bytes())?;
        Ok(made)
    }

    /// The file.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }
}

impl Drop for LinkFile {
    fn drop(&mut self) {
        // The token in it is worth nothing any more. Windows removes no file that is open.
        self.lock.take();
        drop(disk::remove_folder(&self.folder));
    }
}

/// Removes the folders of servers that were killed.
pub(super) fn remove_left_behind(runs: &Path) {
    let Ok(entries) = disk::list(runs) else { return };
    for folder in entries.flatten().map(|entry| entry.path()).filter(|folder| is_left_behind(folder)) {
        drop(disk::remove_folder(&folder));
    }
}

/// Whether a folder is that of a server that is gone, with nothing else in it.
fn is_left_behind(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()?.strip_prefix(PREFIX));
    let is_id = |id: &str| id.len() == DIGITS && id.chars().all(|digit| digit.is_ascii_hexdigit());
    let Ok(found) = folder.symlink_metadata() else { return false };
    if !name.is_some_and(is_id) || !found.is_dir() || !has_only_own_files(folder) {
        return false;
    }
    match disk::open_existing_lock(&folder.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(_) => found.modified().is_ok_and(|time| time.elapsed().is_ok_and(|age| age > WITHOUT_LOCK)),
    }
}

fn has_only_own_files(folder: &Path) -> bool {
    let is_own = |name: &str| name == FILE || name == LOCK || name.starts_with(disk::TEMPORARY_PREFIX);
    disk::list(folder).is_ok_and(|mut entries| {
        entries.all(|entry| entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(is_own)))
    })
}

/// A page that leads to an address at once, without a script.
pub(super) fn page_to(address: &str) -> PreEscaped<String> {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content=(format!("0; url={address}"));
                title { "Roentgen" }
                // Without one, a browser asks for a file that is not there.
                link rel="icon" href="/static/icon.svg";
            }
            body { a href=(address) { "Go on to Roentgen" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_file_of_a_server_that_was_killed_is_removed_and_no_other() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let runs = folder.path();
        let living =
            LinkFile::new(runs, "http://127.0.0.1:1/?token=t", "0123456789abcdef0123").expect("a file");
        let copy = |name: &str| {
            let copy = runs.join(name);
            fs::create_dir(&copy).expect("a folder");
            for file in [FILE, LOCK] {
                fs::copy(living.folder.join(file), copy.join(file)).expect("a file");
            }
            copy
        };
        let killed = copy(".link-00000000000000ff");
        let others = [
            copy(".link-notes"),
            copy(".link-00000000000000fe"),
            copy("run"),
            runs.join(".link-00000000000000fd"),
        ];
        fs::write(others[1].join("film.png"), "").expect("a file");
        // A server is about to lock it.
        fs::create_dir(&others[3]).expect("a folder");
        remove_left_behind(runs);
        assert!(!killed.exists());
        assert!(others.iter().all(|folder| folder.is_dir()) && living.path().is_file());
        let minutes_ago = std::time::SystemTime::now() - 2 * WITHOUT_LOCK;
        #[cfg(unix)]
        {
            let begun = File::open(&others[3]).expect("a folder");
            begun.set_modified(minutes_ago).expect("a time");
            remove_left_behind(runs);
            assert!(!others[3].exists());
        }
        let path = living.folder.clone();
        drop(living);
        assert!(!path.exists());
    }
}
