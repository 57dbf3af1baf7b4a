//! What the caller decides about loading.

use std::path::PathBuf;

use crate::{DataError, PatientPattern};

/// How many channels the pictures get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channels {
    /// One where the training pictures are grey, also when stored as RGB; three otherwise. See
    /// [`crate::colour`] for the rule.
    #[default]
    Auto,
    /// One: colours become their luma.
    Grey,
    /// Three: grey values are repeated.
    Rgb,
}

/// Sizes that no real picture has; beyond them a file counts as bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeLimits {
    /// Most bytes of a file.
    pub file_bytes: u64,
    /// Most pixels of a side.
    pub side: u32,
    /// Most bytes of a decoded picture.
    pub decoded_bytes: u64,
    /// Most bytes of all arrays of a file, which are in memory while the pictures are made smaller: the 2-D sets of
    /// MedMNIST of 28x28 and 64x64 have at most 1.3 GB, of 128x128 at most 5.3; of 224x224 all but two have at most
    /// 5.6, and those 12 and 16 GB, which would not fit the memory of the machines this is made for.
    pub array_bytes: u64,
    /// Most pictures in such a file; the largest of MedMNIST has 236,386.
    pub packed_pictures: u64,
}

impl Default for SizeLimits {
    fn default() -> Self {
        Self {
            file_bytes: 256 << 20,
            side: 20_000,
            decoded_bytes: 256 << 20,
            array_bytes: 6 << 30,
            packed_pictures: 500_000,
        }
    }
}

/// How a folder becomes a [`crate::Dataset`].
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    /// Short side of the cached pictures, in pixels; at least `crop`.
    pub resize: u32,
    /// Side of the square that training and evaluation see, in pixels; at least 8.
    pub crop: u32,
    /// Decides which files a split takes.
    pub seed: u64,
    /// Leaves bad files out instead of failing.
    pub skip_bad: bool,
    /// Share of the training part that becomes the validation part where none is given, in `[0, 0.5]`; `None` for
    /// [`default_val_fraction`].
    pub val_fraction: Option<f64>,
    /// Share of the training part that becomes the test part where none is given, in `[0, 0.5]`.
    pub test_fraction: f64,
    /// Grey or colour.
    pub channels: Channels,
    /// A folder of class folders (or one with a `test/`) to test on, instead of what the data folder has.
    pub test_dir: Option<PathBuf>,
    /// Finds the patient in file names, instead of the built-in patterns.
    pub patient_pattern: Option<PatientPattern>,
    /// Which fold of cross-validation is tested, instead of a given or split off test part.
    pub fold: Option<Fold>,
    /// Beyond these, a file is bad.
    pub limits: SizeLimits,
}

/// One of the folds of a cross-validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    /// From 0.
    pub index: usize,
    /// Number of folds, at least 2.
    pub of: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            resize: 28,
            crop: 24,
            seed: 0,
            skip_bad: false,
            val_fraction: None,
            test_fraction: 0.1,
            channels: Channels::Auto,
            test_dir: None,
            patient_pattern: None,
            fold: None,
            limits: SizeLimits::default(),
        }
    }
}

impl LoadOptions {
    /// Checks every number against its range.
    ///
    /// # Errors
    /// [`DataError::ResizeBelowCrop`] or [`DataError::OutOfRange`].
    pub fn validate(&self) -> Result<(), DataError> {
        if !(8..=4096).contains(&self.crop) {
            return Err(out_of_range("crop size", self.crop, "8 to 4096 pixels"));
        }
        if self.resize < self.crop {
            return Err(DataError::ResizeBelowCrop { resize: self.resize, crop: self.crop });
        }
        if self.resize > 8192 {
            return Err(out_of_range("resize", self.resize, "at most 8192 pixels"));
        }
        if let Some(Fold { index, of }) = self.fold
            && !(index < of && (2..=100).contains(&of))
        {
            return Err(out_of_range("folds", of, "2 to 100"));
        }
        let val_fraction = self.val_fraction.unwrap_or(0.0);
        for (name, fraction) in [("val fraction", val_fraction), ("test fraction", self.test_fraction)] {
            if !(0.0..=0.5).contains(&fraction) {
                return Err(out_of_range(name, fraction, "0 to 0.5"));
            }
        }
        Ok(())
    }
}

/// Pictures that choose an epoch and a temperature well enough: an accuracy of 0.9 is known to 0.6 points by them.
const ENOUGH_TO_VALIDATE: usize = 2_500;

/// Share of `n_train` training pictures that validates where nobody has said: a tenth, but not more pictures than it
/// takes. The others are worth more to learn from.
#[must_use]
pub fn default_val_fraction(n_train: usize) -> f64 {
    (ENOUGH_TO_VALIDATE as f64 / n_train.max(1) as f64).min(0.1)
}

/// An [`DataError::OutOfRange`].
pub(crate) fn out_of_range(
    name: &'static str,
    found: impl std::fmt::Display,
    expected: &'static str,
) -> DataError {
    DataError::OutOfRange { name, found: found.to_string(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_validates_until_that_is_more_than_it_takes() {
        assert_eq!([0, 251, 25_000, 50_000].map(default_val_fraction), [0.1, 0.1, 0.1, 0.05]);
    }
}
