//! Testing a model: centre crops, running statistics, no dropout.

use std::path::Path;

use ndarray::{Array4, ArrayView3};
use roentgen_data::{
    Dataset, Draw, EvaluationData, EvaluationOrigin, Fold, ImageSet, LoadOptions, ModelInput, Normalization,
    PatientPattern, TestLooks, View, batch_ranges, fill_batch, load_for_model, phantom_dataset,
};
use roentgen_layers::{Pass, ResNet9};
use serde::Serialize;

use crate::error::AppError;
use crate::metrics::{Confusion, PartMetrics, Predictions};
use crate::model_file::{self, ModelCard};
use crate::screen::Screen;
use crate::train::clean_test;
use crate::{phantom_films, tables};

/// Images that go through the model together. Only speed depends on it.
const BATCH: usize = 128;

/// How pictures are looked at when a model is asked about them.
#[derive(Clone, Copy, Debug)]
pub struct Gaze<'a> {
    /// Side of the centre crop, in pixels.
    pub crop: usize,
    /// What pixels are normalised by.
    pub normalization: &'a Normalization,
    /// The looks at each picture, whose logits are averaged.
    pub looks: TestLooks,
}

/// What a model says of the images of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    n_classes: usize,
    labels: Vec<u32>,
    /// `(n, n_classes)`.
    logits: Vec<f32>,
}

impl Evaluation {
    /// Nothing said yet.
    #[must_use]
    pub fn new(n_classes: usize) -> Self {
        Self { n_classes, labels: Vec::new(), logits: Vec::new() }
    }

    /// Adds an image.
    ///
    /// # Panics
    /// If there are not as many logits as classes.
    pub fn add(&mut self, label: u32, logits: &[f32]) {
        assert_eq!(logits.len(), self.n_classes, "a logit for each class");
        self.labels.push(label);
        self.logits.extend(logits);
    }

    /// Number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Class and logits of one image.
    ///
    /// # Panics
    /// If there is no image `image`.
    #[must_use]
    pub fn image(&self, image: usize) -> (usize, &[f32]) {
        (self.labels[image] as usize, &self.logits[image * self.n_classes..][..self.n_classes])
    }

    /// Who was taken for whom.
    #[must_use]
    pub fn confusion(&self) -> Confusion {
        let mut confusion = Confusion::new(self.n_classes);
        for image in 0..self.len() {
            let (label, logits) = self.image(image);
            confusion.add(label, most_likely(logits.iter().copied()));
        }
        confusion
    }

    /// Answers and probabilities, with the logits divided by `temperature`.
    #[must_use]
    pub fn predictions(&self, temperature: f64) -> Predictions {
        let mut predictions = Predictions::new(self.n_classes);
        for image in 0..self.len() {
            let (label, logits) = self.image(image);
            predictions.add(label as u32, logits.iter().map(|&logit| f64::from(logit) / temperature));
        }
        predictions
    }

    /// Cross-entropy of each image, without weights, smoothing or temperature.
    #[must_use]
    pub fn losses(&self) -> Vec<f64> {
        let loss = |image| {
            let (label, logits) = self.image(image);
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let over = |logit: f32| f64::from(logit) - f64::from(largest);
            libm::log(logits.iter().map(|&logit| libm::exp(over(logit))).sum()) - over(logits[label])
        };
        (0..self.len()).map(loss).collect()
    }

    /// Mean cross-entropy.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.losses().iter().sum::<f64>() / self.len() as f64
    }
}

/// What a model has to say of one image.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// By class; the mean of all looks.
    pub logits: &'a [f32],
    /// What the classifier sees, of the plain look.
    pub features: &'a [f32],
    /// The normalised pixels of the plain look, `(size, size, c)`.
    pub pixels: ArrayView3<'a, f32>,
    /// How much the colours vary that a model of one channel does not see; 0 for one that sees them.
    pub unseen_colour: f64,
}

