//! The training and validation images of a model: its predictions for them say nothing about other images.
//!
//! The model file holds eight bytes for each, from [`ImageSet::image_digest`]. They identify an image under any name and in
//! any lossless file format, and reveal nothing of what it shows. An image that was compressed with loss, resized or
//! cropped has another digest.

use roentgen_data::ImageSet;
use serde::{Deserialize, Serialize};

/// Hexadecimal digits of a digest.
const DIGITS: usize = 16;

/// The digests of a model's training and validation images, and of those of the model that it started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct TrainingDigests {
    /// Sorted.
    digests: Vec<u64>,
}

impl TrainingDigests {
    /// The digests of all images of the sets.
    #[must_use]
    pub(crate) fn of(sets: &[&ImageSet]) -> Self {
        let set_digests = |set: &&ImageSet| (0..set.len()).map(|index| set.image_digest(index)).collect();
        let mut digests: Vec<u64> = sets.iter().flat_map::<Vec<u64>, _>(set_digests).collect();
        digests.sort_unstable();
        digests.dedup();
        Self { digests }
    }

    /// The training and validation images of either of two models.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        let mut digests = [self.digests, other.digests].concat();
        digests.sort_unstable();
        digests.dedup();
        Self { digests }
    }

    /// Those that are not among the others.
    #[must_use]
    pub(crate) fn without(mut self, others: &Self) -> Self {
        self.digests.retain(|digest| others.digests.binary_search(digest).is_err());
        self
    }

    /// All of them, sorted.
    #[must_use]
    pub(crate) fn as_slice(&self) -> &[u64] {
        &self.digests
    }

    /// Whether an image is among them.
    #[must_use]
    pub(crate) fn has(&self, set: &ImageSet, index: usize) -> bool {
        self.digests.binary_search(&set.image_digest(index)).is_ok()
    }

    /// How many images of a set are among them.
    #[must_use]
    pub(crate) fn count(&self, set: &ImageSet) -> usize {
        (0..set.len()).filter(|&index| self.has(set, index)).count()
    }

    /// Whether all images of the sets are among them.
    #[must_use]
    pub(crate) fn have_all(&self, sets: &[&ImageSet]) -> bool {
        Self::of(sets).digests.iter().all(|digest| self.digests.binary_search(digest).is_ok())
    }

    /// Whether each of them is an image of one of the sets.
    #[must_use]
    pub(crate) fn are_all_in(&self, sets: &[&ImageSet]) -> bool {
        self.clone().without(&Self::of(sets)).digests.is_empty()
    }

    /// Marks the images of a set that are among them as leaked, and returns how many they are.
    ///
    /// # Panics
    /// If `is_leaked` is shorter than the set.
    pub(crate) fn mark_leaked(&self, set: &ImageSet, is_leaked: &mut [bool]) -> usize {
        let leaked = (0..set.len()).filter(|&index| self.has(set, index));
        leaked.map(|index| is_leaked[index] = true).count()
    }
}

impl From<TrainingDigests> for String {
    fn from(own: TrainingDigests) -> Self {
        own.digests.iter().map(|digest| format!("{digest:0DIGITS$x}")).collect()
    }
}

impl TryFrom<String> for TrainingDigests {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digest = |digits: &[u8]| {
            let digits = str::from_utf8(digits).ok().filter(|digits| digits.len() == DIGITS);
            digits.and_then(|digits| u64::from_str_radix(digits, 16).ok())
        };
        let digests: Option<Vec<u64>> = text.as_bytes().chunks(DIGITS).map(digest).collect();
        match digests {
            Some(digests) if digests.is_sorted() => Ok(Self { digests }),
            _ => Err(format!("expected ascending digests of {DIGITS} hexadecimal digits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use roentgen_data::{LoadOptions, PhantomOptions, phantom_dataset, silent};

    use super::*;

    #[test]
    fn training_images_are_recognised_at_any_size() {
        let phantom = PhantomOptions { train: 6, val: 3, test: 3, ..PhantomOptions::default() };
        let data = phantom_dataset(&phantom, &LoadOptions::default(), &silent).expect("films");
        let larger = LoadOptions { resize: 40, crop: 32, ..LoadOptions::default() };
        let again = phantom_dataset(&phantom, &larger, &silent).expect("films");
        let digests = TrainingDigests::of(&[&data.train, &data.val]);
        let text = serde_json::to_string(&digests).expect("a text");
        assert_eq!(text.len(), 2 + 9 * DIGITS);
        let digests: TrainingDigests = serde_json::from_str(&text).expect("our own text");
        assert!((0..6).all(|index| digests.has(&again.train, index)));
        assert!((0..3).all(|index| digests.has(&again.val, index) && !digests.has(&again.test, index)));
        assert!(digests.are_all_in(&[&again.val, &again.train]) && !digests.are_all_in(&[&again.train]));
    }

    #[test]
    fn an_invalid_list_of_digests_is_rejected() {
        let read = |text: &str| TrainingDigests::try_from(text.to_owned());
        assert!(read("").is_ok() && read("0000000000000001000000000000000a").is_ok());
        for wrong in ["0", "000000000000000g", "000000000000000a0000000000000001", "00000000000000\u{e9}"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
