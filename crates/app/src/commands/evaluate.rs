//! `roentgen evaluate`: a stored model on the test set of other data, or again on its own.

use std::path::Path;

use roentgen_data::{
    ClassMapping, Dataset, EvaluationData, EvaluationOrigin, Fold, ImageSet, LoadOptions, ModelInput,
    PatientPattern, TrainingData, load_for_model, phantom_dataset,
};
use serde::Serialize;

use crate::config::{PHANTOM, TrainConfig};
use crate::data_loading::error::DataLoadingError;
use crate::data_loading::phantom;
use crate::error::AppError;
use crate::error::command::CommandError;
use crate::metrics::SubsetMetrics;
use crate::metrics::test_metrics::TestMetrics;
use crate::model::model_card::ModelCard;
use crate::model::model_file;
use crate::model::predicted_set::PredictedSet;
use crate::model::shift::Shift;
use crate::report::not_exceeded_in_words;
use crate::run_dir::records::Rejected;
use crate::terminal::screen::{Screen, by_number, counted};
use crate::terminal::tables;

/// The arguments of `roentgen evaluate`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EvaluateRequest<'a> {
    /// The model file.
    pub model: &'a Path,
    /// What to evaluate on; the model's own phantom films if `None` or `phantom`.
    pub data: Option<&'a Path>,
    /// Names of columns and classes, and whether unusable files are skipped.
    pub config: &'a TrainConfig,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct EvaluationMetrics {
    #[serde(skip_serializing_if = "Option::is_none")]
    val: Option<SubsetMetrics>,
    /// The same without the images that leaked; absent if none leaked, or all did.
    #[serde(skip_serializing_if = "Option::is_none")]
    val_deduplicated: Option<SubsetMetrics>,
    /// Validation images that leaked; absent without a validation set.
    #[serde(skip_serializing_if = "Option::is_none")]
    n_leaked_val: Option<usize>,
    #[serde(flatten)]
    test: TestMetrics,
    n_rejected: Rejected,
    /// Test images that were in the model's training or validation set.
    n_seen: usize,
    /// Whether the model started from weights that were trained on images that no file lists; absent if not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    has_unknown_training_images: bool,
    /// Whether the test images differ from the validation images of the model; absent where there are too few.
    #[serde(skip_serializing_if = "Option::is_none")]
    shift: Option<Shift>,
}

/// Evaluates a stored model, and shows the result.
///
/// # Errors
/// A file that is not a model, and whatever makes the data unusable.
pub(crate) fn run(request: &EvaluateRequest<'_>, screen: &Screen) -> Result<(), AppError> {
    let model = model_file::read(request.model)?;
    let card = &model.card;
    let LoadedSets { val, test, mut is_leaked_val, mut is_leaked, is_own, source } =
        load(request, card, screen)?;
    if test.is_empty() {
        return Err(DataLoadingError::EmptyTest.into());
    }
    tables::show_machine(screen, 1, rayon::current_num_threads());
    screen.field("data", &source);
    if let Some(text) = card.missing_detector_in_words() {
        screen.field("note", &text);
    }
    let n_seen = card.training_digests.mark_leaked(&test, &mut is_leaked);
    show_leakage(screen, card, n_seen, &is_leaked, is_own);
    let val = val.filter(|set| !set.is_empty());
    // Its own validation images were made for validation; those of other data must not be among its images at all.
    let known = if is_own { card.fitted_digests() } else { card.training_digests.clone() };
    if let Some(set) = &val {
        known.mark_leaked(set, &mut is_leaked_val);
    }
    let val = val.map(|set| PredictedSet::new(&model, &set, is_leaked_val));
    let (test, summary) = PredictedSet::with_summary(&model, &test, is_leaked);
    test.evaluation.check_finite()?;
    let metrics = EvaluationMetrics {
        n_rejected: Rejected {
            val: val.as_ref().and_then(PredictedSet::n_rejected),
            test: test.n_rejected(),
        },
        val: val.as_ref().map(|val| val.metrics(&card.class_names)),
        val_deduplicated: val.as_ref().and_then(|val| val.deduplicated_metrics(&card.class_names)),
        n_leaked_val: val.as_ref().map(PredictedSet::n_leaked),
        test: test.test_metrics(&card.class_names),
        n_seen,
        has_unknown_training_images: card.has_unknown_training_images,
        shift: Shift::of(&summary, card),
    };
    tables::show_test_tables(screen, &request.model.display().to_string(), &metrics.test);
    if let Some(words) = card.prior.in_words() {
        screen.field("prior", &words);
    }
    tables::show_caution(screen, card.medical);
    if let Some(text) = not_exceeded_in_words(metrics.test.main()) {
        screen.field("note", &text);
    }
    if let Some(shift) = metrics.shift.as_ref().filter(|shift| shift.detected) {
        screen.field("SHIFT", &shift.in_words_for_test_set(metrics.test.n_leaked));
    }
    screen.result(&metrics);
    Ok(())
}

/// What is not found in data other than those that the model was trained on: its file has digests of its images, and no
/// more.
const LIMITS: &str = "In data other than those of the training, only equal pixels are recognised: not near-duplicates of training \
                      images, and not patients of the training set";

