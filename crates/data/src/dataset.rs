//! From a folder to three parts in memory.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::decode::Decoded;
use crate::duplicates::{
    DuplicatePair, MOST_FOR_CROPS, SMALLEST_WITH_DETAIL, find_duplicates, group_duplicates, is_tiny,
};
use crate::image_set::Entry;
use crate::leakage::{
    ImageLocation, ImageRecord, LeakedImage, crossing_patients, find_leakage, is_leak_free,
};
use crate::options::{Fold, default_val_fraction};
use crate::patients::{self, Patients};
use crate::source::arrays::{self, ArrayImages};
use crate::source::{self, Item, Listing, Usage};
use crate::split::{Pool, class_sizes};
use crate::subset::Subset;
use crate::{BadFile, Channels, DataError, ImageSet, LoadOptions, PatientSource, Progress, Stage, colour};

/// Which split is drawn; part of the key of its random numbers.
const TEST_SPLIT: u64 = 0;
const VAL_SPLIT: u64 = 1;

/// Where a part comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubsetOrigin {
    /// The folder has it.
    Given,
    /// It was split off the training part.
    SplitOff,
}

/// A data set, decoded and resized.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Labels count through them.
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
    pub val_origin: SubsetOrigin,
    /// Whether `test` was given.
    pub test_origin: SubsetOrigin,
    /// Share of the training part that validates, where it has to.
    pub val_fraction: f64,
    /// Digest of the file names that splits are drawn from; [`load_for_model`] recognises the folder by it.
    pub fingerprint: String,
    /// What else was found: copies, leaks, patients, bad files.
    pub findings: Findings,
}

/// What a look at the data has found besides the pictures themselves.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Groups of pictures that show the same, sorted.
    pub duplicates: Vec<Vec<ImageLocation>>,
    /// Pictures that also stand in an earlier part, sorted.
    pub leakage: Vec<LeakedImage>,
    /// Of each validation picture, whether neither it nor its patient stands in an earlier part.
    pub leak_free_val: Vec<bool>,
    /// The same of each test picture.
    pub leak_free_test: Vec<bool>,
    /// The patients, where anything tells them.
    pub patients: Option<Patients>,
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
    /// What else was found.
    pub findings: Findings,
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

