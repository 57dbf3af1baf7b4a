//! The patient of each decoded image: by a column, by the headers of DICOM files, by file names or by folders.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};

use crate::decode::Decoded;
use crate::error::DataError;
use crate::file_facts::HeaderPatient;
use crate::leakage::{ImageRecord, count_matching_guesses};
use crate::options::LoadOptions;
use crate::parts::Parts;
use crate::patients::{self, FromNames, PatientPattern, PatientSource, normalised_identifier};
use crate::source::Item;
use crate::subset::Subset;

/// The patients that the headers of DICOM files name. An identifier that some files have without its issuer is one patient,
/// whoever issued it: to take one person for two would be leakage, to take two for one only makes a group larger. A file without
/// an identifier is of the patient that another file of its study names.
struct HeaderPatients<'a> {
    images: &'a Parts<Decoded>,
    /// Identifiers that some files have without an issuer.
    without_issuer: HashSet<[u8; 32]>,
    /// How many of them others have with one.
    n_joined: usize,
    /// The patient of each study, if one of its files names it.
    of_study: HashMap<[u8; 32], HeaderPatient>,
}

impl<'a> HeaderPatients<'a> {
    fn of(images: &'a Parts<Decoded>) -> Self {
        let stored = || images.iter().map(|decoded| decoded.origin.as_ref()?.patient);
        let ids = |has_issuer: bool| -> HashSet<[u8; 32]> {
            let of_patient = |patient| match patient {
                HeaderPatient::Identifier { id, issuer } => {
                    Some(id).filter(|_| issuer.is_some() == has_issuer)
                }
                HeaderPatient::Study(_) => None,
            };
            stored().flatten().filter_map(of_patient).collect()
        };
        let without_issuer = ids(false);
        let n_joined = without_issuer.intersection(&ids(true)).count();
        let mut of_study = HashMap::new();
        for origin in images.iter().filter_map(|decoded| decoded.origin.as_ref()) {
            if let (Some(patient @ HeaderPatient::Identifier { .. }), Some(study)) =
                (origin.patient, origin.study)
            {
                of_study.entry(study).or_insert(patient);
            }
        }
        Self { images, without_issuer, n_joined, of_study }
    }

    /// Of each image.
    fn iter(&self) -> impl Iterator<Item = Option<HeaderPatient>> {
        self.images.iter().map(|decoded| Some(self.joined(decoded.origin.as_ref()?.patient?)))
    }

    /// The patient that a file means which has this one.
    fn joined(&self, stored: HeaderPatient) -> HeaderPatient {
        let identified = match stored {
            HeaderPatient::Study(study) => *self.of_study.get(&study).unwrap_or(&stored),
            HeaderPatient::Identifier { .. } => stored,
        };
        match identified {
            HeaderPatient::Identifier { id, .. } if self.without_issuer.contains(&id) => {
                HeaderPatient::Identifier { id, issuer: None }
            }
            other => other,
        }
    }

    /// Of each image a name: that of a column, which only the training data or the separate test set may have, so that the
    /// patients of both can be compared; else one that no column has. [`replace_by_numbers`] makes numbers of them.
    fn named(&self, in_columns: &[Option<Box<str>>]) -> Vec<Option<Box<str>>> {
        let mut name_of: HashMap<HeaderPatient, Box<str>> = HashMap::new();
        for (patient, name) in self.iter().zip(in_columns) {
            if let (Some(patient), Some(name)) = (patient, name) {
                name_of.entry(patient).or_insert_with(|| name.clone());
            }
        }
        let name = |patient: Option<HeaderPatient>| {
            let next = name_of.len();
            Some(name_of.entry(patient?).or_insert_with(|| format!("\0{next}").into()).clone())
        };
        self.iter().map(name).collect()
    }

