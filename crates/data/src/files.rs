//! Single pictures, without classes or parts: what a model is asked about.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use image::DynamicImage;
use rayon::prelude::*;

use crate::decode::{decode_file, open_file};
use crate::image_set::Entry;
use crate::{DataError, ImageSet, LoadOptions, Progress, SizeLimits, Stage};

/// Pictures as a model needs them.
#[derive(Clone, Debug)]
pub struct LoadedFiles {
    /// Those that could be read, in order; all of class 0.
    pub images: ImageSet,
    /// For each path the index of its picture, or why there is none.
    pub by_path: Vec<Result<usize, String>>,
}

/// Reads files, in parallel. A bad file spoils no other.
#[must_use]
pub fn load_files(
    paths: &[PathBuf],
    channels: usize,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> LoadedFiles {
    let done = AtomicUsize::new(0);
    let decode = |path: &PathBuf| {
        let decoded = decode_file(path, options);
        progress.report(Stage::Decoding, done.fetch_add(1, Ordering::Relaxed) + 1, paths.len());
        decoded
    };
    let decoded: Vec<_> = paths.par_iter().map(decode).collect();
    let (mut entries, mut by_path) = (Vec::new(), Vec::with_capacity(paths.len()));
    for (path, decoded) in paths.iter().zip(decoded) {
        by_path.push(decoded.map(|decoded| {
            let name = path.display().to_string();
            let (facts, digest) = (Some(decoded.facts), Some(decoded.digest()));
            entries.push(Entry { picture: decoded.picture, name, label: 0, patient: None, facts, digest });
            entries.len() - 1
        }));
    }
    LoadedFiles { images: ImageSet::pack(channels, entries), by_path }
}

/// The pictures in a folder and the folders in it, by their extension (png, jpg, jpeg), sorted. Hidden entries are left
/// out, and links to folders are not followed.
///
/// # Errors
/// [`DataError::Unlistable`] for a folder that can't be listed.
pub fn find_files(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let is_hidden =
        |entry: &walkdir::DirEntry| entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.');
    let mut found = Vec::new();
    let entries = walkdir::WalkDir::new(dir).sort_by_file_name().into_iter();
    for entry in entries.filter_entry(|entry| !is_hidden(entry)) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(dir).to_owned();
            DataError::Unlistable { path, source: error.into() }
        })?;
        let extension = entry.path().extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let is_picture = matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg"));
        if is_picture && !entry.file_type().is_dir() {
            found.push(entry.into_path());
        }
    }
    Ok(found)
}

/// One file at its own size: grey or RGB, 8 or 16 bit.
///
/// # Errors
/// The reason why it is a bad file, in words for the user.
pub fn open_image(path: &Path, limits: &SizeLimits) -> Result<DynamicImage, String> {
    Ok(open_file(path, limits)?.0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::silent;

    #[test]
    fn files_are_found_in_order_and_bad_ones_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("b/.hidden")).unwrap();
        let picture = image::GrayImage::from_fn(40, 30, |x, y| image::Luma([(x * y) as u8]));
        for name in ["b/z.png", "a.JPG", "b/.hidden/x.png", "b/y.jpeg"] {
            picture.save(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("b/bad.png"), "no picture").unwrap();
        fs::write(dir.path().join("note.txt"), "no picture").unwrap();
        let found = find_files(dir.path()).unwrap();
        let names: Vec<_> =
            found.iter().map(|path| path.strip_prefix(dir.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.JPG", "b/bad.png", "b/y.jpeg", "b/z.png"]);
        let LoadedFiles { images, by_path } = load_files(&found, 3, &LoadOptions::default(), &silent);
        assert_eq!((images.len(), images.channels(), images.image(0).height), (3, 3, 28));
        assert_eq!((&by_path[0], &by_path[2], &by_path[3]), (&Ok(0), &Ok(1), &Ok(2)));
        assert!(by_path[1].as_ref().is_err_and(|reason| reason.contains("not a picture")), "{by_path:?}");
        let opened = open_image(&found[3], &SizeLimits::default()).unwrap();
        assert_eq!((opened.width(), opened.height()), (40, 30));
        assert!(find_files(&dir.path().join("missing")).is_err());
    }
}
