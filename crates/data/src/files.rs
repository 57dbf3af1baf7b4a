//! Single images without classes and sets, for prediction.

use std::ffi::OsStr;
use std::fs::DirEntry;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use image::DynamicImage;
use rayon::prelude::*;

use crate::decode::{Decoded, OpenedImage, Unusable, decode_bytes, decode_file, open_file, open_unnamed};
use crate::digest::ImageDigest;
use crate::disk;
use crate::error::DataError;
use crate::file_format::{FileFormat, format_by_name, is_image_file};
use crate::file_notes::{FileNote, KindCounts};
use crate::image_file::ImageFile;
use crate::image_set::{Entry, ImageSet};
use crate::options::{ClassMapping, LoadOptions};
use crate::progress::{Progress, Stage};
use crate::sample_bits::{self, UsedBits};
use crate::source::{ClassLabels, is_mask_folder};
use crate::system_entries::{is_found_below, is_system_entry};

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

    /// The image at its original size: grey or RGB, 8 or 16 bit. Samples of 16 bits are scaled as [`load_files`] does it.
    ///
    /// # Errors
    /// The reason why it cannot be used, in words for the user.
    pub fn open(&self, options: &LoadOptions) -> Result<DynamicImage, String> {
        Ok(sample_bits::scaled(self.opened(options)?, options.sample_bits))
    }

    /// The same, with its [`ImageSet::image_digest`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_digest(&self, options: &LoadOptions) -> Result<(DynamicImage, u64), String> {
        let opened = self.opened(options)?;
        let digest = ImageDigest::of(&opened.image).short();
        Ok((sample_bits::scaled(opened, options.sample_bits), digest))
    }

    fn opened(&self, options: &LoadOptions) -> Result<OpenedImage, String> {
        let opened = match self {
            Self::File(path) => open_file(path, &options.limits),
            Self::Bytes { bytes, .. } => open_unnamed(bytes, &options.limits),
        };
        opened.map_err(|unusable| unusable.reason)
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
    /// What is unusual in the files; the numbers of further files can be added.
    pub counts: FileCounts,
}

/// How many files are unusual, by kind.
#[derive(Clone, Debug, Default)]
pub struct FileCounts {
    bits: UsedBits,
    kinds: KindCounts,
}

impl FileCounts {
    /// Adds those of further files.
    pub fn add(&mut self, further: Self) {
        self.bits.add(further.bits);
        self.kinds.add(further.kinds);
    }

    /// A note on each kind; all files were read with `options`.
    #[must_use]
    pub fn notes(&self, options: &LoadOptions) -> Vec<FileNote> {
        let mut notes = self.bits.notes();
        notes.extend(self.kinds.notes(options));
        notes
    }
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
    let mut bits = UsedBits::default();
    bits.apply(decoded.iter_mut().flatten(), options.sample_bits);
    if let Some(pattern) = &options.pattern {
        decoded.par_iter_mut().flatten().for_each(|decoded| decoded.check_negative(pattern, options.invert));
    }
    let names: Vec<String> = sources.iter().map(ImageSource::name).collect();
    let good =
        names.iter().zip(&decoded).filter_map(|(name, decoded)| Some((&**name, decoded.as_ref().ok()?)));
    let counts = FileCounts { bits, kinds: KindCounts::of(good, true, options) };
    let (mut entries, mut by_source) = (Vec::new(), Vec::with_capacity(sources.len()));
    for ((source, name), decoded) in sources.iter().zip(names).zip(decoded) {
        by_source.push(decoded.map_err(|unusable| unusable.reason).map(|decoded| {
            let file = source.file().map(|path| ImageFile::At(path.into()));
            let (name, facts, digest) = (name.into(), Some(decoded.facts), decoded.digest());
            let (label, patient, group) = (0, None, None);
            entries.push(Entry { image: decoded.image, name, file, label, patient, group, facts, digest });
            entries.len() - 1
        }));
    }
    LoadedFiles { images: ImageSet::pack(channels, entries), by_source, counts }
}

/// Whether the bytes begin like a file of an image format that is read.
#[must_use]
pub fn is_image(bytes: &[u8]) -> bool {
    FileFormat::of_content(bytes).is_ok()
}

