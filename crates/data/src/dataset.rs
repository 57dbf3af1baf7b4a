//! From a folder to three parts in memory.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::decode::decode_file;
use crate::picture::Picture;
use crate::source::{Item, Listing, folder};
use crate::split::{Split, class_sizes, split_off};
use crate::{BadFile, Channels, DataError, ImageSet, LoadOptions, Progress, Stage, colour};

/// Which split is drawn; part of the key of its random numbers.
const TEST_SPLIT: u64 = 0;
const VAL_SPLIT: u64 = 1;

/// Where a part comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartOrigin {
    /// The folder has it.
    Given,
    /// It was split off the training part.
    SplitOff,
}

/// A data set, decoded and resized.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Sorted; labels count through them.
    pub class_names: Vec<String>,
    /// 1 for grey, 3 for colour.
    pub channels: usize,
    /// To learn from.
    pub train: ImageSet,
    /// To choose the best epoch by; empty where a fraction of 0 was asked for.
    pub val: ImageSet,
    /// To measure on, once; empty where a fraction of 0 was asked for.
    pub test: ImageSet,
    /// Whether `val` was given.
    pub val_origin: PartOrigin,
    /// Whether `test` was given.
    pub test_origin: PartOrigin,
    /// Digest of the file names that splits are drawn from; [`load_for_model`] recognises the folder by it.
    pub fingerprint: String,
    /// Files left out, by `skip_bad`.
    pub bad: Vec<BadFile>,
    /// What a user should know, a sentence each.
    pub notes: Vec<String>,
}

/// What a stored model needs to read other pictures as it read its own.
#[derive(Clone, Copy, Debug)]
pub struct ModelInput<'a> {
    /// The classes in the order of the model's outputs.
    pub class_names: &'a [String],
    /// 1 or 3.
    pub channels: usize,
    /// [`Dataset::fingerprint`] of its training folder.
    pub trained_on: Option<&'a str>,
}

/// What there is to evaluate a model on.
#[derive(Clone, Debug)]
pub struct EvaluationData {
    /// The validation part, where the folder has one or is the one trained on.
    pub val: Option<ImageSet>,
    /// The test part; or everything, for a bare folder of class folders.
    pub test: ImageSet,
    /// What `test` is.
    pub test_origin: EvaluationOrigin,
    /// Files left out, by `skip_bad`.
    pub bad: Vec<BadFile>,
    /// What a user should know, a sentence each.
    pub notes: Vec<String>,
}

/// What the pictures of an evaluation are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvaluationOrigin {
    /// The folder's own `test/`.
    Given,
    /// The test part split off as in training: the folder is the one trained on.
    SplitOff,
    /// Every picture of the folder.
    Everything,
}

/// Loads a folder to train on: lists it, splits where parts are missing, decodes and resizes in parallel.
///
/// The result depends on the files and the options alone.
///
/// # Errors
/// [`DataError`]; for bad files one that lists all of them.
pub fn load_folder(dir: &Path, options: &LoadOptions, progress: &dyn Progress) -> Result<Dataset, DataError> {
    options.validate()?;
    let listing = folder::list_to_train(dir)?;
    let fingerprint = listing.fingerprint();
    let parts = Parts::new(listing, options)?;
    let mut decoded = Decoded::read([&parts.train, &parts.val, &parts.test], options, progress)?;
    let n_classes = parts.class_names.len();
    if let Some(label) = decoded.counts(0, n_classes).iter().position(|&count| count == 0) {
        return Err(DataError::EmptyClass {
            path: dir.into(),
            class: parts.class_names[label].clone(),
            found: "every file of it that training would use is bad".to_owned(),
        });
    }
    let channels = match options.channels {
        Channels::Grey => 1,
        Channels::Rgb => 3,
        Channels::Auto => decoded.channels_of(0),
    };
    let mut notes = parts.notes;
    decoded.note_small(options, &mut notes);
    let Decoded { sets: [train, val, test], bad } = decoded;
    Ok(Dataset {
        channels,
        train: ImageSet::pack(channels, train),
        val: ImageSet::pack(channels, val),
        test: ImageSet::pack(channels, test),
        val_origin: parts.val_origin,
        test_origin: parts.test_origin,
        class_names: parts.class_names,
        fingerprint,
        bad,
        notes,
    })
}

/// Loads what a folder has to evaluate a model on; its training part is never decoded.
///
/// - A folder with `test/` gives that part.
/// - The folder that the model was trained on gives the parts that were split off, with the same options.
/// - Any other folder of class folders is evaluated whole.
///
/// # Errors
/// [`DataError`]; [`DataError::UnknownClass`] if a class folder is none of the model's classes.
pub fn load_for_model(
    dir: &Path,
    input: &ModelInput<'_>,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<EvaluationData, DataError> {
    options.validate()?;
    let listing = folder::list_to_evaluate(dir, input.class_names)?;
    let is_own = input.trained_on == Some(listing.fingerprint().as_str());
    let has_parts = listing.has_parts;
    let has_test = listing.test.is_some() || options.test_dir.is_some();
    if has_parts && !has_test && !is_own {
        return Err(DataError::NoTestPart { path: dir.into() });
    }
    let (parts, test_origin) = if has_parts || is_own {
        let parts = Parts::new(listing, options)?;
        let origin = match parts.test_origin {
            PartOrigin::Given => EvaluationOrigin::Given,
            PartOrigin::SplitOff => EvaluationOrigin::SplitOff,
        };
        (parts, origin)
    } else {
        (Parts::whole(listing), EvaluationOrigin::Everything)
    };
    // A validation part split off a folder that the model never saw would mean nothing.
    let val_counts = parts.val_origin == PartOrigin::Given || is_own;
    let val = if val_counts { parts.val } else { Vec::new() };
    let mut decoded = Decoded::read([&[], &val, &parts.test], options, progress)?;
    let mut notes = parts.notes;
    decoded.note_small(options, &mut notes);
    let Decoded { sets: [_, val, test], bad } = decoded;
    let val = (!val.is_empty()).then(|| ImageSet::pack(input.channels, val));
    Ok(EvaluationData { val, test: ImageSet::pack(input.channels, test), test_origin, bad, notes })
}

