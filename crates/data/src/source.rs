//! The supported formats. A source lists the images of a data set before anything is decoded.
//!
//! To add a format, add a file here that implements [`Source`], and its line in [`SOURCES`].

use std::path::Path;

use crate::error::DataError;
use crate::options::LoadOptions;

pub(crate) mod arrays;
mod cifar10;
mod class_names;
mod folder;
mod listed_image;
mod listing;
mod manifest;
mod npz;
mod packed;
mod set_names;

pub(crate) use class_names::ClassLabels;
pub(crate) use folder::is_mask_folder;
pub(crate) use listing::{Content, Item, Listing};

/// A format of data sets.
pub(crate) trait Source: Sync {
    /// A description for the user who gave something else.
    fn description(&self) -> &'static str;

    /// Whether `path` is of this format, by its name and kind.
    fn recognises(&self, path: &Path) -> bool;

    /// Lists every image.
    ///
    /// # Errors
    /// Whatever makes the data unusable as a whole.
    fn list(&self, path: &Path, usage: Usage<'_>, options: &LoadOptions) -> Result<Listing, DataError>;
}

/// All formats. The first one that recognises a path reads it.
const SOURCES: [&dyn Source; 4] = [&cifar10::Cifar10, &folder::Folder, &npz::Npz, &manifest::Manifest];

/// What data are listed for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Usage<'a> {
    /// To train on: at least two classes, each with an image in the training set.
    Train,
    /// To evaluate a model that has these classes; the data need not have all of them.
    Evaluate(&'a [String]),
}

/// Whether a file is a data set, by its name, such as an `.npz` file or a `.csv` table.
#[must_use]
pub fn is_data_file(path: &Path) -> bool {
    !path.is_dir() && SOURCES.iter().any(|source| source.recognises(path))
}

/// Whether a file is a table of images, by its name.
#[must_use]
pub fn is_table(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    path.is_file() && ["csv", "tsv"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// Lists the data at `path`, whatever their format.
///
/// # Errors
/// [`DataError`]
pub(crate) fn list(path: &Path, usage: Usage<'_>, options: &LoadOptions) -> Result<Listing, DataError> {
    if let Err(source) = path.metadata() {
        return Err(match source.kind() {
            std::io::ErrorKind::NotFound => DataError::NoSuchData { path: path.into() },
            _ => DataError::Unlistable { path: path.into(), source },
        });
    }
    match SOURCES.iter().find(|source| source.recognises(path)) {
        Some(source) => source.list(path, usage, options),
        None => {
            let known: Vec<String> =
                SOURCES.iter().map(|source| format!("  {}", source.description())).collect();
            Err(DataError::UnknownFormat { path: path.into(), known: known.join("\n") })
        }
    }
}
