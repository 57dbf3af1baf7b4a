//! `roentgen audit`: how well can the classes be predicted without seeing the disease?
//!
//! The same short training runs three times: on full images, on their border only, and with their centre blanked. A
//! linear classifier is also fitted on facts of the files. All four are evaluated on the same images, which none of them
//! was trained on. What predicts the class without the centre of an X-ray film is a shortcut: the scanner, the hospital
//! or a marker. A model trained on such images may learn the shortcut and not the disease (DeGrave et al. 2021; Maguolo
//! and Nanni 2021, who blacked the lungs out).

use roentgen_data::{Dataset, ImageSet, Mask, Normalization};

use crate::config::TrainConfig;
use crate::data_loading::error::DataLoadingError;
use crate::data_loading::load::load;
use crate::error::AppError;
use crate::error::command::CommandError;
use crate::metrics::shortcut_audit::{Audit, Probe, Probes};
use crate::terminal::figures::{number, range};
use crate::terminal::screen::{Screen, counted, table};
use crate::terminal::tables;
use crate::training::memory_estimate::{MemoryEstimate, Remedy};
use crate::training::probe_training::{PROBE_WIDTH, train_and_evaluate};
use crate::training::quick_audit::{file_facts_probe, without_leaked};

/// Training images of each probe, counted once per epoch; approximate.
const IMAGES_SEEN: usize = 12_000;

/// Audits the data of `config`, and shows the result.
///
/// # Errors
/// Unusable data, too little memory, or a training that diverges.
pub(crate) fn run(config: &TrainConfig, screen: &Screen) -> Result<(), AppError> {
    let data = load(config, screen)?;
    let narrow = TrainConfig { width: PROBE_WIDTH, ..config.clone() };
    MemoryEstimate::of(&narrow, &data).check(Remedy::Settings("lower --size"))?;
    let (evaluated, n_leaked) = without_leaked(config, &data);
    if evaluated.is_empty() {
        let sets = if config.test.is_some() { "validation" } else { "validation and test" };
        return Err(match (n_leaked, &config.test) {
            (0, Some(_)) => CommandError::NothingToAudit.into(),
            (0, None) => DataLoadingError::EmptyTest.into(),
            _ => CommandError::AllLeaked { sets, has_patients: data.findings.patients.is_some() }.into(),
        });
    }
    tables::show_machine(screen, 1, config.threads());
    let audit = Audit::new(probes(config, &data, &evaluated, screen)?, evaluated.len(), n_leaked);
    show(screen, &audit, config, &data);
    screen.result(&audit);
    Ok(())
}

/// Trains and evaluates all probes.
fn probes(
    config: &TrainConfig,
    data: &Dataset,
    evaluated: &ImageSet,
    screen: &Screen,
) -> Result<Probes, AppError> {
    let groups = evaluated.groups();
    let side = config.size as usize;
    let (train_set, evaluated_set) = (data.train.squared(side), evaluated.squared(side));
    let fill: Vec<u8> =
        Normalization::of(&train_set).mean.iter().map(|&mean| (mean * 255.0).round() as u8).collect();
    let epochs = config.epochs.unwrap_or((IMAGES_SEEN / train_set.len()).clamp(3, 40));
    // The squares have the size of the crop, so that the random crop cuts nothing off.
    let config = TrainConfig { epochs: Some(epochs), resize: Some(config.size), ..config.clone() };
    let probe = |label: &str, mask: Option<Mask>| {
        let masked = |set: &ImageSet| mask.map_or_else(|| set.clone(), |mask| set.masked(mask, &fill));
        let evaluation = train_and_evaluate(
            &config,
            &masked(&train_set),
            &masked(&evaluated_set),
            data.class_names.len(),
            label,
            "check these images, or try another --seed",
            screen,
        )?;
        Ok::<_, AppError>(Probe::new(&data.class_names, &evaluation.predictions(1.0), groups.ids()))
    };
    Ok(Probes {
        full_image: probe("full images", None)?,
        border: probe("border only", Some(Mask::BorderOnly))?,
        centre_blanked: probe("centre blanked", Some(Mask::CentreBlanked))?,
        file_facts: file_facts_probe(&data.train, evaluated, &data.class_names),
    })
}

fn show(screen: &Screen, audit: &Audit, config: &TrainConfig, data: &Dataset) {
    let (class_names, has_patients) = (&data.class_names[..], data.findings.patients.is_some());
    let mut rows = vec![["ROC AUC of", "mean", "95 % interval"].map(str::to_owned).to_vec()];
    // With two classes, both have the ROC AUC of the mean.
    let shown_classes = if class_names.len() > 2 { class_names } else { &[] };
    rows[0].extend(shown_classes.iter().cloned());
    for (name, probe) in audit.named() {
        let mut row = vec![name.to_owned(), number(probe.roc_auc), range(probe.interval)];
        row.extend(probe.per_class.iter().take(shown_classes.len()).map(|class| number(class.roc_auc)));
        row.push(if probe.flagged { "flagged".to_owned() } else { String::new() });
        rows.push(row);
    }
    screen.line("");
    screen.indented(&table(&rows));
    screen.line("");
    let left_out = match audit.n_leaked {
        0 => String::new(),
        n => {
            let also_occur = match (n, has_patients) {
                (1, true) => "it or its patient also occurs",
                (1, false) => "it also occurs",
                (_, true) => "they or their patients also occur",
                (_, false) => "they also occur",
            };
            format!("; {n} left out because {also_occur} in an earlier set")
        }
    };
    let image = if config.test.is_some() { "validation image" } else { "image" };
    screen.field("evaluated", &format!("on {}; 0.5 is chance{left_out}", counted(audit.n, image)));
    screen.field("verdict", &audit.verdict);
}
