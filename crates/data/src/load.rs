//! From a path to sets in memory: list, decode once, group and split.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::cache::CacheFile;
use crate::dataset::{Dataset, Findings, SubsetOrigin};
use crate::decode::Decoded;
use crate::error::DataError;
use crate::image_set::{Entry, ImageSet};
use crate::negatives::BrightnessPattern;
use crate::options::{Fold, Invert, LoadOptions};
use crate::pool::ImagePool;
use crate::progress::Progress;
use crate::sample_bits::UsedBits;
use crate::source::arrays::{self, ArrayImages};
use crate::source::{self, Item, Listing, Usage};
use crate::subset::Subset;
use crate::team::{self, Alone, Team};

/// Most classes of a data set. A model of more could be trained, but not read again: a model file is untrusted, and its number of
/// classes decides how much memory is taken for it.
pub const MAX_CLASSES: usize = 10_000;

/// Loads training data from a folder, or from a file of any supported format.
///
/// Images are listed, decoded and resized in parallel; duplicates and patients are found; missing sets are split off the
/// training set. No split separates duplicates or the images of a patient. The result depends on the files and the
/// options alone.
///
/// # Errors
/// [`DataError`]; for bad files [`DataError::BadFiles`], which lists all of them.
///
/// ```
/// use roentgen_data::{LoadOptions, PhantomOptions, load_dataset, silent, write_phantom};
///
/// let dir = tempfile::tempdir()?;
/// let phantom = PhantomOptions { train: 30, val: 6, test: 6, ..PhantomOptions::default() };
/// write_phantom(dir.path(), &phantom, &silent)?;
/// let data = load_dataset(dir.path(), &LoadOptions::default(), &silent)?;
/// assert_eq!(data.class_names, ["covid", "normal", "pneumonia"]);
/// assert_eq!((data.train.len(), data.val.len(), data.test.len()), (30, 6, 6));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn load_dataset(
    path: &Path,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<Dataset, DataError> {
    load_dataset_together(path, options, &Alone, progress)
}

/// [`load_dataset`] by several processes: each decodes a share of the files, and all get the same data set.
///
/// # Errors
/// As [`load_dataset`], on every process if on one; [`DataError::OtherFiles`] if they have not the same files, and
/// [`DataError::NotExchanged`] if they cannot reach each other.
pub fn load_dataset_together(
    path: &Path,
    options: &LoadOptions,
    team: &dyn Team,
    progress: &dyn Progress,
) -> Result<Dataset, DataError> {
    load_pool(path, options, team, progress)?.split(options)
}

/// A few images of the training set of [`load_dataset`], evenly spaced, decoded in the same way; bad ones are left out. They have three
/// channels, which are equal in grey images. With [`Invert::Auto`], negatives are found by the pattern of some more images.
///
/// # Errors
/// [`DataError`], for data that cannot be used at all.
pub fn load_some(path: &Path, n: usize, options: &LoadOptions) -> Result<ImageSet, DataError> {
    options.validate()?;
    let train = source::list(path, Usage::Train, options)?.take(Subset::Train);
    let is_inverted = options.invert == Invert::Auto;
    let step = train.len().div_ceil(if is_inverted { n.max(SAMPLE) } else { n }).max(1);
    let chosen: Vec<Item> = train.into_iter().step_by(step).collect();
    chosen.iter().try_for_each(Item::load_packed)?;
    let (items, mut decoded): (Vec<Item>, Vec<Decoded>) = chosen
        .into_par_iter()
        .filter_map(|item| item.decode(options).ok().map(|decoded| (item, decoded)))
        .unzip();
    UsedBits::default().apply(decoded.iter_mut(), options.sample_bits);
    if is_inverted && let Some(pattern) = BrightnessPattern::of(decoded.iter().map(|decoded| &decoded.image))
    {
        decoded.iter_mut().for_each(|decoded| decoded.check_negative(&pattern, options.invert));
    }
    let step = decoded.len().div_ceil(n).max(1);
    let entry = |(Item { name, content, label, .. }, decoded): (Item, Decoded)| {
        let (facts, digest) = (Some(decoded.facts), decoded.digest());
        let (file, patient, group) = (content.into_file(), None, None);
        Entry { image: decoded.image, name, file, label, patient, group, facts, digest }
    };
    Ok(ImageSet::pack(3, items.into_iter().zip(decoded).step_by(step).map(entry).collect()))
}