    /// Notes on what makes these patients uncertain.
    fn notes(&self) -> impl Iterator<Item = String> {
        let is_study = |patient: &HeaderPatient| matches!(patient, HeaderPatient::Study(_));
        let n_studies = self.iter().flatten().filter(is_study).count();
        let studies = (n_studies > 0).then(|| {
            format!(
                "{n_studies} DICOM file(s) have no PatientID: each study (StudyInstanceUID) is taken for a patient, so images \
                 of a person with several studies may lie in different sets"
            )
        });
        let joined = (self.n_joined > 0).then(|| {
            format!(
                "{} PatientID(s) have an issuer in some DICOM files and none in others: each is taken for one patient",
                self.n_joined
            )
        });
        let n_known = self.iter().flatten().count();
        let first = self.iter().flatten().next();
        let are_same = n_known > 1 && self.iter().flatten().all(|patient| Some(patient) == first);
        let same = are_same.then(|| {
            format!(
                "all {n_known} DICOM files have the same PatientID, or are of one study, so no split separates them; if that \
                 is a placeholder, take the patients from file names with --patient-pattern, or from a column of a table"
            )
        });
        studies.into_iter().chain(joined).chain(same)
    }
}

/// The patients of decoded images.
pub(super) struct FoundPatients {
    /// Of each image, if it is known.
    pub(super) patients: Vec<Option<Box<str>>>,
    /// How the patients of most images of the training data are known; of the separate test set if they are known there only.
    pub(super) source: Option<PatientSource>,
    /// Of each image, whether its patient is guessed: from its file name by the built-in patterns, or from its folder.
    pub(super) is_guess: Vec<bool>,
    pub(super) notes: Vec<String>,
}

const UNUSED_PATTERN: &str = "--patient-pattern is not used: a column has the patients; remove one of them";

/// How the patient of an image is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    Column,
    Header,
    FileName,
    Folder,
}

/// The patient of every image: by a column where the data set has one, else by the header of a DICOM file, else by the file
/// name, else by the folder. The images that `is_from_test_option` selects were given by `--test`, and are a data set of their own.
pub(super) fn find_patients(
    items: &[Item],
    images: &Parts<Decoded>,
    options: &LoadOptions,
    is_from_test_option: impl Fn(&Item) -> bool,
) -> Result<FoundPatients, DataError> {
    let has_column = [false, true].map(|from_test_option| {
        items.iter().any(|item| is_from_test_option(item) == from_test_option && item.patient.is_some())
    });
    let has_column_of = |item: &Item| has_column[usize::from(is_from_test_option(item))];
    let has_pattern = options.patient_pattern.is_some();
    let in_columns = patients_in_columns(items);
    let headers = HeaderPatients::of(images);
    let mut in_headers = if has_pattern { vec![None; items.len()] } else { headers.named(&in_columns) };
    let needs_name = |&index: &usize| in_headers[index].is_none() && !has_column_of(&items[index]);
    let named: Vec<usize> = (0..items.len()).filter(needs_name).collect();
    let (mut in_names, name_source) = patients_in_names(items, &named, options.patient_pattern.as_ref())?;
    let has_folder = !has_pattern && items.iter().any(|item| item.patient_folder.is_some());
    let patient_of = |(index, item): (usize, &Item)| {
        if has_column_of(item) {
            (in_columns[index].clone(), Rule::Column)
        } else if let Some(in_header) = in_headers[index].take() {
            (Some(in_header), Rule::Header)
        } else if let Some(in_name) = in_names[index].take() {
            (Some(in_name), Rule::FileName)
        } else {
            let folder = item.patient_folder.as_deref().filter(|_| has_folder);
            (folder.map(Into::into), Rule::Folder)
        }
    };
    let (mut patients, rules): (Vec<_>, Vec<_>) = items.iter().enumerate().map(patient_of).unzip();
    let of_headers_alone = headers.notes().filter(|_| rules.contains(&Rule::Header));
    // Other data that a model is evaluated on have no training set; the pattern there is that of the model.
    let is_unused = has_pattern && named.is_empty() && items.iter().any(|item| item.subset == Subset::Train);
    let others = [
        disagreeing_patients_note(&in_columns, &headers),
        missing_patients_note(items, &headers, has_column_of),
        is_unused.then(|| UNUSED_PATTERN.to_owned()),
    ];
    let notes = of_headers_alone.chain(others.into_iter().flatten()).collect();
    let is_built_in = matches!(name_source, Some(PatientSource::FileNames(_)));
    let is_guess = |&rule: &Rule| rule == Rule::Folder || (rule == Rule::FileName && is_built_in);
    let is_guess = rules.iter().map(is_guess).collect();
    let known = items.iter().zip(&patients).zip(&rules).filter(|((_, patient), _)| patient.is_some());
    let source =
        source_of_most(known.map(|((item, _), &rule)| (is_from_test_option(item), rule)), name_source);
    if images.iter().any(|decoded| decoded.origin.is_some()) {
        replace_by_numbers(&mut patients);
    }
    Ok(FoundPatients { patients, source, is_guess, notes })
}

