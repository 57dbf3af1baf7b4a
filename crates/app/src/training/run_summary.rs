//! What a run shows on the screen before its first epoch and after its last one.

use std::path::Path;
use std::time::Duration;

use roentgen_layers::ResNet9Config;
use roentgen_tensor::lanes::INSTRUCTION_SET;

use super::epochs::Run;
use crate::metrics::CalibrationMetrics;
use crate::metrics::shortcut_audit::NoAudit;
use crate::model::assumed_prior::AssumedPrior;
use crate::model::calibration::Calibration;
use crate::model::instruction_sets::InstructionSets;
use crate::model::model_card::ModelCard;
use crate::model::model_file::Initialisation;
use crate::model::ood::OodDetector;
use crate::model::temperature_limits::is_at_limit;
use crate::report::{leaky_val_in_words, not_exceeded_in_words};
use crate::run_dir::file_names::{MODEL, REPORT};
use crate::run_dir::records::Metrics;
use crate::terminal::screen::{Screen, by_number, counted, duration, thousands};
use crate::terminal::tables;
use crate::training::error::TrainingError;

/// Where the weights of `--init` come from.
pub(super) fn show_initial_weights(screen: &Screen, path: &Path, start: &Initialisation) {
    let classifier =
        if start.with_classifier { "" } else { ", except for the classifier, which has other classes" };
    let prefix = match start.prefix.as_str() {
        "" => String::new(),
        prefix => format!(", without the `{prefix}` before the names of its tensors"),
    };
    screen.field("weights", &format!("from {}{prefix}{classifier}", path.display()));
}

/// How many of the images of a set are those of the model of `--init`; there they are `what`.
pub(super) fn show_leakage_by_init(screen: &Screen, set: &str, [n_leaked, n]: [usize; 2], what: &str) {
    if n_leaked > 0 {
        let images = counted(n, &format!("{set} image"));
        let (are, plural) = (by_number(n_leaked, "is a", "are"), by_number(n_leaked, "", "s"));
        let text = format!("{n_leaked} of {images} {are} {what} image{plural} of the model of --init");
        screen.field("LEAKAGE", &text);
    }
}

/// Images, model, machine and recipe.
pub(super) fn show_plan(run: &Run<'_>, model: &ResNet9Config) {
    let Run { config, data, screen, .. } = run;
    let n_train = data.train.len();
    let (epochs, batch) = (config.epochs(n_train), config.batch(n_train));
    let augmentation = config.describe_augmentation(&data.train);
    tables::show_images(screen, &data.train, &config.describe_resizing(), &augmentation);
    let (name, n_parameters) = (model.architecture().name, thousands(model.architecture().n_parameters()));
    screen.field("model", &format!("{name} of width {}, {n_parameters} parameters", config.width));
    tables::show_machine(screen, run.leader.ranks.size(), config.threads());
    let extras: String = config.describe_extras().iter().map(|extra| format!("; {extra}")).collect();
    let recipe = format!(
        "{} of {}, batch {batch}; Adam, one-cycle learning rate up to {}; weight decay {}; \
         clip {}{extras}; seed {}",
        counted(epochs, "epoch"),
        counted(run.steps_per_epoch(), "step"),
        config.max_lr,
        config.weight_decay,
        config.clip,
        config.seed
    );
    screen.field("recipe", &recipe);
    if let Some(words) = AssumedPrior::of(config.prior, run.class_priors).in_words() {
        screen.field("prior", &words);
    }
    if config.tta {
        screen.field("testing", &config.tta_config().to_string());
    }
    screen.field("run", &run.folder.path().display().to_string());
    screen.line("");
}

/// Where a resumed run continues.
pub(super) fn show_resumed(screen: &Screen, n_done: usize, n_steps: usize) {
    if n_done > 0 {
        screen.field("resumed", &format!("after {n_done} of {}", counted(n_steps, "step")));
    }
}