/// Asks `model` about every image of `set`, and gives the answers to `each`, in order.
pub fn ask(model: &mut ResNet9, set: &ImageSet, gaze: &Gaze<'_>, mut each: impl FnMut(usize, &Answer<'_>)) {
    let draws: Vec<Draw> = (0..set.len() as u32).map(Draw::once).collect();
    let (mut x, mut labels) = (Array4::zeros((0, 0, 0, 0)), Vec::new());
    let looks = gaze.looks.each();
    for range in batch_ranges(set.len(), BATCH) {
        // The plain look is the last: its pixels and features stay.
        let of_looks = looks.iter().map(|&look| {
            let view = View::Center { crop: gaze.crop, look };
            fill_batch(set, &draws[range.clone()], view, gaze.normalization, &mut x, &mut labels);
            model.forward(&x, Pass::Eval).clone()
        });
        let logits = of_looks.reduce(|sum, logits| sum + logits).expect("a look") / looks.len() as f32;
        let of_each = logits.outer_iter().zip(model.features().outer_iter()).zip(x.outer_iter());
        for (image, ((logits, features), pixels)) in range.zip(of_each) {
            let logits = logits.to_slice().expect("logits of an image lie together");
            let features = features.to_slice().expect("features of an image lie together");
            let unseen = set.facts(image).filter(|_| set.channels() == 1);
            let unseen_colour = unseen.map_or(0.0, |facts| f64::from(facts.colour));
            each(image, &Answer { logits, features, pixels, unseen_colour });
        }
    }
}

/// What `model` says of every image of `set`.
#[must_use]
pub fn evaluate(model: &mut ResNet9, set: &ImageSet, n_classes: usize, gaze: &Gaze<'_>) -> Evaluation {
    let mut evaluation = Evaluation::new(n_classes);
    ask(model, set, gaze, |image, answer| evaluation.add(set.labels()[image], answer.logits));
    evaluation
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
    #[serde(skip_serializing_if = "Option::is_none")]
    test_clean: Option<PartMetrics>,
    test: PartMetrics,
    /// Test pictures that `test_clean` leaves out.
    n_leaked: usize,
    /// Those of them that the model was trained on, or its epoch chosen by; null if its file does not say.
    n_seen: Option<usize>,
}

/// Evaluates a stored model, and shows the result.
///
/// # Errors
/// For a file that is no model, and whatever makes the data unusable.
pub fn run(request: &Request<'_>, screen: &Screen) -> Result<(), AppError> {
    let (mut model, card) = model_file::read(request.model)?;
    let Asked { val, test, mut clean, source } = load(request, &card, screen)?;
    if test.is_empty() {
        return Err(AppError::EmptyTest);
    }
    tables::show_machine(screen, rayon::current_num_threads());
    screen.field("data", &source);
    let n_seen = card.seen.as_ref().map(|seen| seen.leave_out(&test, &mut clean));
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
    let mut ask = |set: &ImageSet| evaluate(&mut model, set, card.class_names.len(), &card.gaze());
    let part = |set: &ImageSet, evaluation: &Evaluation| {
        let predictions = evaluation.predictions(card.temperature);
        PartMetrics::new(card.class_names.clone(), &predictions, set.patient_groups().as_deref())
    };
    let val = val.filter(|set| !set.is_empty()).map(|set| part(&set, &ask(&set)));
    let evaluation = ask(&test);
    let predictions = evaluation.predictions(card.temperature);
    let (n_leaked, test_clean) = clean_test(&card.class_names, &predictions, test.patients(), &clean);
    let figures = Figures { val, test_clean, test: part(&test, &evaluation), n_leaked, n_seen };
    let heading = request.model.display().to_string();
    tables::show_clean_and_given(screen, &heading, n_leaked, figures.test_clean.as_ref(), &figures.test);
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
        let phantom = phantom_films::without_training(films, card.seed);
        let Dataset { val, test, findings, .. } = phantom_dataset(&phantom, &options, &loading)?;
        let source = phantom_films::describe(card.seed);
        return Ok(Asked { val: Some(val), test, clean: findings.clean_test, source });
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
    Ok(Asked { val, test, clean: findings.clean_test, source })
}
