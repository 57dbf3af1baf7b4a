//! The patient of each decoded image: by a column, by the headers of DICOM files, by file names or by folders.

use std::collections::{BTreeSet, HashMap};

use crate::decode::Decoded;
use crate::error::DataError;
use crate::leakage::{ImageRecord, count_matching_guesses};
use crate::options::LoadOptions;
use crate::patients::{self, PatientSource};
use crate::source::Item;

/// The patients that the headers of DICOM files name: numbers in the order of the images, from which nobody is recognised.
fn patients_of_headers(good: &[(Item, Decoded)]) -> Vec<Option<String>> {
    let mut number_of = HashMap::new();
    let patient_of = |(_, decoded): &(Item, Decoded)| {
        let patient = decoded.origin?.patient?;
        let next = number_of.len() + 1;
        Some(format!("patient {}", number_of.entry(patient).or_insert(next)))
    };
    good.iter().map(patient_of).collect()
}

/// The patients of decoded images.
pub(super) struct FoundPatients {
    /// Of each image, if it is known.
    pub(super) patients: Vec<Option<String>>,
    /// How they are known in the training data; in the test set if they are known there only.
    pub(super) source: Option<PatientSource>,
    /// Of each image, whether its patient is guessed: from its file name by the built-in patterns, or from its folder.
    pub(super) is_guess: Vec<bool>,
}

/// The patient of every image: by a column where the data set has one, else by the header of a DICOM file, else by the file
/// name, else by the folder. The images that `is_from_test_option` selects were given by `--test`, and are a data set of their own.
pub(super) fn find_patients(
    good: &[(Item, Decoded)],
    options: &LoadOptions,
    is_from_test_option: impl Fn(&Item) -> bool,
) -> Result<FoundPatients, DataError> {
    let has_column = [false, true].map(|from_test_option| {
        good.iter().any(|(item, _)| is_from_test_option(item) == from_test_option && item.patient.is_some())
    });
    let has_pattern = options.patient_pattern.is_some();
    let mut of_headers = if has_pattern { vec![None; good.len()] } else { patients_of_headers(good) };
    let has_header = of_headers.iter().any(Option::is_some);
    let needs_name = |(item, patient): (&Item, &Option<String>)| {
        patient.is_none() && !has_column[usize::from(is_from_test_option(item))]
    };
    let items = || good.iter().map(|(item, _)| item);
    let names: Vec<&str> = items()
        .zip(&of_headers)
        .filter(|&pair| needs_name(pair))
        .map(|(item, _)| item.name.as_str())
        .collect();
    let (from_names, name_source) = match names.as_slice() {
        [] => (Vec::new(), None),
        _ => patients::from_names(names.into_iter(), options.patient_pattern.as_ref())?,
    };
    let has_folder = !has_pattern && items().any(|item| item.patient_folder.is_some());
    let is_built_in = matches!(name_source, Some(PatientSource::FileNames(_)));
    let column = Some(PatientSource::Column);
    let source = match has_column {
        [true, _] => column,
        _ if has_header => Some(PatientSource::Headers),
        [false, true] => name_source.or(column),
        [false, false] => name_source.or(has_folder.then_some(PatientSource::Folders)),
    };
    let mut from_names = from_names.into_iter();
    let mut is_guess = vec![false; good.len()];
    for ((item, patient), is_guess) in items().zip(&mut of_headers).zip(&mut is_guess) {
        if has_column[usize::from(is_from_test_option(item))] {
            patient.clone_from(&item.patient);
        } else if needs_name((item, patient)) {
            let from_name = from_names.next().flatten();
            *is_guess = from_name.is_none() || is_built_in;
            *patient = from_name.or_else(|| item.patient_folder.clone().filter(|_| has_folder));
        }
    }
    let mut patients = of_headers;
    if good.iter().any(|(_, decoded)| decoded.origin.is_some()) {
        replace_by_numbers(&mut patients);
    }
    Ok(FoundPatients { patients, source, is_guess })
}

/// Beside DICOM files, a table's patients are numbers, as those of the headers are: they may be the same identifiers.
fn replace_by_numbers(patients: &mut [Option<String>]) {
    let mut number_of: HashMap<String, usize> = HashMap::new();
    for patient in patients.iter_mut().flatten() {
        let next = number_of.len() + 1;
        let number = *number_of.entry(patient.clone()).or_insert(next);
        *patient = format!("patient {number}");
    }
}

/// A note on patients that the headers of DICOM files name as one, and the column of the table as several.
pub(super) fn disagreeing_patients_note(good: &[(Item, Decoded)]) -> Option<String> {
    let mut first_name = HashMap::new();
    let mut split = BTreeSet::new();
    for (item, decoded) in good {
        let Some((patient, name)) =
            decoded.origin.and_then(|origin| origin.patient).zip(item.patient.as_ref())
        else {
            continue;
        };
        if *first_name.entry(patient).or_insert(name) != name {
            split.insert(patient);
        }
    }
    (!split.is_empty()).then(|| {
        format!(
            "{} patient(s) of the headers of the DICOM files are several in the table's column of patients, which is used: \
             their images may lie in different sets; without this column, the headers decide",
            split.len()
        )
    })
}

/// A note on guessed patients of a separate test set that have the same name as one of the other sets.
pub(super) fn matching_patients_note(
    records: &[ImageRecord],
    source: Option<&PatientSource>,
) -> Option<String> {
    let (n, source) = (count_matching_guesses(records), source?);
    (n > 0).then(|| {
        format!(
            "{n} patients, from {source}, have the same name in the separate test set and in the training data; they are \
             taken for different patients, because names often start anew in another data set. If they are the same, use \
             --patient-pattern"
        )
    })
}
