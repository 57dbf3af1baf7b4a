//! What was found in the data, in sentences.

use roentgen_data::{Dataset, Findings, ImageLocation, LeakedImage, PatientSource};

use super::inspection::{Labelled, conflicts};
use crate::error::AppError;
use crate::terminal::screen::{Screen, counted};

/// Lines of a list on the screen; `--json` and `data.json` have all.
pub(crate) const SHOWN: usize = 12;

/// Patients, copies and leaks, in a few lines.
pub(crate) fn show_findings(screen: &Screen, data: &Dataset) {
    let findings = &data.findings;
    if let Some(patients) = &findings.patients {
        let unknown = match patients.n_unknown {
            0 => String::new(),
            n => format!("; {} without one count each for itself", counted(n, "picture")),
        };
        let kept = match &patients.source {
            PatientSource::FileNames(_) => "; --patient-pattern for another rule",
            _ => "",
        };
        screen.field("patients", &format!("{} known by {}{unknown}{kept}", patients.n, patients.source));
        if !patients.crossing.is_empty() {
            let n = patients.crossing.len();
            let named = patients.crossing[..n.min(SHOWN)].join(", ");
            let more = if n > SHOWN { ", ..." } else { "" };
            let text =
                format!("{} with pictures in more than one part: {named}{more}", counted(n, "patient"));
            screen.field("LEAK", &text);
        }
    }
    let groups = &findings.duplicates;
    if !groups.is_empty() {
        let n_pictures: usize = groups.iter().map(Vec::len).sum();
        let text = format!(
            "{} of pictures that show the same, {n_pictures} pictures in all; no split takes one apart",
            counted(groups.len(), "group")
        );
        screen.field("copies", &text);
        let inside: Vec<&Vec<ImageLocation>> =
            groups.iter().filter(|group| group.iter().all(|place| place.subset == group[0].subset)).collect();
        for group in inside.iter().take(SHOWN / 2) {
            let paths: Vec<&str> = group.iter().take(4).map(|place| place.path.as_str()).collect();
            let more = if group.len() > 4 { ", ..." } else { "" };
            screen.field("", &format!("{}{more}", paths.join(" = ")));
        }
        if inside.len() > SHOWN / 2 {
            screen.field("", &format!("and {} more", counted(inside.len() - SHOWN / 2, "group")));
        }
    }
    let conflicts = conflicts(data);
    if !conflicts.is_empty() {
        let text = format!(
            "{} of copies under more than one class: at most one of the labels is right; mend or remove them:",
            counted(conflicts.len(), "group")
        );
        screen.field("LABELS", &text);
        for group in conflicts.iter().take(SHOWN) {
            let paths: Vec<String> =
                group.iter().take(4).map(|Labelled { path, class }| format!("{path} ({class})")).collect();
            let more = if group.len() > 4 { ", ..." } else { "" };
            screen.field("", &format!("{}{more}", paths.join(" = ")));
        }
        if conflicts.len() > SHOWN {
            screen.field("", &format!("and {} more", counted(conflicts.len() - SHOWN, "group")));
        }
    }
    let leaks = &findings.leakage;
    if !leaks.is_empty() {
        let mut leaked: Vec<&ImageLocation> = leaks.iter().map(|leak| &leak.image).collect();
        leaked.dedup();
        let text = format!("{} also in an earlier part; --strict refuses such data:", stands(leaked.len()));
        screen.field("LEAK", &text);
        for LeakedImage { image, original, similarity } in leaks.iter().take(SHOWN) {
            screen.field("", &format!("{} = {} ({similarity:.3})", image.path, original.path));
        }
        if leaks.len() > SHOWN {
            screen.field(
                "",
                &format!("and {} more, in data.json and --json", counted(leaks.len() - SHOWN, "pair")),
            );
        }
    }
    let clean = &findings.leak_free_test;
    if !clean.is_empty() && !clean.contains(&true) {
        let text = "no test picture is new: each of them, or its patient, stands in an earlier part. Figures on them \
                    say nothing about other pictures; test on others";
        screen.field("LEAK", text);
    }
}

/// Refuses data whose parts share pictures or patients.
///
/// # Errors
/// [`AppError::Leaks`] with all of them.
pub(crate) fn refuse_leaks(findings: &Findings) -> Result<(), AppError> {
    let pairs = findings
        .leakage
        .iter()
        .map(|LeakedImage { image, original, .. }| format!("  {} = {}", image.path, original.path));
    let crossing = findings.patients.iter().flat_map(|patients| &patients.crossing);
    let patients = crossing.map(|patient| format!("  patient {patient} has pictures in more than one part"));
    let list: Vec<String> = pairs.chain(patients).collect();
    if list.is_empty() { Ok(()) } else { Err(AppError::Leaks { list: list.join("\n") }) }
}

fn stands(n: usize) -> String {
    if n == 1 { "1 picture stands".to_owned() } else { format!("{n} pictures stand") }
}
