//! Single images without classes and sets, for prediction.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use image::DynamicImage;
use rayon::prelude::*;

use crate::decode::{Decoded, Unusable, decode_bytes, decode_file, open_file};
use crate::disk;
use crate::error::DataError;
use crate::file_format::{FileFormat, is_image_file};
use crate::file_notes::file_notes;
use crate::image_set::{Entry, ImageSet};
use crate::options::LoadOptions;
use crate::progress::{Progress, Stage};
use crate::sample_bits;
use crate::system_entries::is_system_entry;

/// Where an image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// A file.
    File(PathBuf),
    /// The bytes of an image file, and the name that is shown for them.
    Bytes {
        /// The name.
        name: String,
        /// The bytes.
        bytes: Vec<u8>,
    },
}

impl ImageSource {
    /// The path or the name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Bytes { name, .. } => name.clone(),
        }
    }

    fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Bytes { .. } => None,
        }
    }

    fn decode(&self, options: &LoadOptions) -> Result<Decoded, Unusable> {
        match self {
            Self::File(path) => decode_file(path, options),
            Self::Bytes { bytes, .. } => decode_bytes(bytes, options),
        }
    }
}

impl From<&Path> for ImageSource {
    fn from(path: &Path) -> Self {
        Self::File(path.into())
    }
}

/// Images that were read from files.
#[derive(Clone, Debug)]
pub struct LoadedFiles {
    /// The readable images, in order; all with the label 0.
    pub images: ImageSet,
    /// For each source the index of its image, or the reason why it cannot be used.
    pub by_source: Vec<Result<usize, String>>,
    /// What is unusual in the files, a sentence each.
    pub notes: Vec<String>,
}

/// Reads images in parallel. A bad one does not affect the others.
#[must_use]
pub fn load_files(
    sources: &[ImageSource],
    channels: usize,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> LoadedFiles {
    let n_done = AtomicUsize::new(0);
    let decode = |source: &ImageSource| {
        let decoded = source.decode(options);
        progress.report(Stage::Decoding, n_done.fetch_add(1, Ordering::Relaxed) + 1, sources.len());
        decoded
    };
    let mut decoded: Vec<_> = sources.par_iter().map(decode).collect();
    let mut notes = sample_bits::apply(decoded.iter_mut().flatten(), options.sample_bits);
    if let Some(pattern) = &options.pattern {
        decoded.par_iter_mut().flatten().for_each(|decoded| decoded.check_negative(pattern, options.invert));
    }
    let names: Vec<String> = sources.iter().map(ImageSource::name).collect();
    let good: Vec<(&str, &Decoded)> = names
        .iter()
        .zip(&decoded)
        .filter_map(|(name, decoded)| Some((&**name, decoded.as_ref().ok()?)))
        .collect();
    notes.extend(file_notes(&good, options));
    let (mut entries, mut by_source) = (Vec::new(), Vec::with_capacity(sources.len()));
    for ((source, name), decoded) in sources.iter().zip(names).zip(decoded) {
        by_source.push(decoded.map_err(|unusable| unusable.reason).map(|decoded| {
            let file = source.file().map(Path::to_owned);
            let (facts, digest) = (Some(decoded.facts), Some(decoded.digest()));
            entries.push(Entry { image: decoded.image, name, file, label: 0, patient: None, facts, digest });
            entries.len() - 1
        }));
    }
    LoadedFiles { images: ImageSet::pack(channels, entries), by_source, notes }
}

/// Whether the bytes begin like a file of an image format that is read.
#[must_use]
pub fn is_image(bytes: &[u8]) -> bool {
    FileFormat::of_content(bytes).is_ok()
}

/// All images below a folder, recognised by their extension, or by their content where it names no format, sorted. Links to
/// folders are not followed.
///
/// # Errors
/// [`DataError::Unlistable`] for a folder that cannot be listed.
pub fn find_files(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = find_all_files(dir)?;
    files.retain(|path| is_image_file(path));
    Ok(files)
}

/// All files below a folder, images or not, sorted. Hidden entries are left out, and what systems leave in folders, such as
/// `Thumbs.db`. Links to folders are not followed. A link to a folder outside `dir` is listed like a file; opening it fails, so the
/// caller reports it.
///
/// # Errors
/// [`DataError::Unlistable`] for a folder that cannot be listed.
pub fn find_all_files(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let is_left_out = |entry: &walkdir::DirEntry| {
        entry.depth() > 0 && is_system_entry(&entry.file_name().to_string_lossy())
    };
    let root = dir.canonicalize().ok();
    // What a link to a folder inside `dir` leads to is found there.
    let is_found_elsewhere = |entry: &walkdir::DirEntry| {
        let target = entry.path().canonicalize().ok().filter(|target| target.is_dir());
        target.zip(root.as_ref()).is_some_and(|(target, root)| target.starts_with(root))
    };
    disk::list(dir).map_err(|source| DataError::Unlistable { path: dir.into(), source })?;
    let mut found = Vec::new();
    let entries = walkdir::WalkDir::new(dir).sort_by_file_name().into_iter();
    for entry in entries.filter_entry(|entry| !is_left_out(entry)) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(dir).to_owned();
            DataError::Unlistable { path, source: error.into() }
        })?;
        if !(entry.file_type().is_dir() || entry.path_is_symlink() && is_found_elsewhere(&entry)) {
            found.push(entry.into_path());
        }
    }
    Ok(found)
}

