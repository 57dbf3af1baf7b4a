//! The evaluation that a run ends with: of its saved model, on the validation and the test set.

use roentgen_data::{Dataset, ImageSet};

use super::epochs::{Run, TrainingOutcome, wrong_model_error};
use super::objective::loss_of_guessing;
use super::on_ranks::leader::{ObservedSet, Order};
use super::on_ranks::shared_observation::observe_on_all;
use super::{epoch_lines, run_summary};
use crate::config::Select;
use crate::metrics::{MajorityBaseline, Predictions};
use crate::model::batch_summary::BatchSummary;
use crate::model::calibration::Calibration;
use crate::model::class_priors::ClassPriors;
use crate::model::model_card::ModelCard;
use crate::model::model_file;
use crate::model::observation::Observation;
use crate::model::ood::OodDetector;
use crate::model::predicted_set::PredictedSet;
use crate::model::shift::Shift;
use crate::model::trained_model::Model;
use crate::report::{self, Verdict};
use crate::run_dir::error::RunDirError;
use crate::run_dir::file_names::MODEL;
use crate::run_dir::predictions_file;
use crate::run_dir::records::{Metrics, Rejected, Selection, VAL, VAL_WITHOUT_LEAKAGE};
use crate::training::error::TrainingError;
use crate::training::quick_audit::quick_audit;
use crate::training::validation::Validation;

/// The saved model of a run, as its file holds it.
pub(super) struct FinalModel<'a> {
    pub(super) model: Model,
    /// BLAKE3 of the file; `None` if the run leaves no model.
    digest: Option<String>,
    /// The observations of the validation images.
    val: Vec<Observation<'a>>,
}

/// Reads the saved model back as a file, fits what recognises other images (the OOD detector and the summary of the
/// validation images), and writes the file again with both. A run that leaves no model needs neither.
pub(super) fn complete_model_file<'a>(
    run: &Run<'a>,
    outcome: &mut TrainingOutcome,
) -> Result<FinalModel<'a>, TrainingError> {
    let path = run.folder.file(MODEL);
    let unwritten = outcome.unwritten_model.take();
    let bytes = unwritten.map_or_else(|| model_file::read_bytes(&path), Ok)?;
    let mut model = model_file::decode(&bytes, &path)?;
    if model_file::weights_digest(&bytes, &model.card) != outcome.saved_digest {
        return Err(wrong_model_error(path).into());
    }
    run.leader.share_saved(&bytes)?;
    let val = run.observe(&model, ObservedSet::Val, &run.data.val)?;
    if !run.keeps_model {
        return Ok(FinalModel { model, digest: None, val });
    }
    let bar = run.screen.bar(1);
    bar.set_prefix("learning what is out of distribution");
    let fitted = ObservedSet::Train.images(run.data);
    let train = run.observe(&model, ObservedSet::Train, &fitted)?;
    let Model { network, card } = &mut model;
    card.ood_detector = OodDetector::fit(&train, &fitted.groups(), &val);
    drop(train);
    let n_classes = card.class_names.len();
    card.validation =
        (!val.is_empty()).then(|| BatchSummary::of(n_classes, &val, card.ood_detector.as_ref()));
    bar.finish_and_clear();
    run_summary::show_rejection(run.screen, card.ood_detector.as_ref());
    let n_steps_done = card.epoch * run.steps_per_epoch();
    let bytes = model_file::to_bytes(network, card, n_steps_done as u64);
    run.folder.write(MODEL, &bytes)?;
    let digest = Some(blake3::hash(&bytes).to_hex().to_string());
    Ok(FinalModel { model, digest, val })
}

/// Evaluates the saved model on the validation and the test set, and writes its predictions.
pub(super) fn evaluate_final_model(
    run: &Run<'_>,
    outcome: &TrainingOutcome,
    final_model: &mut FinalModel<'_>,
) -> Result<(Metrics, Option<PredictedSet>), TrainingError> {
    let FinalModel { model, val, .. } = final_model;
    let card = &model.card;
    let Dataset { val: val_set, test: test_set, .. } = run.data;
    let val = std::mem::take(val).into_iter();
    let bar = run.screen.bar(2);
    bar.set_prefix("evaluating");
    bar.set_message("predictions");
    let is_leaked = leaked_val_images(card, run.data);
    let val = (!val_set.is_empty()).then(|| PredictedSet::of_observations(card, val_set, is_leaked, val).0);
    let (test, test_summary) = (!test_set.is_empty()).then(|| run.predict_test(model)).transpose()?.unzip();
    if let Some(val) = &val {
        let lines = predictions_file::to_text(val_set, val, &card.class_names);
        run.folder.write(predictions_file::VAL_FILE, lines.as_bytes())?;
    }
    if let Some(test) = &test {
        let lines = predictions_file::to_text(test_set, test, &card.class_names);
        run.folder.write(predictions_file::FILE, lines.as_bytes())?;
    }

    bar.set_position(1);
    bar.set_message("confidence intervals");
    let is_leaked: Vec<bool> =
        [&val, &test].into_iter().flatten().flat_map(|set| set.is_leaked.iter().copied()).collect();
    let audit = quick_audit(run.config, run.data, &is_leaked, &both_predictions(&val, &test, card));
    let mut metrics = Metrics {
        verdict: String::new(),
        warning: warning(run)?,
        majority_baseline: None,
        n_rejected: Rejected {
            val: val.as_ref().and_then(PredictedSet::n_rejected),
            test: test.as_ref().and_then(PredictedSet::n_rejected),
        },
        val: val.as_ref().map(|val| val.metrics(&card.class_names)),
        val_deduplicated: val.as_ref().and_then(|val| val.deduplicated_metrics(&card.class_names)),
        n_leaked_val: val.as_ref().map_or(0, PredictedSet::n_leaked),
        selection: val.as_ref().map(|val| selection(val, run.class_priors, run.config.select)),
        test: test.as_ref().map(|test| test.test_metrics(&card.class_names)),
        shift: test_summary.and_then(|summary| Shift::of(&summary, card)),
        no_audit: audit.as_ref().err().copied(),
        audit: audit.ok(),
        class_prior: run.class_priors.clone(),
        calibration: Calibration::new(card.temperature, run.class_priors, val.as_ref(), test.as_ref()),
        train_images_per_s: outcome.images_per_s,
        train_seconds: outcome.train_seconds,
        data_loading_fraction: outcome.data_loading_fraction,
        epochs: outcome.epochs,
        saved_epoch: outcome.saved_epoch,
        n_parameters: model.network.architecture().n_parameters(),
        version: env!("CARGO_PKG_VERSION"),
        initial_weights: card.initial_weights.clone(),
        has_unknown_training_images: card.has_unknown_training_images,
        seed: run.config.seed,
        threads: run.config.threads(),
    };
    metrics.majority_baseline = metrics.main().and_then(MajorityBaseline::of);
    let Verdict { headline, detail } = report::verdict(&metrics, run.config, card.medical);
    metrics.verdict = format!("{headline} {detail}").trim_end().to_owned();
    bar.finish_and_clear();
    Ok((metrics, test))
}