/// Whether a file is named as an image; it is not opened.
#[must_use]
pub fn is_image_name(path: &Path) -> bool {
    format_by_name(path).is_some()
}

/// The extension of the image format that the bytes begin like.
///
/// # Errors
/// What they are instead and how to convert it, in words for the user.
pub fn image_extension(bytes: &[u8]) -> Result<&'static str, String> {
    FileFormat::of_content(bytes).map(FileFormat::extension)
}

/// All images below a folder, recognised by their extension, or by their content where it names no format, sorted; and the folders
/// of [`find_all_files`].
///
/// # Errors
/// As [`find_all_files`].
pub fn find_files(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = find_all_files(dir)?;
    files.retain(|path| is_listed_image(path));
    Ok(files)
}

/// Whether [`find_files`] lists a file of [`find_all_files`].
#[must_use]
pub fn is_listed_image(path: &Path) -> bool {
    is_image_file(path) || path.is_dir()
}

/// All files below a folder, images or not, sorted. Hidden entries are left out, and what systems leave in folders, such as
/// `Thumbs.db`. Links to folders are not followed. A link to a folder that is outside `dir` or left out, and a folder that cannot be
/// listed, are listed like a file; opening it fails with the reason, so the caller reports it.
///
/// # Errors
/// [`DataError::Unlistable`] if `dir` cannot be listed, or too many files are open.
pub fn find_all_files(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    let root = dir.canonicalize().ok();
    add_files_below(dir, root.as_deref(), &mut found)
        .map_err(|source| DataError::Unlistable { path: dir.into(), source })?;
    Ok(found)
}

/// The files below `dir` without those in folders of masks, which training leaves out too, and how many these are. A folder that
/// means one of the classes `class_names` has no masks. Where there is no image besides, no file is left out.
#[must_use]
pub fn without_masks(
    files: Vec<PathBuf>,
    dir: &Path,
    class_names: &[String],
    mapping: &ClassMapping,
) -> (Vec<PathBuf>, usize) {
    let labels = ClassLabels::new(class_names, mapping);
    let is_of_masks = |folder: &OsStr| {
        let name = folder.to_string_lossy();
        is_mask_folder(&name) && labels.find(&name).is_none()
    };
    let is_mask = |file: &Path| {
        let folders = file.strip_prefix(dir).ok().and_then(Path::parent);
        folders.is_some_and(|folders| folders.iter().any(is_of_masks))
    };
    let others: Vec<PathBuf> = files.iter().filter(|file| !is_mask(file)).cloned().collect();
    if !others.iter().any(|file| is_listed_image(file)) {
        return (files, 0);
    }
    let n_masks = files.len() - others.len();
    (others, n_masks)
}