/// Loads training data from images in memory, as [`load_dataset`] loads them from a file: the same resizing, splits and
/// checks.
///
/// # Errors
/// [`DataError::Unusable`] if shape, labels or classes do not match; else as [`load_dataset`].
///
/// ```
/// use ndarray::Array4;
/// use roentgen_data::{ArrayImages, LoadOptions, load_arrays, silent};
///
/// // 40 images of 32x32: half of them dark, half of them bright.
/// let images = Array4::from_shape_fn((40, 32, 32, 1), |(n, y, x, _)| {
///     ((n * 37 + y * n + x * 11) % 100 + n % 2 * 100) as u8
/// });
/// let labels: Vec<u32> = (0..40).map(|n| n % 2).collect();
/// let arrays = ArrayImages {
///     images: images.view(),
///     labels: &labels,
///     class_names: &["dark", "bright"],
///     subsets: None,
///     patients: None,
/// };
/// let data = load_arrays(&arrays, &LoadOptions::default(), &silent)?;
/// assert_eq!(data.train.len() + data.val.len() + data.test.len(), 40);
/// # Ok::<(), roentgen_data::DataError>(())
/// ```
pub fn load_arrays(
    arrays: &ArrayImages<'_>,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<Dataset, DataError> {
    options.validate()?;
    let path = Path::new(arrays::NAME);
    let listed = prepared(arrays.list(options)?, path, options);
    decode_listing(listed, path, options, &Alone, progress)?.split(options)
}

/// Decoded images, from which several data sets are cut: one for each fold or seed.
#[derive(Debug)]
pub struct DecodedImages {
    pool: ImagePool,
    options: LoadOptions,
}

impl DecodedImages {
    /// Lists and decodes the images at `path`, each of them once, however often they are split; by one process
    /// ([`Alone`]), or by several, which share the files.
    ///
    /// # Errors
    /// As [`load_dataset_together`].
    pub fn load(
        path: &Path,
        options: &LoadOptions,
        team: &dyn Team,
        progress: &dyn Progress,
    ) -> Result<Self, DataError> {
        Ok(Self { pool: load_pool(path, options, team, progress)?, options: before_splits(options) })
    }

    /// Whether [`Self::split`] takes these options.
    #[must_use]
    pub fn can_be_split_by(&self, options: &LoadOptions) -> bool {
        before_splits(options) == self.options
    }

    /// The data set that [`load_dataset`] returns with these options, which may differ from those of [`Self::load`] in what a
    /// split depends on: the seed, the fractions, and the index of the fold.
    ///
    /// # Errors
    /// [`DataError::TooFewGroups`] if a class has fewer groups of images that belong together than there are folds;
    /// [`DataError::MissingInFold`] if it cannot be in each fold.
    ///
    /// # Panics
    /// If they differ in anything else.
    pub fn split(&self, options: &LoadOptions) -> Result<Dataset, DataError> {
        assert!(
            self.can_be_split_by(options),
            "DecodedImages::split: images were decoded with other options"
        );
        options.validate()?;
        self.pool.clone().split(options)
    }
}

/// The options without those that only splits depend on.
fn before_splits(options: &LoadOptions) -> LoadOptions {
    LoadOptions {
        seed: 0,
        val_fraction: None,
        test_fraction: 0.0,
        fold: options.fold.map(|fold| Fold { index: 0, ..fold }),
        ..options.clone()
    }
}

/// Lists and decodes training data.
fn load_pool(
    path: &Path,
    options: &LoadOptions,
    team: &dyn Team,
    progress: &dyn Progress,
) -> Result<ImagePool, DataError> {
    let list = || {
        options.validate()?;
        prepared(source::list(path, Usage::Train, options)?, path, options)
    };
    decode_listing(list(), path, options, team, progress)
}

/// The files to decode, and the cache file for them, which may not exist.
struct Listed {
    listing: Listing,
    cache: Option<PathBuf>,
}

/// Checks what was listed of the training data at `path`, and finds the place of their cache.
fn prepared(listing: Listing, path: &Path, options: &LoadOptions) -> Result<Listed, DataError> {
    let found = listing.class_names.len();
    if found > MAX_CLASSES {
        return Err(DataError::TooManyClasses { path: path.into(), found, limit: MAX_CLASSES });
    }
    check_class_names(&listing.class_names)
        .map_err(|reason| DataError::Unusable { path: path.into(), reason })?;
    let cache =
        options.cache.as_deref().map(|folder| CacheFile::path_of(folder, path, options)).transpose()?;
    Ok(Listed { listing: choose_test(listing, options)?, cache })
}

/// A model file whose classes have no name, or the same one, is not read: blanks around a name do not count.
fn check_class_names(names: &[String]) -> Result<(), String> {
    let mut seen = HashMap::new();
    for name in names {
        if name.trim().is_empty() {
            return Err(format!("the name of a class is blank, `{}`; rename it", name.escape_debug()));
        }
        if let Some(other) = seen.insert(name.trim(), name) {
            return Err(format!("two classes differ in blanks only, `{other}` and `{name}`; rename one"));
        }
    }
    Ok(())
}

