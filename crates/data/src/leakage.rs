//! Leakage: images of one set whose duplicate, or whose patient, is also in an earlier set.
//!
//! A model that has trained on an image, or on another image of the same patient, recognises it. Figures that are
//! measured on such images are too good.

use std::collections::{BTreeMap, BTreeSet};

use crate::duplicates::{DuplicatePair, group_duplicates};
use crate::patients::PatientKey;
use crate::subset::Subset;

/// Names one image of a data set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageLocation {
    /// The set that it belongs to.
    pub subset: Subset,
    /// Its path inside the data.
    pub path: String,
}

/// An image that has a duplicate in an earlier set.
#[derive(Clone, Debug, PartialEq)]
pub struct LeakedImage {
    /// The image of the later set.
    pub image: ImageLocation,
    /// Its duplicate in the earlier set.
    pub original: ImageLocation,
    /// 1 for equal pixels; below that a correlation.
    pub similarity: f64,
}

/// Where an image is, and what of whom; [`DuplicatePair`] counts images in the order of a list of these.
#[derive(Clone, Debug)]
pub(crate) struct ImageRecord {
    pub(crate) subset: Subset,
    /// Index of its class.
    pub(crate) label: u32,
    /// Its path inside the data.
    pub(crate) name: Box<str>,
    pub(crate) patient: Option<PatientKey>,
}

impl ImageRecord {
    pub(crate) fn location(&self) -> ImageLocation {
        ImageLocation { subset: self.subset, path: self.name.to_string() }
    }
}

/// The images that have a duplicate in an earlier set, sorted: each with every duplicate there. A duplicate of a
/// duplicate is listed with the first image of its group and the smallest similarity within the group.
pub(crate) fn find_leakage(records: &[ImageRecord], pairs: &[DuplicatePair]) -> Vec<LeakedImage> {
    let subset = |index: usize| records[index].subset;
    let leaked = |(image, original): (usize, usize), similarity: f64| LeakedImage {
        image: records[image].location(),
        original: records[original].location(),
        similarity,
    };
    let mut is_listed = vec![false; records.len()];
    let mut found = Vec::new();
    for &DuplicatePair { a, b, similarity } in pairs.iter().filter(|pair| subset(pair.a) != subset(pair.b)) {
        let pair = if subset(a) > subset(b) { (a, b) } else { (b, a) };
        is_listed[pair.0] = true;
        found.push(leaked(pair, similarity));
    }
    let group_of = group_duplicates(records.len(), pairs).of_each();
    let group = |index: usize| group_of[index] as usize;
    let mut first_of_group: Vec<usize> = (0..records.len()).collect();
    let mut min_similarity: Vec<f64> = vec![1.0; records.len()];
    for index in 0..records.len() {
        let first = &mut first_of_group[group(index)];
        *first = std::cmp::min_by_key(*first, index, |&index| subset(index));
    }
    for pair in pairs {
        let group = group(pair.a);
        min_similarity[group] = min_similarity[group].min(pair.similarity);
    }
    let first = |index: usize| first_of_group[group(index)];
    let indirect =
        (0..records.len()).filter(|&index| !is_listed[index] && subset(index) > subset(first(index)));
    found.extend(indirect.map(|index| leaked((index, first(index)), min_similarity[group(index)])));
    found.sort_by(|a, b| (&a.image, &a.original).cmp(&(&b.image, &b.original)));
    found
}

/// Patients with images in more than one set, sorted.
pub(crate) fn crossing_patients(records: &[ImageRecord]) -> Vec<String> {
    let mut subsets: BTreeMap<&PatientKey, (Subset, bool)> = BTreeMap::new();
    for ImageRecord { subset, patient, .. } in records {
        let Some(patient) = patient else { continue };
        let entry = subsets.entry(patient).or_insert((*subset, false));
        entry.1 |= entry.0 != *subset;
    }
    subsets
        .into_iter()
        .filter(|(_, (_, crosses))| *crosses)
        .map(|(patient, _)| patient.name.to_string())
        .collect()
}