/// The items of each part after splitting.
struct Parts {
    class_names: Vec<String>,
    train: Vec<Item>,
    val: Vec<Item>,
    test: Vec<Item>,
    val_origin: PartOrigin,
    test_origin: PartOrigin,
    notes: Vec<String>,
}

impl Parts {
    /// Takes the given parts, and splits off the missing ones: test first, so that a change of the validation
    /// fraction leaves the test part as it is.
    fn new(listing: Listing, options: &LoadOptions) -> Result<Self, DataError> {
        let Listing { class_names, mut train, val, mut test, mut notes, .. } = listing;
        if let Some(dir) = &options.test_dir {
            if test.is_some() {
                notes.push(format!("tested on {} instead of the data folder's own test part", dir.display()));
            }
            let other = folder::list_to_evaluate(dir, &class_names)?;
            test = match (other.test, other.has_parts) {
                (Some(items), _) => Some(items),
                (None, false) => Some(other.train),
                (None, true) => return Err(DataError::NoTestPart { path: dir.clone() }),
            };
            notes.extend(other.notes);
        }
        let sizes = class_sizes(&train, class_names.len());
        let mut given_or_split = |given: Option<Vec<Item>>, fraction, stream| match given {
            Some(items) => (items, PartOrigin::Given),
            None => {
                let items = std::mem::take(&mut train);
                let Split { kept, taken } = split_off(items, &sizes, fraction, options.seed, stream);
                train = kept;
                (taken, PartOrigin::SplitOff)
            }
        };
        let (test, test_origin) = given_or_split(test, options.test_fraction, TEST_SPLIT);
        let (val, val_origin) = given_or_split(val, options.val_fraction, VAL_SPLIT);
        Ok(Self { class_names, train, val, test, val_origin, test_origin, notes })
    }

    /// Everything is the test part.
    fn whole(listing: Listing) -> Self {
        Self {
            class_names: listing.class_names,
            train: Vec::new(),
            val: Vec::new(),
            test: listing.train,
            val_origin: PartOrigin::Given,
            test_origin: PartOrigin::Given,
            notes: listing.notes,
        }
    }
}

/// Pictures of the three parts with names and labels, before they are packed.
struct Decoded {
    sets: [Vec<(Picture, String, u32)>; 3],
    bad: Vec<BadFile>,
}

impl Decoded {
    /// Decodes every item; bad ones are an error or left out.
    fn read(parts: [&[Item]; 3], options: &LoadOptions, progress: &dyn Progress) -> Result<Self, DataError> {
        let total = parts.iter().map(|items| items.len()).sum();
        let done = AtomicUsize::new(0);
        let decode = |item: &Item| {
            let picture = decode_file(&item.path, options);
            progress.report(Stage::Decoding, done.fetch_add(1, Ordering::Relaxed) + 1, total);
            picture
        };
        let mut bad = Vec::new();
        let sets = parts.map(|items| {
            let pictures: Vec<Result<Picture, String>> = items.par_iter().map(decode).collect();
            let mut good = Vec::with_capacity(items.len());
            for (item, picture) in items.iter().zip(pictures) {
                match picture {
                    Ok(picture) => good.push((picture, item.name.clone(), item.label)),
                    Err(reason) => bad.push(BadFile { path: item.path.clone(), reason }),
                }
            }
            good
        });
        bad.sort_by(|a, b| a.path.cmp(&b.path));
        if !bad.is_empty() && !options.skip_bad {
            return Err(DataError::BadFiles { files: bad, total });
        }
        Ok(Self { sets, bad })
    }

    /// Pictures of each class in a part.
    fn counts(&self, part: usize, n_classes: usize) -> Vec<usize> {
        let mut counts = vec![0; n_classes];
        for (_, _, label) in &self.sets[part] {
            counts[*label as usize] += 1;
        }
        counts
    }

    /// 3 if the pictures of a part are coloured, after the rule in [`colour`].
    fn channels_of(&self, part: usize) -> usize {
        let coloured = self.sets[part].iter().filter(|(picture, ..)| picture.coloured).count();
        if colour::is_colour_set(coloured, self.sets[part].len()) { 3 } else { 1 }
    }

    /// Says how many pictures were scaled up.
    fn note_small(&mut self, options: &LoadOptions, notes: &mut Vec<String>) {
        let small = self.sets.iter().flatten().filter(|(picture, ..)| picture.small).count();
        if small > 0 {
            let crop = options.crop;
            notes
                .push(format!("{small} picture(s) smaller than the {crop}x{crop} crop were scaled up to it"));
        }
    }
}