/// Decodes training data; `path` names them in errors.
fn decode_listing(
    listed: Result<Listed, DataError>,
    path: &Path,
    options: &LoadOptions,
    team: &dyn Team,
    progress: &dyn Progress,
) -> Result<ImagePool, DataError> {
    let files_of = |listed: &Listed| (listed.listing.items.len(), listed.listing.digest());
    let Listed { listing, cache } = team::check_same_files(team, listed, files_of)?;
    let pool = ImagePool::decode(listing, cache.as_deref(), options, team, progress)?;
    if let Some((class, unused)) = pool.empty_class() {
        let example = unused.map(|file| format!(", for example {}: {}", file.path.display(), file.reason));
        let is_missing = path.is_file() && unused.is_some_and(|file| !file.path.exists());
        let hint =
            if is_missing { " (paths in a table are relative to the folder of the table)" } else { "" };
        return Err(DataError::EmptyClass {
            path: path.into(),
            class: class.to_owned(),
            found: format!("none of its files can be used{}{hint}", example.unwrap_or_default()),
        });
    }
    Ok(pool)
}

/// Replaces or removes the given test set as the options ask: `test_dir` brings another one, and folds need none.
fn choose_test(mut listing: Listing, options: &LoadOptions) -> Result<Listing, DataError> {
    if let Some(dir) = &options.test_dir {
        if listing.test_origin == SubsetOrigin::Given {
            listing.notes.push(format!("tested on {} instead of the test set of the data", dir.display()));
        }
        let classes = options.classes.clone().allowing_unknown();
        let test_options = LoadOptions { classes, ..options.clone() };
        let mut other = source::list(dir, Usage::Evaluate(&listing.class_names), &test_options)?;
        let items = match (other.test_origin, other.has_subsets) {
            (SubsetOrigin::Given, _) => other.take(Subset::Test),
            (SubsetOrigin::SplitOff, false) => other.take(Subset::Train),
            (SubsetOrigin::SplitOff, true) => return Err(DataError::NoTestSet { path: dir.clone() }),
        };
        listing.take(Subset::Test);
        if items.is_empty() {
            return Err(DataError::NoTestImages { path: dir.clone() });
        }
        listing.add_test(items);
        listing.has_test_option = true;
        listing.notes.extend(other.notes);
    }
    if let Some(Fold { of, .. }) = options.fold {
        if listing.test_origin == SubsetOrigin::Given {
            listing.take(Subset::Test);
            listing.notes.push(format!("{of} folds: the given test set is not used"));
        }
        listing.test_origin = SubsetOrigin::SplitOff;
    }
    Ok(listing)
}

/// What is known of a stored model, besides the [`LoadOptions`] of its training.
#[derive(Clone, Copy, Debug)]
pub struct ModelInput<'a> {
    /// The classes in the order of the model's outputs.
    pub class_names: &'a [String],
    /// Recognises its training data, if its file says what they were.
    pub trained_on: Option<TrainingData<'a>>,
}

/// What a model file says about the data that the model was trained on.
#[derive(Clone, Copy, Debug)]
pub struct TrainingData<'a> {
    /// [`Dataset::fingerprint`].
    pub fingerprint: &'a str,
    /// [`ImageSet::image_digest`] of its training and validation images, sorted.
    pub digests: &'a [u64],
}

/// Data to evaluate a model on.
#[derive(Clone, Debug)]
pub struct EvaluationData {
    /// The validation set, if the data define one or are the training data of the model.
    pub val: Option<ImageSet>,
    /// The test set; or every image, for a plain folder of class folders.
    pub test: ImageSet,
    /// Which images `test` holds.
    pub test_origin: EvaluationOrigin,
    /// Whether these are the data that the model was trained on: what leaked from its training set is then among the findings.
    pub is_own: bool,
    /// What was found in the data.
    pub findings: Findings,
}

/// Which images a model is evaluated on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvaluationOrigin {
    /// The test set that the data define.
    Given,
    /// The test set split off as in training: the model was trained on these data.
    SplitOff,
    /// Every image of the data.
    Everything,
}

/// Loads the data that a model is evaluated on; `options` are those of its training, with its [`Channels`](crate::Channels).
///
/// - The data that the model was trained on give the sets that training used, with the same options. They are recognised by
///   their pixels: other images with the same file names are other data.
/// - Other data with a test set give this set; their training set is not decoded.
/// - Any other folder of class folders is evaluated as a whole.
///
/// # Errors
/// [`DataError`]; [`DataError::UnknownClass`] if a class of the data is not one of the model's classes.
pub fn load_for_model(
    path: &Path,
    input: &ModelInput<'_>,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<EvaluationData, DataError> {
    options.validate()?;
    let listing = source::list(path, Usage::Evaluate(input.class_names), options)?;
    listing.items.iter().try_for_each(Item::load_packed)?;
    if let Some(trained_on) = input.trained_on
        && has_training_image(&listing, trained_on.digests, options)
        && let Some(data) = load_own(listing.clone(), trained_on, options, progress)?
    {
        return Ok(data);
    }
    load_other(listing, path, options, progress)
}

