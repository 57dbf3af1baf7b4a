//! The decoded images of a data set before missing sets are split off: decoded once, cut into sets as often as needed.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::colour;
use crate::dataset::{Dataset, Findings, SubsetOrigin};
use crate::decode::Decoded;
use crate::duplicates::{DuplicatePair, MAX_FOR_CROPS, find_duplicates, group_duplicates};
use crate::error::{BadFile, DataError};
use crate::image_set::{Entry, ImageSet};
use crate::leakage::{
    ImageLocation, ImageRecord, count_matching_guesses, crossing_patients, find_leakage, which_leaked,
};
use crate::options::{Channels, Fold, LoadOptions, default_val_fraction};
use crate::patients::{self, PatientKey, PatientSource, Patients};
use crate::progress::{Progress, Stage};
use crate::source::{Item, Listing};
use crate::split::{SplitPool, class_counts};
use crate::subset::Subset;
use crate::thumbnail::{MIN_SIDE_WITH_DETAIL, is_tiny};

/// Which split is drawn; part of the key of its random numbers.
const TEST_SPLIT: u64 = 0;
const VAL_SPLIT: u64 = 1;

/// Decoded images with everything that is known of them.
#[derive(Clone, Debug)]
pub(crate) struct ImagePool {
    class_names: Vec<String>,
    fingerprint: String,
    /// Where each image is and whose it is.
    records: Vec<ImageRecord>,
    /// The image of each record.
    entries: Vec<Entry>,
    patient_source: Option<PatientSource>,
    duplicates: Vec<DuplicatePair>,
    val_origin: SubsetOrigin,
    test_origin: SubsetOrigin,
    bad: Vec<BadFile>,
    notes: Vec<String>,
}

impl ImagePool {
    /// Decodes every item, and finds patients and duplicates.
    ///
    /// # Errors
    /// [`DataError::BadFiles`] unless bad files are skipped, and [`DataError::PatientPattern`].
    pub(crate) fn decode(
        listing: Listing,
        options: &LoadOptions,
        progress: &dyn Progress,
    ) -> Result<Self, DataError> {
        let Listing { class_names, items, val_origin, test_origin, has_test_option, mut notes, .. } = listing;
        let total = items.len();
        let examples = Subset::ALL.map(|subset| items.iter().find(|item| item.subset == subset).cloned());
        let (good, bad) = decode_all(items, options, progress);
        if !options.skip_bad {
            reject_bad(&bad, total)?;
        }
        reject_empty_subset(&examples, &good, &bad)?;
        notes.extend(size_notes(&good, options.crop));
        if total > MAX_FOR_CROPS {
            notes.push(format!(
                "more than {MAX_FOR_CROPS} images: no search for duplicates that were cropped by several percent"
            ));
        }
        let is_from_test_option = |item: &Item| has_test_option && item.subset == Subset::Test;
        let FoundPatients { patients, source: patient_source, has_guesses } =
            find_patients(&good, options, is_from_test_option)?;
        let (mut records, mut entries, mut thumbnails) = (Vec::new(), Vec::new(), Vec::new());
        for ((item, decoded), patient) in good.into_iter().zip(patients) {
            let is_guess_from_test_option = has_guesses && is_from_test_option(&item);
            let key = patient.clone().map(|name| PatientKey { name, is_guess_from_test_option });
            let Item { name, content, subset, label, .. } = item;
            let file = content.into_file();
            let digest = Some(decoded.digest());
            let Decoded { image, thumbnail, facts } = decoded;
            let location = ImageLocation { subset, path: name.clone() };
            records.push(ImageRecord { location, patient: key });
            entries.push(Entry { image, name, file, label, patient, facts: Some(facts), digest });
            thumbnails.push(thumbnail);
        }
        notes.extend(matching_patients_note(&records, patient_source.as_ref()));
        let fingerprint = fingerprint(&records, &entries, [val_origin, test_origin]);
        let report = |done, total| progress.report(Stage::Comparing, done, total);
        let duplicates = find_duplicates(&thumbnails, &report);
        Ok(Self {
            class_names,
            fingerprint,
            records,
            entries,
            patient_source,
            duplicates,
            val_origin,
            test_origin,
            bad,
            notes,
        })
    }

