//! The images of one set.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use crate::file_facts::FileFacts;
use crate::groups::ImageGroups;
use crate::image_file::ImageFile;
use crate::pixel_file::PixelFile;
use crate::small_image::SmallImage;

use self::pixels::Pixels;

mod mask;
mod pixels;

pub use mask::Mask;

/// Images that are read together where all are read.
const TOGETHER: usize = 512;

/// Small 8-bit images with their labels. Sizes may differ. The pixels are in memory, or, loaded with
/// [`LoadOptions::cache`](crate::LoadOptions::cache), in the cache file, from which each image is read when it is needed.
///
/// If it cannot be read then, the thread unwinds to [`catch_unreadable`](crate::catch_unreadable).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageSet {
    channels: usize,
    pixels: Pixels,
    labels: Vec<u32>,
    names: Vec<Box<str>>,
    files: Vec<Option<ImageFile>>,
    patients: Vec<Option<String>>,
    groups: Vec<Option<u32>>,
    facts: Vec<Option<FileFacts>>,
    digests: Vec<u64>,
}

/// An image with its attributes, before it is packed into a set.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) image: SmallImage,
    pub(crate) name: Box<str>,
    /// The file that it was read from, if it has one of its own.
    pub(crate) file: Option<ImageFile>,
    pub(crate) label: u32,
    pub(crate) patient: Option<Box<str>>,
    /// A number that the duplicates of the image, and the images of its patient, have too, in every set of the data.
    pub(crate) group: Option<u32>,
    pub(crate) facts: Option<FileFacts>,
    /// The short digest of the image before it was resized.
    pub(crate) digest: u64,
}

/// For tests, whose images all have the digest 0.
#[cfg(test)]
impl From<(SmallImage, String, u32)> for Entry {
    fn from((image, name, label): (SmallImage, String, u32)) -> Self {
        let (file, patient, group, facts, digest) = (None, None, None, None, 0);
        Self { image, name: name.into(), file, label, patient, group, facts, digest }
    }
}

/// The pixels of one image of a set.
#[derive(Clone, Debug)]
pub struct ImageView<'a> {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `height * width * channels` values, rows from the top, channels together.
    pub pixels: Cow<'a, [u8]>,
}

impl ImageSet {
    /// Packs images in memory and converts each to `channels`.
    pub(crate) fn pack<E: Into<Entry>>(channels: usize, entries: Vec<E>) -> Self {
        let mut set = Self::with_capacity(channels, entries.len(), None);
        entries.into_iter().for_each(|entry| set.push(entry.into()));
        set
    }

    /// An empty set for `n` images, which stay in `file`, or else are in memory.
    pub(crate) fn with_capacity(channels: usize, n: usize, file: Option<&Arc<PixelFile>>) -> Self {
        Self {
            channels,
            pixels: Pixels::with_capacity(n, file),
            labels: Vec::with_capacity(n),
            names: Vec::with_capacity(n),
            files: Vec::with_capacity(n),
            patients: Vec::with_capacity(n),
            groups: Vec::with_capacity(n),
            facts: Vec::with_capacity(n),
            digests: Vec::with_capacity(n),
        }
    }

    /// Adds an image, converted to the channels of the set if it is in memory.
    pub(crate) fn push(&mut self, entry: Entry) {
        let Entry { image, name, file, label, patient, group, facts, digest } = entry;
        self.pixels.push_image(image, self.channels);
        self.labels.push(label);
        self.names.push(name);
        self.files.push(file);
        self.patients.push(patient.map(Into::into));
        self.groups.push(group);
        self.facts.push(facts);
        self.digests.push(digest);
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
        both.pixels.extend(&other.pixels, 0..other.len(), self.channels);
        both.labels.extend(&other.labels);
        both.names.extend(other.names.iter().cloned());
        both.files.extend(other.files.iter().cloned());
        both.patients.extend(other.patients.iter().cloned());
        both.groups.extend(&other.groups);
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
        let pixels = self.pixels.empty_like();
        let mut selected = Self { channels: self.channels, pixels, ..Self::default() };
        selected.pixels.extend(&self.pixels, indices.iter().copied(), self.channels);
        for &index in indices {
            selected.labels.push(self.labels[index]);
            selected.names.push(self.names[index].clone());
            selected.files.push(self.files[index].clone());
            selected.patients.push(self.patients[index].clone());
            selected.groups.push(self.groups[index]);
            selected.facts.push(self.facts[index]);
            selected.digests.push(self.digests[index]);
        }
        selected
    }

