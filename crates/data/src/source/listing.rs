//! What a source lists before anything is decoded: an item for each image, with its set, class and patient.

use std::fs::Metadata;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use super::packed::Packed;
use crate::dataset::SubsetOrigin;
use crate::decode::{Decoded, Unusable, decode_and_identify, decode_file};
use crate::error::DataError;
use crate::file_identity::FileIdentity;
use crate::image_file::ImageFile;
use crate::options::LoadOptions;
use crate::subset::Subset;

/// One image to decode.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Where its pixels are.
    pub(crate) content: Content,
    /// Its path inside the data folder, with `/` as the separator on every platform; or another name that is unique
    /// there.
    pub(crate) name: Box<str>,
    /// The set it belongs to; the training set where the data define no sets.
    pub(crate) subset: Subset,
    /// Index of its class.
    pub(crate) label: u32,
    /// Its patient, where the source has a column for it.
    pub(crate) patient: Option<Box<str>>,
    /// The folder that may be that of its patient; its images share the text.
    pub(crate) patient_folder: Option<Arc<str>>,
}

/// Where the pixels of an image are.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// In a file of its own.
    File(ImageFile),
    /// Among others of the same size.
    Packed {
        /// All of them.
        pixels: Arc<Packed>,
        /// Which of them it is.
        index: usize,
    },
}

impl Content {
    /// The file that holds this image and no other.
    pub(crate) fn into_file(self) -> Option<ImageFile> {
        match self {
            Self::File(file) => Some(file),
            Self::Packed { .. } => None,
        }
    }
}

impl Item {
    /// The path that error messages show.
    pub(crate) fn shown_path(&self) -> PathBuf {
        match &self.content {
            Content::File(file) => file.path(&self.name),
            Content::Packed { pixels, .. } => pixels.file().join(&*self.name),
        }
    }

    /// Bytes of its file; of several images in one file, only the first has them. A folder has another length on each file system.
    fn n_bytes(&self) -> Option<u64> {
        let metadata = match &self.content {
            Content::File(file) => file.path(&self.name).metadata(),
            Content::Packed { pixels, index: 0 } => pixels.file().metadata(),
            Content::Packed { .. } => return None,
        };
        metadata.ok().filter(Metadata::is_file).map(|metadata| metadata.len())
    }

    /// Reads the file that it shares with others, if there is one: what is wrong with that is wrong with all of them.
    ///
    /// # Errors
    /// [`DataError::Unusable`].
    pub(crate) fn load_packed(&self) -> Result<(), DataError> {
        let Content::Packed { pixels, .. } = &self.content else { return Ok(()) };
        pixels.load().map_err(|reason| DataError::Unusable { path: pixels.file().into(), reason })
    }

    /// Reads, decodes and resizes the image.
    ///
    /// # Errors
    /// The reason why it cannot be used.
    pub(crate) fn decode(&self, options: &LoadOptions) -> Result<Decoded, Unusable> {
        match &self.content {
            Content::File(file) => decode_file(&file.path(&self.name), options),
            Content::Packed { pixels, index } => pixels.decode(*index, options),
        }
    }

    /// The same, and what identifies the content that it was decoded from: `None` if there was nothing to read.
    pub(crate) fn decode_and_identify(
        &self,
        options: &LoadOptions,
    ) -> (Result<Decoded, Unusable>, Option<FileIdentity>) {
        match &self.content {
            Content::File(file) => decode_and_identify(&file.path(&self.name), options),
            Content::Packed { pixels, index } => (pixels.decode(*index, options), pixels.identity(*index)),
        }
    }

    /// Whether its content is still what `identity` was made of.
    pub(crate) fn is_still(&self, identity: &FileIdentity, options: &LoadOptions) -> bool {
        match &self.content {
            Content::File(file) => identity.is_of_file(&file.path(&self.name), options.limits.file_bytes),
            Content::Packed { pixels, index } => pixels.is_still(*index, identity),
        }
    }
}

/// All items of a data set: the training set first, then the validation and the test set, each sorted by class and name.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    /// The classes; a label is an index into them.
    pub(crate) class_names: Vec<String>,
    pub(crate) items: Vec<Item>,
    /// Whether the data define any sets; false for a plain folder of class folders.
    pub(crate) has_subsets: bool,
    pub(crate) val_origin: SubsetOrigin,
    pub(crate) test_origin: SubsetOrigin,
    /// Whether the test set is a data set of its own, not a part of these data.
    pub(crate) has_test_option: bool,
    /// Remarks for the user: ignored files, empty classes in a given set.
    pub(crate) notes: Vec<String>,
}

impl Listing {
    /// The items, where `given` are the sets that the data define besides the training set.
    pub(crate) fn new(class_names: Vec<String>, mut items: Vec<Item>, given: &[Subset]) -> Self {
        items.sort_by(|a, b| (a.subset, a.label, &a.name).cmp(&(b.subset, b.label, &b.name)));
        let origin = |subset: Subset| match given.contains(&subset) {
            true => SubsetOrigin::Given,
            false => SubsetOrigin::SplitOff,
        };
        Self {
            class_names,
            items,
            has_subsets: !given.is_empty(),
            val_origin: origin(Subset::Val),
            test_origin: origin(Subset::Test),
            has_test_option: false,
            notes: Vec::new(),
        }
    }

    /// Removes the items of a set and returns them.
    pub(crate) fn take(&mut self, subset: Subset) -> Vec<Item> {
        self.items.extract_if(.., |item| item.subset == subset).collect()
    }

    /// Adds items as the test set.
    pub(crate) fn add_test(&mut self, items: Vec<Item>) {
        self.items.extend(items.into_iter().map(|item| Item { subset: Subset::Test, ..item }));
        self.test_origin = SubsetOrigin::Given;
    }

    /// A digest of the classes, and of the names, classes and sets of all items, and of how many bytes their files have.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for name in &self.class_names {
            hasher.update(name.as_bytes()).update(b"\0");
        }
        let n_bytes: Vec<Option<u64>> = self.items.par_iter().map(Item::n_bytes).collect();
        for (Item { name, subset, label, .. }, n_bytes) in self.items.iter().zip(n_bytes) {
            hasher.update(&[*subset as u8]).update(&label.to_le_bytes());
            hasher.update(&n_bytes.unwrap_or_default().to_le_bytes());
            hasher.update(name.as_bytes()).update(b"\0");
        }
        hasher.finalize().into()
    }

    /// The names of all items.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(|item| &*item.name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::packed::Size;
    use super::*;

    #[test]
    fn only_files_have_a_length() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("batch.bin");
        std::fs::write(&file, [0u8; 5]).expect("a file");
        let n_bytes = |file: &std::path::Path, index: usize| {
            let size = Size { width: 1, height: 1, channels: 1 };
            let pixels = Arc::new(Packed::in_memory(file, size, vec![0; 2]));
            let content = Content::Packed { pixels, index };
            let (subset, patient, patient_folder) = (Subset::Train, None, None);
            Item { content, name: "0".into(), subset, label: 0, patient, patient_folder }.n_bytes()
        };
        assert_eq!([n_bytes(&file, 0), n_bytes(&file, 1), n_bytes(dir.path(), 0)], [Some(5), None, None]);
    }
}
