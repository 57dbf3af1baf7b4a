//! Cross-validation: one run for each fold, tested on the images of that fold, so that every image of a small data set
//! is in a test set once.
//!
//! Folds are stratified by class, and keep the images of a patient, and duplicates, together. The run folder holds a
//! complete run for each fold, and the metrics over all: mean and standard deviation, and those of the pooled predictions.

use roentgen_data::ImageGroups;
use serde::Serialize;

use super::parts::{Part, PartResult, train_parts};
use super::spread::{MainMetrics, Spread};
use super::whole_folder::WholeFolder;
use crate::config::TrainConfig;
use crate::data_loading::medical::is_medical;
use crate::metrics::test_metrics::{TestImages, TestMetrics};
use crate::metrics::{Predictions, SubsetMetrics};
use crate::model::instruction_sets::OtherCpu;
use crate::model::predicted_set::PredictedSet;
use crate::run_dir::predictions_file;
use crate::terminal::screen::{Screen, counted};
use crate::terminal::tables;
use crate::training::error::TrainingError;

/// Why the areas of the pooled predictions are not those of the folds.
const POOLED_AREA: &str = "the pooled ROC AUC ranks the probabilities of several models together, and so is usually lower than that \
     of the folds";

/// `metrics.json` of a cross-validation, also what `--json` prints.
#[derive(Debug, Serialize)]
struct CrossValidationMetrics {
    n_folds: usize,
    /// Mean and standard deviation over the main test images of the folds.
    #[serde(flatten)]
    spread: Spread,
    /// The metrics of all predictions together, without test images that leaked from the training or validation set of their
    /// fold. Splits keep duplicates together, so only a given validation set can leak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pooled_deduplicated: Option<SubsetMetrics>,
    /// The metrics of all predictions together. Their areas under ROC curves rank the probabilities of several models, which may
    /// differ in height, so they are usually lower than those of the folds.
    pooled: SubsetMetrics,
    /// The metrics of the main images, without those that the model of their fold rejects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pooled_accepted: Option<SubsetMetrics>,
    /// The key of the metrics of the main images: `pooled_deduplicated`, or `pooled` if that is absent.
    main_set: &'static str,
    /// Images that `pooled_deduplicated` leaves out.
    n_leaked: usize,
    /// How many of the main images are rejected.
    n_main_rejected: Option<usize>,
    /// The metrics of the main test images of each fold.
    folds: Vec<MainMetrics>,
    seed: u64,
}

/// The predictions of all folds, gathered from fold to fold.
#[derive(Default)]
struct Pool {
    class_names: Vec<String>,
    predictions: Option<Predictions>,
    /// For `predictions.jsonl`.
    lines: String,
    groups: ImageGroups,
    is_leaked: Vec<bool>,
    is_rejected: Vec<bool>,
    can_reject: bool,
    folds: Vec<MainMetrics>,
}

impl Pool {
    fn add(&mut self, PartResult { data, metrics, test }: &PartResult<'_>) {
        let PredictedSet { predictions, is_leaked, .. } = test;
        let is_rejected = test.is_rejected();
        self.lines += &predictions_file::to_text(&data.test, test, &data.class_names);
        self.groups.extend(test.groups());
        self.is_leaked.extend_from_slice(is_leaked);
        self.can_reject |= is_rejected.is_some();
        let none_rejected = vec![false; predictions.len()];
        self.is_rejected.extend_from_slice(is_rejected.as_ref().unwrap_or(&none_rejected));
        self.folds.push(MainMetrics::new(metrics));
        let pooled = self.predictions.get_or_insert_with(|| Predictions::new(predictions.n_classes()));
        pooled.extend(predictions);
        data.class_names.clone_into(&mut self.class_names);
    }

    /// The metrics of the predictions of all folds together.
    fn metrics(&self) -> TestMetrics {
        let images = TestImages {
            groups: &self.groups,
            is_leaked: &self.is_leaked,
            is_rejected: self.can_reject.then_some(&self.is_rejected),
        };
        TestMetrics::new(&self.class_names, self.predictions.as_ref().expect("at least two folds"), &images)
    }
}

impl CrossValidationMetrics {
    fn new(pooled: TestMetrics, folds: Vec<MainMetrics>, seed: u64) -> Self {
        let TestMetrics { test_deduplicated, test, test_accepted, n_leaked, n_main_rejected, .. } = pooled;
        Self {
            n_folds: folds.len(),
            spread: Spread::new(folds.iter()),
            main_set: if test_deduplicated.is_some() { "pooled_deduplicated" } else { "pooled" },
            pooled_deduplicated: test_deduplicated,
            pooled: test,
            pooled_accepted: test_accepted,
            n_leaked,
            n_main_rejected,
            folds,
            seed,
        }
    }
}

/// A training for each fold.
pub(super) fn parts(config: &TrainConfig, n_folds: usize) -> Vec<Part> {
    let part = |fold| Part {
        heading: format!("fold {fold} of {n_folds}"),
        folder: format!("fold-{fold}"),
        config: TrainConfig { fold: Some(fold), ..config.clone() },
    };
    (1..=n_folds).map(part).collect()
}

/// Trains every fold that has not ended yet, and shows the metrics over all folds.
///
/// # Errors
/// As [`train_parts`].
pub(super) fn run(
    config: &TrainConfig,
    parts: &[Part],
    folder: WholeFolder,
    other_cpu: OtherCpu,
    screen: &Screen,
) -> Result<(), TrainingError> {
    let (mut pool, mut is_any_medical) = (Pool::default(), false);
    let folder = train_parts(config, parts, folder, other_cpu, screen, |part| {
        is_any_medical |= is_medical(config, part.data);
        pool.add(&part);
    })?;
    folder.write(predictions_file::FILE, pool.lines.as_bytes())?;
    let pooled = pool.metrics();
    let heading = format!("{} pooled", counted(parts.len(), "fold"));
    let metrics = CrossValidationMetrics::new(pooled.clone(), pool.folds, config.seed);
    folder.end(&metrics)?;
    tables::show_test_tables(screen, &heading, &pooled);
    if metrics.pooled.macro_roc_auc.value.is_some() {
        screen.field("note", POOLED_AREA);
    }
    metrics.spread.show(screen, "over the folds", "folds", &metrics.pooled);
    tables::show_caution(screen, is_any_medical);
    screen.line("");
    screen.field("run", &folder.path().display().to_string());
    screen.result(&metrics);
    Ok(())
}
