//! Tables that name images by an identifier in the headers of DICOM files: a SOP instance, a study, an accession number or a
//! patient. All DICOM files below the folder of the table are read; the identifiers are compared, and never shown. Of links, those to
//! files in the folder are read that are hidden there: the others are read by their own names.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::Line;
use super::columns::ImageColumn;
#[cfg(feature = "dicom")]
use crate::caught_panic::catch_panic;
use crate::identifier::Identifier;
use crate::image_file::ImageFile;
use crate::options::SizeLimits;
use crate::read_file::ReadFileError;
#[cfg(feature = "dicom")]
use crate::read_file::read_file;
use crate::source::Content;
use crate::source::listed_image::ListedImage;
use crate::system_entries::{is_found_below, is_system_entry};

/// The files with each identifier, sorted by path.
pub(super) struct FilesByIdentifier {
    identifier: Identifier,
    files: BTreeMap<String, Vec<PathBuf>>,
    /// DICOM files with an identifier.
    n_files: usize,
    /// Files and folders that may have others.
    n_unreadable: usize,
    /// Links that may have others.
    n_links: usize,
}

impl FilesByIdentifier {
    /// Reads the headers of all files below `folder`, for a table whose images are named by `column`.
    ///
    /// # Errors
    /// If there is no such file, in words for the user.
    pub(super) fn read(
        folder: &Path,
        column: ImageColumn,
        limits: &SizeLimits,
    ) -> Result<Option<Self>, String> {
        let ImageColumn::Header(identifier, _) = column else { return Ok(None) };
        let Below { paths, mut n_unreadable, n_links } = Below::of(folder);
        let found: Vec<Result<Option<String>, ReadFileError>> =
            paths.par_iter().map(|path| identifier_in(path, identifier, limits)).collect();
        let mut files: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        let mut n_files = 0;
        for (path, value) in paths.into_iter().zip(found) {
            match value {
                Ok(Some(value)) => {
                    files.entry(value).or_default().push(path);
                    n_files += 1;
                }
                Ok(None) | Err(ReadFileError::TooLarge { .. }) => {}
                Err(_) => n_unreadable += 1,
            }
        }
        if n_files == 0 {
            let links = links_note(n_links).map(|note| format!(" ({note})")).unwrap_or_default();
            return Err(format!(
                "it names images by `{}`, but no DICOM file below its folder has one{links}; add the files, or a column `path`",
                identifier.column()
            ));
        }
        Ok(Some(Self { identifier, files, n_files, n_unreadable, n_links }))
    }

    /// Replaces each line by one for each file that it means, and describes what is left out. `folder` is that of the table.
    ///
    /// # Errors
    /// If two different lines mean the same files, or no line means any.
    pub(super) fn expand(&self, lines: Vec<Line>, folder: &Path) -> Result<(Vec<Line>, Vec<String>), String> {
        let column = self.identifier.column();
        let mut line_of = HashMap::new();
        let (mut expanded, mut without_file) = (Vec::new(), Vec::new());
        for line in lines {
            let Line { number, label, image } = line;
            // A table may have a line for each image of a study or patient.
            let content = (label.clone(), image.subset, image.patient.clone());
            match line_of.entry(image.name.clone()) {
                Entry::Vacant(entry) => drop(entry.insert((number, content))),
                Entry::Occupied(entry) if entry.get().1 == content => continue,
                Entry::Occupied(entry) => {
                    let (first, _) = entry.get();
                    return Err(format!(
                        "line {number}: its `{column}` is already in line {first}, with another label, split or patient; \
                         keep one of them"
                    ));
                }
            }
            let Some(files) = self.files.get(&image.name) else {
                without_file.push(number);
                continue;
            };
            expanded.extend(files.iter().map(|file| {
                let name = file.strip_prefix(folder).unwrap_or(file).to_string_lossy().replace('\\', "/");
                let image = ListedImage {
                    subset: image.subset,
                    class: image.class,
                    name,
                    patient: image.patient.clone(),
                    content: Content::File(ImageFile::At(file.as_path().into())),
                };
                Line { number, label: label.clone(), image }
            }));
        }
        if expanded.is_empty() {
            return Err(format!(
                "no DICOM file below its folder has a `{column}` of its lines; check the values"
            ));
        }
        let mut notes = Vec::new();
        if let Some(first) = without_file.first() {
            let n = without_file.len();
            notes.push(format!(
                "{n} line(s) name a `{column}` that no DICOM file has, the first is line {first}"
            ));
        }
        notes.extend(self.notes(expanded.len()));
        Ok((expanded, notes))
    }

    /// Notes on the files that are left out, where lines mean `n_used` of them.
    fn notes(&self, n_used: usize) -> impl Iterator<Item = String> {
        let (n_left, column) = (self.n_files - n_used, self.identifier.column());
        let left = (n_left > 0).then(|| {
            format!("left out {n_left} DICOM file(s) with a `{column}` that is in no line with a label")
        });
        let n = self.n_unreadable;
        let unreadable = (n > 0).then(|| {
            format!("{n} file(s) or folder(s) below the folder of the table cannot be read: check their permissions")
        });
        [left, unreadable, links_note(self.n_links)].into_iter().flatten()
    }
}

fn links_note(n: usize) -> Option<String> {
    (n > 0).then(|| {
        format!(
            "left out {n} link(s) that lead out of the folder of the table, to a hidden folder or nowhere; copy the files into it"
        )
    })
}

/// What is below the folder of a table.
#[derive(Default)]
struct Below {
    paths: Vec<PathBuf>,
    n_unreadable: usize,
    n_links: usize,
}

impl Below {
    fn of(folder: &Path) -> Self {
        let is_shown = |entry: &walkdir::DirEntry| {
            entry.depth() == 0 || !is_system_entry(&entry.file_name().to_string_lossy())
        };
        let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(is_shown);
        let root = folder.canonicalize().unwrap_or_else(|_| folder.into());
        let mut below = Self::default();
        for entry in entries {
            match entry {
                Ok(entry) if entry.file_type().is_file() => below.paths.push(entry.into_path()),
                Ok(entry) if entry.file_type().is_symlink() => match entry.path().canonicalize() {
                    Ok(target) if is_found_below(&target, &root) => {}
                    Ok(target) if target.starts_with(&root) && target.is_file() => {
                        below.paths.push(entry.into_path());
                    }
                    _ => below.n_links += 1,
                },
                Ok(_) => {}
                Err(_) => below.n_unreadable += 1,
            }
        }
        below
    }
}

/// The identifier of a file, if it is DICOM and has it.
///
/// # Errors
/// If it cannot be read.
#[cfg(feature = "dicom")]
fn identifier_in(
    path: &Path,
    identifier: Identifier,
    limits: &SizeLimits,
) -> Result<Option<String>, ReadFileError> {
    let bytes = read_file(path, limits.file_bytes)?;
    Ok(catch_panic(|| crate::dicom::identifier_of(&bytes, identifier, limits)).flatten())
}

#[cfg(not(feature = "dicom"))]
fn identifier_in(_: &Path, _: Identifier, _: &SizeLimits) -> Result<Option<String>, ReadFileError> {
    Ok(None)
}