/// Reads one file at its original size: grey or RGB, 8 or 16 bit. Samples of 16 bits are scaled as [`load_files`] does it.
///
/// # Errors
/// The reason why it cannot be used, in words for the user.
pub fn open_image(path: &Path, options: &LoadOptions) -> Result<DynamicImage, String> {
    let opened = open_file(path, &options.limits).map_err(|unusable| unusable.reason)?;
    Ok(sample_bits::scaled(opened, options.sample_bits))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::progress::silent;

    #[test]
    fn files_are_found_in_order_and_bad_ones_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("b/.hidden")).unwrap();
        let image = image::GrayImage::from_fn(40, 30, |x, y| image::Luma([(x * y) as u8]));
        for name in ["b/z.png", "a.JPG", "b/.hidden/x.png", "b/y.jpeg"] {
            image.save(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("b/bad.png"), "no image").unwrap();
        fs::write(dir.path().join("note.txt"), "no image").unwrap();
        let found = find_files(dir.path()).unwrap();
        let names: Vec<_> =
            found.iter().map(|path| path.strip_prefix(dir.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.JPG", "b/bad.png", "b/y.jpeg", "b/z.png"]);
        assert_eq!(find_all_files(dir.path()).unwrap().len(), 5, "the note too");
        let mut sources: Vec<ImageSource> = found.iter().map(|path| path.as_path().into()).collect();
        let bytes = fs::read(&found[3]).unwrap();
        sources.push(ImageSource::Bytes { name: "-".to_owned(), bytes });
        let LoadedFiles { images, by_source, .. } = load_files(&sources, 3, &LoadOptions::default(), &silent);
        assert_eq!((images.len(), images.channels(), images.image(0).height), (4, 3, 28));
        assert_eq!((&by_source[0], &by_source[2], &by_source[3]), (&Ok(0), &Ok(1), &Ok(2)));
        assert!(by_source[1].as_ref().is_err_and(|reason| reason.contains("not an image")), "{by_source:?}");
        assert_eq!((images.image(3).pixels, images.name(3)), (images.image(2).pixels, "-"));
        let opened = open_image(&found[3], &LoadOptions::default()).unwrap();
        assert_eq!((opened.width(), opened.height()), (40, 30));
        assert!(find_files(&dir.path().join("missing")).is_err());
    }
}
