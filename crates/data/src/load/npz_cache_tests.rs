//! Images of an `.npz` file that are loaded from a cache are the same as without one, and the file is read again only if it may
//! have changed.

use std::fs;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::load_dataset;
use crate::dataset::Dataset;
use crate::disk::{Operation, faults};
use crate::options::LoadOptions;
use crate::progress::silent;

/// An array in NumPy's format.
fn array(shape: &str, bytes: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
    let header = format!("{header:<117}\n");
    [&b"\x93NUMPY\x01\x00\x76\x00"[..], header.as_bytes(), bytes].concat()
}

/// 40 images of 28x28 in two classes, which `seed` decides.
fn npz(seed: u32) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let noise = |at: u32| ((at ^ seed).wrapping_mul(2_654_435_761) >> 24) as u8;
    let pixels: Vec<u8> = (0..40 * 784).map(noise).collect();
    let labels: Vec<u8> = (0..40).map(|at| at % 2).collect();
    for (key, array) in
        [("train_images", array("(40, 28, 28)", &pixels)), ("train_labels", array("(40,)", &labels))]
    {
        zip.start_file(format!("{key}.npy"), SimpleFileOptions::default()).unwrap();
        zip.write_all(&array).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

struct Bench {
    dir: TempDir,
}

impl Bench {
    fn file(&self) -> PathBuf {
        self.dir.path().join("set.npz")
    }

    /// Writes the file; its time is not that of a moment ago.
    fn write(&self, bytes: &[u8]) {
        fs::write(self.file(), bytes).unwrap();
        sleep(Duration::from_millis(200));
    }

    /// Loads with a cache what has to be the same as without; returns how often the file was opened: once to list it, and again to
    /// read its images.
    fn check(&self) -> usize {
        let n_opened = Arc::new(AtomicUsize::new(0));
        let (counter, file) = (Arc::clone(&n_opened), self.file());
        let hooked = faults::hook(self.dir.path(), move |operation| {
            let is_file = matches!(operation, Operation::Open(path) if path == file);
            counter.fetch_add(usize::from(is_file), Ordering::Relaxed);
            Ok(())
        });
        let cached = LoadOptions { cache: Some(self.dir.path().join("cache")), ..LoadOptions::default() };
        let found = load_dataset(&self.file(), &cached, &silent).unwrap();
        drop(hooked);
        let expected = load_dataset(&self.file(), &LoadOptions::default(), &silent).unwrap();
        let digests = |data: &Dataset| [&data.train, &data.val, &data.test].map(|set| set.digest());
        assert_eq!(digests(&found), digests(&expected));
        assert_eq!(
            (found.fingerprint, found.findings.notes),
            (expected.fingerprint, expected.findings.notes)
        );
        n_opened.load(Ordering::Relaxed)
    }
}

#[test]
fn images_of_an_npz_are_read_again_only_if_it_may_have_changed() {
    let bench = Bench { dir: tempfile::tempdir().unwrap() };
    bench.write(&npz(1));
    let unchanged = if cfg!(unix) { 1 } else { 2 };
    assert_eq!([bench.check(), bench.check()], [2, unchanged]);
    // The same content, written again; then other content of the same size and modification time.
    bench.write(&npz(1));
    assert_eq!(bench.check(), 2);
    let times = fs::FileTimes::new().set_modified(bench.file().metadata().unwrap().modified().unwrap());
    bench.write(&npz(2));
    fs::File::options().write(true).open(bench.file()).unwrap().set_times(times).unwrap();
    sleep(Duration::from_millis(200));
    assert_eq!([bench.check(), bench.check()], [2, unchanged]);
}

#[cfg(unix)]
#[test]
fn an_npz_that_is_replaced_after_its_labels_were_read_is_an_error() {
    let bench = Bench { dir: tempfile::tempdir().unwrap() };
    bench.write(&npz(1));
    let (other, file) = (bench.dir.path().join("other"), bench.file());
    fs::write(&other, npz(2)).unwrap();
    let n_opened = AtomicUsize::new(0);
    let hooked = faults::hook(bench.dir.path(), move |operation| match operation {
        // The second time, to read its images.
        Operation::Open(path) if path == file && n_opened.fetch_add(1, Ordering::Relaxed) == 1 => {
            fs::rename(&other, &file)
        }
        _ => Ok(()),
    });
    let error = load_dataset(&bench.file(), &LoadOptions::default(), &silent).unwrap_err().to_string();
    drop(hooked);
    assert!(error.contains("set.npz cannot be used: it has changed since its labels were read"), "{error}");
}
