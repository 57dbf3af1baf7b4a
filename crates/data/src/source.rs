//! Where pictures come from. A source lists what it has before anything is decoded.
//!
//! [`folder`] is the only one so far; another format is another file here that makes a [`Listing`].

use std::path::PathBuf;

use crate::LoadOptions;
use crate::decode::{Decoded, decode_file};

pub(crate) mod folder;

/// One picture to decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its path inside the data folder, with `/` between the parts on every platform.
    pub(crate) name: String,
    /// Index of its class.
    pub(crate) label: u32,
    /// Its patient, where the source says so.
    pub(crate) patient: Option<String>,
}

impl Item {
    /// Reads, decodes and resizes the picture.
    ///
    /// # Errors
    /// The reason why it is a bad one, in words for the user.
    pub(crate) fn decode(&self, options: &LoadOptions) -> Result<Decoded, String> {
        decode_file(&self.path, options)
    }
}

/// The items of each part, sorted by class and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Sorted class names; labels count through them.
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
    /// A digest of the names in the training part. Splits are drawn from these names, so an equal digest
    /// means that the same seed gives the same split.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for item in &self.train {
            hasher.update(&item.label.to_le_bytes());
            hasher.update(item.name.as_bytes());
            hasher.update(b"\n");
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }
}
