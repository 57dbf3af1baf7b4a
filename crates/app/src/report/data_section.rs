//! The section on the data: sizes of the sets, duplicates, leakage, patients.

use maud::{Markup, html};
use roentgen_data::{Findings, SubsetOfData, SubsetOrigin};

use super::input::{MANY_CLASSES, ReportInput, with_code};
use crate::metrics::shortcut_audit::Audit;
use crate::terminal::figures::{number, range};
use crate::terminal::screen::counted;

/// Rows of a list at most; `data.json` has all.
const MAX_ROWS: usize = 10;
/// Groups of duplicates at most; they fold away, so there may be more of them.
const MAX_GROUPS: usize = 30;
/// Paths of one group of duplicates at most.
const MAX_PATHS: usize = 6;

/// The whole section.
pub(super) fn data_section(input: &ReportInput<'_>) -> Markup {
    let findings = &input.data.findings;
    html! {
        h2 id="data" { "Data" }
        (subset_table(input))
        (facts(input))
        (leakage_table(findings))
        (crossing_patients(findings))
        (duplicate_groups(findings))
        @if let Some(audit) = &input.metrics.audit { (shortcut_table(audit, input.config.test.is_some())) }
    }
}

/// The number of images by set and class.
fn subset_table(input: &ReportInput<'_>) -> Markup {
    let class_names = &input.data.class_names;
    let has_columns = class_names.len() <= MANY_CLASSES;
    html! {
        div.scroll { table {
            thead { tr { th { "set" } th { "images" } @if has_columns { @for name in class_names { th { (name) } } } } }
            tbody { @for SubsetOfData { subset, set, origin } in input.data.subsets() { @if !set.is_empty() {
                tr {
                    td { (subset.in_words()) @if origin == SubsetOrigin::SplitOff { span.soft { ", split off" } } }
                    td { (set.len()) }
                    @if has_columns { @for count in set.class_counts(class_names.len()) { td { (count) } } }
                }
            } } }
        } }
    }
}

fn facts(input: &ReportInput<'_>) -> Markup {
    let (config, findings) = (input.config, &input.data.findings);
    html! {
        ul {
            li { (if input.data.channels == 1 { "Grey" } else { "Colour" }) " images, "
                (config.fit.in_words(config.resize())) "; the model input is a crop of " (config.size) "x" (config.size) " pixels." }
            @if let Some(patients) = &findings.patients { li {
                    (patients.n) " patients, known from " (patients.source.to_string())
                    @if patients.n_unknown > 0 { "; " (counted(patients.n_unknown, "image")) " without a patient" }
                    ". A split keeps all images of a patient in one set, and intervals are computed by patient."
            } } @else if input.model.card.medical {
                li { "Patients are unknown. If there are several images per patient, the intervals are too narrow." }
            }
            li { @if findings.duplicates.is_empty() { "No duplicates." } @else {
                (counted(findings.duplicates.len(), "group")) " of duplicates. A split keeps each of them in one set, and "
                "intervals are computed by group." } }
            @if !findings.bad.is_empty() { li { (counted(findings.bad.len(), "unusable file")) " left out." } }
            @for note in &findings.notes { li { (with_code(note)) } }
        }
    }
}

/// How well linear classifiers predict the classes without what the images are about.
fn shortcut_table(audit: &Audit, has_test_option: bool) -> Markup {
    let image = if has_test_option { "validation image" } else { "validation or test image" };
    html! {
        h3 id="shortcuts" { "Shortcuts" }
        p.soft { "ROC AUC, the mean over the classes, on " (counted(audit.n, image))
            "; 0.5 is chance. Full images: the model of this run. The others are linear classifiers, so networks may find "
            "more." }
        div.scroll { table {
            thead { tr { th { "seen" } th { "ROC AUC" } th { "95 % interval" } th {} } }
            tbody { @for (name, probe) in audit.named() {
                tr { td { (name) } td { (number(probe.roc_auc)) } td { (range(probe.interval)) }
                    td { @if probe.flagged { "shortcut" } } }
            } }
        } }
    }
}

fn leakage_table(findings: &Findings) -> Markup {
    let n_leaked = findings.leakage.len();
    html! { @if n_leaked > 0 {
        h3 { "Leakage: images that occur in two sets" }
        p.soft { "Similarity is 1 for equal pixels, and below that the correlation of reduced images." }
        div.scroll { table.pairs {
            thead { tr { th { "set" } th { "image" } th { "the same in an earlier set" } th { "similarity" } } }
            tbody { @for leaked in findings.leakage.iter().take(MAX_ROWS) {
                tr {
                    td { (leaked.image.subset.name()) } td { (leaked.image.path) }
                    td { (leaked.original.path) } td { (format!("{:.3}", leaked.similarity)) }
                }
            } }
        } }
        @if n_leaked > MAX_ROWS { p.soft { "All " (n_leaked) " pairs are in data.json." } }
    } }
}

fn crossing_patients(findings: &Findings) -> Markup {
    let crossing = findings.patients.as_ref().map_or(&[][..], |patients| &patients.crossing);
    html! { @if !crossing.is_empty() {
        p.remark.bad { "Patients with images in more than one set: " (crossing[..crossing.len().min(MAX_ROWS)].join(", "))
            @if crossing.len() > MAX_ROWS { ", and " (crossing.len() - MAX_ROWS) " more" } }
    } }
}

fn duplicate_groups(findings: &Findings) -> Markup {
    html! { @if !findings.duplicates.is_empty() {
        details {
            summary { (counted(findings.duplicates.len(), "group")) " of duplicates" }
            ul { @for group in findings.duplicates.iter().take(MAX_GROUPS) {
                li.soft { @for (index, location) in group.iter().take(MAX_PATHS).enumerate() {
                    @if index > 0 { " = " } (location.path)
                } }
            } }
        }
    } }
}
