//! Writes the packages and their checksums: each file whole or not at all.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use crate::checksums;

/// Writes the files, given as name and bytes, and `SHA256SUMS` beside them.
pub(crate) fn write(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<(), String> {
    let sums = checksums::sums(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    write_all(folder, files, &sums).map_err(|error| format!("cannot write to {}: {error}", folder.display()))
}

fn write_all(folder: &Path, files: &[(String, Vec<u8>)], sums: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // All are on the disk before the first one gets its name.
    let mut waiting: Vec<(NamedTempFile, &str)> = Vec::new();
    for (name, bytes) in files {
        waiting.push((unnamed(folder, bytes)?, name));
    }
    waiting.push((unnamed(folder, sums.as_bytes())?, "SHA256SUMS"));
    for (file, name) in waiting {
        file.persist(folder.join(name))?;
    }
    #[cfg(unix)]
    fs::File::open(folder)?.sync_all()?;
    Ok(())
}

/// A file with these bytes under a temporary name, which goes when the program fails.
fn unnamed(folder: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    #[cfg(unix)]
    let builder = {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o644))
    };
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_are_written_with_their_checksums() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("new/packages");
        write(&out, &[("a.whl".to_owned(), b"abc".to_vec())]).expect("written");
        assert_eq!(fs::read(out.join("a.whl")).expect("a file"), b"abc");
        let sums = fs::read_to_string(out.join("SHA256SUMS")).expect("a file");
        assert_eq!(sums, checksums::sums([("a.whl", &b"abc"[..])]));
        assert_eq!(fs::read_dir(&out).expect("a folder").count(), 2);
    }

    #[test]
    fn a_failure_leaves_no_file_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        // The second name is a folder that is in use, so its file cannot get it.
        let wrong = folder.path().join("b.whl");
        fs::create_dir_all(wrong.join("in use")).expect("a folder");
        let files = ["b.whl", "c.whl"].map(|name| (name.to_owned(), b"abc".to_vec()));
        let error = write(folder.path(), &files).expect_err("a folder is in the way");
        assert!(error.starts_with("cannot write to "), "{error}");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "only the folder of before");
    }
}
