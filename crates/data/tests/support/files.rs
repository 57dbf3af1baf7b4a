//! Functions shared by the tests of formats.

use std::fs;
use std::path::{Path, PathBuf};

use roentgen_data::{DataError, Dataset, LoadOptions, load_dataset, silent};
use tempfile::TempDir;

/// Loads with the default options.
pub(crate) fn load(path: &Path) -> Result<Dataset, DataError> {
    load_dataset(path, &LoadOptions::default(), &silent)
}

/// The text of the error, which names the file.
pub(crate) fn load_error(path: &Path) -> String {
    let text = load(path).expect_err("it has to be rejected").to_string();
    assert!(text.contains(&path.file_name().unwrap().to_string_lossy().into_owned()), "{text}");
    text
}

/// Bytes that differ between images, so that none is a duplicate of another.
pub(crate) fn noise(n: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..n).map(|_| next()).collect()
}

/// A file of `bytes`.
pub(crate) fn written(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}