/// Warns that a run goes on with other arithmetic than it had `so_far`.
pub(super) fn show_other_cpu(screen: &Screen, so_far: &InstructionSets) {
    let text = format!(
        "computed with {so_far} until now, from here on with {INSTRUCTION_SET}: the weights are not those of a run on one CPU"
    );
    screen.field("WARNING", &text);
}

/// The metrics of the test set, calibration, speed, and where the files are.
///
/// # Errors
/// If the log of the run cannot be read.
pub(super) fn show_results(run: &Run<'_>, metrics: &Metrics, card: &ModelCard) -> Result<(), TrainingError> {
    let Run { config, data, screen, .. } = run;
    if let Some(test) = &metrics.test {
        let heading = format!("epoch {} of {}", metrics.saved_epoch, metrics.epochs);
        tables::show_test_tables(screen, &heading, test);
        tables::show_caution(screen, card.medical);
    }
    if let Some(text) = metrics.main().and_then(not_exceeded_in_words) {
        screen.field("note", &text);
    }
    if metrics.has_leaky_val() {
        screen.field("LEAKAGE", &leaky_val_in_words(metrics, config, data, card));
    }
    if let Some(shift) = metrics.shift.as_ref().filter(|shift| shift.detected) {
        let n_leaked = metrics.test.as_ref().map_or(0, |test| test.n_leaked);
        screen.field("SHIFT", &shift.in_words_for_test_set(n_leaked));
    }
    let left_out = || metrics.no_audit.and_then(NoAudit::in_words);
    if let Some(text) = metrics.audit.as_ref().map(|audit| audit.verdict.as_str()).or_else(left_out) {
        screen.field("audit", text);
    }
    if let Some(calibration) = &metrics.calibration {
        let (label, text) = calibration_in_words(calibration);
        screen.field(label, &text);
    }
    let took = duration(Duration::from_secs_f64(metrics.train_seconds));
    screen.field("trained", &format!("in {took} at {:.0} images/s", metrics.train_images_per_s));
    if let Some(text) = &metrics.warning {
        screen.field("WARNING", text);
    }
    screen.field("model", &run.folder.file(MODEL).display().to_string());
    screen.field("report", &run.folder.file(REPORT).display().to_string());
    Ok(())
}

/// How many images of the data itself a model rejects as out of distribution.
pub(super) fn show_rejection(screen: &Screen, detector: Option<&OodDetector>) {
    if let Some(text) = detector.and_then(|detector| detector.held_out().in_words()) {
        screen.field("rejects", &text);
    }
}

/// The calibration, with its label.
fn calibration_in_words(calibration: &Calibration) -> (&'static str, String) {
    let Calibration { temperature, val, .. } = calibration;
    let ece = |metrics: &CalibrationMetrics| metrics.ece_debiased.value.unwrap_or(f64::NAN);
    let effect =
        format!("calibration error without bias is {:.3} (before: {:.3})", ece(&val.after), ece(&val.before));
    if is_at_limit(*temperature) {
        let text = format!(
            "the probabilities are not calibrated: the search for a temperature found no minimum of the validation loss and \
             ended at its limit {temperature:.2}; the {effect}"
        );
        return ("WARNING", text);
    }
    ("calibrated", format!("temperature {temperature:.2}, fitted on the validation set; its {effect}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Groups, Predictions};
    use crate::model::calibration::BeforeAfter;

    #[test]
    fn a_temperature_at_a_limit_is_not_called_calibrated() {
        let mut predictions = Predictions::new(2);
        (0..4).for_each(|label| predictions.add(label % 2, [1.0, 0.0].into_iter()));
        let metrics = CalibrationMetrics::new(&predictions, &Groups::new(4, None));
        let words = |temperature: f64| {
            let val = BeforeAfter { n: 4, before: metrics, after: metrics };
            calibration_in_words(&Calibration { temperature, val, test: None })
        };
        let (label, text) = words(1.33);
        assert!(label == "calibrated" && text.starts_with("temperature 1.33, fitted"), "{label} {text}");
        for limit in [20.0, 0.2] {
            let (label, text) = words(limit);
            assert!(label == "WARNING" && text.contains("not calibrated"), "{label} {text}");
        }
    }
}