/// Adds all files below `dir`, which is in the folder `root`.
///
/// # Errors
/// If `dir` itself cannot be listed, and nothing is added; or if too many files are open.
fn add_files_below(dir: &Path, root: Option<&Path>, found: &mut Vec<PathBuf>) -> io::Result<()> {
    // What a link to a folder in `root` leads to is added there.
    let is_found_elsewhere = |path: &Path| {
        let target = path.canonicalize().ok().filter(|target| target.is_dir());
        target.zip(root).is_some_and(|(target, root)| is_found_below(&target, root))
    };
    // An entry keeps its folder open, so none is kept while what is below it is listed.
    let name_and_kind =
        |entry: DirEntry| (entry.file_name(), entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut entries =
        disk::list(dir)?.map(|entry| entry.map(name_and_kind)).collect::<io::Result<Vec<_>>>()?;
    entries.retain(|(name, _)| !is_system_entry(&name.to_string_lossy()));
    entries.sort_unstable();
    for (name, is_folder) in entries {
        let path = dir.join(name);
        let is_added = match is_folder {
            false => path.is_symlink() && is_found_elsewhere(&path),
            true => match add_files_below(&path, root, found) {
                Err(error) if disk::is_out_of_open_files(&error) => return Err(error),
                added => added.is_ok(),
            },
        };
        if !is_added {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::progress::silent;

    #[test]
    fn a_folder_that_cannot_be_listed_is_among_the_files_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("closed")).unwrap();
        let image = image::GrayImage::from_fn(40, 30, |x, y| image::Luma([(x * y) as u8]));
        for name in ["a.png", "closed/b.png", "z.png"] {
            image.save(dir.path().join(name)).unwrap();
        }
        let closed = dir.path().join("closed");
        let hooked = disk::faults::hook(dir.path(), move |operation| match operation {
            disk::Operation::List(path) if path == closed => Err(io::ErrorKind::PermissionDenied.into()),
            _ => Ok(()),
        });
        let found = find_all_files(dir.path()).unwrap();
        assert_eq!(found, ["a.png", "closed", "z.png"].map(|name| dir.path().join(name)));
        let sources: Vec<ImageSource> = found.iter().map(|path| path.as_path().into()).collect();
        let LoadedFiles { by_source, .. } = load_files(&sources, 1, &LoadOptions::default(), &silent);
        assert_eq!(by_source, [Ok(0), Err("cannot be read: permission denied".to_owned()), Ok(1)]);
        drop(hooked);
        #[cfg(unix)]
        {
            let closed = dir.path().join("closed");
            let hooked = disk::faults::hook(dir.path(), move |operation| match operation {
                disk::Operation::List(path) if path == closed => {
                    Err(io::Error::from_raw_os_error(libc::EMFILE))
                }
                _ => Ok(()),
            });
            let error = find_all_files(dir.path()).unwrap_err().to_string();
            assert!(error.contains("ulimit -n"), "{error}");
            drop(hooked);
        }
        let hooked = disk::faults::hook(dir.path(), |_| Err(io::ErrorKind::PermissionDenied.into()));
        assert!(find_all_files(dir.path()).is_err(), "the folder itself");
        drop(hooked);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_that_is_not_found_by_itself_is_among_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        for (target, link) in [("data/a", "x"), ("data/.hidden/b", "y"), ("outside", "z")] {
            fs::create_dir_all(dir.path().join(target)).unwrap();
            std::os::unix::fs::symlink(dir.path().join(target), data.join(link)).unwrap();
        }
        let found = find_all_files(&data).unwrap();
        assert_eq!(found, ["y", "z"].map(|link| data.join(link)));
        let sources: Vec<ImageSource> = found.iter().map(|path| path.as_path().into()).collect();
        let LoadedFiles { by_source, .. } = load_files(&sources, 1, &LoadOptions::default(), &silent);
        for reason in by_source.iter().map(|result| result.as_ref().expect_err("a link")) {
            assert!(reason.starts_with("cannot be read: it is a link to a folder"), "{reason}");
        }
    }

    #[test]
    fn files_in_folders_of_masks_are_left_out_unless_these_are_classes_or_all_there_is() {
        let dir = Path::new("masks");
        let files: Vec<PathBuf> =
            ["a.png", "Masks/a.png", "labels/1/a.png"].iter().map(|file| dir.join(file)).collect();
        let left = |class_names: &[&str], mapping: &str, dir: &Path, files: &[PathBuf]| {
            let class_names: Vec<String> = class_names.iter().map(|&name| name.to_owned()).collect();
            let mapping = mapping.parse().expect("a mapping");
            let (left, n_masks) = without_masks(files.to_vec(), dir, &class_names, &mapping);
            assert_eq!(left.len() + n_masks, files.len());
            left.len()
        };
        assert_eq!(left(&["ill", "well"], "ill=Covid", dir, &files), 1);
        assert_eq!(left(&["ill", "masks"], "ill=Covid", dir, &files), 2);
        assert_eq!(left(&["ill", "well"], "ill=labels", dir, &files), 2);
        assert_eq!(left(&["ill", "well"], "ill=Covid", dir, &files[1..]), 2, "nothing else is there");
        assert_eq!(left(&["ill", "well"], "ill=Covid", &dir.join("Masks"), &files[1..2]), 1);
    }

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
        let opened = ImageSource::from(&*found[3]).open(&LoadOptions::default()).unwrap();
        assert_eq!((opened.width(), opened.height()), (40, 30));
        assert!(find_files(&dir.path().join("missing")).is_err());
    }
}
