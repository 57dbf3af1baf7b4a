//! The decoded images of a data set before missing sets are split off: decoded once, cut into sets as often as needed.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use crate::cache::Shared;
use crate::colour;
use crate::dataset::{Dataset, Findings, SubsetOrigin};
use crate::decode::Decoded;
use crate::duplicates::{
    DuplicatePair, MAX_FOR_CROPS, MAX_FOR_DETAIL, count_distinct, find_duplicates, group_duplicates,
};
use crate::error::{BadFile, DataError};
use crate::file_facts::FileFacts;
use crate::file_notes::file_notes;
use crate::image_file::ImageFile;
use crate::image_set::{Entry, ImageSet};
use crate::leakage::{
    ImageLocation, ImageRecord, count_matching_guesses, crossing_patients, find_leakage, which_leaked,
};
use crate::negatives::BrightnessPattern;
use crate::options::{Channels, Fold, Invert, LoadOptions, default_val_fraction};
use crate::parts::Parts;
use crate::patients::{PatientKey, PatientSource, Patients};
use crate::pixel_file::PixelFile;
use crate::progress::Progress;
use crate::small_image::SmallImage;
use crate::source::{Item, Listing};
use crate::split::{SplitPool, class_counts};
use crate::subset::Subset;
use crate::team::Team;
use crate::thumbnail::Thumbnail;

use self::decoding::AllDecoded;
use self::found_patients::{FoundPatients, find_patients, matching_patients_note};
use self::shared::apply_shared;
use self::unused_options::unused_option_notes;

mod decoding;
mod found_patients;
mod shared;
mod unused_options;

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
    images: Parts<PoolImage>,
    /// The file with their pixels, if they are not in memory.
    file: Option<Arc<PixelFile>>,
    patient_source: Option<PatientSource>,
    /// [`Dataset::sample_bits`].
    sample_bits: Option<u8>,
    /// [`Dataset::pattern`].
    pattern: Option<BrightnessPattern>,
    duplicates: Vec<DuplicatePair>,
    val_origin: SubsetOrigin,
    test_origin: SubsetOrigin,
    bad: Vec<BadFile>,
    /// The first file without an image of each class in each set, bad or left out.
    unused: BTreeMap<(Subset, u32), BadFile>,
    notes: Vec<String>,
}

/// An image, without what its record has.
#[derive(Clone, Debug)]
struct PoolImage {
    image: SmallImage,
    file: Option<ImageFile>,
    facts: FileFacts,
    digest: u64,
}

