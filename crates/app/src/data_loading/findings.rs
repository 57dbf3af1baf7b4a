//! What was found in the data, as sentences: patients, duplicates, contradicting labels, leakage.

use roentgen_data::{Dataset, Findings, ImageLocation, LeakedImage, PatientSource, Patients};

use super::inspection::{LabelledImage, conflicts};
use crate::data_loading::error::DataLoadingError;
use crate::terminal::screen::{Screen, counted};

/// Entries of a list that are shown; `--json` and `data.json` have all.
const SHOWN: usize = 12;
/// Images of a group that are shown.
const SHOWN_OF_GROUP: usize = 4;

/// Shows patients, duplicates and leakage, each in a few lines.
pub(crate) fn show_findings(screen: &Screen, data: &Dataset) {
    let Findings { patients, duplicates, leakage, is_leaked_test, .. } = &data.findings;
    if let Some(patients) = patients {
        show_patients(screen, patients);
    }
    if !duplicates.is_empty() {
        show_duplicates(screen, duplicates);
    }
    let conflicts = conflicts(data);
    if !conflicts.is_empty() {
        show_conflicts(screen, &conflicts);
    }
    if !leakage.is_empty() {
        show_leakage(screen, &data.findings);
    }
    if !is_leaked_test.is_empty() && !is_leaked_test.contains(&false) {
        let or_patient = if patients.is_some() { ", or another image of its patient," } else { "" };
        let text = format!(
            "every test image{or_patient} also occurs in the training or validation set: the test metrics say nothing \
             about new images. Use another test set"
        );
        screen.field("LEAKAGE", &text);
    }
}

fn show_patients(screen: &Screen, patients: &Patients) {
    let Patients { source, n, n_unknown, crossing, .. } = patients;
    let unknown = match n_unknown {
        0 => String::new(),
        n => format!("; {} of unknown patients, each counted as a patient of its own", counted(*n, "image")),
    };
    let other_rule = match source {
        PatientSource::FileNames(_) => "; to change the rule, use --patient-pattern",
        _ => "",
    };
    screen.field("patients", &format!("{n}, from {source}{unknown}{other_rule}"));
    if !crossing.is_empty() {
        let named = crossing[..crossing.len().min(SHOWN)].join(", ");
        let more = if crossing.len() > SHOWN { ", ..." } else { "" };
        let n_crossing = counted(crossing.len(), "patient");
        screen.field("LEAKAGE", &format!("{n_crossing} with images in more than one set: {named}{more}"));
    }
}

/// Lists groups within one set; [`show_leakage`] lists the others.
fn show_duplicates(screen: &Screen, groups: &[Vec<ImageLocation>]) {
    let n_images: usize = groups.iter().map(Vec::len).sum();
    let within_a_set: Vec<&Vec<ImageLocation>> =
        groups.iter().filter(|group| group.iter().all(|image| image.subset == group[0].subset)).collect();
    let listed = match within_a_set.len() {
        0 => "",
        n if n == groups.len() => ":",
        _ => "; those within one set:",
    };
    let text = format!(
        "{} of images that show the same, {n_images} images in total; a split keeps each group in one set{listed}",
        counted(groups.len(), "group")
    );
    screen.field("duplicates", &text);
    // The least important list, so half as long as the others.
    let n_shown = within_a_set.len().min(SHOWN / 2);
    for group in &within_a_set[..n_shown] {
        show_group(screen, group.iter().map(|image| image.path.clone()));
    }
    show_how_many_more(screen, within_a_set.len() - n_shown, "group");
}

fn show_conflicts(screen: &Screen, conflicts: &[Vec<LabelledImage>]) {
    let text = format!(
        "{} of duplicates in more than one class; at most one of the labels is correct: fix or remove the images",
        counted(conflicts.len(), "group")
    );
    screen.field("LABELS", &text);
    let n_shown = conflicts.len().min(SHOWN);
    for group in &conflicts[..n_shown] {
        show_group(screen, group.iter().map(|LabelledImage { path, class }| format!("{path} ({class})")));
    }
    show_how_many_more(screen, conflicts.len() - n_shown, "group");
}

fn show_leakage(screen: &Screen, findings: &Findings) {
    let leakage = &findings.leakage;
    let n_images = findings.leaked_images().len();
    let occur = if n_images == 1 { "occurs" } else { "occur" };
    let text = format!(
        "{} of the validation or test set also {occur} in an earlier set (similarity in brackets; 1 is equal pixels):",
        counted(n_images, "image")
    );
    screen.field("LEAKAGE", &text);
    let n_shown = leakage.len().min(SHOWN);
    for LeakedImage { image, original, similarity } in &leakage[..n_shown] {
        screen.field("", &format!("{} = {} ({similarity:.3})", image.path, original.path));
    }
    show_how_many_more(screen, leakage.len() - n_shown, "pair");
}

fn show_group(screen: &Screen, images: impl ExactSizeIterator<Item = String>) {
    let more = if images.len() > SHOWN_OF_GROUP { ", ..." } else { "" };
    let shown: Vec<String> = images.take(SHOWN_OF_GROUP).collect();
    screen.field("", &format!("{}{more}", shown.join(" = ")));
}

fn show_how_many_more(screen: &Screen, n_more: usize, thing: &str) {
    if n_more > 0 {
        screen.field("", &format!("and {} more; --json and data.json list all", counted(n_more, thing)));
    }
}

/// Fails on data whose sets share images or patients.
///
/// # Errors
/// [`DataLoadingError::Leakage`] with all of them.
pub(crate) fn reject_leakage(findings: &Findings) -> Result<(), DataLoadingError> {
    let pairs = findings
        .leakage
        .iter()
        .map(|LeakedImage { image, original, .. }| format!("  {} = {}", image.path, original.path));
    let crossing = findings.patients.iter().flat_map(|patients| &patients.crossing);
    let patients = crossing.map(|patient| format!("  patient {patient} has images in more than one set"));
    let list: Vec<String> = pairs.chain(patients).collect();
    if list.is_empty() {
        return Ok(());
    }
    let what = if findings.patients.is_some() { "images or patients" } else { "images" };
    Err(DataLoadingError::Leakage { what, list: list.join("\n") })
}
