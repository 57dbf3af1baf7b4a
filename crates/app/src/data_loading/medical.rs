//! Whether the images are medical, by their names: then, and only then, texts speak of patients and of clinical use.

use std::path::Path;

use roentgen_data::Dataset;

use crate::config::TrainConfig;

/// What medical names contain, in lower case, without spaces and signs.
const WORDS: [&str; 44] = [
    "xray",
    "chest",
    "lung",
    "thorax",
    "thorac",
    "pneumo",
    "covid",
    "tubercul",
    "tumor",
    "tumour",
    "cancer",
    "carcinom",
    "melanom",
    "lymphom",
    "gliom",
    "meningiom",
    "adenom",
    "lesion",
    "malignan",
    "benign",
    "fractur",
    "radiograph",
    "mammogr",
    "ultrasound",
    "retina",
    "retinopath",
    "glaucoma",
    "cardiomegal",
    "effusion",
    "atelecta",
    "nodule",
    "infiltrat",
    "patholog",
    "patient",
    "dicom",
    "biops",
    "histolog",
    "edema",
    "emphysema",
    "hemorrhage",
    "haemorrhage",
    "derma",
    "radiolog",
    "breastmnist",
];
/// The same for names that are short: only as a whole, between spaces and signs.
const WHOLE_WORDS: [&str; 10] =
    ["cxr", "ct", "mri", "oct", "ddsm", "pathmnist", "octmnist", "bloodmnist", "tissuemnist", "ham10000"];
/// One in this many classes, or files, has to have a medical name: a class `chest` among a hundred pieces of furniture does
/// not make the data medical.
const MIN_SHARE: usize = 4;

/// Whether the data are medical: as the settings say, or else by the names of the data, of the classes and of the files.
#[must_use]
pub(crate) fn is_medical(config: &TrainConfig, data: &Dataset) -> bool {
    // Whoever names patients has medical data.
    let has_patients = data.findings.patients.is_some();
    let path = config.with_absolute_paths().data;
    let data_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let replaced = data.pseudonyms.iter().filter(|pseudonym| pseudonym.kind == "image");
    let replaced = replaced.map(|pseudonym| file_name(&pseudonym.original));
    let files = (0..data.train.len()).map(|image| file_name(data.train.name(image)));
    config.medical.unwrap_or_else(|| {
        config.uses_phantom()
            || has_patients
            || is_medical_name(&data_name)
            || is_share_medical(data.class_names.iter().map(String::as_str))
            || if data.pseudonyms.is_empty() { is_share_medical(files) } else { is_share_medical(replaced) }
    })
}

/// The last component of the name of an image.
fn file_name(name: &str) -> &str {
    Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or(name)
}

fn is_share_medical<'a>(names: impl Iterator<Item = &'a str> + Clone) -> bool {
    let n = names.clone().count();
    let n_medical = names.filter(|name| is_medical_name(name)).count();
    n_medical > 0 && n_medical * MIN_SHARE >= n
}

fn is_medical_name(name: &str) -> bool {
    let lower = name.to_lowercase();
    let joined: String = lower.chars().filter(|letter| letter.is_alphanumeric()).collect();
    let mut parts = lower.split(|letter: char| !letter.is_alphanumeric());
    WORDS.iter().any(|word| joined.contains(word)) || parts.any(|part| WHOLE_WORDS.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medical_names_are_recognised_and_photographs_are_not() {
        for name in
            ["Viral Pneumonia", "chest_xray", "X-ray", "COVID", "brain-MRI", "notumor", "pneumoniamnist.npz"]
        {
            assert!(is_medical_name(name), "{name}");
        }
        for name in
            ["cat", "oak tree", "octopus", "normal", "insect", "cifar10", "photographs", "facts", "mnist"]
        {
            assert!(!is_medical_name(name), "{name}");
        }
    }

    #[test]
    fn a_few_medical_names_among_many_others_are_not_enough() {
        assert!(is_share_medical(["NORMAL", "PNEUMONIA"].into_iter()));
        let furniture = ["chest", "table", "bed", "lamp", "sofa"];
        assert!(!is_share_medical(furniture.into_iter()));
        assert!(!is_share_medical(std::iter::empty()));
    }
}
