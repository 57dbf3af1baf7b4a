//! The removal of a folder, also from a full disk.

use std::fs;
use std::io;
use std::path::Path;

use super::{Operation, folder_of, is_full, permit, sync_folder};

/// How the name begins that a folder has while it is removed: that of a [temporary file](super::TEMPORARY_PREFIX), and more.
pub const REMOVED_PREFIX: &str = ".tmp-removed-";

/// Removes a folder with all that is in it. It gets a temporary name first, so that nobody finds half of it.
///
/// # Errors
/// That of the operating system.
pub fn remove_folder(path: &Path) -> io::Result<()> {
    permit(Operation::Remove(path))?;
    let parent = folder_of(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(REMOVED_PREFIX);
    let made = permit(Operation::CreateFolder(&parent.join(REMOVED_PREFIX)));
    match made.and_then(|()| builder.tempdir_in(parent)) {
        Ok(doomed) => {
            fs::rename(path, doomed.path().join("removed"))?;
            sync_folder(parent)?;
            doomed.close()
        }
        // Another name in the same folder takes no space, in contrast to another folder.
        Err(error) if is_full(&error) => {
            let renamed = builder.make_in(parent, |doomed| fs::rename(path, doomed))?;
            let doomed = renamed.into_temp_path().keep().map_err(io::Error::from)?;
            sync_folder(parent)?;
            fs::remove_dir_all(doomed)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::faults;
    use super::*;

    #[test]
    fn a_folder_is_removed_from_a_full_disk_too() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let path = parent.path().join("run");
        for full in [None, Some(io::ErrorKind::StorageFull), Some(io::ErrorKind::QuotaExceeded)] {
            fs::create_dir_all(path.join("below")).expect("a folder");
            fs::write(path.join("below/file"), "text").expect("a file");
            let _hooked = faults::hook(parent.path(), move |operation| match (operation, full) {
                (Operation::CreateFolder(_) | Operation::Create(_), Some(full)) => Err(full.into()),
                _ => Ok(()),
            });
            remove_folder(&path).unwrap_or_else(|error| panic!("{full:?}: {error}"));
            assert_eq!(fs::read_dir(parent.path()).expect("a folder").count(), 0, "{full:?}");
        }
        fs::create_dir(&path).expect("a folder");
        let _hooked = faults::hook(parent.path(), |operation| match operation {
            Operation::CreateFolder(_) => Err(io::ErrorKind::PermissionDenied.into()),
            _ => Ok(()),
        });
        remove_folder(&path).expect_err("another fault");
        assert!(path.is_dir());
    }
}
