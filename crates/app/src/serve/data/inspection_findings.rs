//! What an inspection found, for people who see the page: what blocks a training, what only warns, and the way out of each.

use std::path::Path;
use std::time::Duration;

use roentgen_data::{Dataset, Findings, Progress, SubsetOfData, SubsetOrigin};
use serde::Serialize;
use utoipa::ToSchema;

use super::thumbnail::{Picture, thumbnail};
use crate::commands::inspect::{Inspected, inspect};
use crate::config::TrainConfig;
use crate::data_loading::inspection::{Inspection, conflicts};
use crate::error::AppError;
use crate::report::{self, sentence};
use crate::serve::page_words::without_flags;
use crate::terminal::figures::colour_word;
use crate::terminal::screen::{by_number, counted, duration, mebibytes};

/// Classes and images of each that are shown.
const MAX_CLASSES: usize = 24;
const PER_CLASS: usize = 6;
/// Items of a list that are shown.
const SHOWN: usize = 50;

/// What a reader of the numbers wonders about.
const SETS: &str = "The network learns from the training images; the validation images choose the epoch that is saved; the test \
                    images are used for neither, and give the metrics.";

/// See the module.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct InspectionFindings {
    /// What has to be fixed before a training.
    blocks: Vec<Remark>,
    /// What makes a model worse, or its figures wrong.
    warnings: Vec<Remark>,
    /// Whether a training can leave out what has to be fixed: files that cannot be read.
    can_skip_bad: bool,
    /// What is good to know.
    facts: Vec<String>,
    classes: Vec<ClassCount>,
    /// Images to show, some of each class.
    samples: Vec<Sample>,
    /// What `roentgen inspect --json` prints; none if the images cannot be used at all.
    pub(super) inspection: Option<Inspection>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Remark {
    text: String,
    items: Vec<RemarkItem>,
    /// Items that are not listed.
    n_more: usize,
}

#[derive(Debug, Serialize, ToSchema)]
struct RemarkItem {
    text: String,
    /// Of a file that can be removed from a set.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ClassCount {
    name: String,
    train: usize,
    val: usize,
    test: usize,
}

/// An image of a class; its picture has the same index.
#[derive(Debug, Serialize, ToSchema)]
struct Sample {
    class: String,
    name: String,
}

/// Inspects the images of a configuration.
pub(super) fn inspect_for_page(
    config: &TrainConfig,
    progress: &dyn Progress,
) -> (InspectionFindings, Vec<Picture>) {
    match inspect(config, progress) {
        Ok(inspected) => {
            let (samples, pictures) = samples(config, &inspected.data);
            (InspectionFindings { samples, ..InspectionFindings::of(config, inspected) }, pictures)
        }
        Err(error) => (InspectionFindings::of_error(config, &error), Vec::new()),
    }
}

impl InspectionFindings {
    fn of_error(config: &TrainConfig, error: &AppError) -> Self {
        let text = without_folder(&error.to_string(), &config.data);
        Self { blocks: vec![Remark::new(text, Vec::new())], ..Self::default() }
    }

    fn of(config: &TrainConfig, inspected: Inspected) -> Self {
        let Inspected { data, inspection, split_off, no_memory, .. } = inspected;
        let can_skip_bad = !data.findings.bad.is_empty();
        let blocks = bad_files(config, &data.findings).into_iter().collect();
        // The way out is on the page Train, and other programs may end: a training refuses by itself.
        let no_memory = no_memory.map(|text| Remark::new(sentence(&without_flags(&text)), Vec::new()));
        let warnings = warnings(&data).into_iter().chain(no_memory).collect();
        let mut facts = vec![sizes(&data), SETS.to_owned()];
        facts.extend(split_off.map(|text| sentence(&without_flags(&text))));
        facts.extend(patients(&data.findings));
        if let Some(seconds) = inspection.train_seconds {
            let time = duration(Duration::from_secs_f64(seconds));
            let epochs = counted(config.epochs(data.train.len()), "epoch");
            facts.push(format!(
                "Training takes about {time} here for {epochs}, if the machine has nothing else to do."
            ));
        }
        if let Some(bytes) = inspection.train_memory_bytes {
            facts.push(format!("It takes about {} of memory.", mebibytes(bytes)));
        }
        let classes = classes(&data);
        Self {
            blocks,
            warnings,
            can_skip_bad,
            facts,
            classes,
            samples: Vec::new(),
            inspection: Some(inspection),
        }
    }
}

impl Remark {
    fn new(text: String, items: Vec<String>) -> Self {
        let n_more = items.len().saturating_sub(SHOWN);
        let items = items.into_iter().take(SHOWN).map(|text| RemarkItem { text, path: None }).collect();
        Self { text, items, n_more }
    }

    /// With items that are files, each with its path in the data.
    fn of_files(text: String, items: Vec<(String, String)>) -> Self {
        let n_more = items.len().saturating_sub(SHOWN);
        let item = |(text, path)| RemarkItem { text, path: Some(path) };
        Self { text, items: items.into_iter().take(SHOWN).map(item).collect(), n_more }
    }
}

/// Paths without that of the data, which says nothing to who sees the page.
fn without_folder(text: &str, folder: &Path) -> String {
    let folder = folder.display().to_string();
    without_flags(&text.replace(&format!("{folder}/"), "").replace(&folder, "the data"))
}

