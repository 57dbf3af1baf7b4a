//! `roentgen evaluate`: a stored model on the test set of other data, or again on its own.

use std::path::Path;

use roentgen_data::{
    Dataset, EvaluationData, EvaluationOrigin, Fold, ImageSet, LoadOptions, ModelInput, PatientPattern,
    load_for_model, phantom_dataset,
};
use serde::Serialize;

use crate::data_loading::phantom;
use crate::error::AppError;
use crate::metrics::PartMetrics;
use crate::metrics::deduplicated::deduplicated_test;
use crate::model::inference::{Evaluation, evaluate};
use crate::model::model_file::{self, ModelCard};
use crate::terminal::screen::Screen;
use crate::terminal::tables;

/// What `roentgen evaluate` is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The model file.
    pub model: &'a Path,
    /// What to test on; none for the model's own phantom films.
    pub data: Option<&'a Path>,
    /// Leaves unusable files out.
    pub skip_bad: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Figures {
    #[serde(skip_serializing_if = "Option::is_none")]
    val: Option<PartMetrics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_deduplicated: Option<PartMetrics>,
    test: PartMetrics,
    /// Test pictures that `test_deduplicated` leaves out.
    n_leaked: usize,
    /// Those of them that the model was trained on, or its epoch chosen by; null if its file does not say.
    n_seen: Option<usize>,
}

/// Evaluates a stored model, and shows the result.
///
/// # Errors
/// For a file that is no model, and whatever makes the data unusable.
pub(crate) fn run(request: &Request<'_>, screen: &Screen) -> Result<(), AppError> {
    let (model, card) = model_file::read(request.model)?;
    let Asked { val, test, mut clean, source } = load(request, &card, screen)?;
    if test.is_empty() {
        return Err(AppError::EmptyTest);
    }
    tables::show_machine(screen, rayon::current_num_threads());
    screen.field("data", &source);
    let n_seen = card.training_digests.as_ref().map(|seen| seen.leave_out(&test, &mut clean));
    match n_seen {
        Some(0) => {}
        Some(n) => {
            let (of_all, rest) = (test.len(), if clean.contains(&true) { "" } else { "; no other is left" });
            let text = format!("{n} of {of_all} test pictures are of the model's own training{rest}");
            screen.field("LEAK", &text);
        }
        None if request.data.is_none() => {}
        None => screen.field(
            "note",
            "the model's file is of an earlier version and does not say what it was trained on",
        ),
    }
    let evaluated = |set: &ImageSet| evaluate(&model, set, card.class_names.len(), &card.preprocessing());
    let part = |set: &ImageSet, evaluation: &Evaluation| {
        let predictions = evaluation.predictions(card.temperature);
        PartMetrics::new(card.class_names.clone(), &predictions, set.patient_groups().as_deref())
    };
    let val = val.filter(|set| !set.is_empty()).map(|set| part(&set, &evaluated(&set)));
    let evaluation = evaluated(&test);
    let predictions = evaluation.predictions(card.temperature);
    let (n_leaked, test_deduplicated) =
        deduplicated_test(&card.class_names, &predictions, test.patients(), &clean);
    let figures = Figures { val, test_deduplicated, test: part(&test, &evaluation), n_leaked, n_seen };
    let heading = request.model.display().to_string();
    tables::show_test_tables(screen, &heading, n_leaked, figures.test_deduplicated.as_ref(), &figures.test);
    screen.result(&figures);
    Ok(())
}

/// What a model is asked about.
struct Asked {
    val: Option<ImageSet>,
    test: ImageSet,
    /// Whether each test picture is new to the model.
    clean: Vec<bool>,
    /// In words.
    source: String,
}

fn load(request: &Request<'_>, card: &ModelCard, screen: &Screen) -> Result<Asked, AppError> {
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
        let films = card.films.ok_or(AppError::NoEvaluationData)?;
        // Parts are drawn apart from each other, so the training films need not be.
        let phantom = phantom::without_training(films, card.seed);
        let Dataset { val, test, findings, .. } = phantom_dataset(&phantom, &options, &loading)?;
        let source = phantom::describe(card.seed);
        return Ok(Asked { val: Some(val), test, clean: findings.leak_free_test, source });
    };
    let input = ModelInput {
        class_names: &card.class_names,
        channels: card.channels,
        trained_on: card.fingerprint.as_deref(),
    };
    let EvaluationData { val, test, test_origin, findings } =
        load_for_model(dir, &input, &options, &loading)?;
    drop(loading);
    tables::show_remarks(screen, &findings);
    let what = match test_origin {
        EvaluationOrigin::Given => "its test part",
        EvaluationOrigin::SplitOff => "the test part that was split off for training",
        EvaluationOrigin::Everything => "all of it",
    };
    let source = format!("{}: {what}, {} images", dir.display(), test.len());
    Ok(Asked { val, test, clean: findings.leak_free_test, source })
}
