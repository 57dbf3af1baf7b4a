//! The shortcut audit: how well can the classes be told without what they are about?
//!
//! The same short training is done three times, on whole pictures, on their border alone and with their centre blanked;
//! and a linear classifier looks at facts of the files. All four are asked about the same pictures, which none of them
//! was trained on. What tells the classes apart without the centre of a film is the scanner, the hospital or a marker,
//! and a model trained on such pictures may learn that instead of the disease (DeGrave et al. 2021; Maguolo and Nanni
//! 2021, who blacked the lungs out).

mod linear;

use roentgen_data::{Dataset, FileFacts, ImageSet, Mask, Normalization};
use serde::Serialize;

use crate::config::TrainConfig;
use crate::data_loading::load::load;
use crate::error::AppError;
use crate::metrics::{Interval, PartMetrics};
use crate::model::inference::Evaluation;
use crate::terminal::screen::{Screen, counted, table};
use crate::terminal::tables;
use crate::training::probe_training::train_and_ask;

use linear::Linear;

/// Images that each training looks at, about.
const IMAGES: usize = 12_000;
/// A probe is flagged if it surely gets more than this share of the way from chance to what whole pictures give.
///
/// On phantom films, which have no shortcut, no interval reaches further than 0.06 of the way; a marker planted on one
/// class gets all of it (docs/results.md).
const FLAGGED_SHARE: f64 = 0.5;

/// One way to look.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Probe {
    /// Area under the ROC curve, mean over the classes; 0.5 is chance.
    pub auc: Option<f64>,
    /// 95 % interval of that.
    pub interval: Option<Interval>,
    /// Of each class against the rest.
    pub per_class: Vec<ClassAuc>,
    /// Whether it tells more than it should.
    pub flagged: bool,
}

/// The area of one class.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ClassAuc {
    /// Its name.
    pub class: String,
    /// Against the rest.
    pub auc: Option<f64>,
    /// 95 % interval.
    pub interval: Option<Interval>,
}

/// What the audit found; also what `--json` prints.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Audit {
    /// Whole pictures.
    pub real: Probe,
    /// The border alone.
    pub border: Probe,
    /// Everything but the centre.
    pub centre_blanked: Probe,
    /// Sizes, brightness and compression of the files; none for films that the program draws.
    pub file_facts: Option<Probe>,
    /// Whether any of the three is flagged.
    pub flagged: bool,
    /// In a sentence.
    pub verdict: String,
    /// Pictures that were asked about.
    pub n: usize,
    /// Pictures that were not, as they, or their patients, also stand in an earlier part.
    pub n_leaked: usize,
}

impl Probe {
    fn new(class_names: &[String], evaluation: &Evaluation, asked: &ImageSet) -> Self {
        let patients = asked.patient_groups();
        let part = PartMetrics::new(class_names.to_vec(), &evaluation.predictions(1.0), patients.as_deref());
        let overall = part.overall().into_iter().find(|(key, ..)| *key == "macro_roc_auc");
        let (_, _, auc, interval) = overall.expect("a key of every part");
        let of_class = |(class, name): (usize, &String)| {
            let found = part.of_class(class).into_iter().find(|(key, ..)| *key == "roc_auc");
            let (_, auc, interval) = found.expect("a key of every class");
            ClassAuc { class: name.clone(), auc, interval }
        };
        let per_class = class_names.iter().enumerate().map(of_class).collect();
        Self { auc, interval, per_class, flagged: false }
    }

    /// The classes, and the whole, that surely get further than [`FLAGGED_SHARE`] of the way to `real`.
    fn flag(&mut self, real: &Self) {
        let is_high = |auc: Option<f64>, interval: Option<Interval>, real: Option<f64>| {
            let (Some(auc), Some(real)) = (auc, real) else { return false };
            // A probe that makes no mistake has no interval.
            let low = interval.map_or(auc, |[low, _]| low);
            low - 0.5 > FLAGGED_SHARE * f64::max(real - 0.5, 0.2)
        };
        let mut classes = self.per_class.iter().zip(&real.per_class);
        let any_class = classes.any(|(found, real)| is_high(found.auc, found.interval, real.auc));
        self.flagged = any_class || is_high(self.auc, self.interval, real.auc);
    }

