//! Which cache file belongs to which data, and what it must have been made of.

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::options::LoadOptions;
use crate::source::{Content, Item};

/// Grows with every change of what a cache file holds, or of how a file becomes an image.
const FORMAT: u32 = 8;
/// How the names of cache files end.
pub(crate) const EXTENSION: &str = "roentgen-cache";

/// A digest of all that has to be equal for a cache file to be used.
pub(super) type Key = [u8; 32];

/// The program and the options that decide what becomes of a file. Splits, channels, classes and patients are not among them:
/// runs with other seeds or folds share a cache file.
fn decoding(options: &LoadOptions) -> String {
    let LoadOptions {
        resize,
        crop,
        fit,
        sample_bits,
        pattern,
        invert,
        views,
        limits,
        seed: _,
        skip_bad: _,
        val_fraction: _,
        test_fraction: _,
        channels: _,
        test_dir: _,
        patient_pattern: _,
        fold: _,
        columns: _,
        classes: _,
        cache: _,
    } = options;
    let program = (FORMAT, env!("CARGO_PKG_VERSION"), cfg!(feature = "dicom"));
    format!("{program:?} {:?}", (resize, crop, fit, sample_bits, pattern, invert, views, limits))
}

/// The cache file of the data at `data` in the cache folder: one for each data set and way to decode it. When files of the data
/// change, it is replaced.
pub(super) fn path_of(folder: &Path, data: &Path, options: &LoadOptions) -> PathBuf {
    let place = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let LoadOptions { test_dir, fold, columns, .. } = options;
    // Whatever decides which files are listed, and is not the content of the data.
    let listed = (place(data), test_dir.as_deref().map(place), fold.is_some(), columns);
    let name = blake3::hash(format!("{} {listed:?}", decoding(options)).as_bytes());
    folder.join(format!("{}.{EXTENSION}", &name.to_hex()[..32]))
}

/// What the cache file of these items is made of, besides the content of the files: their names, sets and order. The training
/// images together decide on the range of samples, and on what is a negative.
pub(super) fn key_of(items: &[Item], options: &LoadOptions) -> Key {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(decoding(options).as_bytes());
    for Item { name, subset, content, .. } in items {
        add(name.as_bytes());
        add(&[*subset as u8]);
        let path;
        // A note counts the files whose extensions do not fit.
        add(match content {
            Content::File(file) => {
                path = file.path(name);
                path.extension().unwrap_or_default().as_encoded_bytes()
            }
            Content::Packed { .. } => b"/",
        });
    }
    hasher.finalize().into()
}

/// Fails if the cache folder is the folder of the data, or in it: there it would be read as images.
///
/// # Errors
/// [`DataError::CacheInData`].
pub(super) fn check_outside(folder: &Path, data: &Path) -> Result<(), DataError> {
    let absolute = std::path::absolute(folder).unwrap_or_default();
    // Of the folder and those above it, the lowest that exists.
    let existing = absolute.ancestors().find_map(|folder| folder.canonicalize().ok());
    match (existing, data.canonicalize()) {
        (Some(existing), Ok(data)) if data.is_dir() && existing.starts_with(&data) => {
            Err(DataError::CacheInData { path: folder.into(), data })
        }
        _ => Ok(()),
    }
}