    /// Bytes of memory that the images take, with their names and all that is known of them.
    #[must_use]
    pub fn n_bytes(&self) -> usize {
        let Self { channels: _, pixels, labels, names, files, patients, groups, facts, digests } = self;
        let texts = names.iter().map(|name| name.len()).sum::<usize>()
            + files.iter().flatten().map(ImageFile::n_bytes).sum::<usize>()
            + patients.iter().flatten().map(String::len).sum::<usize>();
        let lists = size_of_val(&**labels)
            + size_of_val(&**names)
            + size_of_val(&**files)
            + size_of_val(&**patients)
            + size_of_val(&**groups)
            + size_of_val(&**facts)
            + size_of_val(&**digests);
        pixels.n_bytes() + texts + lists
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
    pub fn file(&self, index: usize) -> Option<PathBuf> {
        self.files[index].as_ref().map(|file| file.path(&self.names[index]))
    }

    /// The facts of its file, if it came from a file.
    #[must_use]
    pub fn facts(&self, index: usize) -> Option<&FileFacts> {
        self.facts[index].as_ref()
    }

    /// Digest of an image before it was resized: equal images have equal digests in every set.
    #[must_use]
    pub fn image_digest(&self, index: usize) -> u64 {
        self.digests[index]
    }

    /// The patient of an image, if it is known.
    #[must_use]
    pub fn patient(&self, index: usize) -> Option<&str> {
        self.patients[index].as_deref()
    }

    /// Calls `rename` with the name of every image, and `rename_patient` with that of every patient. Files stay where they are.
    pub(crate) fn rename(
        &mut self,
        rename: impl Fn(&str) -> String,
        rename_patient: impl Fn(&str) -> String,
    ) {
        for (name, file) in self.names.iter_mut().zip(&mut self.files) {
            if let Some(file) = file {
                *file = ImageFile::At(file.path(name).into());
            }
            *name = rename(name).into();
        }
        for patient in self.patients.iter_mut().flatten() {
            *patient = rename_patient(patient);
        }
    }

    /// The name of every image.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// The patient of every image, where it is known.
    #[must_use]
    pub fn patients(&self) -> &[Option<String>] {
        &self.patients
    }

    /// A number for the patient of every image, an own one where it is not known; `None` if no patient is known.
    #[must_use]
    pub fn patient_groups(&self) -> Option<Vec<u32>> {
        ImageGroups::of_patients(&self.patients).ids().map(<[u32]>::to_vec)
    }

    /// A number that the duplicates of an image, and the images of its patient, have too, in every set of its data; `None` if it
    /// has no others there.
    #[must_use]
    pub fn group(&self, index: usize) -> Option<u32> {
        self.groups[index]
    }

    /// Which images belong together: those of a patient, and duplicates.
    #[must_use]
    pub fn groups(&self) -> ImageGroups {
        ImageGroups::of_patients(&self.patients).joined(|image| self.groups[image])
    }

    /// Height and width of an image.
    #[must_use]
    pub fn size(&self, index: usize) -> (usize, usize) {
        self.pixels.size(index)
    }

    /// The pixels of an image.
    #[must_use]
    pub fn image(&self, index: usize) -> ImageView<'_> {
        self.pixels.image(index, self.channels)
    }

    /// Calls `work` with each image in order. Those in a file are read in parallel.
    pub(crate) fn for_each_image(&self, mut work: impl FnMut(ImageView<'_>)) {
        for start in (0..self.len()).step_by(TOGETHER) {
            let end = usize::min(start + TOGETHER, self.len());
            let images: Vec<ImageView<'_>> =
                (start..end).into_par_iter().with_min_len(16).map(|index| self.image(index)).collect();
            images.into_iter().for_each(&mut work);
        }
    }

    /// Digest of pixels, sizes, labels, names and patients, and of which images belong together: sets with equal digests give the
    /// same training run, if their classes have the same names.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        self.for_each_image(|image| {
            hasher.update(&image.pixels);
        });
        for (index, (label, name)) in self.labels.iter().zip(&self.names).enumerate() {
            let (height, width) = self.size(index);
            hasher.update(&(width as u64).to_le_bytes());
            hasher.update(&(height as u64).to_le_bytes());
            hasher.update(&label.to_le_bytes());
            for text in [Some(&**name), self.patient(index)] {
                // The length marks the end of a text; a patient who is not known has none.
                hasher.update(&text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
                hasher.update(text.unwrap_or_default().as_bytes());
            }
        }
        // Numbers of this set alone: those that all sets share depend on the images of the others.
        for group in self.groups().ids().unwrap_or_default() {
            hasher.update(&group.to_le_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_also_of_patients_and_of_images_that_belong_together() {
        let digest = |patients: [Option<&str>; 3], groups: [Option<u32>; 3]| {
            let entry = |index: usize| {
                let image = SmallImage::of_pixels((2, 2), 1, vec![index as u8; 4]);
                let (patient, group) = (patients[index].map(Into::into), groups[index]);
                Entry { patient, group, ..(image, index.to_string(), 0u32).into() }
            };
            ImageSet::pack(1, (0..3).map(entry).collect()).digest()
        };
        let (unknown, alone) = ([None; 3], [None; 3]);
        let of_two = digest([Some("a"), Some("a"), Some("b")], alone);
        let others = [
            digest(unknown, alone),
            digest(unknown, [Some(0), Some(0), None]),
            digest([Some("a"), Some("b"), Some("b")], alone),
            digest([Some("c"), Some("c"), Some("b")], alone),
            digest([Some("a"), Some("a"), Some("b")], [Some(0), Some(0), Some(0)]),
        ];
        assert!(others.iter().all(|other| *other != of_two) && others[0] != others[1]);
        // Other sets of the data have images too, which the numbers of groups count.
        assert_eq!(digest(unknown, [Some(7), Some(7), None]), others[1]);
    }
}
