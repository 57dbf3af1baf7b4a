//! Options of loading.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::class_look::look_of;
use crate::error::DataError;
use crate::file_facts::ViewPosition;
use crate::negatives::BrightnessPattern;
use crate::patients::PatientPattern;
use crate::small_image::{Fit, Resizing};

/// Number of channels of the loaded images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channels {
    /// One if the training images are grey, even if they are stored as RGB; three otherwise. See [`crate::colour`] for the
    /// rule.
    #[default]
    Auto,
    /// One: colours become their luma.
    Grey,
    /// Three: grey values are repeated.
    Rgb,
}

/// What is done with images that are negatives of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Invert {
    /// They are only counted.
    #[default]
    Never,
    /// Their black and white are exchanged.
    Auto,
}

/// [`MOST_GROWTH`] applies to images of more bytes than this: 32 MiB are decoded and resized in a second.
const SMALL: u64 = 32 << 20;
/// Largest ratio of the bytes of an image to those of its file: radiographs are compressed to a half or a tenth, drawings to a
/// fiftieth, but a picture of one colour to a thousandth, so that a small file could cost seconds and half a gigabyte.
const MOST_GROWTH: u64 = 200;

/// Limits that no real image reaches; a file beyond them is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeLimits {
    /// Most bytes of a file.
    pub file_bytes: u64,
    /// Most pixels of a side.
    pub side: u32,
    /// Most bytes of a decoded image.
    pub decoded_bytes: u64,
    /// Most bytes of all arrays of a file, which are in memory while the images are resized. The 2-D sets of MedMNIST have
    /// at most 1.3 GB at 28x28 and 64x64, and 5.3 GB at 128x128. At 224x224 all but two have at most 5.6 GB; these two have
    /// 12 and 16 GB, which is more than the memory of an ordinary computer.
    pub array_bytes: u64,
    /// Most images in such a file; the largest of MedMNIST has 236,386.
    pub packed_images: u64,
}

impl Default for SizeLimits {
    fn default() -> Self {
        Self {
            file_bytes: 256 << 20,
            side: 20_000,
            decoded_bytes: 256 << 20,
            array_bytes: 6 << 30,
            packed_images: 500_000,
        }
    }
}

impl SizeLimits {
    /// Checks an image of `n_bytes` in a file of `file_bytes`, before it is decoded.
    ///
    /// # Errors
    /// That it is too large, in words for the user.
    pub(crate) fn check_image(
        &self,
        [width, height]: [u32; 2],
        n_bytes: u64,
        file_bytes: usize,
    ) -> Result<(), String> {
        if width.max(height) > self.side || n_bytes > self.decoded_bytes {
            return Err(format!(
                "too large: {width}x{height} pixels, the limits are {} per side and {} MiB decoded",
                self.side,
                self.decoded_bytes >> 20
            ));
        }
        if n_bytes > SMALL && n_bytes / MOST_GROWTH > file_bytes as u64 {
            return Err(format!(
                "too large: {width}x{height} pixels in {} KiB, which is not a photograph; make it smaller",
                file_bytes >> 10
            ));
        }
        Ok(())
    }
}

/// How data become a [`Dataset`](crate::Dataset).
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    /// Short side to which images are resized, in pixels; at least `crop`.
    pub resize: u32,
    /// Side of the square input of the model, in pixels; at least 8.
    pub crop: u32,
    /// Determines which images a split selects.
    pub seed: u64,
    /// Ignores bad files instead of failing.
    pub skip_bad: bool,
    /// Fraction of the training set that becomes the validation set if none is given, in `[0, 0.5]`; `None` for
    /// a tenth, and 2,500 images at most.
    pub val_fraction: Option<f64>,
    /// Fraction of the training set that becomes the test set if none is given, in `[0, 0.5]`.
    pub test_fraction: f64,
    /// Grey or colour.
    pub channels: Channels,
    /// A folder of class folders, or one with `test/`, to test on instead of the test set of the data.
    pub test_dir: Option<PathBuf>,
    /// Finds the patient in a file name; used instead of the built-in patterns.
    pub patient_pattern: Option<PatientPattern>,
    /// The fold of a cross-validation that is the test set; used instead of a given or split off test set.
    pub fold: Option<Fold>,
    /// The columns of a table that are not found by their usual names.
    pub columns: ColumnNames,
    /// Other names for classes.
    pub classes: ClassMapping,
    /// What is done with an image that is not square.
    pub fit: Fit,
    /// How many bits of 16-bit samples are used, 8 to 16; `None` if the training images decide, and without these each image
    /// for itself.
    pub sample_bits: Option<u8>,
    /// The brightness that training images have in common, by which negatives are recognised; `None` if the training images
    /// decide.
    pub pattern: Option<BrightnessPattern>,
    /// What is done with negatives.
    pub invert: Invert,
    /// The views of DICOM images that are used; all if it is empty.
    pub views: Vec<ViewPosition>,
    /// A file beyond these limits is bad.
    pub limits: SizeLimits,
    /// A folder, outside of the data, for a file with the decoded images of each data set; it is made if it is missing. With it,
    /// loading training data again takes seconds and has the same result. Other data are loaded without it.
    pub cache: Option<PathBuf>,
}

