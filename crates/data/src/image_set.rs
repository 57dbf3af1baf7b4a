//! The images of one set, in one buffer.

use std::path::{Path, PathBuf};

use crate::colour;
use crate::file_facts::FileFacts;
use crate::groups::group_ids;
use crate::small_image::SmallImage;

mod mask;

pub use mask::Mask;

/// Small 8-bit images with their labels. Sizes may differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageSet {
    channels: usize,
    pixels: Vec<u8>,
    /// Where each image is in `pixels`.
    blocks: Vec<PixelBlock>,
    labels: Vec<u32>,
    pub(crate) names: Vec<String>,
    files: Vec<Option<PathBuf>>,
    pub(crate) patients: Vec<Option<String>>,
    facts: Vec<Option<FileFacts>>,
    digests: Vec<Option<u64>>,
}

/// An image with its attributes, before it is packed into a set.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) image: SmallImage,
    pub(crate) name: String,
    /// The file that it was read from, if it has one of its own.
    pub(crate) file: Option<PathBuf>,
    pub(crate) label: u32,
    pub(crate) patient: Option<String>,
    pub(crate) facts: Option<FileFacts>,
    /// The short digest of the image before it was resized.
    pub(crate) digest: Option<u64>,
}

impl From<(SmallImage, String, u32)> for Entry {
    fn from((image, name, label): (SmallImage, String, u32)) -> Self {
        Self { image, name, file: None, label, patient: None, facts: None, digest: None }
    }
}

/// The pixels of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PixelBlock {
    start: usize,
    height: usize,
    width: usize,
}

/// The pixels of one image of a set.
#[derive(Clone, Copy, Debug)]
pub struct ImageView<'a> {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `height * width * channels` values, rows from the top, channels together.
    pub pixels: &'a [u8],
}

impl ImageSet {
    /// Packs images and converts each to `channels`.
    pub(crate) fn pack<E: Into<Entry>>(channels: usize, entries: Vec<E>) -> Self {
        let mut set = Self { channels, ..Self::default() };
        for Entry { image, name, file, label, patient, facts, digest } in entries.into_iter().map(Into::into)
        {
            let (height, width) = (image.height as usize, image.width as usize);
            set.blocks.push(PixelBlock { start: set.pixels.len(), height, width });
            match (image.channels, channels) {
                (3, 1) => set.pixels.extend(colour::to_grey(&image.pixels)),
                (1, 3) => set.pixels.extend(colour::to_rgb(&image.pixels)),
                _ => set.pixels.extend(&image.pixels),
            }
            set.labels.push(label);
            set.names.push(name);
            set.files.push(file);
            set.patients.push(patient);
            set.facts.push(facts);
            set.digests.push(digest);
        }
        set
    }

    /// The images of this set, followed by those of another one.
    ///
    /// # Panics
    /// If both have images and their channels differ.
    #[must_use]
    pub fn concat(&self, other: &Self) -> Self {
        if self.is_empty() {
            return other.clone();
        }
        assert!(other.is_empty() || self.channels == other.channels, "ImageSet::concat: channels");
        let mut both = self.clone();
        let start = both.pixels.len();
        both.pixels.extend(&other.pixels);
        both.blocks
            .extend(other.blocks.iter().map(|block| PixelBlock { start: start + block.start, ..*block }));
        both.labels.extend(&other.labels);
        both.names.extend(other.names.iter().cloned());
        both.files.extend(other.files.iter().cloned());
        both.patients.extend(other.patients.iter().cloned());
        both.facts.extend(&other.facts);
        both.digests.extend(&other.digests);
        both
    }

    /// The images at `indices`, in that order.
    ///
    /// # Panics
    /// If an index is not in the set.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut selected = Self { channels: self.channels, ..Self::default() };
        for &index in indices {
            selected.blocks.push(PixelBlock { start: selected.pixels.len(), ..self.blocks[index] });
            selected.pixels.extend(self.image(index).pixels);
            selected.labels.push(self.labels[index]);
            selected.names.push(self.names[index].clone());
            selected.files.push(self.files[index].clone());
            selected.patients.push(self.patients[index].clone());
            selected.facts.push(self.facts[index]);
            selected.digests.push(self.digests[index]);
        }
        selected
    }

    /// Bytes of the pixels of all images.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        self.pixels.len()
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// 1 or 3.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Class index of every image.
    #[must_use]
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Path of an image inside the data folder.
    ///
    /// # Panics
    /// If there is no image `index`, as all methods with an index.
    #[must_use]
    pub fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    /// The file that an image was read from, if it has one of its own; drawn and packed images have none.
    #[must_use]
    pub fn file(&self, index: usize) -> Option<&Path> {
        self.files[index].as_deref()
    }

    /// The facts of its file, if it came from a file.
    #[must_use]
    pub fn facts(&self, index: usize) -> Option<&FileFacts> {
        self.facts[index].as_ref()
    }

    /// Digest of an image before it was resized: equal images have equal digests in every set.
    #[must_use]
    pub fn image_digest(&self, index: usize) -> Option<u64> {
        self.digests[index]
    }

    /// The patient of an image, if it is known.
    #[must_use]
    pub fn patient(&self, index: usize) -> Option<&str> {
        self.patients[index].as_deref()
    }

    /// The patient of every image, where it is known.
    #[must_use]
    pub fn patients(&self) -> &[Option<String>] {
        &self.patients
    }

    /// The group number of every image's patient; see [`group_ids`].
    #[must_use]
    pub fn patient_groups(&self) -> Option<Vec<u32>> {
        group_ids(&self.patients)
    }

    /// The pixels of an image.
    #[must_use]
    pub fn image(&self, index: usize) -> ImageView<'_> {
        let PixelBlock { start, height, width } = self.blocks[index];
        let pixels = &self.pixels[start..start + height * width * self.channels];
        ImageView { height, width, pixels }
    }

    /// Digest of pixels, sizes, labels and names: sets with equal digests give the same training run.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.pixels);
        for (block, (label, name)) in self.blocks.iter().zip(self.labels.iter().zip(&self.names)) {
            hasher.update(&(block.width as u64).to_le_bytes());
            hasher.update(&(block.height as u64).to_le_bytes());
            hasher.update(&label.to_le_bytes());
            hasher.update(name.as_bytes());
            hasher.update(b"\n");
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// Number of images of each class.
    #[must_use]
    pub fn class_counts(&self, n_classes: usize) -> Vec<usize> {
        let mut counts = vec![0; n_classes];
        for &label in &self.labels {
            counts[label as usize] += 1;
        }
        counts
    }
}