/// What so many images are that the model file has digests of.
fn are_seen(n: usize) -> &'static str {
    by_number(
        n,
        "is a training or validation image of the model",
        "are training or validation images of the model",
    )
}

/// What so many other images are that leaked.
fn are_alike(n: usize) -> &'static str {
    by_number(
        n,
        "is a near-duplicate of an image, or an image of a patient, in the other sets",
        "are near-duplicates of images, or images of patients, in the other sets",
    )
}

/// Shows how many test images leaked: the same number that the figures leave out, and how they were recognised; and where more
/// may have.
fn show_leakage(screen: &Screen, card: &ModelCard, n_seen: usize, is_leaked: &[bool], is_own: bool) {
    let (n_test, n_leaked) = (is_leaked.len(), is_leaked.iter().filter(|&&is_leaked| is_leaked).count());
    if n_leaked > 0 {
        let images = counted(n_test, "test image");
        let by = match (n_seen, n_leaked - n_seen) {
            (n_seen, 0) => format!("{n_seen} of {images} {}", are_seen(n_seen)),
            (0, _) => format!("{n_leaked} of {images} {}", are_alike(n_leaked)),
            (n_seen, n_others) => format!(
                "{n_leaked} of {images}: {n_seen} {}, and {n_others} {}",
                are_seen(n_seen),
                are_alike(n_others)
            ),
        };
        let rest = if n_leaked < n_test { "" } else { "; none are left" };
        let limits = if is_own { String::new() } else { format!(". {LIMITS}") };
        screen.field("LEAKAGE", &format!("{by}{rest}{limits}"));
    }
    if card.has_unknown_training_images {
        let unknown = "the training images of the weights that this model started from are not all known";
        screen.field("note", &format!("{unknown}; they may include the test images"));
    } else if !is_own && n_leaked == 0 {
        let found = "no test image is a training or validation image of the model";
        screen.field("note", &format!("{found}. {LIMITS}"));
    }
}

/// The images to evaluate on.
struct LoadedSets {
    val: Option<ImageSet>,
    test: ImageSet,
    /// Of each validation image, whether it leaked.
    is_leaked_val: Vec<bool>,
    /// Of each test image, whether it leaked.
    is_leaked: Vec<bool>,
    /// Whether they are those that the model was trained on.
    is_own: bool,
    /// Where they come from, for the screen.
    source: String,
}

/// The names that are given, else those of the training, which other data need not have.
fn class_mapping(config: &TrainConfig, card: &ModelCard) -> ClassMapping {
    let of_training = || card.class_mapping.as_deref().and_then(|text| text.parse().ok());
    let given = config.classes.clone();
    given.or_else(|| of_training().map(ClassMapping::allowing_unknown)).unwrap_or_default()
}

fn load(request: &EvaluateRequest<'_>, card: &ModelCard, screen: &Screen) -> Result<LoadedSets, AppError> {
    let data = request.data.filter(|data| data.as_os_str() != PHANTOM);
    request.config.check_columns(&[data])?;
    let options = LoadOptions {
        seed: card.seed,
        skip_bad: request.config.skip_bad,
        val_fraction: Some(card.val_fraction),
        test_fraction: card.test_fraction,
        patient_pattern: card.patient_pattern.as_deref().map(PatientPattern::new).transpose()?,
        columns: request.config.load_options()?.columns,
        classes: class_mapping(request.config, card),
        fold: card.fold.map(|[fold, of]| Fold { index: fold - 1, of }),
        ..card.image_options()
    };
    let loading = screen.loading();
    let Some(dir) = data else {
        let films = card.films.ok_or(CommandError::NoEvaluationData)?;
        request.config.check_used()?;
        // The sets are generated independently of each other, so the training films are not needed.
        let phantom = phantom::without_training(films, card.seed);
        let Dataset { val, test, findings, .. } = phantom_dataset(&phantom, &options, &loading)?;
        let source = phantom::describe(card.seed);
        let (is_leaked_val, is_leaked) = (findings.is_leaked_val, findings.is_leaked_test);
        return Ok(LoadedSets { val: Some(val), test, is_leaked_val, is_leaked, is_own: true, source });
    };
    let input = ModelInput {
        class_names: &card.class_names,
        trained_on: card
            .fingerprint
            .as_deref()
            .map(|fingerprint| TrainingData { fingerprint, digests: card.training_digests.as_slice() }),
    };
    let EvaluationData { val, test, test_origin, is_own, findings } =
        load_for_model(dir, &input, &options, &loading)?;
    drop(loading);
    tables::show_remarks(screen, &findings);
    let what = match test_origin {
        EvaluationOrigin::Given => "its test set",
        EvaluationOrigin::SplitOff => "the test set that was split off for training",
        EvaluationOrigin::Everything => "all images",
    };
    let source = format!("{}: {what}, {} images", dir.display(), test.len());
    let (is_leaked_val, is_leaked) = (findings.is_leaked_val, findings.is_leaked_test);
    Ok(LoadedSets { val, test, is_leaked_val, is_leaked, is_own, source })
}
