//! Where pictures come from. A source lists what it has before anything is decoded.
//!
//! Another format is another file here that implements [`Source`], and a line in [`SOURCES`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{DynamicImage, GrayImage, RgbImage};

use crate::decode::{Decoded, decode_file};
use crate::{DataError, FileFacts, LoadOptions, SizeLimits};

pub(crate) mod arrays;
mod cifar10;
mod folder;
mod manifest;
mod npz;
mod rows;

/// A format of data sets.
pub(crate) trait Source: Sync {
    /// What it is, for the user who gave something else.
    fn description(&self) -> &'static str;

    /// Whether `path` is of this format, by its name and kind.
    fn recognises(&self, path: &Path) -> bool;

    /// Everything that it has.
    ///
    /// # Errors
    /// Whatever makes the data unusable as a whole.
    fn list(&self, path: &Path, usage: Usage<'_>, limits: &SizeLimits) -> Result<Listing, DataError>;
}

/// All formats. The first one that recognises a path reads it.
const SOURCES: [&dyn Source; 4] = [&cifar10::Cifar10, &folder::Folder, &npz::Npz, &manifest::Manifest];

/// What a listing is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Usage<'a> {
    /// To train on: at least two classes, each with a picture in the training part.
    Train,
    /// To ask a model that knows these classes; none of them has to be there.
    Evaluate(&'a [String]),
}

/// Lists the data at `path`, whatever their format.
///
/// # Errors
/// [`DataError`]
pub(crate) fn list(path: &Path, usage: Usage<'_>, limits: &SizeLimits) -> Result<Listing, DataError> {
    if let Err(source) = path.metadata() {
        return Err(match source.kind() {
            std::io::ErrorKind::NotFound => DataError::NoSuchData { path: path.into() },
            _ => DataError::Unlistable { path: path.into(), source },
        });
    }
    match SOURCES.iter().find(|source| source.recognises(path)) {
        Some(source) => {
            let mut listing = source.list(path, usage, limits)?;
            listing.notes.extend(same_but_for_case(&listing.class_names));
            Ok(listing)
        }
        None => {
            let known = SOURCES.iter().map(|source| source.description()).collect::<Vec<_>>().join("; ");
            Err(DataError::UnknownFormat { path: path.into(), known })
        }
    }
}

/// A note on classes that may be one.
fn same_but_for_case(class_names: &[String]) -> Option<String> {
    let mut by_lower: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in class_names {
        by_lower.entry(name.to_lowercase()).or_default().push(name);
    }
    let same: Vec<String> =
        by_lower.into_values().filter(|names| names.len() > 1).map(|names| names.join(" and ")).collect();
    (!same.is_empty()).then(|| {
        format!(
            "classes that differ in upper and lower case alone: {}; if they are one, rename them",
            same.join(", ")
        )
    })
}

/// One picture to decode.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Where its pixels are.
    pub(crate) content: Content,
    /// Its path inside the data folder, with `/` between the parts on every platform; or what else names it there.
    pub(crate) name: String,
    /// Index of its class.
    pub(crate) label: u32,
    /// Its patient, where the source says so.
    pub(crate) patient: Option<String>,
}

/// Where the pixels of a picture are.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// In a file of its own.
    File(PathBuf),
    /// Among others of the same size, in memory.
    Packed {
        /// The file that they come from.
        file: PathBuf,
        /// All of them.
        pixels: Arc<Packed>,
        /// Which of them it is.
        index: usize,
    },
}

/// Pictures of one size, 8 bit, rows from the top, channels together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// 1 or 3.
    pub(crate) channels: usize,
    pub(crate) bytes: Vec<u8>,
}

impl Packed {
    fn bytes_each(&self) -> usize {
        self.width * self.height * self.channels
    }

    fn bytes_of(&self, index: usize) -> &[u8] {
        &self.bytes[index * self.bytes_each()..][..self.bytes_each()]
    }

    fn decode(&self, index: usize, options: &LoadOptions) -> Decoded {
        let (width, height) = (self.width as u32, self.height as u32);
        let bytes = self.bytes_of(index).to_vec();
        let image = if self.channels == 1 {
            GrayImage::from_raw(width, height, bytes).map(DynamicImage::ImageLuma8)
        } else {
            RgbImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgb8)
        };
        let facts =
            FileFacts { width, height, bit_depth: 8, channels: self.channels as u8, ..FileFacts::default() };
        Decoded::new(&image.expect("as many bytes as pixels"), facts, options)
    }
}

impl Item {
    /// What to call it in an error.
    pub(crate) fn place(&self) -> PathBuf {
        match &self.content {
            Content::File(path) => path.clone(),
            Content::Packed { file, .. } => file.join(&self.name),
        }
    }

    /// Reads, decodes and resizes the picture.
    ///
    /// # Errors
    /// The reason why it is a bad one, in words for the user.
    pub(crate) fn decode(&self, options: &LoadOptions) -> Result<Decoded, String> {
        match &self.content {
            Content::File(path) => decode_file(path, options),
            Content::Packed { pixels, index, .. } => Ok(pixels.decode(*index, options)),
        }
    }
}

/// The items of each part, sorted by class and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    /// Labels count through them.
    pub(crate) class_names: Vec<String>,
    /// The training part, or everything where there are no parts.
    pub(crate) train: Vec<Item>,
    /// The validation part, where one is given.
    pub(crate) val: Option<Vec<Item>>,
    /// The test part, where one is given.
    pub(crate) test: Option<Vec<Item>>,
    /// Whether there are parts at all; false for a bare folder of class folders.
    pub(crate) has_parts: bool,
    /// What a user should know: files ignored, empty classes in a given part.
    pub(crate) notes: Vec<String>,
}

impl Listing {
    /// A digest of the names in the training part, and of the pixels that are not in files. Splits are drawn from
    /// these names, so an equal digest means that the same seed gives the same split.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for item in &self.train {
            hasher.update(&item.label.to_le_bytes());
            hasher.update(item.name.as_bytes());
            if let Content::Packed { pixels, index, .. } = &item.content {
                hasher.update(pixels.bytes_of(*index));
            }
            hasher.update(b"\n");
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }
}
