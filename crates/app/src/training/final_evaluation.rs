//! The figures that a run ends with.

use roentgen_data::{Dataset, ImageSet};
use roentgen_layers::{ResNet9, ResNet9Config};

use super::epochs::{Outcome, Run, not_of_this_run};
use crate::error::AppError;
use crate::metrics::deduplicated::deduplicated_test;
use crate::metrics::{PartMetrics, Predictions};
use crate::model::calibration::Calibration;
use crate::model::inference::{Evaluation, evaluate};
use crate::model::model_file::{self, ModelCard};
use crate::model::novelty::Novelty;
use crate::report;
use crate::run_dir::file_names::MODEL;
use crate::run_dir::predictions_file;
use crate::run_dir::records::{Metrics, Rejected};

/// What was said of the test pictures, and of each whether it is new to the model.
pub(crate) type Tested = Option<(Predictions, Vec<bool>)>;

/// The best model as its file holds it.
pub(super) struct FinalModel {
    model: ResNet9,
    card: ModelCard,
    /// BLAKE3 of the file.
    digest: String,
}

/// Tests the best model, read back from its file as `roentgen evaluate` reads it, and adds its novelty data to the file.
/// Also returns its predictions.
pub(super) fn test(
    run: &Run<'_>,
    outcome: &Outcome,
    architecture: &ResNet9Config,
) -> Result<(Metrics, Tested, FinalModel), AppError> {
    let path = run.folder.file(MODEL);
    let bytes = model_file::read_bytes(&path)?;
    let (model, mut card) = model_file::decode(&bytes, &path)?;
    if model_file::training_digest(&bytes, &card) != outcome.best_digest {
        return Err(not_of_this_run(path));
    }
    let n_classes = card.class_names.len();
    let Dataset { train: train_set, val: val_set, test: test_set, .. } = run.data;
    let bar = run.screen.bar(4);
    let stage = |name: &str, number: u64| {
        bar.set_prefix("testing");
        bar.set_message(name.to_owned());
        bar.set_position(number);
    };
    stage("what is usual", 0);
    card.novelty = Novelty::fit(&model, train_set, val_set, n_classes, &card.preprocessing());
    let n_steps = card.epoch * run.steps_per_epoch();
    let bytes = model_file::to_bytes(&model, &card, n_steps as u64);
    run.folder.write(MODEL, &bytes)?;
    let digest = blake3::hash(&bytes).to_hex().to_string();
    let part = |set: &ImageSet, evaluation: &Evaluation| {
        let predictions = evaluation.predictions(card.temperature);
        PartMetrics::new(card.class_names.clone(), &predictions, set.patient_groups().as_deref())
    };
    let evaluated =
        |set: &ImageSet| (!set.is_empty()).then(|| evaluate(&model, set, n_classes, &card.preprocessing()));
    stage("answers", 1);
    let (val, test) = (evaluated(val_set), evaluated(test_set));
    let predictions = test.as_ref().map(|test| test.predictions(card.temperature));
    if let Some(predictions) = &predictions {
        let lines = predictions_file::to_text(test_set, predictions, &card.class_names);
        run.folder.write(predictions_file::FILE, lines.as_bytes())?;
    }
    stage("intervals", 2);
    let clean = new_to(&card, run.data);
    let (n_leaked, test_deduplicated) = match &predictions {
        Some(test) => deduplicated_test(&card.class_names, test, test_set.patients(), &clean),
        None => (0, None),
    };
    let refused = |set: &ImageSet| {
        card.novelty.as_ref().map(|novelty| novelty.count(&model, set, &card.preprocessing()))
    };
    let metrics = Metrics {
        n_rejected: Rejected { val: refused(val_set), test: refused(test_set) },
        val: val.as_ref().map(|val| part(val_set, val)),
        test_deduplicated,
        test: test.as_ref().map(|test| part(test_set, test)),
        n_leaked,
        calibration: Calibration::new(
            card.temperature,
            val.as_ref().map(|val| (val, val_set)),
            test.as_ref().map(|test| (test, test_set)),
        ),
        train_images_per_s: outcome.images_per_s,
        train_seconds: outcome.train_seconds,
        data_loading_fraction: outcome.data_loading_fraction,
        epochs: outcome.epochs,
        best_epoch: outcome.best_epoch,
        n_parameters: architecture.n_parameters(),
        seed: run.config.seed,
        threads: run.config.threads(),
    };
    bar.finish_and_clear();
    let tested = predictions.map(|predictions| (predictions, clean));
    Ok((metrics, tested, FinalModel { model, card, digest }))
}

impl Run<'_> {
    /// The page that people will read.
    pub(super) fn report(
        &self,
        final_model: FinalModel,
        metrics: &Metrics,
        test: Option<&Predictions>,
    ) -> Result<String, AppError> {
        let FinalModel { model, card, digest } = final_model;
        Ok(report::page(&report::ReportInput {
            config: self.config,
            data: self.data,
            steps_per_epoch: self.steps_per_epoch(),
            model: &model,
            card: &card,
            model_digest: &digest,
            metrics,
            test,
            log: &self.read_log()?,
        }))
    }
}

/// Of each test picture, whether the model has seen neither it nor its patient: not in an earlier part, and not in the
/// training of the model that it started from.
pub(super) fn new_to(card: &ModelCard, data: &Dataset) -> Vec<bool> {
    let mut new = data.findings.leak_free_test.clone();
    if let Some(seen) = &card.training_digests {
        seen.leave_out(&data.test, &mut new);
    }
    new
}
