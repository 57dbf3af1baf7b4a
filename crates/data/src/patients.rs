//! Which images show the same patient, by a column of the manifest, by the headers of DICOM files or by file names.
//!
//! A model may recognise a patient of the training set instead of the disease. So splits keep all images of a patient
//! together, and patients that occur in more than one given set are reported.

use regex::Regex;
use unicode_normalization::UnicodeNormalization as _;

use crate::class_look::is_invisible;
use crate::error::DataError;

/// File names that contain the patient: an example, and the pattern that finds the patient.
///
/// The first two are from Kermany's paediatric films (2018), which many data sets of chest films contain. There the numbers
/// of `bacteria` and `virus` are counted separately: of 731 numbers that occur with both, the films are no more alike
/// (correlation of thumbnails 0.703) than films of random patients (0.704); those with the same number and kind are
/// (0.744). So the kind is a part of the patient. The third is from ChestX-ray14 of the NIH (Wang et al. 2017).
const BUILT_IN: [(&str, &str); 3] = [
    ("person1000_virus_1681", r"^(person\d+_(?:virus|bacteria))_\d+"),
    ("IM-0115-0001", r"^((?:NORMAL\d*-)?IM-\d{4})-\d{4}"),
    ("00000013_005", r"^(\d{8})_\d{3}\.\w+$"),
];

/// A pattern that finds the patient in a file name: the group named `patient`, else the first group, else the whole match.
#[derive(Clone, Debug)]
pub struct PatientPattern(Regex);

impl PatientPattern {
    /// A regular expression, in the syntax of the crate `regex`.
    ///
    /// # Errors
    /// [`DataError::PatientPattern`] if it is not a regular expression.
    pub fn new(text: &str) -> Result<Self, DataError> {
        let invalid = |reason: String| DataError::PatientPattern { pattern: text.to_owned(), reason };
        // Parsed twice: the error of `regex` has the kind of the fault only as text, with a drawing of its position.
        regex_syntax::parse(text).map_err(|error| match error {
            regex_syntax::Error::Parse(error) => invalid(error.kind().to_string()),
            regex_syntax::Error::Translate(error) => invalid(error.kind().to_string()),
            other => invalid(other.to_string()),
        })?;
        Regex::new(text).map(Self).map_err(|error| invalid(error.to_string()))
    }

    /// Whether it finds a patient in one of the names.
    pub(crate) fn matches_any<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> bool {
        names.any(|name| self.patient_in(name).is_some())
    }

    /// The patient in the last component of `name`.
    fn patient_in(&self, name: &str) -> Option<Box<str>> {
        let file = name.rsplit('/').next().unwrap_or(name);
        let found = self.0.captures(file)?;
        let matched = found.name("patient").or_else(|| found.get(1)).or_else(|| found.get(0));
        matched.map(|matched| matched.as_str()).filter(|patient| !patient.is_empty()).map(Into::into)
    }
}

impl PartialEq for PatientPattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// How the patients are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatientSource {
    /// By a column of the table.
    Column,
    /// By the headers of DICOM files.
    Headers,
    /// By the folders inside the class folders.
    Folders,
    /// By the pattern that was given.
    Pattern(String),
    /// By file names like these examples.
    FileNames(Vec<&'static str>),
}

/// The patients of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patients {
    /// How they are known.
    pub source: PatientSource,
    /// Number of patients.
    pub n: usize,
    /// Images whose patient is unknown; each counts as a patient of its own.
    pub n_unknown: usize,
    /// Patients with images in more than one given set, sorted.
    pub crossing: Vec<String>,
    /// Names that are guesses in the separate test set and that other sets have too: taken for different patients, which is not
    /// certain.
    pub n_matching_guesses: usize,
}

/// A patient, as patients are told apart in splits and between sets.
///
/// A patient that is read out of a file name is a guess. Within one data set it is a good one, but two data sets may use the
/// same names for different patients, so these count as different.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PatientKey {
    pub(crate) name: Box<str>,
    /// Whether it is a guess about an image of the separate test set,
    /// [`LoadOptions::test_dir`](crate::LoadOptions::test_dir).
    pub(crate) is_guess_from_test_option: bool,
}

