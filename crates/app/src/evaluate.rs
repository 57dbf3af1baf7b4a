//! Testing a model: centre crops, running statistics, no dropout.

use std::path::Path;

use ndarray::Array4;
use roentgen_data::{
    Channels, EvaluationOrigin, ImageSet, LoadOptions, ModelInput, Normalization, View, batch_ranges,
    fill_batch, load_for_model, phantom_dataset,
};
use roentgen_layers::{LossHead, Pass, ResNet9};
use serde::Serialize;

use crate::error::AppError;
use crate::metrics::{Confusion, PartMetrics, Predictions};
use crate::model_file::{self, ModelCard};
use crate::screen::Screen;
use crate::{phantom_films, report};

/// Images that go through the model together. Only speed depends on it.
const BATCH: usize = 128;

/// How a model does on a set of pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Who was taken for whom.
    pub confusion: Confusion,
    /// Mean cross-entropy, without weights or smoothing.
    pub loss: f64,
    /// What was said of each image.
    pub predictions: Predictions,
}

/// Evaluates `model` on every image of `set`.
///
/// # Panics
/// If the set is empty.
pub fn evaluate(
    model: &mut ResNet9,
    set: &ImageSet,
    crop: usize,
    norm: &Normalization,
    n_classes: usize,
) -> Evaluation {
    assert!(!set.is_empty(), "evaluate: no image");
    let head = LossHead { class_weights: None, label_smoothing: 0.0 };
    let indices: Vec<u32> = (0..set.len() as u32).collect();
    let (mut x, mut grad_logits) = (Array4::zeros((0, 0, 0, 0)), Array4::zeros((0, 0, 0, 0)));
    let mut labels = Vec::new();
    let (mut confusion, mut predictions) = (Confusion::new(n_classes), Predictions::new(n_classes));
    let mut loss = 0.0;
    for range in batch_ranges(set.len(), BATCH) {
        fill_batch(set, &indices[range], View::Center { crop }, norm, &mut x, &mut labels);
        let logits = model.forward(&x, Pass::Eval);
        for (image, &label) in logits.outer_iter().zip(&labels) {
            confusion.add(label as usize, most_likely(image.iter().copied()));
            predictions.add(label, image.iter().copied());
        }
        let mean = head.forward_backward(logits, &labels, &mut grad_logits);
        loss += f64::from(mean) * labels.len() as f64;
    }
    Evaluation { confusion, loss: loss / set.len() as f64, predictions }
}

/// Index of the largest logit, the first of equals.
pub(crate) fn most_likely(logits: impl Iterator<Item = f32>) -> usize {
    let best = logits.enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.expect("at least one class").0
}

/// What `roentgen evaluate` is asked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
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
    test: PartMetrics,
}

/// Evaluates a stored model, and shows the result.
///
/// # Errors
/// For a file that is no model, and whatever makes the data unusable.
pub fn run(request: &Request<'_>, screen: &Screen) -> Result<(), AppError> {
    let (mut model, card) = model_file::read(request.model)?;
    let (val, test, source) = load(request, &card, screen)?;
    if test.is_empty() {
        return Err(AppError::EmptyTest);
    }
    report::show_machine(screen, rayon::current_num_threads());
    screen.field("data", &source);
    let mut evaluate_part = |set: &ImageSet| {
        let n_classes = card.class_names.len();
        let found = evaluate(&mut model, set, card.size as usize, &card.normalization, n_classes);
        PartMetrics::new(card.class_names.clone(), &found.predictions, None)
    };
    let val = val.filter(|set| !set.is_empty()).map(|set| evaluate_part(&set));
    let figures = Figures { val, test: evaluate_part(&test) };
    report::show_test(screen, &request.model.display().to_string(), &figures.test);
    screen.result(&figures);
    Ok(())
}

/// The validation part, if any, the test part, and what they are.
fn load(
    request: &Request<'_>,
    card: &ModelCard,
    screen: &Screen,
) -> Result<(Option<ImageSet>, ImageSet, String), AppError> {
    let options = LoadOptions {
        resize: card.resize,
        crop: card.size,
        seed: card.seed,
        skip_bad: request.skip_bad,
        val_fraction: card.val_fraction,
        test_fraction: card.test_fraction,
        channels: if card.channels == 1 { Channels::Grey } else { Channels::Rgb },
        ..LoadOptions::default()
    };
    let loading = screen.loading();
    let Some(dir) = request.data else {
        let films = card.films.ok_or(AppError::NoEvaluationData)?;
        // Parts are drawn apart from each other, so the training films need not be.
        let phantom = phantom_films::without_training(films, card.seed);
        let data = phantom_dataset(&phantom, &options, &loading)?;
        return Ok((Some(data.val), data.test, phantom_films::describe(card.seed)));
    };
    let input = ModelInput {
        class_names: &card.class_names,
        channels: card.channels,
        trained_on: card.fingerprint.as_deref(),
    };
    let data = load_for_model(dir, &input, &options, &loading)?;
    drop(loading);
    report::show_remarks(screen, &data.bad, &data.notes);
    let what = match data.test_origin {
        EvaluationOrigin::Given => "its test part",
        EvaluationOrigin::SplitOff => "the test part that was split off for training",
        EvaluationOrigin::Everything => "all of it",
    };
    let source = format!("{}: {what}, {} images", dir.display(), data.test.len());
    Ok((data.val, data.test, source))
}
