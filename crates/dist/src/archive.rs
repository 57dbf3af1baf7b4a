//! The archive: a `.tar.gz` of one folder, with the checksums of its files.

use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use crate::checksums;
use crate::contents::File;

/// 1 January 1980, the first date that a wheel can hold.
const DATE: u64 = 315_532_800;

/// The bytes of the archive: `files` in the folder `stem`.
pub(crate) fn tar_gz(stem: &str, files: &[File]) -> Result<Vec<u8>, String> {
    packed(stem, files).map_err(|error| format!("cannot pack {stem}: {error}"))
}

fn packed(stem: &str, files: &[File]) -> io::Result<Vec<u8>> {
    let sums = checksums::sums(files.iter().map(|file| (file.path.as_str(), file.bytes.as_slice())));
    let sums = File::new("SHA256SUMS", sums);
    // No name and no time, which would differ from one packing to the next.
    let gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let mut tar = Builder::new(gzip);
    for file in std::iter::once(&sums).chain(files) {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(file.mode());
        header.set_size(file.bytes.len() as u64);
        header.set_mtime(DATE);
        // Owned by root where root unpacks it, as files of a package are.
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, format!("{stem}/{}", file.path), file.bytes.as_slice())?;
    }
    let mut gzip = tar.into_inner()?;
    gzip.flush()?;
    gzip.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::contents::tests::some_files;

    /// Path, mode and bytes of each entry.
    fn unpacked(bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
        let entries = archive.entries().expect("entries").map(|entry| {
            let mut entry = entry.expect("an entry");
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("its bytes");
            let path = entry.path().expect("its path").display().to_string();
            (path, entry.header().mode().expect("its mode"), bytes)
        });
        entries.collect()
    }

    #[test]
    fn the_archive_has_each_file_with_its_mode_in_one_folder() {
        let entries = unpacked(&tar_gz("roentgen-1", &some_files()).expect("an archive"));
        let found: Vec<(&str, u32)> = entries.iter().map(|(path, mode, _)| (path.as_str(), *mode)).collect();
        assert_eq!(
            found,
            [
                ("roentgen-1/SHA256SUMS", 0o644),
                ("roentgen-1/LICENSE-MIT", 0o644),
                ("roentgen-1/README.md", 0o644),
                ("roentgen-1/bin/roentgen", 0o755),
                ("roentgen-1/docs/data.md", 0o644),
                ("roentgen-1/libexec/roentgen/x86-64-v2/roentgen", 0o755),
                ("roentgen-1/share/man/man1/roentgen.1", 0o644),
            ]
        );
        assert!(entries[1..].iter().zip(some_files()).all(|(entry, file)| entry.2 == file.bytes));
    }

    #[test]
    fn the_checksums_in_the_archive_are_those_of_its_files() {
        let entries = unpacked(&tar_gz("roentgen-1", &some_files()).expect("an archive"));
        let sums = String::from_utf8_lossy(&entries[0].2).into_owned();
        assert_eq!(sums.lines().count(), entries.len() - 1);
        for (line, (path, _, bytes)) in sums.lines().zip(&entries[1..]) {
            let path = path.strip_prefix("roentgen-1/").expect("in the folder");
            assert_eq!(format!("{line}\n"), checksums::sums([(path, bytes.as_slice())]));
        }
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let pack = || tar_gz("roentgen-1", &some_files()).expect("an archive");
        assert_eq!(pack(), pack());
    }
}
