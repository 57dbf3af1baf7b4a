//! The evaluation that a run ends with: of its saved model, on the validation and the test set.

use roentgen_data::{Dataset, ImageSet};
use roentgen_layers::{ResNet9, ResNet9Config};

use super::epochs::{Run, TrainingOutcome, wrong_model_error};
use super::run_summary;
use crate::data_loading::medical::is_medical;
use crate::metrics::deduplicated::deduplicated_test;
use crate::metrics::{Predictions, SubsetMetrics};
use crate::model::calibration::Calibration;
use crate::model::inference::{Evaluation, evaluate};
use crate::model::model_card::ModelCard;
use crate::model::model_file;
use crate::model::novelty::Novelty;
use crate::report;
use crate::run_dir::error::RunDirError;
use crate::run_dir::file_names::MODEL;
use crate::run_dir::predictions_file;
use crate::run_dir::records::{Metrics, Rejected};
use crate::training::error::TrainingError;
use crate::training::quick_audit::quick_audit;

/// The predictions for the test set.
#[derive(Debug)]
pub(crate) struct TestPredictions {
    pub predictions: Predictions,
    /// Of each image, whether it is new to the model, as [`is_new_to_model`] says.
    pub is_new: Vec<bool>,
}

/// The best model of a run, as its file holds it.
pub(super) struct FinalModel {
    model: ResNet9,
    card: ModelCard,
    /// BLAKE3 of the file.
    digest: String,
}

/// Reads the best model back from its file, and writes the file again with what the model takes for out of distribution.
pub(super) fn complete_model_file(
    run: &Run<'_>,
    outcome: &TrainingOutcome,
) -> Result<FinalModel, TrainingError> {
    let path = run.folder.file(MODEL);
    let bytes = model_file::read_bytes(&path)?;
    let (model, mut card) = model_file::decode(&bytes, &path)?;
    if model_file::training_digest(&bytes, &card) != outcome.best_digest {
        return Err(wrong_model_error(path).into());
    }
    let Dataset { train: train_set, val: val_set, .. } = run.data;
    let bar = run.screen.bar(1);
    bar.set_prefix("learning what is out of distribution");
    card.novelty = Novelty::fit(&model, train_set, val_set, &card.preprocessing());
    bar.finish_and_clear();
    run_summary::show_rejection(run.screen, card.novelty.as_ref());
    let n_steps = card.epoch * run.steps_per_epoch();
    let bytes = model_file::to_bytes(&model, &card, n_steps as u64);
    run.folder.write(MODEL, &bytes)?;
    let digest = blake3::hash(&bytes).to_hex().to_string();
    Ok(FinalModel { model, card, digest })
}

/// Evaluates the best model on the validation and the test set, and writes the predictions for the test set.
pub(super) fn evaluate_final_model(
    run: &Run<'_>,
    outcome: &TrainingOutcome,
    final_model: &FinalModel,
    architecture: &ResNet9Config,
) -> Result<(Metrics, Option<TestPredictions>), TrainingError> {
    let FinalModel { model, card, .. } = final_model;
    let Dataset { val: val_set, test: test_set, .. } = run.data;
    let bar = run.screen.bar(2);
    bar.set_prefix("evaluating");
    bar.set_message("predictions");
    let val = evaluate_unless_empty(model, val_set, card);
    let test = evaluate_unless_empty(model, test_set, card);
    let predictions = test.as_ref().map(|test| test.predictions(card.temperature));
    if let Some(predictions) = &predictions {
        let lines = predictions_file::to_text(test_set, predictions, &card.class_names);
        run.folder.write(predictions_file::FILE, lines.as_bytes())?;
    }

    bar.set_position(1);
    bar.set_message("confidence intervals");
    let is_new = is_new_to_model(card, run.data);
    let (n_leaked, test_deduplicated) = match &predictions {
        Some(test) => deduplicated_test(&card.class_names, test, test_set.patients(), &is_new),
        None => (0, None),
    };
    let metrics = Metrics {
        n_rejected: Rejected {
            val: count_rejected(model, val_set, card),
            test: count_rejected(model, test_set, card),
        },
        val: val.as_ref().map(|val| set_metrics(val_set, val, card)),
        test_deduplicated,
        test: test.as_ref().map(|test| set_metrics(test_set, test, card)),
        n_leaked,
        audit: quick_audit(run.config, run.data, &both_predictions(&val, &test, card)),
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
        n_parameters: architecture.architecture().n_parameters(),
        seed: run.config.seed,
        threads: run.config.threads(),
    };
    bar.finish_and_clear();
    Ok((metrics, predictions.map(|predictions| TestPredictions { predictions, is_new })))
}

fn evaluate_unless_empty(model: &ResNet9, set: &ImageSet, card: &ModelCard) -> Option<Evaluation> {
    (!set.is_empty()).then(|| evaluate(model, set, card.class_names.len(), &card.preprocessing()))
}

/// The predictions for the validation set, then those for the test set.
fn both_predictions(val: &Option<Evaluation>, test: &Option<Evaluation>, card: &ModelCard) -> Predictions {
    let mut both = Predictions::new(card.class_names.len());
    for evaluation in [val, test].into_iter().flatten() {
        both.extend(&evaluation.predictions(card.temperature));
    }
    both
}

/// Images of a set that `predict` would reject as out of distribution.
fn count_rejected(model: &ResNet9, set: &ImageSet, card: &ModelCard) -> Option<usize> {
    card.novelty.as_ref().map(|novelty| novelty.count(model, set, &card.preprocessing()))
}

/// The metrics of a set, with intervals by patient where patients are known.
fn set_metrics(set: &ImageSet, evaluation: &Evaluation, card: &ModelCard) -> SubsetMetrics {
    let predictions = evaluation.predictions(card.temperature);
    SubsetMetrics::new(card.class_names.clone(), &predictions, set.patient_groups().as_deref())
}

impl Run<'_> {
    /// The content of `report.html`.
    pub(super) fn report(
        &self,
        final_model: &FinalModel,
        metrics: &Metrics,
        test: Option<&Predictions>,
    ) -> Result<String, RunDirError> {
        let FinalModel { model, card, digest } = final_model;
        Ok(report::page(&report::ReportInput {
            config: self.config,
            data: self.data,
            steps_per_epoch: self.steps_per_epoch(),
            model,
            card,
            model_digest: digest,
            metrics,
            test,
            is_medical: is_medical(self.config, self.data),
            log: &self.read_log()?,
        }))
    }
}

/// Of each test image, whether neither it nor its patient occurs in the training or validation set, nor in the training
/// of the model that the run started from. The others leaked: [`deduplicated_test`] leaves them out.
pub(super) fn is_new_to_model(card: &ModelCard, data: &Dataset) -> Vec<bool> {
    let mut is_new = data.findings.leak_free_test.clone();
    if let Some(digests) = &card.training_digests {
        digests.leave_out(&data.test, &mut is_new);
    }
    is_new
}