/// Images that are decoded to find out whether a model may have been trained on the data.
const SAMPLE: usize = 64;

/// Whether a sample of the training set has a training or validation image of the model. Of the training data of the model
/// at least half of the images are, so the sample misses them with a probability of at most 2^-64. Files that cannot be used,
/// such as those of other views than `--view`, do not count: the model was not trained on them.
fn has_training_image(listing: &Listing, digests: &[u64], options: &LoadOptions) -> bool {
    let train: Vec<&Item> = listing.items.iter().filter(|item| item.subset == Subset::Train).collect();
    let step = train.len().div_ceil(SAMPLE).max(1);
    let spaced: Vec<&Item> =
        (0..step).flat_map(|first| train.iter().skip(first).step_by(step)).copied().collect();
    let is_training_image = |item: &&Item| {
        let decoded = item.decode(options).ok()?;
        Some(digests.binary_search(&decoded.digest()).is_ok())
    };
    let mut n_decoded = 0;
    for items in spaced.chunks(SAMPLE) {
        let decoded: Vec<bool> = items.par_iter().filter_map(is_training_image).collect();
        n_decoded += decoded.len();
        if decoded.contains(&true) || n_decoded >= SAMPLE {
            return decoded.contains(&true);
        }
    }
    false
}

/// The sets of training, if these are the training data of the model and had a test set; their test set is split off as
/// it was for training.
fn load_own(
    listing: Listing,
    trained_on: TrainingData<'_>,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<Option<EvaluationData>, DataError> {
    // Whether bad files matter is decided when it is known whose data these are.
    let tolerant = LoadOptions { skip_bad: true, ..options.clone() };
    let pool = decode_for_model(choose_test(listing, options)?, &tolerant, progress)?;
    if pool.fingerprint() != trained_on.fingerprint {
        return Ok(None);
    }
    if !options.skip_bad {
        pool.reject_bad()?;
    }
    let Dataset { val, test, test_origin, findings, .. } = pool.split(options)?;
    let test_origin = match test_origin {
        SubsetOrigin::Given => EvaluationOrigin::Given,
        SubsetOrigin::SplitOff => EvaluationOrigin::SplitOff,
    };
    let val = (!val.is_empty()).then_some(val);
    Ok((!test.is_empty()).then_some(EvaluationData { val, test, test_origin, is_own: true, findings }))
}

/// The test set of data that the model was not trained on, or all of them.
fn load_other(
    listing: Listing,
    path: &Path,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<EvaluationData, DataError> {
    // These data are taken as they are.
    let options = &LoadOptions { fold: None, val_fraction: Some(0.0), test_fraction: 0.0, ..options.clone() };
    let mut listing = choose_test(listing, options)?;
    let has_subsets = listing.has_subsets;
    if has_subsets && listing.test_origin == SubsetOrigin::SplitOff {
        return Err(DataError::NoTestSet { path: path.into() });
    }
    let train = listing.take(Subset::Train);
    if !has_subsets {
        listing.add_test(train);
    }
    if !listing.items.iter().any(|item| item.subset == Subset::Test) {
        return Err(DataError::NoTestImages { path: path.into() });
    }
    let dataset = decode_for_model(listing, options, progress)?.split(options)?;
    let Dataset { val, test, mut findings, .. } = dataset;
    // The model was trained on none of these sets: an image that is in two of them is as new to it as the others.
    findings.is_leaked_val.fill(false);
    findings.is_leaked_test.fill(false);
    let test_origin = if has_subsets { EvaluationOrigin::Given } else { EvaluationOrigin::Everything };
    let val = (!val.is_empty()).then_some(val);
    Ok(EvaluationData { val, test, test_origin, is_own: false, findings })
}

/// Decodes data to evaluate a model on. Its pattern for patients was made for its training data: it may match no name here.
fn decode_for_model(
    listing: Listing,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<ImagePool, DataError> {
    let pattern = options.patient_pattern.clone();
    let patient_pattern = pattern.filter(|pattern| pattern.matches_any(listing.names()));
    let options = LoadOptions { patient_pattern, ..options.clone() };
    ImagePool::decode(listing, None, &options, &Alone, progress)
}

#[cfg(test)]
mod cache_tests;
#[cfg(test)]
mod npz_cache_tests;
#[cfg(test)]
mod team_tests;
#[cfg(test)]
mod tests;