    /// The class that is told best.
    fn best_class(&self) -> Option<(&str, f64)> {
        let told = self.per_class.iter().filter_map(|class| Some((class.class.as_str(), class.auc?)));
        told.max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Audits the data of `config`, and shows what it finds.
///
/// # Errors
/// Whatever makes the data unusable, or a training that diverges.
pub(crate) fn run(config: &TrainConfig, screen: &Screen) -> Result<(), AppError> {
    let data = load(config, screen)?;
    let all = data.val.concat(&data.test);
    let is_clean = [&data.findings.leak_free_val[..], &data.findings.leak_free_test].concat();
    // Of what was trained on, a model may know the class by heart.
    let asked = all.select(&(0..all.len()).filter(|&index| is_clean[index]).collect::<Vec<_>>());
    if asked.is_empty() {
        return Err(if all.is_empty() { AppError::EmptyTest } else { AppError::AllLeaked });
    }
    tables::show_machine(screen, config.threads());
    let audit = audit(config, &data, &asked, screen)?;
    show(screen, &audit, &data.class_names);
    screen.result(&audit);
    Ok(())
}

fn audit(config: &TrainConfig, data: &Dataset, asked: &ImageSet, screen: &Screen) -> Result<Audit, AppError> {
    let side = config.size as usize;
    let (train_set, asked_set) = (data.train.squared(side), asked.squared(side));
    let fill: Vec<u8> =
        Normalization::of(&train_set).mean.iter().map(|&mean| (mean * 255.0).round() as u8).collect();
    let epochs = config.epochs.unwrap_or((IMAGES / train_set.len()).clamp(3, 40));
    // Squares of the very size of the crop: nothing is cut off, only mirrored.
    let config = TrainConfig { epochs: Some(epochs), resize: Some(config.size), ..config.clone() };
    let probe = |label: &str, mask: Option<Mask>| {
        let seen = |set: &ImageSet| mask.map_or_else(|| set.clone(), |mask| set.masked(mask, &fill));
        let evaluation = train_and_ask(
            &config,
            &seen(&train_set),
            &seen(&asked_set),
            data.class_names.len(),
            label,
            screen,
        )?;
        Ok::<_, AppError>(Probe::new(&data.class_names, &evaluation, asked))
    };
    let real = probe("whole pictures", None)?;
    let mut border = probe("border only", Some(Mask::BorderOnly))?;
    let mut centre_blanked = probe("centre blanked", Some(Mask::CentreBlanked))?;
    let mut file_facts = ask_file_facts(&data.train, asked, &data.class_names);
    for probe in [Some(&mut border), Some(&mut centre_blanked), file_facts.as_mut()].into_iter().flatten() {
        probe.flag(&real);
    }
    let probes = [
        ("from the border alone", Some(&border)),
        ("with the centre blanked", Some(&centre_blanked)),
        ("from facts of the files", file_facts.as_ref()),
    ];
    let flags: Vec<String> = probes
        .iter()
        .filter_map(|(how, probe)| probe.filter(|probe| probe.flagged).map(|probe| (how, probe)))
        .filter_map(|(how, probe)| {
            let (class, auc) = probe.best_class()?;
            Some(format!("`{class}` is told {how} (AUC {auc:.2})"))
        })
        .collect();
    let verdict = if flags.is_empty() {
        "no shortcut found: without their centre, and from their files, the pictures tell the classes far worse than \
         whole ones do"
            .to_owned()
    } else {
        format!(
            "shortcut: {}; a model may learn that instead of what the pictures show, and its figures would not hold \
             elsewhere",
            flags.join(", ")
        )
    };
    let flagged = !flags.is_empty();
    let n = asked.len();
    let n_leaked = data.val.len() + data.test.len() - n;
    Ok(Audit { real, border, centre_blanked, file_facts, flagged, verdict, n, n_leaked })
}

/// A linear classifier on the facts of the files; none where pictures are no files, or all facts are the same.
fn ask_file_facts(train_set: &ImageSet, asked: &ImageSet, class_names: &[String]) -> Option<Probe> {
    let rows = |set: &ImageSet| -> Option<Vec<Vec<f64>>> {
        (0..set.len())
            .map(|index| set.facts(index).map(|facts: &FileFacts| facts.values().to_vec()))
            .collect()
    };
    let (train_rows, asked_rows) = (rows(train_set)?, rows(asked)?);
    let model = Linear::fit(&train_rows, train_set.labels(), class_names.len());
    let mut evaluation = Evaluation::new(class_names.len());
    for (row, &label) in asked_rows.iter().zip(asked.labels()) {
        let logits: Vec<f32> = model.logits(row).iter().map(|&logit| logit as f32).collect();
        evaluation.add(label, &logits);
    }
    Some(Probe::new(class_names, &evaluation, asked))
}

fn show(screen: &Screen, audit: &Audit, class_names: &[String]) {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let mut rows = vec![["ROC AUC from", "mean", "95 % interval"].map(str::to_owned).to_vec()];
    // With two classes, both have the area of the mean.
    let shown_classes = if class_names.len() > 2 { class_names } else { &[] };
    rows[0].extend(shown_classes.iter().cloned());
    let probes = [
        ("whole pictures", Some(&audit.real)),
        ("border only", Some(&audit.border)),
        ("centre blanked", Some(&audit.centre_blanked)),
        ("file facts", audit.file_facts.as_ref()),
    ];
    for (name, probe) in probes {
        let Some(probe) = probe else { continue };
        let interval =
            probe.interval.map_or_else(|| "-".to_owned(), |[low, high]| format!("{low:.3} to {high:.3}"));
        let mut row = vec![name.to_owned(), number(probe.auc), interval];
        row.extend(probe.per_class.iter().take(shown_classes.len()).map(|class| number(class.auc)));
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
        n => format!("; {n} that also stand, or have their patient, in an earlier part are left out"),
    };
    screen.field("asked", &format!("about {}; 0.5 is chance{left_out}", counted(audit.n, "picture")));
    screen.field("verdict", &audit.verdict);
}