    /// [`Dataset::fingerprint`].
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Fails if there are bad files.
    ///
    /// # Errors
    /// [`DataError::BadFiles`].
    pub(crate) fn reject_bad(&self) -> Result<(), DataError> {
        reject_bad(&self.bad, self.entries.len() + self.bad.len())
    }

    /// A class without a usable training image, and the first bad file.
    pub(crate) fn empty_class(&self) -> Option<(&str, Option<&BadFile>)> {
        let sizes = class_counts(&self.labels(&self.of_subset(Subset::Train)), self.class_names.len());
        let label = sizes.iter().position(|&count| count == 0)?;
        Some((&self.class_names[label], self.bad.first()))
    }

    /// Indices of the images of a set.
    fn of_subset(&self, subset: Subset) -> Vec<usize> {
        (0..self.records.len()).filter(|&index| self.records[index].location.subset == subset).collect()
    }

    fn labels(&self, indices: &[usize]) -> Vec<u32> {
        indices.iter().map(|&index| self.entries[index].label).collect()
    }

    /// The data set: missing sets are split off the training set, and no split separates duplicates or the images of a
    /// patient. Clone the pool to split it several times.
    ///
    /// # Errors
    /// [`DataError::TooFewGroups`] if `options` asks for more folds than a class has groups.
    pub(crate) fn split(mut self, options: &LoadOptions) -> Result<Dataset, DataError> {
        // Patients that the given sets share; a split off set never shares one.
        let crossing = crossing_patients(&self.records);
        let train = self.of_subset(Subset::Train);
        let channels = self.channels(&train, options.channels);
        let val_fraction = options.val_fraction.unwrap_or_else(|| default_val_fraction(train.len()));
        self.split_off_missing(&train, val_fraction, options)?;

        let patients = self.patients(crossing);
        let leakage = find_leakage(&self.records, &self.duplicates);
        let [is_leaked_val, is_leaked_test] =
            [Subset::Val, Subset::Test].map(|subset| which_leaked(&self.records, &leakage, subset));
        let duplicates = duplicate_groups(&self.records, &self.duplicates);
        let mut entries = Subset::ALL.map(|_| Vec::new());
        for (record, entry) in self.records.into_iter().zip(self.entries) {
            entries[record.location.subset as usize].push(entry);
        }
        let [train, val, test] = entries.map(|entries| ImageSet::pack(channels, entries));
        let Self { class_names, fingerprint, val_origin, test_origin, bad, notes, .. } = self;
        let findings = Findings { duplicates, leakage, is_leaked_val, is_leaked_test, patients, bad, notes };
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
            pseudonyms: Vec::new(),
        })
    }

    /// Splits off the test set first, so that another validation fraction leaves the test set unchanged.
    fn split_off_missing(
        &mut self,
        train: &[usize],
        val_fraction: f64,
        options: &LoadOptions,
    ) -> Result<(), DataError> {
        let mut groups = group_duplicates(self.records.len(), &self.duplicates);
        let patients: Vec<Option<PatientKey>> =
            self.records.iter().map(|record| record.patient.clone()).collect();
        groups.join_by_key(&patients);
        let groups = groups.of_each();
        let sizes = class_counts(&self.labels(train), self.class_names.len());
        let seed = options.seed;
        if self.test_origin == SubsetOrigin::SplitOff {
            self.move_chosen(Subset::Test, &groups, seed, |pool, class_names| match options.fold {
                Some(Fold { index, of }) => {
                    Ok(pool.folds(of, class_names)?.iter().map(|&fold| fold == index).collect())
                }
                None => Ok(pool.split_off(&sizes, options.test_fraction)),
            })?;
        }
        if self.val_origin == SubsetOrigin::SplitOff {
            self.move_chosen(Subset::Val, &groups, seed, |pool, _| Ok(pool.split_off(&sizes, val_fraction)))?;
        }
        Ok(())
    }

    /// Moves the training images that `choose` selects to another set.
    fn move_chosen(
        &mut self,
        to: Subset,
        groups: &[u32],
        seed: u64,
        choose: impl FnOnce(SplitPool<'_>, &[String]) -> Result<Vec<bool>, DataError>,
    ) -> Result<(), DataError> {
        let train = self.of_subset(Subset::Train);
        let labels = self.labels(&train);
        let groups: Vec<u32> = train.iter().map(|&index| groups[index]).collect();
        let stream = if to == Subset::Test { TEST_SPLIT } else { VAL_SPLIT };
        let pool = SplitPool { labels: &labels, groups: &groups, seed, stream };
        for (&index, is_chosen) in train.iter().zip(choose(pool, &self.class_names)?) {
            if is_chosen {
                self.records[index].location.subset = to;
            }
        }
        Ok(())
    }

    /// 1 or 3, by the training images if the options leave it open.
    fn channels(&self, train: &[usize], requested: Channels) -> usize {
        match requested {
            Channels::Grey => 1,
            Channels::Rgb => 3,
            Channels::Auto => {
                let coloured = train.iter().filter(|&&index| self.entries[index].image.coloured).count();
                if colour::is_colour_set(coloured, train.len()) { 3 } else { 1 }
            }
        }
    }

    fn patients(&mut self, crossing: Vec<String>) -> Option<Patients> {
        let source = self.patient_source.take()?;
        let mut ids: Vec<&PatientKey> =
            self.records.iter().filter_map(|record| record.patient.as_ref()).collect();
        let n_unknown = self.records.len() - ids.len();
        ids.sort_unstable();
        ids.dedup();
        Some(Patients { source, n: ids.len(), n_unknown, crossing })
    }
}

