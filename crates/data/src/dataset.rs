//! A loaded data set: training, validation and test images in memory, and what was found in the data.

use crate::error::BadFile;
use crate::image_set::ImageSet;
use crate::leakage::{ImageLocation, LeakedImage};
use crate::negatives::BrightnessPattern;
use crate::patients::Patients;
use crate::subset::Subset;

/// Where a validation or a test set comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubsetOrigin {
    /// The data define it.
    Given,
    /// It was split off the training set.
    SplitOff,
}

/// A data set, decoded and resized.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The classes; a label is an index into them.
    pub class_names: Vec<String>,
    /// 1 for grey, 3 for colour.
    pub channels: usize,
    /// The training set.
    pub train: ImageSet,
    /// The validation set; empty if a fraction of 0 was requested.
    pub val: ImageSet,
    /// The test set; empty if a fraction of 0 was requested.
    pub test: ImageSet,
    /// Whether the validation set was given or split off.
    pub val_origin: SubsetOrigin,
    /// Whether the test set was given or split off.
    pub test_origin: SubsetOrigin,
    /// The fraction of the training set that is split off for validation, where no validation set is given.
    pub val_fraction: f64,
    /// How many bits of 16-bit samples the training images use; `None` if they have none.
    pub sample_bits: Option<u8>,
    /// The brightness that the training images have in common, if they have; negatives are recognised by it.
    pub pattern: Option<BrightnessPattern>,
    /// Digest of the images that splits are drawn from, by their pixels; [`load_for_model`](crate::load_for_model)
    /// recognises the training data by it.
    pub fingerprint: String,
    /// What was found in the data: duplicates, leakage, patients, bad files.
    pub findings: Findings,
    /// What names were replaced by [`Dataset::pseudonymise`].
    pub pseudonyms: Vec<Pseudonym>,
}

/// One of the sets of a [`Dataset`].
#[derive(Clone, Copy, Debug)]
pub struct SubsetOfData<'a> {
    /// Which one.
    pub subset: Subset,
    /// Its images.
    pub set: &'a ImageSet,
    /// Whether it was given or split off.
    pub origin: SubsetOrigin,
}

impl Dataset {
    /// The training, the validation and the test set.
    #[must_use]
    pub fn subsets(&self) -> [SubsetOfData<'_>; 3] {
        [
            SubsetOfData { subset: Subset::Train, set: &self.train, origin: SubsetOrigin::Given },
            SubsetOfData { subset: Subset::Val, set: &self.val, origin: self.val_origin },
            SubsetOfData { subset: Subset::Test, set: &self.test, origin: self.test_origin },
        ]
    }

    /// Empties the test set, so that nothing can be measured on it. The training and the validation set stay.
    pub fn remove_test(&mut self) {
        self.test = self.test.select(&[]);
        self.findings.is_leaked_test.clear();
    }
}

/// What a name was replaced by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pseudonym {
    /// Of what: `image`, `patient`, `file` or `note`.
    pub kind: &'static str,
    /// The text that replaces the name.
    pub pseudonym: String,
    /// The name.
    pub original: String,
}

/// What was found in the data besides the images themselves.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Groups of images that are duplicates of each other, sorted.
    pub duplicates: Vec<Vec<ImageLocation>>,
    /// Images with a duplicate in an earlier set, sorted.
    pub leakage: Vec<LeakedImage>,
    /// Of each validation image, whether it leaked: the training set has a duplicate of it, or an image of its patient.
    pub is_leaked_val: Vec<bool>,
    /// Of each test image, whether it leaked: an earlier set has a duplicate of it, or an image of its patient.
    pub is_leaked_test: Vec<bool>,
    /// The patients, if they are known.
    pub patients: Option<Patients>,
    /// Files left out because of `skip_bad`.
    pub bad: Vec<BadFile>,
    /// Remarks for the user, a sentence each.
    pub notes: Vec<String>,
}

impl Findings {
    /// The images that have a duplicate in an earlier set, each once however many duplicates it has there.
    #[must_use]
    pub fn leaked_images(&self) -> Vec<&ImageLocation> {
        // Pairs of one image are beside each other.
        let mut images: Vec<&ImageLocation> = self.leakage.iter().map(|leaked| &leaked.image).collect();
        images.dedup();
        images
    }
}