/// Loads data to train on, a folder or a file of any format that can be read: lists them, decodes and resizes in parallel, looks for copies and patients, and splits
/// where parts are missing, so that neither copies nor a patient's pictures are ever on two sides of a split.
///
/// The result depends on the files and the options alone.
///
/// # Errors
/// [`DataError`]; for bad files one that lists all of them.
pub fn load_dataset(
    path: &Path,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<Dataset, DataError> {
    options.validate()?;
    load_listing(source::list(path, Usage::Train, &options.limits)?, path, options, progress)
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
    load_listing(arrays.list(&options.limits)?, Path::new(arrays::NAME), options, progress)
}

/// Decodes and splits what is listed; `path` names it in errors.
fn load_listing(
    listing: Listing,
    path: &Path,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<Dataset, DataError> {
    let given = Given::new(listing, options)?;
    let loaded = given.load(options, progress)?;
    let n_classes = loaded.class_names.len();
    let labels = loaded.labels(&loaded.of_part(Subset::Train));
    if let Some(label) = class_sizes(&labels, n_classes).iter().position(|&count| count == 0) {
        let first = loaded.bad.first().map(|bad| format!(", such as {}: {}", bad.path.display(), bad.reason));
        return Err(DataError::EmptyClass {
            path: path.into(),
            class: loaded.class_names[label].clone(),
            found: format!("every file that it would have is bad{}", first.unwrap_or_default()),
        });
    }
    loaded.split(options)
}

/// Loads what a folder or a file has to evaluate a model on.
///
/// - A folder with `test/` gives that part; its training part is not decoded.
/// - The folder that the model was trained on gives the parts that training used, with the same options.
/// - Any other folder of class folders is evaluated whole.
///
/// # Errors
/// [`DataError`]; [`DataError::UnknownClass`] if a class folder is none of the model's classes.
pub fn load_for_model(
    path: &Path,
    input: &ModelInput<'_>,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> Result<EvaluationData, DataError> {
    options.validate()?;
    let listing = source::list(path, Usage::Evaluate(input.class_names), &options.limits)?;
    let is_own = input.trained_on == Some(listing.fingerprint().as_str());
    let has_parts = listing.has_parts;
    let mut given = Given::new(listing, options)?;
    if !is_own {
        if has_parts && given.test_origin == SubsetOrigin::SplitOff {
            return Err(DataError::NoTestSet { path: path.into() });
        }
        let train = given.take(Subset::Train);
        if !has_parts {
            given.items.extend(train.into_iter().map(|item| (Subset::Test, item)));
        }
    }
    let options = &LoadOptions {
        channels: if input.channels == 1 { Channels::Grey } else { Channels::Rgb },
        // A model is asked about the parts of its own folder as they were split, and about others as they are.
        fold: options.fold.filter(|_| is_own),
        val_fraction: if is_own { options.val_fraction } else { Some(0.0) },
        test_fraction: if is_own { options.test_fraction } else { 0.0 },
        ..options.clone()
    };
    let dataset = given.load(options, progress)?.split(options)?;
    let Dataset { val, test, test_origin, mut findings, .. } = dataset;
    if !is_own {
        // The model knows none of their parts: what stands in two of them is as new to it as the rest.
        findings.leak_free_val.fill(true);
        findings.leak_free_test.fill(true);
    }
    let test_origin = match test_origin {
        _ if !has_parts && !is_own => EvaluationOrigin::Everything,
        SubsetOrigin::Given => EvaluationOrigin::Given,
        SubsetOrigin::SplitOff => EvaluationOrigin::SplitOff,
    };
    Ok(EvaluationData { val: (!val.is_empty()).then_some(val), test, test_origin, findings })
}

/// The items of each part that the data have by themselves, before anything is decoded.
struct Given {
    class_names: Vec<String>,
    fingerprint: String,
    items: Vec<(Subset, Item)>,
    val_origin: SubsetOrigin,
    test_origin: SubsetOrigin,
    notes: Vec<String>,
}

impl Given {
    fn new(listing: Listing, options: &LoadOptions) -> Result<Self, DataError> {
        let fingerprint = listing.fingerprint();
        let Listing { class_names, train, val, mut test, mut notes, .. } = listing;
        if let Some(dir) = &options.test_dir {
            if test.is_some() {
                notes.push(format!("tested on {} instead of the data folder's own test part", dir.display()));
            }
            let other = source::list(dir, Usage::Evaluate(&class_names), &options.limits)?;
            test = match (other.test, other.has_parts) {
                (Some(items), _) => Some(items),
                (None, false) => Some(other.train),
                (None, true) => return Err(DataError::NoTestSet { path: dir.clone() }),
            };
            notes.extend(other.notes);
        }
        let origin = |is_given: bool| if is_given { SubsetOrigin::Given } else { SubsetOrigin::SplitOff };
        let (val_origin, mut test_origin) = (origin(val.is_some()), origin(test.is_some()));
        let in_part = |subset: Subset| move |item: Item| (subset, item);
        let mut items: Vec<(Subset, Item)> = train.into_iter().map(in_part(Subset::Train)).collect();
        items.extend(val.unwrap_or_default().into_iter().map(in_part(Subset::Val)));
        if let Some(Fold { of, .. }) = options.fold {
            if test.take().is_some() {
                notes.push(format!("{of} folds: the given test part is not used"));
            }
            test_origin = SubsetOrigin::SplitOff;
        }
        items.extend(test.unwrap_or_default().into_iter().map(in_part(Subset::Test)));
        Ok(Self { class_names, fingerprint, items, val_origin, test_origin, notes })
    }

    /// Removes the items of a part.
    fn take(&mut self, subset: Subset) -> Vec<Item> {
        let (taken, kept) = std::mem::take(&mut self.items).into_iter().partition(|(of, _)| *of == subset);
        self.items = kept;
        let taken: Vec<(Subset, Item)> = taken;
        taken.into_iter().map(|(_, item)| item).collect()
    }

    /// Decodes every item, and finds patients and copies; bad files are an error, or left out.
    fn load(self, options: &LoadOptions, progress: &dyn Progress) -> Result<Loaded, DataError> {
        let Self { class_names, fingerprint, items, val_origin, test_origin, mut notes } = self;
        let total = items.len();
        let done = AtomicUsize::new(0);
        let decode = |(_, item): &(Subset, Item)| {
            let decoded = item.decode(options);
            progress.report(Stage::Decoding, done.fetch_add(1, Ordering::Relaxed) + 1, total);
            decoded
        };
        let decoded: Vec<Result<Decoded, String>> = items.par_iter().map(decode).collect();
        let (mut good, mut bad) = (Vec::with_capacity(total), Vec::new());
        for ((subset, item), decoded) in items.into_iter().zip(decoded) {
            match decoded {
                Ok(decoded) => good.push((subset, item, decoded)),
                Err(reason) => bad.push(BadFile { path: item.place(), reason }),
            }
        }
        bad.sort_by(|a, b| a.path.cmp(&b.path));
        if !bad.is_empty() && !options.skip_bad {
            return Err(DataError::BadFiles { files: bad, total });
        }
        let n_good = good.len();
        let small = good.iter().filter(|(.., decoded)| decoded.picture.small).count();
        if small > 0 {
            let crop = options.crop;
            notes.push(format!(
                "{small} of {n_good} pictures: smaller than the {crop}x{crop} crop and scaled up to it"
            ));
        }
        let tiny =
            good.iter().filter(|(.., Decoded { facts, .. })| is_tiny(facts.width, facts.height)).count();
        if tiny > 0 {
            notes.push(format!(
                "{tiny} of {n_good} pictures: under {SMALLEST_WITH_DETAIL} pixels, where only exact copies are sought"
            ));
        }

        let (found, source) = if good.iter().any(|(_, item, _)| item.patient.is_some()) {
            (good.iter().map(|(_, item, _)| item.patient.clone()).collect(), Some(PatientSource::Column))
        } else {
            let names = good.iter().map(|(_, item, _)| item.name.as_str());
            patients::from_names(names, options.patient_pattern.as_ref())?
        };
        let (mut known, mut entries, mut thumbnails) = (Vec::new(), Vec::new(), Vec::new());
        for ((subset, item, decoded), patient) in good.into_iter().zip(found) {
            let digest = Some(decoded.digest());
            let Decoded { picture, thumbnail, facts } = decoded;
            known.push(ImageRecord {
                location: ImageLocation { subset, path: item.name.clone() },
                patient: patient.clone(),
            });
            let (name, label, facts) = (item.name, item.label, Some(facts));
            entries.push(Entry { picture, name, label, patient, facts, digest });
            thumbnails.push(thumbnail);
        }
        if total > MOST_FOR_CROPS {
            notes.push(format!(
                "more than {MOST_FOR_CROPS} pictures: copies that were cropped by several percent are not sought"
            ));
        }
        let twins =
            find_duplicates(&thumbnails, &|done, total| progress.report(Stage::Comparing, done, total));
        Ok(Loaded {
            class_names,
            fingerprint,
            known,
            entries,
            source,
            twins,
            val_origin,
            test_origin,
            bad,
            notes,
        })
    }
}

/// Decoded pictures with all that is known of them, before missing parts are split off.
struct Loaded {
    class_names: Vec<String>,
    fingerprint: String,
    /// Of each entry.
    known: Vec<ImageRecord>,
    entries: Vec<Entry>,
    source: Option<PatientSource>,
    twins: Vec<DuplicatePair>,
    val_origin: SubsetOrigin,
    test_origin: SubsetOrigin,
    bad: Vec<BadFile>,
    notes: Vec<String>,
}

impl Loaded {
    /// Indices of the pictures of a part.
    fn of_part(&self, subset: Subset) -> Vec<usize> {
        (0..self.known.len()).filter(|&index| self.known[index].location.subset == subset).collect()
    }

    fn labels(&self, indices: &[usize]) -> Vec<u32> {
        indices.iter().map(|&index| self.entries[index].label).collect()
    }

    /// Splits off the missing parts: test first, so that a change of the validation fraction leaves the test part as
    /// it is.
    fn split(mut self, options: &LoadOptions) -> Result<Dataset, DataError> {
        let mut groups = group_duplicates(self.known.len(), &self.twins);
        let patients: Vec<Option<String>> = self.known.iter().map(|known| known.patient.clone()).collect();
        groups.join_by_key(&patients);
        let groups = groups.of_each();
        // What the data say by themselves, before splits that never cross patients.
        let crossing = crossing_patients(&self.known);

        let train = self.of_part(Subset::Train);
        let sizes = class_sizes(&self.labels(&train), self.class_names.len());
        let val_fraction = options.val_fraction.unwrap_or_else(|| default_val_fraction(train.len()));
        let (test_split, val_split) = (self.test_origin, self.val_origin);
        if test_split == SubsetOrigin::SplitOff {
            self.move_share(Subset::Test, &groups, options, |pool, class_names| match options.fold {
                Some(Fold { index, of }) => {
                    Ok(pool.folds(of, class_names)?.iter().map(|&fold| fold == index).collect())
                }
                None => Ok(pool.split_off(&sizes, options.test_fraction)),
            })?;
        }
        if val_split == SubsetOrigin::SplitOff {
            self.move_share(Subset::Val, &groups, options, |pool, _| {
                Ok(pool.split_off(&sizes, val_fraction))
            })?;
        }

        let leakage = find_leakage(&self.known, &self.twins);
        let [leak_free_val, leak_free_test] =
            [Subset::Val, Subset::Test].map(|subset| is_leak_free(&self.known, &leakage, subset));
        let duplicates = duplicate_groups(&self.known, &self.twins);
        let patients = self.source.take().map(|source| {
            let mut ids: Vec<&String> =
                self.known.iter().filter_map(|known| known.patient.as_ref()).collect();
            let n_unknown = self.known.len() - ids.len();
            ids.sort_unstable();
            ids.dedup();
            Patients { source, n: ids.len(), n_unknown, crossing }
        });
        let is_coloured = |index: &usize| self.entries[*index].picture.coloured;
        let channels = match options.channels {
            Channels::Grey => 1,
            Channels::Rgb => 3,
            Channels::Auto => {
                let coloured = train.iter().filter(|index| is_coloured(index)).count();
                if colour::is_colour_set(coloured, train.len()) { 3 } else { 1 }
            }
        };
        let mut parts = Subset::ALL.map(|_| Vec::new());
        for (known, entry) in self.known.into_iter().zip(self.entries) {
            parts[known.location.subset as usize].push(entry);
        }
        let [train, val, test] = parts.map(|entries| ImageSet::pack(channels, entries));
        let Self { class_names, fingerprint, val_origin, test_origin, bad, notes, .. } = self;
        let findings = Findings { duplicates, leakage, leak_free_val, leak_free_test, patients, bad, notes };
        Ok(Dataset {
            class_names,
            channels,
            train,
            val,
            test,
            val_origin,
            test_origin,
            val_fraction,
            fingerprint,
            findings,
        })
    }

    /// Moves the pictures of the training part that `choose` takes to another part.
    fn move_share(
        &mut self,
        to: Subset,
        groups: &[u32],
        options: &LoadOptions,
        choose: impl FnOnce(Pool<'_>, &[String]) -> Result<Vec<bool>, DataError>,
    ) -> Result<(), DataError> {
        let train = self.of_part(Subset::Train);
        let labels = self.labels(&train);
        let groups: Vec<u32> = train.iter().map(|&index| groups[index]).collect();
        let stream = if to == Subset::Test { TEST_SPLIT } else { VAL_SPLIT };
        let pool = Pool { labels: &labels, groups: &groups, seed: options.seed, stream };
        for (&index, is_taken) in train.iter().zip(choose(pool, &self.class_names)?) {
            if is_taken {
                self.known[index].location.subset = to;
            }
        }
        Ok(())
    }
}

/// The groups of pictures that show the same, two and more, sorted.
fn duplicate_groups(known: &[ImageRecord], twins: &[DuplicatePair]) -> Vec<Vec<ImageLocation>> {
    let of_each = group_duplicates(known.len(), twins).of_each();
    let mut order: Vec<usize> = (0..known.len()).collect();
    order.sort_by_key(|&index| (of_each[index], index));
    let same = order.chunk_by(|&a, &b| of_each[a] == of_each[b]).filter(|group| group.len() > 1);
    let mut duplicates: Vec<Vec<ImageLocation>> = same
        .map(|group| {
            let mut places: Vec<ImageLocation> =
                group.iter().map(|&index| known[index].location.clone()).collect();
            places.sort();
            places
        })
        .collect();
    duplicates.sort();
    duplicates
}