/// A warning if the network has not learned.
fn warning(run: &Run<'_>) -> Result<Option<String>, RunDirError> {
    let Some(last) = run.read_log()?.pop() else { return Ok(None) };
    let counts = run.epoch_set.class_counts(run.data.class_names.len());
    let epoch = last.epoch.saturating_sub(1);
    let guessing = loss_of_guessing(run.config, &counts, run.epoch_set.labels(), epoch);
    Ok(epoch_lines::warning(&last, run.config, guessing))
}

/// The figures by which epochs are compared, on the validation images that did not leak; on all where every one leaked, or where
/// those left are of one class and have no area under a ROC curve.
fn selection(val: &PredictedSet, priors: &ClassPriors, select: Select) -> Selection {
    let new = val.main().evaluation;
    let n_classes = new.class_counts().iter().filter(|&&n| n > 0).count();
    let has_score = select != Select::Auc || n_classes > 1;
    let (set, evaluation) = if new.len() < val.evaluation.len() && has_score {
        (VAL_WITHOUT_LEAKAGE, new)
    } else {
        (VAL, val.evaluation.clone())
    };
    let Validation { loss, score, .. } = Validation::new(evaluation, priors, select);
    Selection { set, val_score: score.value, val_loss: loss }
}

/// The predictions for the validation set, then those for the test set.
fn both_predictions(
    val: &Option<PredictedSet>,
    test: &Option<PredictedSet>,
    card: &ModelCard,
) -> Predictions {
    let mut both = Predictions::new(card.class_names.len());
    for set in [val, test].into_iter().flatten() {
        both.extend(&set.predictions);
    }
    both
}

impl Run<'_> {
    /// The observations of the images of a set by the saved model; every rank computes a share of them.
    fn observe<'s>(
        &self,
        model: &Model,
        set: ObservedSet,
        images: &'s ImageSet,
    ) -> Result<Vec<Observation<'s>>, TrainingError> {
        let ranks = self.leader.ranks;
        self.leader.order(&Order::Observe { set })?;
        let observed = observe_on_all(ranks, model, set, images)?;
        observed.map_err(|signal| TrainingError::Interrupted { signal, run: self.folder.path().to_owned() })
    }

    /// The predictions for the test set, and its summary. One process keeps no more of an image than its prediction.
    fn predict_test(&self, model: &Model) -> Result<(PredictedSet, BatchSummary), TrainingError> {
        let (set, is_leaked) = (&self.data.test, leaked_images(&model.card, self.data));
        if self.leader.ranks.size() == 1 {
            return Ok(PredictedSet::with_summary(model, set, is_leaked));
        }
        let observed = self.observe(model, ObservedSet::Test, set)?;
        Ok(PredictedSet::of_observations(&model.card, set, is_leaked, observed.into_iter()))
    }

    /// The content of `report.html`.
    pub(super) fn report(
        &self,
        final_model: &FinalModel<'_>,
        metrics: &Metrics,
        test: Option<&PredictedSet>,
    ) -> Result<String, RunDirError> {
        let FinalModel { model, digest, .. } = final_model;
        Ok(report::page(&report::ReportInput {
            config: &self.config.recorded(),
            data: self.data,
            steps_per_epoch: self.steps_per_epoch(),
            model,
            model_digest: digest.as_deref(),
            metrics,
            test,
            log: &self.read_log()?,
        }))
    }
}

/// Whether each test image, or its patient, occurs in the training or validation set, or in the training of the model that the
/// run started from.
pub(super) fn leaked_images(card: &ModelCard, data: &Dataset) -> Vec<bool> {
    let mut is_leaked = data.findings.is_leaked_test.clone();
    card.training_digests.mark_leaked(&data.test, &mut is_leaked);
    is_leaked
}

/// Whether each validation image, or its patient, occurs in the training set, or is a training image of the model that the run
/// started from.
fn leaked_val_images(card: &ModelCard, data: &Dataset) -> Vec<bool> {
    let mut is_leaked = data.findings.is_leaked_val.clone();
    card.fitted_digests().mark_leaked(&data.val, &mut is_leaked);
    is_leaked
}
