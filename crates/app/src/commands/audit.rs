//! `roentgen audit`: how well can the classes be predicted without seeing the disease?
//!
//! The same short training runs three times: on full images, on their border only, and with their centre blanked. A
//! linear classifier is also fitted on facts of the files. All four are evaluated on the same images, which none of them
//! was trained on. What predicts the class without the centre of an X-ray film is a shortcut: the scanner, the hospital
//! or a marker. A model trained on such images may learn the shortcut and not the disease (DeGrave et al. 2021; Maguolo
//! and Nanni 2021, who blacked the lungs out).

mod linear;

use roentgen_data::{Dataset, FileFacts, ImageSet, Mask, Normalization};
use serde::Serialize;

use crate::config::TrainConfig;
use crate::data_loading::error::DataLoadingError;
use crate::data_loading::load::load;
use crate::error::AppError;
use crate::error::command::CommandError;
use crate::metrics::{Interval, SubsetMetrics};
use crate::model::inference::Evaluation;
use crate::terminal::screen::{Screen, counted, table};
use crate::terminal::tables;
use crate::training::probe_training::train_and_evaluate;

use linear::Linear;

/// Training images of each probe, counted once per epoch; approximate.
const IMAGES_SEEN: usize = 12_000;
/// A probe is flagged if the lower end of its interval covers more than this fraction of the way from chance to the ROC
/// AUC of full images.
///
/// On the phantom set, which has no shortcut, no interval reaches more than 0.06 of the way; with a marker planted on one
/// class it reaches all of it (docs/results.md).
const FLAGGED_FRACTION: f64 = 0.5;

/// The result of one probe: a classifier that sees only a part of the information.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Probe {
    /// Area under the ROC curve, mean over the classes; 0.5 is chance.
    pub roc_auc: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<Interval>,
    /// The same for each class against the rest.
    pub per_class: Vec<ClassRocAuc>,
    /// Whether the probe predicts the class so well that the data have a shortcut.
    pub flagged: bool,
}

/// The ROC AUC of one class.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ClassRocAuc {
    /// Name of the class.
    pub class: String,
    /// ROC AUC of the class against the rest.
    pub roc_auc: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<Interval>,
}

/// What the audit found; also what `--json` prints.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Audit {
    /// Trained on full images.
    pub full_image: Probe,
    /// Trained on the border only.
    pub border: Probe,
    /// Trained with the centre blanked.
    pub centre_blanked: Probe,
    /// Fitted on sizes, brightness and compression of the files; none for the phantom set, which has no files.
    pub file_facts: Option<Probe>,
    /// Whether any of these three is flagged.
    pub flagged: bool,
    /// The result in one sentence.
    pub verdict: String,
    /// Images evaluated on.
    pub n: usize,
    /// Images left out, because they or their patients also occur in an earlier set.
    pub n_leaked: usize,
}

impl Probe {
    fn new(class_names: &[String], evaluation: &Evaluation, evaluated: &ImageSet) -> Self {
        let patients = evaluated.patient_groups();
        let metrics =
            SubsetMetrics::new(class_names.to_vec(), &evaluation.predictions(1.0), patients.as_deref());
        let overall = metrics.overall().into_iter().find(|(key, ..)| *key == "macro_roc_auc");
        let (_, _, roc_auc, interval) = overall.expect("a key of every set");
        let of_class = |(class, name): (usize, &String)| {
            let found = metrics.of_class(class).into_iter().find(|(key, ..)| *key == "roc_auc");
            let (_, roc_auc, interval) = found.expect("a key of every class");
            ClassRocAuc { class: name.clone(), roc_auc, interval }
        };
        let per_class = class_names.iter().enumerate().map(of_class).collect();
        Self { roc_auc, interval, per_class, flagged: false }
    }

    /// Flags the probe if its mean, or any class, is too close to `full_image`.
    fn flag(&mut self, full_image: &Self) {
        let mut classes = self.per_class.iter().zip(&full_image.per_class);
        let any_class = classes.any(|(found, full)| is_high(found.roc_auc, found.interval, full.roc_auc));
        self.flagged = any_class || is_high(self.roc_auc, self.interval, full_image.roc_auc);
    }