/// How the patients of most images of the training data are known; of the separate test set if they are known there only. Of each
/// image with a known patient there is whether it is in that test set, and the rule. Of equally frequent rules the first counts.
fn source_of_most(
    known: impl Iterator<Item = (bool, Rule)>,
    of_names: Option<PatientSource>,
) -> Option<PatientSource> {
    let mut counts: BTreeMap<(bool, Rule), usize> = BTreeMap::new();
    known.for_each(|key| *counts.entry(key).or_default() += 1);
    let ((_, rule), _) = counts.into_iter().min_by_key(|&((in_test, _), n)| (in_test, Reverse(n)))?;
    match rule {
        Rule::Column => Some(PatientSource::Column),
        Rule::Header => Some(PatientSource::Headers),
        Rule::FileName => of_names,
        Rule::Folder => Some(PatientSource::Folders),
    }
}

/// Of each image, the patient that its file name contains, if its index is in `indices`; and how these patients are known.
fn patients_in_names(
    items: &[Item],
    indices: &[usize],
    pattern: Option<&PatientPattern>,
) -> Result<FromNames, DataError> {
    let mut patients = vec![None; items.len()];
    if indices.is_empty() {
        return Ok((patients, None));
    }
    let names = indices.iter().map(|&index| &*items[index].name);
    let (found, source) = patients::from_names(names, pattern)?;
    for (&index, patient) in indices.iter().zip(found) {
        patients[index] = patient;
    }
    Ok((patients, source))
}

/// The patient of each image in the column of its table, in its first spelling.
fn patients_in_columns(items: &[Item]) -> Vec<Option<Box<str>>> {
    let mut first_spelling: HashMap<String, Box<str>> = HashMap::new();
    let spelled = |item: &Item| {
        let patient = item.patient.as_ref()?;
        let key = normalised_identifier(patient);
        Some(first_spelling.entry(key).or_insert_with(|| patient.clone()).clone())
    };
    items.iter().map(spelled).collect()
}

/// Beside DICOM files, a table's patients are numbers, as those of the headers are: they may be the same identifiers.
fn replace_by_numbers(patients: &mut [Option<Box<str>>]) {
    let mut number_of: HashMap<Box<str>, usize> = HashMap::new();
    for patient in patients.iter_mut().flatten() {
        let next = number_of.len() + 1;
        let number = *number_of.entry(patient.clone()).or_insert(next);
        *patient = format!("patient {number}").into();
    }
}