fn bad_files(config: &TrainConfig, findings: &Findings) -> Option<Remark> {
    let n = findings.bad.len();
    let item = |bad: &roentgen_data::BadFile| {
        let path = without_folder(&bad.path.display().to_string(), &config.data);
        (format!("{path}: {}", without_flags(&bad.reason)), path)
    };
    (n > 0).then(|| {
        let them = by_number(n, "it", "them");
        let text = format!(
            "{} cannot be read. Repair or remove {them}, or train without {them}.",
            counted(n, "file")
        );
        Remark::of_files(text, findings.bad.iter().map(item).collect())
    })
}

fn warnings(data: &Dataset) -> Vec<Remark> {
    let Findings { duplicates, leakage, patients, is_leaked_test, notes, .. } = &data.findings;
    let mut warnings = Vec::new();
    let conflicts = conflicts(data);
    if !conflicts.is_empty() {
        let text = format!(
            "{} of equal or nearly equal images {} in more than one class. At most one of the classes is right: remove the \
             image from the others.",
            counted(conflicts.len(), "group"),
            by_number(conflicts.len(), "is", "are")
        );
        let images = conflicts.iter().enumerate().flat_map(|(group, images)| {
            images.iter().map(move |image| {
                let text = format!("group {}: {} ({})", group + 1, image.path, image.class);
                (text, image.path.clone())
            })
        });
        warnings.push(Remark::of_files(text, images.collect()));
    }
    if !is_leaked_test.is_empty() && !is_leaked_test.contains(&false) {
        let text = "Leakage: every test image also occurs in the training or validation set, so the test would say nothing about \
                    new images. Use other test images.";
        warnings.push(Remark::new(text.to_owned(), Vec::new()));
    }
    if !leakage.is_empty() {
        let n_images = data.findings.leaked_images().len();
        let occur = if n_images == 1 { "occurs" } else { "occur" };
        let text = format!(
            "Leakage: {} of the validation or test set also {occur} in an earlier set. Results are shown with and without such \
             test images; better remove them from one of the sets.",
            counted(n_images, "image")
        );
        let pair = |leak: &roentgen_data::LeakedImage| {
            let text = format!("{} = {} ({:.3})", leak.image.path, leak.original.path, leak.similarity);
            (text, leak.image.path.clone())
        };
        warnings.push(Remark::of_files(text, leakage.iter().map(pair).collect()));
    }
    if let Some(patients) = patients.as_ref().filter(|patients| !patients.crossing.is_empty()) {
        let text = format!(
            "Leakage: {} with images in more than one set. Move all images of a patient into one set.",
            counted(patients.crossing.len(), "patient")
        );
        warnings.push(Remark::new(text, patients.crossing.clone()));
    }
    if !duplicates.is_empty() {
        let text = format!(
            "{} of equal or nearly equal images. They count as one in the split, so training works; fewer copies train faster.",
            counted(duplicates.len(), "group")
        );
        let group = |group: &Vec<roentgen_data::ImageLocation>| {
            group.iter().map(|image| image.path.as_str()).collect::<Vec<_>>().join(" = ")
        };
        warnings.push(Remark::new(text, duplicates.iter().map(group).collect()));
    }
    warnings.extend(notes.iter().map(|note| Remark::new(sentence(&without_flags(note)), Vec::new())));
    warnings
}

fn sizes(data: &Dataset) -> String {
    let size = |SubsetOfData { subset, set, origin }: SubsetOfData<'_>| {
        let split = if origin == SubsetOrigin::SplitOff { ", split off" } else { "" };
        format!("{} for {}{split}", set.len(), subset.in_words())
    };
    let subsets = data.subsets();
    let sets: Vec<String> = subsets.into_iter().filter(|of| !of.set.is_empty()).map(size).collect();
    let n: usize = subsets.iter().map(|of| of.set.len()).sum();
    format!("{} in {}: {}.", counted(n, "image"), colour_word(data.channels), sets.join("; "))
}

fn patients(findings: &Findings) -> Option<String> {
    let patients = findings.patients.as_ref()?;
    let unknown = match patients.n_unknown {
        0 => String::new(),
        n => format!("; {} of unknown patients", counted(n, "image")),
    };
    Some(format!(
        "{}, known from {}{unknown}. All images of a patient stay in one set.",
        counted(patients.n, "patient"),
        patients.source
    ))
}

fn classes(data: &Dataset) -> Vec<ClassCount> {
    let n = data.class_names.len();
    let [train, val, test] = data.subsets().map(|of| of.set.class_counts(n));
    let class = |(index, name): (usize, &String)| ClassCount {
        name: name.clone(),
        train: train[index],
        val: val[index],
        test: test[index],
    };
    data.class_names.iter().enumerate().map(class).collect()
}

/// A few images of each class.
fn samples(config: &TrainConfig, data: &Dataset) -> (Vec<Sample>, Vec<Picture>) {
    let Dataset { train, class_names, .. } = data;
    let options = config.load_options().unwrap_or_default();
    let images = report::samples(train, class_names.len().min(MAX_CLASSES), PER_CLASS);
    let sample = |&image: &usize| Sample {
        class: class_names[train.labels()[image] as usize].clone(),
        name: train.name(image).to_owned(),
    };
    let picture = |&image: &usize| thumbnail(report::full_image(train, image, &options).0);
    (images.iter().map(sample).collect(), images.iter().map(picture).collect())
}