/// Names of columns of a table, where they are not the usual ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnNames {
    /// The files.
    pub path: Option<String>,
    /// The classes.
    pub label: Option<String>,
    /// The sets.
    pub split: Option<String>,
    /// The patients.
    pub patient: Option<String>,
}

/// New names for classes, several of which may become one: `pneumonia=Viral Pneumonia+Bacterial Pneumonia`. Further classes
/// follow after commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassMapping {
    /// The new name, and the names in the data.
    classes: Vec<(String, Vec<String>)>,
    /// Whether data need not have all of the names: a test set, or the data that a model is evaluated on.
    pub allows_unknown: bool,
}

impl ClassMapping {
    /// Whether it renames nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The same for data that need not have all of the names.
    #[must_use]
    pub fn allowing_unknown(self) -> Self {
        Self { allows_unknown: true, ..self }
    }

    /// The new name of a class; names that look alike have the same.
    pub(crate) fn new_name(&self, name: &str) -> Option<&str> {
        let look = (!self.is_empty()).then(|| look_of(name))?;
        let renamed = |(_, old): &&(String, Vec<String>)| old.iter().any(|old| look_of(old) == look);
        self.classes.iter().find(renamed).map(|(new, _)| new.as_str())
    }

    /// All names that are replaced.
    pub(crate) fn renamed(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().flat_map(|(_, old)| old.iter().map(String::as_str))
    }
}

impl FromStr for ClassMapping {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut classes: Vec<(String, Vec<String>)> = Vec::new();
        let mut looks = Vec::new();
        for class in text.split(',').filter(|_| !text.trim().is_empty()) {
            let (new, old) = class.split_once('=').ok_or(())?;
            let old: Vec<String> = old.split('+').map(|name| name.trim().to_owned()).collect();
            if new.trim().is_empty() || old.iter().any(|name| name.is_empty() || name.contains('=')) {
                return Err(());
            }
            looks.extend(old.iter().map(|name| look_of(name)));
            classes.push((new.trim().to_owned(), old));
        }
        let n = looks.len();
        looks.sort_unstable();
        looks.dedup();
        if looks.len() == n { Ok(Self { classes, allows_unknown: false }) } else { Err(()) }
    }
}

impl fmt::Display for ClassMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let classes = self.classes.iter().map(|(new, old)| format!("{new}={}", old.join("+")));
        f.write_str(&classes.collect::<Vec<_>>().join(","))
    }
}

/// One of the folds of a cross-validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Counted from 0.
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
            columns: ColumnNames::default(),
            classes: ClassMapping::default(),
            fit: Fit::Crop,
            sample_bits: None,
            pattern: None,
            invert: Invert::Never,
            views: Vec::new(),
            limits: SizeLimits::default(),
            cache: None,
        }
    }
}

impl LoadOptions {
    /// How large images become.
    pub(crate) fn resizing(&self) -> Resizing {
        Resizing { resize: self.resize, crop: self.crop, fit: self.fit }
    }

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

/// Enough images to choose an epoch and a temperature: the standard error of an accuracy of 0.9 is 0.6 points.
const ENOUGH_TO_VALIDATE: usize = 2_500;

/// The fraction of `n_train` training images that is split off for validation by default: a tenth, but at most 2,500
/// images. More images are worth more for training.
#[must_use]
pub(crate) fn default_val_fraction(n_train: usize) -> f64 {
    (ENOUGH_TO_VALIDATE as f64 / n_train.max(1) as f64).min(0.1)
}

/// A [`DataError::OutOfRange`].
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
    fn a_mapping_is_read_as_it_is_written() {
        let text = "pneumonia=Viral Pneumonia+Bacterial Pneumonia,covid=COVID-19";
        let mapping: ClassMapping = text.parse().expect("a mapping");
        assert_eq!(
            (mapping.to_string().as_str(), mapping.new_name("viral_pneumonia")),
            (text, Some("pneumonia"))
        );
        assert!("".parse::<ClassMapping>().expect("none").is_empty());
        for wrong in ["pneumonia", "=a", "a=", "a=b+", "a=b,c=b", "a=b=c", "a=b,"] {
            assert_eq!(wrong.parse::<ClassMapping>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn a_tenth_validates_up_to_a_limit() {
        assert_eq!([0, 251, 25_000, 50_000].map(default_val_fraction), [0.1, 0.1, 0.1, 0.05]);
    }
}
