//! The pictures of one part, in one buffer.

use crate::groups::group_ids;
use crate::small_image::SmallImage;
use crate::{FileFacts, colour};

mod mask;

pub use mask::Mask;

/// Small 8-bit pictures with their labels; short sides are equal, long sides are not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageSet {
    channels: usize,
    pixels: Vec<u8>,
    /// Where each picture starts in `pixels`, and how large it is.
    blocks: Vec<PixelBlock>,
    labels: Vec<u32>,
    names: Vec<String>,
    patients: Vec<Option<String>>,
    facts: Vec<Option<FileFacts>>,
    digests: Vec<Option<u64>>,
}

/// A picture on its way into a set.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) picture: SmallImage,
    pub(crate) name: String,
    pub(crate) label: u32,
    pub(crate) patient: Option<String>,
    pub(crate) facts: Option<FileFacts>,
    /// [`Decoded::digest`](crate::decode::Decoded::digest).
    pub(crate) digest: Option<u64>,
}

impl From<(SmallImage, String, u32)> for Entry {
    fn from((picture, name, label): (SmallImage, String, u32)) -> Self {
        Self { picture, name, label, patient: None, facts: None, digest: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PixelBlock {
    start: usize,
    height: usize,
    width: usize,
}

/// One picture of a set, borrowed.
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
    /// Packs pictures, bringing each to `channels`.
    pub(crate) fn pack<E: Into<Entry>>(channels: usize, entries: Vec<E>) -> Self {
        let mut set = Self { channels, ..Self::default() };
        for Entry { picture, name, label, patient, facts, digest } in entries.into_iter().map(Into::into) {
            let (height, width) = (picture.height as usize, picture.width as usize);
            set.blocks.push(PixelBlock { start: set.pixels.len(), height, width });
            match (picture.channels, channels) {
                (3, 1) => set.pixels.extend(colour::to_grey(&picture.pixels)),
                (1, 3) => set.pixels.extend(colour::to_rgb(&picture.pixels)),
                _ => set.pixels.extend(&picture.pixels),
            }
            set.labels.push(label);
            set.names.push(name);
            set.patients.push(patient);
            set.facts.push(facts);
            set.digests.push(digest);
        }
        set
    }

    /// The pictures of this set, then those of another one.
    ///
    /// # Panics
    /// If both have pictures and differ in channels.
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
        both.patients.extend(other.patients.iter().cloned());
        both.facts.extend(&other.facts);
        both.digests.extend(&other.digests);
        both
    }

    /// The pictures at `indices`, in that order.
    ///
    /// # Panics
    /// If one is beyond the set.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let mut selected = Self { channels: self.channels, ..Self::default() };
        for &index in indices {
            selected.blocks.push(PixelBlock { start: selected.pixels.len(), ..self.blocks[index] });
            selected.pixels.extend(self.image(index).pixels);
            selected.labels.push(self.labels[index]);
            selected.names.push(self.names[index].clone());
            selected.patients.push(self.patients[index].clone());
            selected.facts.push(self.facts[index]);
            selected.digests.push(self.digests[index]);
        }
        selected
    }

    /// Number of pictures.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// 1 or 3.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Class index of every picture.
    #[must_use]
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Path of a picture inside the data folder.
    ///
    /// # Panics
    /// If there is no picture `index`; so does [`Self::image`].
    #[must_use]
    pub fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    /// What its file told, where it came from one.
    #[must_use]
    pub fn facts(&self, index: usize) -> Option<&FileFacts> {
        self.facts[index].as_ref()
    }

    /// Digest of a picture as it was decoded, before it was brought to a size: the same picture has the same one in
    /// every set. None where it was made in memory.
    #[must_use]
    pub fn image_digest(&self, index: usize) -> Option<u64> {
        self.digests[index]
    }

    /// The patient of a picture, where it is known.
    #[must_use]
    pub fn patient(&self, index: usize) -> Option<&str> {
        self.patients[index].as_deref()
    }

    /// The patient of every picture.
    #[must_use]
    pub fn patients(&self) -> &[Option<String>] {
        &self.patients
    }

    /// The patients as [`group_ids`] numbers them.
    #[must_use]
    pub fn patient_groups(&self) -> Option<Vec<u32>> {
        group_ids(&self.patients)
    }

    /// The pixels of a picture.
    #[must_use]
    pub fn image(&self, index: usize) -> ImageView<'_> {
        let PixelBlock { start, height, width } = self.blocks[index];
        let pixels = &self.pixels[start..start + height * width * self.channels];
        ImageView { height, width, pixels }
    }

    /// Digest of pixels, sizes, labels and names: equal sets are the same to a training.
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

    /// Number of pictures of each class.
    #[must_use]
    pub fn class_counts(&self, n_classes: usize) -> Vec<usize> {
        let mut counts = vec![0; n_classes];
        for &label in &self.labels {
            counts[label as usize] += 1;
        }
        counts
    }
}
