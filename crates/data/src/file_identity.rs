//! By what a file is recognised that has not changed since it was read.
//!
//! The digest of its content decides. To compare it, the whole file has to be read, so there is a shortcut on Unix: a stamp of
//! its size, its number on the disk (inode), the time when its content was last changed, and the time when anything of it was
//! last changed (`ctime`). The system sets the last one; no program can set it, so a file with other content has another stamp,
//! also where it has the size and the modification time of the old one (`cp -p`, `touch -d`, `rsync -t`, a rename).
//!
//! A file can change twice within one tick of the clock of its file system, so the stamp of a file that changed a moment ago
//! counts for nothing. Where there is no `ctime`, no file has a stamp.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::read_file::read_file;

/// Changes that are younger than this may have the time of another change.
const RECENT: Duration = if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(5) };

/// A file as it was when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    pub(crate) digest: ContentDigest,
    /// `None` if the file has to be read to compare it.
    pub(crate) stamp: Option<Stamp>,
}

/// The first half of BLAKE3: enough to distinguish all files that were not made to deceive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentDigest(pub(crate) [u8; 16]);

/// A digest of size, inode and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(pub(crate) u64);

impl FileIdentity {
    /// Of a file with this content, whose stamp was `before` it was read.
    pub(crate) fn of_file(path: &Path, before: Option<Stamp>, content: &[u8]) -> Self {
        let stamp = before.filter(|_| before == Stamp::of(path));
        Self { digest: ContentDigest::of(&[content]), stamp }
    }

    /// Whether a file is still the same. It is read if its stamp does not prove it, and is another one if it cannot be read, or
    /// has more than `limit` bytes.
    pub(crate) fn is_of_file(&self, path: &Path, limit: u64) -> bool {
        if self.stamp.is_some() && self.stamp == Stamp::of(path) {
            return true;
        }
        read_file(path, limit).is_ok_and(|content| ContentDigest::of(&[&content]) == self.digest)
    }
}

impl ContentDigest {
    /// Of the parts, one after the other.
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes().first_chunk().expect("a digest has 32 bytes"))
    }
}

impl Stamp {
    /// Of a file, or of the one that a link leads to; `None` if it changed a moment ago, or cannot be found.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let (changed, numbers) = change_time(path)?;
        let age = SystemTime::now().duration_since(changed).ok()?;
        let mut hasher = blake3::Hasher::new();
        for number in numbers {
            hasher.update(&number.to_le_bytes());
        }
        let stamp = u64::from_le_bytes(*hasher.finalize().as_bytes().first_chunk()?);
        (age > RECENT).then_some(Self(stamp))
    }
}

/// When the file was last changed in any way, and all numbers that are another one then.
#[cfg(unix)]
fn change_time(path: &Path) -> Option<(SystemTime, [i64; 6])> {
    use std::os::unix::fs::MetadataExt as _;
    let file = path.metadata().ok()?;
    let since_1970 = Duration::new(u64::try_from(file.ctime()).ok()?, u32::try_from(file.ctime_nsec()).ok()?);
    let changed = SystemTime::UNIX_EPOCH.checked_add(since_1970)?;
    let [size, inode] = [file.size(), file.ino()].map(u64::cast_signed);
    Some((changed, [size, inode, file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()]))
}

#[cfg(not(unix))]
fn change_time(_: &Path) -> Option<(SystemTime, [i64; 6])> {
    None
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread::sleep;

    use super::*;

    fn identity(path: &Path) -> FileIdentity {
        let before = Stamp::of(path);
        FileIdentity::of_file(path, before, &fs::read(path).unwrap())
    }

    #[test]
    fn other_content_is_found_also_behind_the_old_size_and_time() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&path, "one").unwrap();
        let young = identity(&path);
        assert_eq!(young.stamp, None, "it changed a moment ago");
        sleep(RECENT * 2);
        let old = identity(&path);
        assert_eq!(old.stamp.is_some(), cfg!(unix));
        assert!(old.is_of_file(&path, 9) && young.is_of_file(&path, 9));

        let times = fs::FileTimes::new().set_modified(path.metadata().unwrap().modified().unwrap());
        let pretend =
            |path: &Path| fs::File::options().write(true).open(path).unwrap().set_times(times).unwrap();
        fs::write(&path, "two").unwrap();
        pretend(&path);
        sleep(RECENT * 2);
        assert!(!old.is_of_file(&path, 9) && !young.is_of_file(&path, 9), "written over");
        fs::write(&path, "one").unwrap();
        assert!(old.is_of_file(&path, 9), "by its content, whenever it was written");
        fs::write(&other, "six").unwrap();
        pretend(&other);
        sleep(RECENT * 2);
        fs::rename(&other, &path).unwrap();
        assert!(!old.is_of_file(&path, 9), "another file in its place");
        fs::remove_file(&path).unwrap();
        assert!(!old.is_of_file(&path, 9));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_with_its_stamp_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "one").unwrap();
        sleep(RECENT * 2);
        let identity = identity(&path);
        let _hooked =
            crate::disk::faults::hook(dir.path(), |_| Err(std::io::ErrorKind::PermissionDenied.into()));
        assert!(identity.is_of_file(&path, 9));
        assert!(!FileIdentity { stamp: None, ..identity }.is_of_file(&path, 9));
    }
}