    /// The class with the largest ROC AUC.
    fn best_class(&self) -> Option<(&str, f64)> {
        let defined = self.per_class.iter().filter_map(|class| Some((class.class.as_str(), class.roc_auc?)));
        defined.max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Whether the lower end of `interval` covers more than [`FLAGGED_FRACTION`] of the way from chance to `full_image`.
fn is_high(roc_auc: Option<f64>, interval: Option<Interval>, full_image: Option<f64>) -> bool {
    let (Some(roc_auc), Some(full_image)) = (roc_auc, full_image) else { return false };
    // A probe without any error has no interval.
    let low = interval.map_or(roc_auc, |[low, _]| low);
    low - 0.5 > FLAGGED_FRACTION * f64::max(full_image - 0.5, 0.2)
}

/// Audits the data of `config`, and shows the result.
///
/// # Errors
/// Unusable data, or a training that diverges.
pub(crate) fn run(config: &TrainConfig, screen: &Screen) -> Result<(), AppError> {
    let data = load(config, screen)?;
    let all = data.val.concat(&data.test);
    let is_leak_free = [&data.findings.leak_free_val[..], &data.findings.leak_free_test].concat();
    // A model may have memorised the class of an image that it was trained on.
    let evaluated = all.select(&(0..all.len()).filter(|&index| is_leak_free[index]).collect::<Vec<_>>());
    if evaluated.is_empty() {
        return Err(if all.is_empty() {
            DataLoadingError::EmptyTest.into()
        } else {
            CommandError::AllLeaked.into()
        });
    }
    tables::show_machine(screen, config.threads());
    let audit = audit(config, &data, &evaluated, screen)?;
    show(screen, &audit, &data.class_names);
    screen.result(&audit);
    Ok(())
}

fn audit(
    config: &TrainConfig,
    data: &Dataset,
    evaluated: &ImageSet,
    screen: &Screen,
) -> Result<Audit, AppError> {
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
            screen,
        )?;
        Ok::<_, AppError>(Probe::new(&data.class_names, &evaluation, evaluated))
    };
    let full_image = probe("full images", None)?;
    let mut border = probe("border only", Some(Mask::BorderOnly))?;
    let mut centre_blanked = probe("centre blanked", Some(Mask::CentreBlanked))?;
    let mut file_facts = probe_file_facts(&data.train, evaluated, &data.class_names);
    for probe in [Some(&mut border), Some(&mut centre_blanked), file_facts.as_mut()].into_iter().flatten() {
        probe.flag(&full_image);
    }
    let flagged: Vec<(&str, &Probe)> = [
        ("from the border only", Some(&border)),
        ("with the centre blanked", Some(&centre_blanked)),
        ("from facts of the files", file_facts.as_ref()),
    ]
    .into_iter()
    .filter_map(|(how, probe)| probe.filter(|probe| probe.flagged).map(|probe| (how, probe)))
    .collect();
    let (verdict, flagged) = (verdict(&flagged), !flagged.is_empty());
    let n = evaluated.len();
    let n_leaked = data.val.len() + data.test.len() - n;
    Ok(Audit { full_image, border, centre_blanked, file_facts, flagged, verdict, n, n_leaked })
}

/// The result in one sentence, from the flagged probes: what each sees, and its result.
fn verdict(flagged: &[(&str, &Probe)]) -> String {
    let best_class = |(how, probe): &(&str, &Probe)| {
        let (class, roc_auc) = probe.best_class()?;
        Some(format!("`{class}` can be predicted {how} (ROC AUC {roc_auc:.2})"))
    };
    let shortcuts: Vec<String> = flagged.iter().filter_map(best_class).collect();
    if shortcuts.is_empty() {
        return "no shortcut found: the border, the images without their centre, and the files predict the class much \
                worse than full images do"
            .to_owned();
    }
    format!(
        "shortcut found: {}; a model may learn this and not what the images show, and its metrics would not hold for \
         images from elsewhere",
        shortcuts.join(", ")
    )
}

/// A linear classifier on facts of the files; none if the images have no files.
fn probe_file_facts(train_set: &ImageSet, evaluated: &ImageSet, class_names: &[String]) -> Option<Probe> {
    let rows = |set: &ImageSet| -> Option<Vec<Vec<f64>>> {
        (0..set.len())
            .map(|index| set.facts(index).map(|facts: &FileFacts| facts.values().to_vec()))
            .collect()
    };
    let (train_rows, evaluated_rows) = (rows(train_set)?, rows(evaluated)?);
    let model = Linear::fit(&train_rows, train_set.labels(), class_names.len());
    let mut evaluation = Evaluation::new(class_names.len());
    for (row, &label) in evaluated_rows.iter().zip(evaluated.labels()) {
        let logits: Vec<f32> = model.logits(row).iter().map(|&logit| logit as f32).collect();
        evaluation.add(label, &logits);
    }
    Some(Probe::new(class_names, &evaluation, evaluated))
}

fn show(screen: &Screen, audit: &Audit, class_names: &[String]) {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let mut rows = vec![["ROC AUC of", "mean", "95 % interval"].map(str::to_owned).to_vec()];
    // With two classes, both have the ROC AUC of the mean.
    let shown_classes = if class_names.len() > 2 { class_names } else { &[] };
    rows[0].extend(shown_classes.iter().cloned());
    let probes = [
        ("full images", Some(&audit.full_image)),
        ("border only", Some(&audit.border)),
        ("centre blanked", Some(&audit.centre_blanked)),
        ("file facts", audit.file_facts.as_ref()),
    ];
    for (name, probe) in probes {
        let Some(probe) = probe else { continue };
        let interval =
            probe.interval.map_or_else(|| "-".to_owned(), |[low, high]| format!("{low:.3} to {high:.3}"));
        let mut row = vec![name.to_owned(), number(probe.roc_auc), interval];
        row.extend(probe.per_class.iter().take(shown_classes.len()).map(|class| number(class.roc_auc)));
        row.push(if probe.flagged { "flagged".to_owned() } else { String::new() });
        rows.push(row);
    }
    screen.line("");
    for line in table(&rows) {
        screen.line(&format!("  {line}"));
    }
    screen.line("");
    let left_out = match audit.n_leaked {
        0 => String::new(),
        n => format!("; {n} left out because they or their patients also occur in an earlier set"),
    };
    screen.field("evaluated", &format!("on {}; 0.5 is chance{left_out}", counted(audit.n, "image")));
    screen.field("verdict", &audit.verdict);
}