/// Fails if there are bad files among `total`.
fn reject_bad(bad: &[BadFile], total: usize) -> Result<(), DataError> {
    if bad.is_empty() { Ok(()) } else { Err(DataError::BadFiles { files: bad.to_vec(), total }) }
}

/// Fails if none of the images of a given validation or test set can be used; `examples` has an image of each given set.
fn reject_empty_subset(
    examples: &[Option<Item>; 3],
    good: &[(Item, Decoded)],
    bad: &[BadFile],
) -> Result<(), DataError> {
    for example in examples.iter().flatten().filter(|item| item.subset != Subset::Train) {
        let subset = example.subset;
        if good.iter().any(|(item, _)| item.subset == subset) {
            continue;
        }
        let path = example.shown_path();
        let example = bad.iter().find(|bad| bad.path == path).expect("an image is good or bad").clone();
        return Err(DataError::EmptySubset { subset: subset.name(), example });
    }
    Ok(())
}

/// A digest of the training set before anything is split off: the pixels, labels and patients in their order, which decide
/// together with the seed what a split selects, and whether validation and test set (`origins`) are split off at all. File
/// names have no part in it.
fn fingerprint(records: &[ImageRecord], entries: &[Entry], origins: [SubsetOrigin; 2]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&origins.map(|origin| u8::from(origin == SubsetOrigin::Given)));
    for (record, entry) in records.iter().zip(entries) {
        if record.location.subset != Subset::Train {
            continue;
        }
        hasher.update(&entry.label.to_le_bytes());
        hasher.update(&entry.digest.unwrap_or_default().to_le_bytes());
        hasher.update(entry.patient.as_deref().unwrap_or_default().as_bytes());
        hasher.update(b"\n");
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Decodes in parallel: the images, and the bad files sorted by path.
fn decode_all(
    items: Vec<Item>,
    options: &LoadOptions,
    progress: &dyn Progress,
) -> (Vec<(Item, Decoded)>, Vec<BadFile>) {
    let total = items.len();
    let n_done = AtomicUsize::new(0);
    let decode = |item: &Item| {
        let decoded = item.decode(options);
        progress.report(Stage::Decoding, n_done.fetch_add(1, Ordering::Relaxed) + 1, total);
        decoded
    };
    let decoded: Vec<Result<Decoded, String>> = items.par_iter().map(decode).collect();
    let (mut good, mut bad) = (Vec::with_capacity(total), Vec::new());
    for (item, decoded) in items.into_iter().zip(decoded) {
        match decoded {
            Ok(decoded) => good.push((item, decoded)),
            Err(reason) => bad.push(BadFile { path: item.shown_path(), reason }),
        }
    }
    bad.sort_by(|a, b| a.path.cmp(&b.path));
    (good, bad)
}

/// Notes on images that are scaled up, and on those too small to find similar ones.
fn size_notes(good: &[(Item, Decoded)], crop: u32) -> Vec<String> {
    let (n, mut notes) = (good.len(), Vec::new());
    let small = good.iter().filter(|(_, decoded)| decoded.image.small).count();
    if small > 0 {
        notes.push(format!(
            "{small} of {n} images are smaller than the {crop}x{crop} crop and are scaled up to it"
        ));
    }
    let tiny = good.iter().filter(|(_, decoded)| is_tiny(decoded.facts.width, decoded.facts.height)).count();
    if tiny > 0 {
        notes.push(format!(
            "{tiny} of {n} images are under {MIN_SIDE_WITH_DETAIL} pixels: only their exact duplicates are found"
        ));
    }
    notes
}

/// The patients of decoded images.
struct FoundPatients {
    /// Of each image, if it is known.
    patients: Vec<Option<String>>,
    /// How they are known in the training data; in the test set if they are known there only.
    source: Option<PatientSource>,
    /// Whether some are guessed from file names by the built-in patterns.
    has_guesses: bool,
}

/// The patient of every image: by a column where the data set has one, else by file names. The images that
/// `is_from_test_option` selects were given by `--test`, and are a data set of their own.
fn find_patients(
    good: &[(Item, Decoded)],
    options: &LoadOptions,
    is_from_test_option: impl Fn(&Item) -> bool,
) -> Result<FoundPatients, DataError> {
    let items = || good.iter().map(|(item, _)| item);
    let has_column = [false, true].map(|from_test_option| {
        items().any(|item| is_from_test_option(item) == from_test_option && item.patient.is_some())
    });
    let needs_name = |item: &&Item| !has_column[usize::from(is_from_test_option(item))];
    let names: Vec<&str> = items().filter(needs_name).map(|item| item.name.as_str()).collect();
    let (mut from_names, name_source) = if names.is_empty() {
        (Vec::new().into_iter(), None)
    } else {
        let (patients, source) = patients::from_names(names.into_iter(), options.patient_pattern.as_ref())?;
        (patients.into_iter(), source)
    };
    let has_guesses = matches!(name_source, Some(PatientSource::FileNames(_)));
    let column = Some(PatientSource::Column);
    let source = match has_column {
        [true, _] => column,
        [false, true] => name_source.or(column),
        [false, false] => name_source,
    };
    let patient = |item: &Item| {
        if needs_name(&item) { from_names.next().flatten() } else { item.patient.clone() }
    };
    Ok(FoundPatients { patients: items().map(patient).collect(), source, has_guesses })
}

/// A note on guessed patients of a separate test set that have the same name as one of the other sets.
fn matching_patients_note(records: &[ImageRecord], source: Option<&PatientSource>) -> Option<String> {
    let (n, source) = (count_matching_guesses(records), source?);
    (n > 0).then(|| {
        format!(
            "{n} patients, from {source}, have the same name in the separate test set and in the training data; they are \
             taken for different patients, because names often start anew in another data set. If they are the same, use \
             --patient-pattern"
        )
    })
}

/// Groups of two and more duplicates, sorted.
fn duplicate_groups(records: &[ImageRecord], pairs: &[DuplicatePair]) -> Vec<Vec<ImageLocation>> {
    let group_of = group_duplicates(records.len(), pairs).of_each();
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_by_key(|&index| (group_of[index], index));
    let groups = order.chunk_by(|&a, &b| group_of[a] == group_of[b]).filter(|group| group.len() > 1);
    let locations = |group: &[usize]| {
        let mut locations: Vec<ImageLocation> =
            group.iter().map(|&index| records[index].location.clone()).collect();
        locations.sort();
        locations
    };
    let mut duplicates: Vec<Vec<ImageLocation>> = groups.map(locations).collect();
    duplicates.sort();
    duplicates
}