impl ImagePool {
    /// Decodes every item, and finds patients and duplicates. What the cache file at `cache` has of it is not done again; if it
    /// cannot be used, it is made. Of a team, each process decodes a share; all have the same listing.
    ///
    /// # Errors
    /// [`DataError::BadFiles`] unless bad files are skipped, [`DataError::TooManyOpenFiles`],
    /// [`DataError::PatientPattern`], and [`DataError::Write`] if the cache cannot be written; as [`team::exchange`](crate::team::exchange).
    pub(crate) fn decode(
        listing: Listing,
        cache: Option<&Path>,
        options: &LoadOptions,
        team: &dyn Team,
        progress: &dyn Progress,
    ) -> Result<Self, DataError> {
        let Listing { class_names, items, val_origin, test_origin, has_test_option, mut notes, .. } = listing;
        let total = items.len();
        let AllDecoded { items, mut images, bad, other_kinds, unused, cached, mut writer } =
            AllDecoded::of(items, cache, options, team, progress)?;
        if !options.skip_bad {
            reject_bad(&bad, total)?;
        }
        reject_empty_subset(&unused, &items)?;
        notes.extend(other_kinds.iter().map(|(kind, count)| format!("left out {count} file(s): {kind}")));
        let named = items.iter().map(|item| &*item.name).zip(images.iter());
        notes.extend(file_notes(named, false, options).into_iter().map(|note| note.text));
        let (shared, duplicates, mut file) = match cached {
            Some((shared, duplicates, file)) => (shared, Some(duplicates), Some(file)),
            None => (apply_shared(&items, &mut images, writer.as_mut(), options)?, None, None),
        };
        notes.extend_from_slice(&shared.notes);
        notes.extend(negatives_note(&items, &images, &class_names, options.invert));
        let (has_left_out, pattern) = (!other_kinds.is_empty(), shared.pattern.as_ref());
        notes.extend(unused_option_notes(&items, &images, has_left_out, pattern, options));
        number_devices(images.iter_mut());
        let is_from_test_option = |item: &Item| has_test_option && item.subset == Subset::Test;
        let FoundPatients { patients, source: patient_source, is_guess, notes: patient_notes } =
            find_patients(&items, &images, options, is_from_test_option)?;
        notes.extend(patient_notes);
        let search = || {
            let thumbnails: Vec<&Thumbnail> = images.iter().map(|decoded| &decoded.thumbnail).collect();
            find_duplicates(&thumbnails, progress)
        };
        let duplicates = duplicates.map_or_else(search, Ok)?;
        notes.extend(missing_search_note(total, count_distinct(images.len(), &duplicates)));
        if let Some(writer) = writer {
            file = Some(writer.finish(images.iter(), &shared, &duplicates)?);
        }
        let (mut records, mut of_pool) = (Vec::with_capacity(items.len()), Parts::default());
        for (((item, decoded), patient), is_guess) in
            items.into_iter().zip(images).zip(patients).zip(is_guess)
        {
            let is_guess_from_test_option = is_guess && is_from_test_option(&item);
            let patient = patient.map(|name| PatientKey { name, is_guess_from_test_option });
            let Item { name, content, subset, label, .. } = item;
            let (file, digest) = (content.into_file(), decoded.digest());
            let Decoded { image, facts, .. } = decoded;
            records.push(ImageRecord { subset, label, name, patient });
            of_pool.push(PoolImage { image, file, facts, digest });
        }
        let images = of_pool;
        notes.extend(matching_patients_note(&records, patient_source.as_ref()));
        let fingerprint = fingerprint(&records, &images, [val_origin, test_origin]);
        let Shared { sample_bits, pattern, .. } = shared;
        Ok(Self {
            class_names,
            fingerprint,
            records,
            images,
            file: file.map(Arc::new),
            patient_source,
            sample_bits,
            pattern,
            duplicates,
            val_origin,
            test_origin,
            bad,
            unused,
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
        reject_bad(&self.bad, self.images.len() + self.bad.len())
    }

    /// A class without a usable training image, and the first of its files.
    pub(crate) fn empty_class(&self) -> Option<(&str, Option<&BadFile>)> {
        let sizes = class_counts(&self.labels(&self.of_subset(Subset::Train)), self.class_names.len());
        let label = sizes.iter().position(|&count| count == 0)?;
        Some((&self.class_names[label], self.unused.get(&(Subset::Train, label as u32))))
    }

    /// Indices of the images of a set.
    fn of_subset(&self, subset: Subset) -> Vec<usize> {
        (0..self.records.len()).filter(|&index| self.records[index].subset == subset).collect()
    }

    fn labels(&self, indices: &[usize]) -> Vec<u32> {
        indices.iter().map(|&index| self.records[index].label).collect()
    }

    /// The data set: missing sets are split off the training set, and no split separates duplicates or the images of a
    /// patient. Clone the pool to split it several times.
    ///
    /// # Errors
    /// [`DataError::TooFewGroups`] if `options` asks for more folds than a class has groups; [`DataError::MissingInFold`] if a
    /// class cannot be in each.
    pub(crate) fn split(mut self, options: &LoadOptions) -> Result<Dataset, DataError> {
        // Patients that the given sets share; a split off set never shares one.
        let crossing = crossing_patients(&self.records);
        let train = self.of_subset(Subset::Train);
        let channels = self.channels(options.channels);
        let val_fraction = options.val_fraction.unwrap_or_else(|| default_val_fraction(train.len()));
        let groups = self.groups();
        self.split_off_missing(&train, &groups, val_fraction, options)?;

        let patients = self.patients(crossing);
        let leakage = find_leakage(&self.records, &self.duplicates);
        let [is_leaked_val, is_leaked_test] =
            [Subset::Val, Subset::Test].map(|subset| which_leaked(&self.records, &leakage, subset));
        let shared_groups = shared_groups(groups);
        let duplicates = duplicate_groups(&self.records, &self.duplicates);
        let mut sets = Subset::ALL.map(|subset| {
            let n = self.records.iter().filter(|record| record.subset == subset).count();
            ImageSet::with_capacity(channels, n, self.file.as_ref())
        });
        for ((record, image), group) in self.records.into_iter().zip(self.images).zip(shared_groups) {
            let ImageRecord { subset, label, name, patient } = record;
            let PoolImage { image, file, facts, digest } = image;
            let patient = patient.map(|patient| patient.name);
            let facts = Some(facts);
            sets[subset as usize].push(Entry { image, name, file, label, patient, group, facts, digest });
        }
        let [train, val, test] = sets;
        let Self {
            class_names, fingerprint, sample_bits, pattern, val_origin, test_origin, bad, notes, ..
        } = self;
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
            sample_bits,
            pattern,
            fingerprint,
            findings,
            pseudonyms: Vec::new(),
        })
    }

