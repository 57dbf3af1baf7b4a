//! Cross-validation: one run for each fold, tested on the images of that fold, so that every image of a small data set
//! is in a test set once.
//!
//! Folds are stratified by class, and keep the images of a patient, and duplicates, together. The run folder holds a
//! complete run for each fold, and the metrics over all: mean and standard deviation, and those of the pooled predictions.

use std::collections::BTreeMap;

use roentgen_data::Dataset;
use serde::Serialize;
use serde_json::Value;

use super::pipeline::{self, FinishedRun, ResumeOptions};
use crate::config::TrainConfig;
use crate::data_loading::error::DataLoadingError;
use crate::data_loading::load::{load_fold, read_folds};
use crate::data_loading::medical::is_medical;
use crate::metrics::test_metrics::{TestImages, TestMetrics};
use crate::metrics::{Predictions, SubsetMetrics};
use crate::model::predicted_set::PredictedSet;
use crate::run_dir::error::RunDirError;
use crate::run_dir::file_names::{CONFIG, METRICS};
use crate::run_dir::predictions_file;
use crate::run_dir::pseudonym_key;
use crate::run_dir::run_folder::{PlannedFolder, RunFolder};
use crate::terminal::foreign_text::printable_json;
use crate::terminal::screen::{Screen, counted, table};
use crate::terminal::tables;
use crate::training::error::TrainingError;

/// `metrics.json` of a cross-validation, also what `--json` prints.
#[derive(Debug, Serialize)]
struct CrossValidationMetrics {
    n_folds: usize,
    /// Over the main test images of the folds.
    mean: BTreeMap<String, f64>,
    /// Standard deviation over the folds, with one less than their number as the divisor.
    sd: BTreeMap<String, f64>,
    /// Of all predictions together, without test images that leaked from the training or validation set of their fold.
    /// Splits keep duplicates together, so only a given validation set can leak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pooled_deduplicated: Option<SubsetMetrics>,
    /// Of all predictions together.
    pooled: SubsetMetrics,
    /// Of the main images, without those that the model of their fold rejects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pooled_accepted: Option<SubsetMetrics>,
    /// The key of the metrics of the main images: `pooled_deduplicated`, or `pooled` if that is absent.
    main_set: &'static str,
    /// Images that `pooled_deduplicated` leaves out.
    n_leaked: usize,
    /// How many of the main images are rejected.
    n_main_rejected: Option<usize>,
    /// The metrics of the main test images of each fold.
    folds: Vec<SubsetMetrics>,
    seed: u64,
}

/// The folder of a cross-validation.
#[derive(Debug)]
pub(crate) enum FoldsFolder {
    /// Created once the data are known to be usable.
    Planned(PlannedFolder),
    /// That of an interrupted cross-validation, or one that was created a fold ago.
    Existing(RunFolder),
}

impl FoldsFolder {
    fn open(self, config: &TrainConfig, data: &Dataset) -> Result<RunFolder, TrainingError> {
        match self {
            Self::Existing(folder) => Ok(folder),
            Self::Planned(planned) => {
                let folder = planned.create()?;
                pseudonym_key::write(config, data, &folder)?;
                folder.write(CONFIG, config.recorded().to_toml().as_bytes())?;
                Ok(folder)
            }
        }
    }
}

/// What the folds have in common, gathered from fold to fold.
#[derive(Default)]
struct Pool {
    class_names: Vec<String>,
    predictions: Option<Predictions>,
    /// For `predictions.jsonl`.
    lines: String,
    patients: Vec<Option<String>>,
    is_leaked: Vec<bool>,
    is_rejected: Vec<bool>,
    can_reject: bool,
    folds: Vec<SubsetMetrics>,
}