/// An identifier without what differs between two ways of typing it: case, blanks, Unicode form and invisible characters.
pub(crate) fn normalised_identifier(text: &str) -> String {
    let visible: String = text.nfkc().filter(|&letter| !is_invisible(letter)).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// The patient of every image, and how the patients are known.
pub(crate) type FromNames = (Vec<Option<Box<str>>>, Option<PatientSource>);

/// Finds the patient of every image by its name, with `pattern` or with the built-in patterns, and how the patients are
/// known; `None` if no name contains a patient.
///
/// # Errors
/// [`DataError::PatientPattern`] if a pattern was given and no name matches it.
pub(crate) fn from_names<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
    pattern: Option<&PatientPattern>,
) -> Result<FromNames, DataError> {
    if let Some(pattern) = pattern {
        let patients: Vec<_> = names.clone().map(|name| pattern.patient_in(name)).collect();
        if patients.iter().all(Option::is_none) {
            let example = names.clone().next().unwrap_or_default();
            return Err(DataError::PatientPattern {
                pattern: pattern.0.as_str().to_owned(),
                reason: format!("no file name matches it, for example `{example}`"),
            });
        }
        return Ok((patients, Some(PatientSource::Pattern(pattern.0.as_str().to_owned()))));
    }
    let built_in = BUILT_IN.map(|(example, text)| (example, PatientPattern::new(text)));
    let mut examples = Vec::new();
    let mut patients = Vec::new();
    for name in names {
        let found = built_in.iter().find_map(|(example, pattern)| {
            let patient = pattern.as_ref().ok()?.patient_in(name)?;
            Some((*example, patient))
        });
        if let Some((example, _)) = found
            && !examples.contains(&example)
        {
            examples.push(example);
        }
        patients.push(found.map(|(_, patient)| patient));
    }
    let source = (!examples.is_empty()).then_some(PatientSource::FileNames(examples));
    Ok((patients, source))
}

impl std::fmt::Display for PatientSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Column => write!(f, "a column of the table"),
            Self::Headers => write!(f, "the headers of the DICOM files"),
            Self::Folders => write!(f, "the folders inside the class folders"),
            Self::Pattern(pattern) => write!(f, "the pattern `{pattern}`"),
            Self::FileNames(examples) => write!(f, "file names like {}", examples.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn found(names: &[&str], pattern: Option<&str>) -> Result<FromNames, DataError> {
        let pattern = pattern.map(|text| PatientPattern::new(text).expect("a pattern"));
        from_names(names.iter().copied(), pattern.as_ref())
    }

    #[test]
    fn known_file_names_contain_the_patient() {
        let names = [
            "train/pneumonia/person1000_virus_1681.jpeg",
            "train/pneumonia/person1000_bacteria_2931.jpeg",
            "normal/IM-0115-0001.jpeg",
            "normal/NORMAL2-IM-0115-0001-0002.jpeg",
            "covid/0100.jpeg",
            "00000013_005.png",
        ];
        let (patients, source) = found(&names, None).expect("no invalid pattern");
        let patients: Vec<_> = patients.iter().map(Option::as_deref).collect();
        let expected = [
            Some("person1000_virus"),
            Some("person1000_bacteria"),
            Some("IM-0115"),
            Some("NORMAL2-IM-0115"),
            None,
            Some("00000013"),
        ];
        assert_eq!(patients, expected);
        assert_eq!(source, Some(PatientSource::FileNames(BUILT_IN.map(|(example, _)| example).into())));
    }

    #[test]
    fn names_without_a_patient_give_no_source() {
        let (patients, source) = found(&["a/1.png", "person1.png", "train/00017"], None).expect("no pattern");
        assert_eq!((patients, source), (vec![None; 3], None));
    }

    #[test]
    fn a_pattern_takes_its_group_named_patient_or_its_first_or_all() {
        let patient = |pattern| found(&["x/s3_p17_v2.png"], Some(pattern)).expect("it matches").0.remove(0);
        assert_eq!(patient(r"s\d_(?<patient>p\d+)").as_deref(), Some("p17"));
        assert_eq!(patient(r"_(p\d+)_(v\d)").as_deref(), Some("p17"));
        assert_eq!(patient(r"p\d+").as_deref(), Some("p17"));
    }

    #[test]
    fn the_built_in_names_are_in_the_readme_and_in_the_help() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for text in ["../README.md", "app/src/config/settings.rs", "app/src/cli/data_args.rs"] {
            let text = std::fs::read_to_string(crates.join(text)).expect("a text");
            assert!(BUILT_IN.iter().all(|(example, _)| text.contains(example)), "{text}");
        }
    }

    #[test]
    fn an_invalid_pattern_or_one_without_a_match_is_rejected() {
        let error = PatientPattern::new("(p").expect_err("not closed").to_string();
        assert!(error.contains("`(p`") && error.contains("unclosed"), "{error}");
        let error = found(&["a/1.png"], Some("p[0-9]+")).expect_err("no match").to_string();
        assert!(error.contains("`a/1.png`") && error.contains("--patient-pattern"), "{error}");
    }
}