/// A note on patients that the headers of DICOM files name as one, and the column of the table as several.
fn disagreeing_patients_note(
    in_columns: &[Option<Box<str>>],
    headers: &HeaderPatients<'_>,
) -> Option<String> {
    let mut first_name = HashMap::new();
    let mut split = HashSet::new();
    for (patient, name) in headers.iter().zip(in_columns) {
        let Some((patient, name)) = patient.zip(name.as_ref()) else { continue };
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

/// A note on images without a patient in the column of the table, of which the headers of the DICOM files name one.
fn missing_patients_note(
    items: &[Item],
    headers: &HeaderPatients<'_>,
    has_column: impl Fn(&Item) -> bool,
) -> Option<String> {
    let is_missing = |item: &Item| item.patient.is_none() && has_column(item);
    let pairs = items.iter().zip(headers.iter());
    let n = pairs.filter(|(item, patient)| patient.is_some() && is_missing(item)).count();
    (n > 0).then(|| {
        format!(
            "{n} DICOM file(s) have a patient in their header and none in the table's column of patients, which is used: their \
             images may lie in other sets than those of the same patient; fill the column, or remove it, so that the headers \
             decide"
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use image::DynamicImage;

    use super::*;
    use crate::file_facts::{FileFacts, Origin, ViewPosition};
    use crate::image_file::ImageFile;
    use crate::source::Content;

    /// An image that is not DICOM.
    fn image(name: &str) -> (Item, Decoded) {
        let item = Item {
            content: Content::File(ImageFile::At(Path::new(name).into())),
            name: name.into(),
            subset: Subset::Train,
            label: 0,
            patient: None,
            patient_folder: None,
        };
        let options = LoadOptions::default();
        (item, Decoded::new(&DynamicImage::new_luma8(30, 30), FileFacts::default(), &options))
    }

    /// A file, and what its header says.
    fn film(&patient: &HeaderPatient) -> (Item, Decoded) {
        film_of_study(patient, None)
    }

    fn film_of_study(patient: HeaderPatient, study: Option<u8>) -> (Item, Decoded) {
        let (item, decoded) = image("film");
        let view = ViewPosition::Pa;
        let (patient, study) = (Some(patient), study.map(|study| [study; 32]));
        let origin = Origin { patient, study, device: [0; 32], view, has_burned_in_text: false };
        (item, Decoded { origin: Some(Box::new(origin)), ..decoded })
    }

    fn found(patients: &[HeaderPatient]) -> FoundPatients {
        let options = LoadOptions::default();
        let (items, images): (Vec<_>, Vec<_>) = patients.iter().map(film).unzip();
        find_patients(&items, &images.into_iter().collect(), &options, |_| false).expect("no pattern")
    }

    fn known(id: u8, issuer: Option<u8>) -> HeaderPatient {
        HeaderPatient::Identifier { id: [id; 32], issuer: issuer.map(|issuer| [issuer; 32]) }
    }

    fn numbers(found: &FoundPatients) -> Vec<&str> {
        let names = found.patients.iter().map(|name| name.as_deref().expect("a patient"));
        names.map(|name| name.trim_start_matches("patient ")).collect()
    }

    #[test]
    fn an_identifier_without_its_issuer_in_some_files_is_one_patient() {
        let apart = found(&[known(1, Some(1)), known(1, Some(2)), known(1, Some(1)), known(2, None)]);
        assert_eq!((numbers(&apart), apart.notes.len()), (vec!["1", "2", "1", "3"], 0));
        let joined = found(&[known(1, Some(1)), known(1, None), known(1, Some(2)), known(2, Some(1))]);
        assert_eq!(numbers(&joined), ["1", "1", "1", "2"]);
        assert!(joined.notes[0].starts_with("1 PatientID(s) have an issuer in some"), "{:?}", joined.notes);
    }

    #[test]
    fn studies_in_the_place_of_patients_are_counted() {
        let studies = [1, 1, 2].map(|study| HeaderPatient::Study([study; 32]));
        let found = found(&[&studies[..], &[known(1, None)]].concat());
        assert_eq!(numbers(&found), ["1", "1", "2", "3"]);
        assert!(
            found.notes[0].starts_with("3 DICOM file(s) have no PatientID: each study"),
            "{:?}",
            found.notes
        );
    }

    #[test]
    fn patients_that_only_the_headers_name_are_counted_beside_a_column() {
        let options = LoadOptions::default();
        let (mut items, images): (Vec<_>, Vec<_>) =
            [known(1, None), known(1, None), known(2, None)].iter().map(film).unzip();
        items[0].patient = Some("p1".into());
        let images = images.into_iter().collect();
        let notes = find_patients(&items, &images, &options, |_| false).expect("no pattern").notes;
        assert!(notes.len() == 1 && notes[0].starts_with("2 DICOM file(s) have a patient in"), "{notes:?}");
    }

    #[test]
    fn the_source_is_the_rule_for_most_images_of_the_training_data() {
        let source = |images: Vec<(Item, Decoded)>| {
            let is_from_test_option = |item: &Item| item.subset == Subset::Test;
            let (items, images): (Vec<_>, Vec<_>) = images.into_iter().unzip();
            let (images, options) = (images.into_iter().collect(), LoadOptions::default());
            let found = find_patients(&items, &images, &options, is_from_test_option);
            found.expect("no pattern").source
        };
        let in_folder = || {
            let (item, decoded) = image("a.png");
            (Item { patient_folder: Some("p1".into()), ..item }, decoded)
        };
        let in_test = |(item, decoded): (Item, Decoded)| (Item { subset: Subset::Test, ..item }, decoded);
        let with_column =
            |(item, decoded): (Item, Decoded)| (Item { patient: Some("p1".into()), ..item }, decoded);
        let header = || film(&known(1, None));
        let named = || image("person1_virus_1.png");
        let names = PatientSource::FileNames(vec!["person1000_virus_1681"]);
        for (images, expected) in [
            (
                vec![in_folder(), in_test(with_column(in_folder())), in_test(image("b.png"))],
                PatientSource::Folders,
            ),
            (vec![in_folder(), in_test(header()), in_test(header())], PatientSource::Folders),
            (vec![named(), named(), header(), image("b.png")], names),
            (vec![named(), header()], PatientSource::Headers),
            (vec![image("b.png"), in_test(with_column(image("b.png")))], PatientSource::Column),
        ] {
            assert_eq!(source(images), Some(expected));
        }
        assert_eq!(source(vec![image("b.png")]), None);
    }

    #[test]
    fn a_pattern_has_a_note_only_where_columns_name_all_patients() {
        let pattern = Some(PatientPattern::new("p(\\d+)").expect("a pattern"));
        let options = LoadOptions { patient_pattern: pattern, ..LoadOptions::default() };
        for (in_test, n_notes) in [(None, 0), (Some("5"), 1)] {
            let (mut items, images): (Vec<_>, Vec<_>) = (0..4).map(|_| image("p5.png")).unzip();
            items[..2].iter_mut().for_each(|item| item.patient = Some("5".into()));
            for item in &mut items[2..] {
                (item.subset, item.patient) = (Subset::Test, in_test.map(Into::into));
            }
            let is_from_test_option = |item: &Item| item.subset == Subset::Test;
            let images = images.into_iter().collect();
            let found = find_patients(&items, &images, &options, is_from_test_option).expect("it matches");
            assert_eq!(found.patients, vec![Some::<Box<str>>("5".into()); 4]);
            assert_eq!(found.notes.len(), n_notes, "{:?}", found.notes);
        }
    }

    #[test]
    fn an_image_without_identifier_is_of_the_patient_of_its_study() {
        let without = |study: u8| film_of_study(HeaderPatient::Study([study; 32]), Some(study));
        let films = [
            without(8),
            film_of_study(known(1, Some(1)), Some(7)),
            without(7),
            film_of_study(known(1, None), Some(9)),
            without(9),
            film_of_study(known(2, None), None),
        ];
        let (items, images): (Vec<_>, Vec<_>) = films.into_iter().unzip();
        let options = LoadOptions::default();
        let found = find_patients(&items, &images.into_iter().collect(), &options, |_| false);
        let found = found.expect("no pattern");
        assert_eq!(numbers(&found), ["1", "2", "2", "2", "2", "3"]);
        assert!(found.notes[0].starts_with("1 DICOM file(s) have no PatientID"), "{:?}", found.notes);
    }

    #[test]
    fn headers_connect_a_column_with_data_that_have_none() {
        let options = LoadOptions::default();
        for with_column in [Subset::Train, Subset::Test] {
            let (mut items, images): (Vec<_>, Vec<_>) =
                [1, 2, 2, 3].map(|id| film(&known(id, None))).into_iter().unzip();
            items[2..].iter_mut().for_each(|item| item.subset = Subset::Test);
            for (number, item) in items.iter_mut().enumerate().filter(|(_, item)| item.subset == with_column)
            {
                item.patient = Some(format!("p{number}").into());
            }
            let is_from_test_option = |item: &Item| item.subset == Subset::Test;
            let images = images.into_iter().collect();
            let found = find_patients(&items, &images, &options, is_from_test_option).expect("no pattern");
            assert_eq!(numbers(&found), ["1", "2", "2", "3"], "{with_column}");
        }
    }

    #[test]
    fn one_patient_in_all_files_is_noted() {
        let notes = found(&[known(1, None), known(1, Some(1)), known(1, None)]).notes;
        assert!(notes[1].starts_with("all 3 DICOM files have the same PatientID"), "{notes:?}");
    }
}
