//! The decoded images of a data set before missing sets are split off: decoded once, cut into sets as often as needed.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::colour;
use crate::dataset::{Dataset, Findings, SubsetOrigin};
use crate::decode::Decoded;
use crate::duplicates::{DuplicatePair, MOST_FOR_CROPS, find_duplicates, group_duplicates};
use crate::error::{BadFile, DataError};
use crate::image_set::{Entry, ImageSet};
use crate::leakage::{ImageLocation, ImageRecord, crossing_patients, find_leakage, is_leak_free};
use crate::options::{Channels, Fold, LoadOptions, default_val_fraction};
use crate::patients::{self, PatientSource, Patients};
use crate::progress::{Progress, Stage};
use crate::source::{Item, Listing};
use crate::split::{SplitPool, class_sizes};
use crate::subset::Subset;
use crate::thumbnail::{SMALLEST_WITH_DETAIL, is_tiny};

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
        let fingerprint = listing.fingerprint();
        let Listing { class_names, items, val_origin, test_origin, mut notes, .. } = listing;
        let total = items.len();
        let (good, bad) = decode_all(items, options, progress);
        if !bad.is_empty() && !options.skip_bad {
            return Err(DataError::BadFiles { files: bad, total });
        }
        notes.extend(size_notes(&good, options.crop));
        if total > MOST_FOR_CROPS {
            notes.push(format!(
                "more than {MOST_FOR_CROPS} images: no search for duplicates that were cropped by several percent"
            ));
        }
        let (patients, patient_source) = find_patients(&good, options)?;
        let (mut records, mut entries, mut thumbnails) = (Vec::new(), Vec::new(), Vec::new());
        for ((item, decoded), patient) in good.into_iter().zip(patients) {
            let Item { name, content, subset, label, .. } = item;
            let file = content.into_file();
            let digest = Some(decoded.digest());
            let Decoded { image, thumbnail, facts } = decoded;
            let location = ImageLocation { subset, path: name.clone() };
            records.push(ImageRecord { location, patient: patient.clone() });
            entries.push(Entry { image, name, file, label, patient, facts: Some(facts), digest });
            thumbnails.push(thumbnail);
        }
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

    /// A class without a usable training image, and the first bad file.
    pub(crate) fn empty_class(&self) -> Option<(&str, Option<&BadFile>)> {
        let sizes = class_sizes(&self.labels(&self.of_subset(Subset::Train)), self.class_names.len());
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
        let [leak_free_val, leak_free_test] =
            [Subset::Val, Subset::Test].map(|subset| is_leak_free(&self.records, &leakage, subset));
        let duplicates = duplicate_groups(&self.records, &self.duplicates);
        let mut entries = Subset::ALL.map(|_| Vec::new());
        for (record, entry) in self.records.into_iter().zip(self.entries) {
            entries[record.location.subset as usize].push(entry);
        }
        let [train, val, test] = entries.map(|entries| ImageSet::pack(channels, entries));
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

    /// Splits off the test set first, so that another validation fraction leaves the test set unchanged.
    fn split_off_missing(
        &mut self,
        train: &[usize],
        val_fraction: f64,
        options: &LoadOptions,
    ) -> Result<(), DataError> {
        let mut groups = group_duplicates(self.records.len(), &self.duplicates);
        let patients: Vec<Option<String>> =
            self.records.iter().map(|record| record.patient.clone()).collect();
        groups.join_by_key(&patients);
        let groups = groups.of_each();
        let sizes = class_sizes(&self.labels(train), self.class_names.len());
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
        let mut ids: Vec<&String> =
            self.records.iter().filter_map(|record| record.patient.as_ref()).collect();
        let n_unknown = self.records.len() - ids.len();
        ids.sort_unstable();
        ids.dedup();
        Some(Patients { source, n: ids.len(), n_unknown, crossing })
    }
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
            "{tiny} of {n} images are under {SMALLEST_WITH_DETAIL} pixels: only their exact duplicates are found"
        ));
    }
    notes
}

/// The patient of every image, and how the patients are known: by a column if the source has one, else by file names.
fn find_patients(
    good: &[(Item, Decoded)],
    options: &LoadOptions,
) -> Result<(Vec<Option<String>>, Option<PatientSource>), DataError> {
    if good.iter().any(|(item, _)| item.patient.is_some()) {
        let patients = good.iter().map(|(item, _)| item.patient.clone()).collect();
        return Ok((patients, Some(PatientSource::Column)));
    }
    patients::from_names(good.iter().map(|(item, _)| item.name.as_str()), options.patient_pattern.as_ref())
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