/// How many names of patients in the separate test set also occur in the other sets, where these names are guesses.
pub(crate) fn count_matching_guesses(records: &[ImageRecord]) -> usize {
    let names = |is_separate: bool| -> BTreeSet<&str> {
        let patients = records.iter().filter_map(|record| record.patient.as_ref());
        let of_side = patients.filter(|patient| patient.is_guess_from_test_option == is_separate);
        of_side.map(|patient| &*patient.name).collect()
    };
    names(true).intersection(&names(false)).count()
}

/// Of each image of `subset`, whether an earlier set has a duplicate of it or an image of its patient.
pub(crate) fn which_leaked(records: &[ImageRecord], leakage: &[LeakedImage], subset: Subset) -> Vec<bool> {
    let of_subset = leakage.iter().filter(|leaked| leaked.image.subset == subset);
    let leaked_paths: BTreeSet<&str> = of_subset.map(|leaked| leaked.image.path.as_str()).collect();
    let earlier = records.iter().filter(|record| record.subset < subset);
    let earlier_patients: BTreeSet<&PatientKey> =
        earlier.filter_map(|record| record.patient.as_ref()).collect();
    let is_leaked = |record: &ImageRecord| {
        let has_earlier = record.patient.as_ref().is_some_and(|patient| earlier_patients.contains(patient));
        leaked_paths.contains(&*record.name) || has_earlier
    };
    records.iter().filter(|record| record.subset == subset).map(is_leaked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(subset: Subset, path: &str, patient: Option<&str>) -> ImageRecord {
        let patient = patient.map(|name| PatientKey { name: name.into(), is_guess_from_test_option: false });
        ImageRecord { subset, label: 0, name: path.into(), patient }
    }

    fn example() -> Vec<ImageRecord> {
        vec![
            record(Subset::Train, "a", Some("p1")),
            record(Subset::Train, "b", None),
            record(Subset::Val, "c", Some("p2")),
            record(Subset::Test, "d", Some("p1")),
            record(Subset::Test, "e", None),
            record(Subset::Test, "f", Some("p3")),
        ]
    }

    #[test]
    fn duplicates_in_two_sets_are_leakage_into_the_later_one() {
        let pairs = [
            DuplicatePair { a: 1, b: 4, similarity: 0.99 },
            DuplicatePair { a: 2, b: 0, similarity: 1.0 },
            DuplicatePair { a: 3, b: 5, similarity: 1.0 },
        ];
        let found = find_leakage(&example(), &pairs);
        let paths: Vec<_> =
            found.iter().map(|leaked| (leaked.image.path.as_str(), leaked.original.path.as_str())).collect();
        assert_eq!(paths, [("c", "a"), ("e", "b")], "duplicates inside the test set are not leakage");
        assert_eq!(found[1].similarity, 0.99);
        assert_eq!(
            which_leaked(&example(), &found, Subset::Test),
            [true, true, false],
            "a known patient, a duplicate, and an image that only repeats another test image"
        );
    }

    #[test]
    fn a_duplicate_of_a_duplicate_is_leakage_too() {
        // "b" of the training set, "e" nearly the same in the test set, and "f" the same file as "e".
        let pairs =
            [DuplicatePair { a: 1, b: 4, similarity: 0.97 }, DuplicatePair { a: 4, b: 5, similarity: 1.0 }];
        let found = find_leakage(&example(), &pairs);
        let rows: Vec<_> = found
            .iter()
            .map(|leaked| (leaked.image.path.as_str(), leaked.original.path.as_str(), leaked.similarity))
            .collect();
        assert_eq!(rows, [("e", "b", 0.97), ("f", "b", 0.97)]);
        assert_eq!(which_leaked(&example(), &found, Subset::Test), [true; 3]);
    }

    #[test]
    fn patients_in_two_sets_are_named() {
        assert_eq!(crossing_patients(&example()), ["p1"]);
        assert_eq!(count_matching_guesses(&example()), 0);
    }

    #[test]
    fn equal_guesses_about_two_data_sets_are_no_leakage() {
        let mut records = example();
        for record in records.iter_mut().filter(|record| record.subset == Subset::Test) {
            record.patient.iter_mut().for_each(|patient| patient.is_guess_from_test_option = true);
        }
        assert!(crossing_patients(&records).is_empty());
        assert_eq!(which_leaked(&records, &[], Subset::Test), [false; 3]);
        assert_eq!(count_matching_guesses(&records), 1);
    }
}