    /// The group of each image, which no split separates: its duplicates, and the images of its patient.
    fn groups(&self) -> Vec<u32> {
        let mut groups = group_duplicates(self.records.len(), &self.duplicates);
        groups.join_by_key(self.records.len(), |index| self.records[index].patient.as_ref());
        groups.of_each()
    }

    /// Splits off the test set first, so that another validation fraction leaves the test set unchanged.
    fn split_off_missing(
        &mut self,
        train: &[usize],
        groups: &[u32],
        val_fraction: f64,
        options: &LoadOptions,
    ) -> Result<(), DataError> {
        let sizes = class_counts(&self.labels(train), self.class_names.len());
        let seed = options.seed;
        if self.test_origin == SubsetOrigin::SplitOff {
            self.move_chosen(Subset::Test, groups, seed, |pool, class_names| match options.fold {
                Some(Fold { index, of }) => {
                    Ok(pool.folds(of, class_names)?.iter().map(|&fold| fold == index).collect())
                }
                None => Ok(pool.split_off(&sizes, options.test_fraction)),
            })?;
        }
        if self.val_origin == SubsetOrigin::SplitOff {
            self.move_chosen(Subset::Val, groups, seed, |pool, _| Ok(pool.split_off(&sizes, val_fraction)))?;
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
                self.records[index].subset = to;
            }
        }
        Ok(())
    }

    /// 1 or 3, by the training images if the options leave it open.
    fn channels(&self, requested: Channels) -> usize {
        match requested {
            Channels::Grey => 1,
            Channels::Rgb => 3,
            Channels::Auto => {
                let train = self.records.iter().zip(self.images.iter());
                let train = train.filter(|(record, _)| record.subset == Subset::Train);
                let coloured = train.clone().filter(|(_, of_pool)| of_pool.image.coloured).count();
                if colour::is_colour_set(coloured, train.count()) { 3 } else { 1 }
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
        let n_matching_guesses = count_matching_guesses(&self.records);
        Some(Patients { source, n: ids.len(), n_unknown, crossing, n_matching_guesses })
    }
}

/// A note on duplicates that are not searched for among so many files with so many distinct images.
fn missing_search_note(n_files: usize, n_distinct: usize) -> Option<String> {
    if n_files > MAX_FOR_DETAIL {
        return Some(format!(
            "more than {MAX_FOR_DETAIL} images: only duplicates with equal pixels are found, not those that were encoded, resized or \
             cropped again"
        ));
    }
    (n_distinct > MAX_FOR_CROPS).then(|| {
        format!(
            "more than {MAX_FOR_CROPS} distinct images: no search for duplicates that were cropped by several percent"
        )
    })
}

/// Fails if there are bad files among `total`.
fn reject_bad(bad: &[BadFile], total: usize) -> Result<(), DataError> {
    if bad.is_empty() { Ok(()) } else { Err(DataError::BadFiles { files: bad.to_vec(), total }) }
}

/// Fails if none of the images of a given validation or test set can be used; `unused` has a file of each class in each set that
/// has no image.
fn reject_empty_subset(unused: &BTreeMap<(Subset, u32), BadFile>, good: &[Item]) -> Result<(), DataError> {
    for subset in [Subset::Val, Subset::Test] {
        let example = unused.iter().find(|((of, _), _)| *of == subset);
        if let Some((_, example)) = example
            && !good.iter().any(|item| item.subset == subset)
        {
            return Err(DataError::EmptySubset { subset: subset.name(), example: example.clone() });
        }
    }
    Ok(())
}

/// A digest of the training set before anything is split off: the pixels, labels and patients in their order, which decide
/// together with the seed what a split selects, and whether validation and test set (`origins`) are split off at all. File
/// names have no part in it.
fn fingerprint(records: &[ImageRecord], images: &Parts<PoolImage>, origins: [SubsetOrigin; 2]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&origins.map(|origin| u8::from(origin == SubsetOrigin::Given)));
    for (record, image) in records.iter().zip(images.iter()) {
        if record.subset != Subset::Train {
            continue;
        }
        hasher.update(&record.label.to_le_bytes());
        hasher.update(&image.digest.to_le_bytes());
        hasher.update(record.patient.as_ref().map_or("", |patient| &*patient.name).as_bytes());
        hasher.update(b"\n");
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

fn of_training<'a>(items: &'a [Item], images: &'a Parts<Decoded>) -> impl Iterator<Item = &'a Decoded> {
    items
        .iter()
        .zip(images.iter())
        .filter(|(item, _)| item.subset == Subset::Train)
        .map(|(_, decoded)| decoded)
}

/// A note on negatives, with the classes that have them: a model could learn a class by its negatives.
fn negatives_note(
    items: &[Item],
    images: &Parts<Decoded>,
    class_names: &[String],
    invert: Invert,
) -> Option<String> {
    let good = items.iter().zip(images.iter());
    let negatives: Vec<&Item> =
        good.filter(|(_, decoded)| decoded.traits.is_negative).map(|(item, _)| item).collect();
    let example = negatives.first()?;
    let of_class = |label: usize, item: &&Item| item.label as usize == label;
    let classes = class_names.iter().enumerate().filter_map(|(label, name)| {
        let n = negatives.iter().filter(|item| of_class(label, item)).count();
        let n_class = items.iter().filter(|item| of_class(label, item)).count();
        (n > 0).then(|| format!("{n} of {n_class} of `{name}`"))
    });
    let then = match invert {
        Invert::Auto => "they are inverted",
        Invert::Never => "--invert auto inverts them",
    };
    Some(format!(
        "{} of {} images look like negatives of the training images, with black and white exchanged ({}), such as {}; {then}",
        negatives.len(),
        items.len(),
        classes.collect::<Vec<_>>().join(", "),
        example.name
    ))
}

/// Numbers the DICOM devices in the order of the images.
fn number_devices<'a>(images: impl Iterator<Item = &'a mut Decoded>) {
    let mut number_of = HashMap::new();
    for decoded in images {
        if let Some(origin) = &decoded.origin {
            let next = number_of.len() as u32 + 1;
            decoded.facts.device = *number_of.entry(origin.device).or_insert(next);
        }
    }
}

/// The group of each image that is not alone in it.
fn shared_groups(groups: Vec<u32>) -> impl Iterator<Item = Option<u32>> {
    let mut sizes = vec![0u32; groups.len()];
    groups.iter().for_each(|&group| sizes[group as usize] += 1);
    groups.into_iter().map(move |group| (sizes[group as usize] > 1).then_some(group))
}

/// Groups of two and more duplicates, sorted.
fn duplicate_groups(records: &[ImageRecord], pairs: &[DuplicatePair]) -> Vec<Vec<ImageLocation>> {
    let group_of = group_duplicates(records.len(), pairs).of_each();
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_by_key(|&index| (group_of[index], index));
    let groups = order.chunk_by(|&a, &b| group_of[a] == group_of[b]).filter(|group| group.len() > 1);
    let locations = |group: &[usize]| {
        let mut locations: Vec<ImageLocation> =
            group.iter().map(|&index| records[index].location()).collect();
        locations.sort();
        locations
    };
    let mut duplicates: Vec<Vec<ImageLocation>> = groups.map(locations).collect();
    duplicates.sort();
    duplicates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_that_is_left_out_has_a_note() {
        let note = |n: usize| missing_search_note(n, n).unwrap_or_default();
        assert_eq!(note(MAX_FOR_CROPS), "");
        assert_eq!(missing_search_note(MAX_FOR_CROPS + 2_000, MAX_FOR_CROPS), None, "2,000 copies");
        for n in [MAX_FOR_CROPS + 1, MAX_FOR_DETAIL] {
            assert!(
                note(n).starts_with(
                    "more than 30000 distinct images: no search for duplicates that were cropped"
                )
            );
        }
        assert!(
            note(MAX_FOR_DETAIL + 1)
                .starts_with("more than 500000 images: only duplicates with equal pixels")
        );
    }
}