impl Pool {
    fn add(&mut self, data: Dataset, metrics: &TestMetrics, test: &PredictedSet) {
        let PredictedSet { predictions, is_leaked, .. } = test;
        let is_rejected = test.is_rejected();
        self.lines += &predictions_file::test_text(&data.test, test, &data.class_names);
        self.patients.extend_from_slice(data.test.patients());
        self.is_leaked.extend_from_slice(is_leaked);
        self.can_reject |= is_rejected.is_some();
        let none_rejected = vec![false; predictions.len()];
        self.is_rejected.extend_from_slice(is_rejected.as_ref().unwrap_or(&none_rejected));
        self.folds.push(metrics.main().clone());
        let pooled = self.predictions.get_or_insert_with(|| Predictions::new(predictions.n_classes()));
        pooled.extend(predictions);
        self.class_names = data.class_names;
    }

    /// The metrics of the predictions of all folds together.
    fn metrics(&self) -> TestMetrics {
        let images = TestImages {
            patients: &self.patients,
            is_leaked: &self.is_leaked,
            is_rejected: self.can_reject.then_some(&self.is_rejected),
        };
        TestMetrics::new(&self.class_names, self.predictions.as_ref().expect("at least two folds"), &images)
    }
}

impl CrossValidationMetrics {
    fn new(pooled: TestMetrics, folds: Vec<SubsetMetrics>, seed: u64) -> Self {
        let (mean, sd) = mean_and_sd(&folds);
        let TestMetrics { test_deduplicated, test, test_accepted, n_leaked, n_main_rejected, .. } = pooled;
        Self {
            n_folds: folds.len(),
            mean,
            sd,
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

/// Trains every fold that has not ended yet, and shows the metrics over all folds.
///
/// # Errors
/// As [`pipeline::train`], of any fold; and as [`pipeline::resume`], for which `other_cpu` is.
pub(crate) fn run(
    config: &TrainConfig,
    n_folds: usize,
    mut folds_folder: FoldsFolder,
    other_cpu: bool,
    screen: &Screen,
) -> Result<(), TrainingError> {
    let folds = read_folds(config, n_folds, screen)?;
    let (mut pool, mut is_any_medical) = (Pool::default(), false);
    for fold in 1..=n_folds {
        screen.line(&screen.bold(&format!("fold {fold} of {n_folds}")));
        let fold_config = TrainConfig { fold: Some(fold), ..config.clone() };
        let data = load_fold(&fold_config, &folds, fold, screen)?;
        is_any_medical |= is_medical(config, &data);
        let folder = folds_folder.open(config, &data)?;
        let (metrics, test) = run_fold(&fold_config, &data, &folder, other_cpu, screen)?;
        folds_folder = FoldsFolder::Existing(folder);
        pool.add(data, &metrics, &test);
        screen.line("");
    }
    let FoldsFolder::Existing(folder) = folds_folder else { unreachable!("the first fold created it") };
    folder.write(predictions_file::FILE, pool.lines.as_bytes())?;
    let pooled = pool.metrics();
    let heading = format!("{} pooled", counted(n_folds, "fold"));
    let metrics = CrossValidationMetrics::new(pooled.clone(), pool.folds, config.seed);
    let json =
        printable_json(&serde_json::to_string_pretty(&metrics).expect("metrics are plain numbers and names"));
    folder.write(METRICS, (json + "\n").as_bytes())?;
    folder.finish()?;
    tables::show_test_tables(screen, &heading, &pooled);
    show_folds(screen, &metrics);
    tables::show_caution(screen, is_any_medical);
    screen.line("");
    screen.field("run", &folder.path().display().to_string());
    screen.result(&metrics);
    Ok(())
}

/// The name of a fold's folder; `fold` counts from 1.
pub(crate) fn folder_of_fold(fold: usize) -> String {
    format!("fold-{fold}")
}

/// Trains one fold in its own folder, resumes it, or evaluates it again if it has ended.
fn run_fold(
    fold_config: &TrainConfig,
    data: &Dataset,
    folder: &RunFolder,
    other_cpu: bool,
    screen: &Screen,
) -> Result<(TestMetrics, PredictedSet), TrainingError> {
    let name = folder_of_fold(fold_config.fold.expect("one of the folds"));
    let path = folder.file(&name);
    if path.join(METRICS).is_file() {
        screen.field("evaluated", &format!("again: {} has ended", path.display()));
        return pipeline::evaluate_ended_run(&path, data, other_cpu);
    }
    let finished = if path.join(CONFIG).is_file() {
        pipeline::resume(&path, ResumeOptions { threads: fold_config.threads, other_cpu }, data, screen)
    } else {
        pipeline::train(fold_config, data, folder.inside(&name), screen)
    };
    let FinishedRun { metrics, test, .. } = finished.map_err(|error| resumable_as_a_whole(error, folder))?;
    metrics.test.zip(test).ok_or_else(|| DataLoadingError::EmptyTest.into())
}

/// An error of one fold whose advice names the folder of all folds: that is the one to resume.
fn resumable_as_a_whole(mut error: TrainingError, folder: &RunFolder) -> TrainingError {
    if let TrainingError::Interrupted { run, .. }
    | TrainingError::RunDir(RunDirError::ResumableWrite { run, .. }) = &mut error
    {
        folder.path().clone_into(run);
    }
    error
}

/// Mean and standard deviation of every metric that all folds have.
fn mean_and_sd(folds: &[SubsetMetrics]) -> (BTreeMap<String, f64>, BTreeMap<String, f64>) {
    let folds: Vec<_> = folds.iter().map(json_object).collect();
    let (mut means, mut sds) = (BTreeMap::new(), BTreeMap::new());
    for key in folds[0].keys().filter(|key| *key != "n") {
        let of_folds: Vec<f64> = folds.iter().filter_map(|fold| fold[key].as_f64()).collect();
        if of_folds.len() < folds.len() {
            continue;
        }
        let n = of_folds.len() as f64;
        let mean = of_folds.iter().sum::<f64>() / n;
        let squares: f64 = of_folds.iter().map(|value| (value - mean).powi(2)).sum();
        means.insert(key.clone(), mean);
        sds.insert(key.clone(), (squares / (n - 1.0)).sqrt());
    }
    (means, sds)
}

fn json_object(metrics: &SubsetMetrics) -> serde_json::Map<String, Value> {
    match serde_json::to_value(metrics) {
        Ok(Value::Object(map)) => map,
        _ => unreachable!("metrics of a set are an object"),
    }
}

/// Mean and standard deviation over the folds.
fn show_folds(screen: &Screen, metrics: &CrossValidationMetrics) {
    let without = if metrics.n_leaked > 0 { ", without images that leaked" } else { "" };
    let mut rows = vec![vec![format!("over the folds{without}"), "mean".to_owned(), "sd".to_owned()]];
    let others = metrics.pooled.overall().map(|(key, name, ..)| (key, name));
    for (key, name) in std::iter::once(("accuracy", "accuracy")).chain(others) {
        let Some(mean) = metrics.mean.get(key) else { continue };
        rows.push(vec![name.to_owned(), format!("{mean:.3}"), format!("{:.3}", metrics.sd[key])]);
    }
    screen.line("");
    for line in table(&rows) {
        screen.line(&format!("  {line}"));
    }
    screen.line("");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_spread_are_over_the_folds() {
        let fold = |n_right: u32| {
            let mut predictions = Predictions::new(2);
            (0..4).for_each(|i| predictions.add(u32::from(i >= n_right), [1.0, 0.0].into_iter()));
            SubsetMetrics::new(vec!["a".into(), "b".into()], &predictions, None)
        };
        let (mean, sd) = mean_and_sd(&[fold(2), fold(4), fold(3)]);
        assert!((mean["accuracy"] - 0.75).abs() < 1e-12 && (sd["accuracy"] - 0.25).abs() < 1e-12);
        assert!(
            !mean.contains_key("n") && !mean.contains_key("macro_roc_auc"),
            "one fold has a single class: {mean:?}"
        );
    }
}
