//! `roentgen evaluate`: a stored model on the test set of other data, or again on its own.

use std::path::Path;

use roentgen_data::{
    Dataset, EvaluationData, EvaluationOrigin, Fold, ImageSet, LoadOptions, ModelInput, PatientPattern,
    TrainingData, load_for_model, phantom_dataset,
};
use serde::Serialize;

use crate::data_loading::error::DataLoadingError;
use crate::data_loading::phantom;
use crate::error::AppError;
use crate::error::command::CommandError;
use crate::metrics::SubsetMetrics;
use crate::metrics::deduplicated::deduplicated_test;
use crate::model::inference::{Evaluation, evaluate};
use crate::model::model_card::ModelCard;
use crate::model::model_file;
use crate::terminal::screen::Screen;
use crate::terminal::tables;

/// The arguments of `roentgen evaluate`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EvaluateRequest<'a> {
    /// The model file.
    pub model: &'a Path,
    /// What to evaluate on; the model's own phantom films if `None`.
    pub data: Option<&'a Path>,
    /// Skips unusable files.
    pub skip_bad: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct EvaluationMetrics {
    #[serde(skip_serializing_if = "Option::is_none")]
    val: Option<SubsetMetrics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_deduplicated: Option<SubsetMetrics>,
    test: SubsetMetrics,
    /// Test images that `test_deduplicated` leaves out.
    n_leaked: usize,
    /// Test images that were in the model's training or validation set; null if its file does not have them.
    n_seen: Option<usize>,
}

/// Evaluates a stored model, and shows the result.
///
/// # Errors
/// A file that is not a model, and whatever makes the data unusable.
pub(crate) fn run(request: &EvaluateRequest<'_>, screen: &Screen) -> Result<(), AppError> {
    let (model, card) = model_file::read(request.model)?;
    let LoadedSets { val, test, mut is_new, source } = load(request, &card, screen)?;
    if test.is_empty() {
        return Err(DataLoadingError::EmptyTest.into());
    }
    tables::show_machine(screen, rayon::current_num_threads());
    screen.field("data", &source);
    let n_seen = card.training_digests.as_ref().map(|digests| digests.leave_out(&test, &mut is_new));
    show_leakage(screen, n_seen, &is_new, request.data.is_none());
    let evaluated = |set: &ImageSet| evaluate(&model, set, card.class_names.len(), &card.preprocessing());
    let set_metrics = |set: &ImageSet, evaluation: &Evaluation| {
        let predictions = evaluation.predictions(card.temperature);
        SubsetMetrics::new(card.class_names.clone(), &predictions, set.patient_groups().as_deref())
    };
    let val = val.filter(|set| !set.is_empty()).map(|set| set_metrics(&set, &evaluated(&set)));
    let evaluation = evaluated(&test);
    let predictions = evaluation.predictions(card.temperature);
    let (n_leaked, test_deduplicated) =
        deduplicated_test(&card.class_names, &predictions, test.patients(), &is_new);
    let metrics =
        EvaluationMetrics { val, test_deduplicated, test: set_metrics(&test, &evaluation), n_leaked, n_seen };
    let heading = request.model.display().to_string();
    tables::show_test_tables(screen, &heading, n_leaked, metrics.test_deduplicated.as_ref(), &metrics.test);
    tables::show_caution(screen, card.medical);
    screen.result(&metrics);
    Ok(())
}

/// Shows how many test images the model was trained on.
fn show_leakage(screen: &Screen, n_seen: Option<usize>, is_new: &[bool], is_own_phantom: bool) {
    match n_seen {
        Some(0) => {}
        Some(n) => {
            let (n_test, rest) = (is_new.len(), if is_new.contains(&true) { "" } else { "; none are left" });
            let text = format!("{n} of {n_test} test images also occur in the training of the model{rest}");
            screen.field("LEAKAGE", &text);
        }
        // The phantom sets are generated independently of each other.
        None if is_own_phantom => {}
        None => {
            screen.field("note", "the training set of this model is unknown; it may include the test images")
        }
    }
}

/// The images to evaluate on.
struct LoadedSets {
    val: Option<ImageSet>,
    test: ImageSet,
    /// Of each test image, whether it is new to the model.
    is_new: Vec<bool>,
    /// Where they come from, for the screen.
    source: String,
}

fn load(request: &EvaluateRequest<'_>, card: &ModelCard, screen: &Screen) -> Result<LoadedSets, AppError> {
    let options = LoadOptions {
        resize: card.resize,
        crop: card.size,
        seed: card.seed,
        skip_bad: request.skip_bad,
        val_fraction: Some(card.val_fraction),
        test_fraction: card.test_fraction,
        patient_pattern: card.patient_pattern.as_deref().map(PatientPattern::new).transpose()?,
        fold: card.fold.map(|[fold, of]| Fold { index: fold - 1, of }),
        ..LoadOptions::default()
    };
    let loading = screen.loading();
    let Some(dir) = request.data else {
        let films = card.films.ok_or(CommandError::NoEvaluationData)?;
        // The sets are generated independently of each other, so the training films are not needed.
        let phantom = phantom::without_training(films, card.seed);
        let Dataset { val, test, findings, .. } = phantom_dataset(&phantom, &options, &loading)?;
        let source = phantom::describe(card.seed);
        return Ok(LoadedSets { val: Some(val), test, is_new: findings.leak_free_test, source });
    };
    let trained_on = card.fingerprint.as_deref().zip(card.training_digests.as_ref());
    let input = ModelInput {
        class_names: &card.class_names,
        channels: card.channels,
        trained_on: trained_on
            .map(|(fingerprint, digests)| TrainingData { fingerprint, digests: digests.as_slice() }),
    };
    let EvaluationData { val, test, test_origin, findings } =
        load_for_model(dir, &input, &options, &loading)?;
    drop(loading);
    tables::show_remarks(screen, &findings);
    let what = match test_origin {
        EvaluationOrigin::Given => "its test set",
        EvaluationOrigin::SplitOff => "the test set that was split off for training",
        EvaluationOrigin::Everything => "all images",
    };
    let source = format!("{}: {what}, {} images", dir.display(), test.len());
    Ok(LoadedSets { val, test, is_new: findings.leak_free_test, source })
}
