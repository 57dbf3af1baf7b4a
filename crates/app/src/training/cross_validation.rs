//! Cross-validation: as many runs as folds, each tested on pictures that it has not seen, so that every picture of a
//! small set is tested once.
//!
//! Folds are stratified by class, and keep patients and copies together. The run folder holds a whole run for each
//! fold, and the figures of all: their mean and spread over the folds, and those of all answers pooled.

use std::collections::BTreeMap;

use roentgen_data::group_ids;
use serde::Serialize;
use serde_json::Value;

use crate::config::TrainConfig;
use crate::data_loading::load::load;
use crate::error::AppError;
use crate::metrics::deduplicated::deduplicated_test;
use crate::metrics::{PartMetrics, Predictions};
use crate::run_dir::file_names::{CONFIG, METRICS, PREDICTIONS};
use crate::run_dir::predictions_file;
use crate::run_dir::run_folder::{PlannedFolder, RunFolder};
use crate::terminal::screen::{Screen, counted, table};
use crate::terminal::tables;
use crate::training::pipeline::{self, Finished};

/// `metrics.json` of a cross-validation, also what `--json` prints.
#[derive(Debug, Serialize)]
struct FoldMetrics {
    n_folds: usize,
    /// Over the test parts of the folds, as given.
    mean: BTreeMap<String, f64>,
    /// Standard deviation over the folds, with one less than their number as the divisor.
    sd: BTreeMap<String, f64>,
    /// All answers together, but for those to pictures that also stand, or have their patient, in an earlier part of
    /// their fold; if that leaves some out. Splits keep copies together, so the earlier part is a given validation part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pooled_deduplicated: Option<PartMetrics>,
    /// All answers together.
    pooled: PartMetrics,
    /// Pictures that `pooled_deduplicated` leaves out.
    n_leaked: usize,
    /// The test figures of each fold.
    folds: Vec<PartMetrics>,
    seed: u64,
}

/// Where a cross-validation is kept.
#[derive(Debug)]
pub(crate) enum Place {
    /// Nowhere yet: it is made when the data are known to be of use.
    New(PlannedFolder),
    /// In the folder of one that was broken off.
    Old(RunFolder),
}

/// Trains every fold that has not ended yet, and shows the figures of all.
///
/// # Errors
/// As [`pipeline::run`], of whichever fold.
pub(crate) fn run(
    config: &TrainConfig,
    n_folds: usize,
    mut place: Place,
    screen: &Screen,
) -> Result<(), AppError> {
    let (mut folds, mut lines) = (Vec::new(), String::new());
    let (mut patients, mut clean) = (Vec::new(), Vec::new());
    let mut pooled: Option<(Vec<String>, Predictions)> = None;
    for fold in 1..=n_folds {
        screen.line(&screen.bold(&format!("fold {fold} of {n_folds}")));
        let of_fold = TrainConfig { fold: Some(fold), ..config.clone() };
        let data = load(&of_fold, screen)?;
        let folder = match place {
            Place::Old(folder) => folder,
            Place::New(planned) => {
                let folder = planned.create()?;
                folder.write(CONFIG, config.with_absolute_paths().to_toml().as_bytes())?;
                folder
            }
        };
        place = Place::Old(folder.clone());
        let inside = folder.file(&format!("fold-{fold}"));
        let (test_metrics, tested) = if inside.join(METRICS).is_file() {
            screen.field("tested", &format!("again: {} has ended", inside.display()));
            pipeline::test_again(&inside, &data)?
        } else {
            let finished = if inside.join(CONFIG).is_file() {
                pipeline::go_on(&inside, config.threads, &data, screen)
            } else {
                pipeline::train(&of_fold, &data, folder.inside(&format!("fold-{fold}")), screen)
            };
            let Finished { metrics, test, .. } = finished.map_err(|mut error| {
                // What goes on is the whole.
                if let AppError::Interrupted { run, .. } | AppError::RunWrite { run, .. } = &mut error {
                    folder.path().clone_into(run);
                }
                error
            })?;
            (metrics.test.ok_or(AppError::EmptyTest)?, test)
        };
        let (predictions, new) = tested.ok_or(AppError::EmptyTest)?;
        lines += &predictions_file::to_text(&data.test, &predictions, &data.class_names);
        patients.extend_from_slice(data.test.patients());
        clean.extend_from_slice(&new);
        folds.push(test_metrics);
        pooled
            .get_or_insert((data.class_names, Predictions::new(predictions.n_classes())))
            .1
            .extend(&predictions);
        screen.line("");
    }
    let (class_names, predictions) = pooled.expect("at least two folds");
    let (n_leaked, pooled_deduplicated) = deduplicated_test(&class_names, &predictions, &patients, &clean);
    let pooled = PartMetrics::new(class_names, &predictions, group_ids(&patients).as_deref());
    let (mean, sd) = mean_and_sd(&folds);
    let metrics =
        FoldMetrics { n_folds, mean, sd, pooled_deduplicated, pooled, n_leaked, folds, seed: config.seed };

    let Place::Old(folder) = place else { unreachable!("it was made for the first fold") };
    folder.write(PREDICTIONS, lines.as_bytes())?;
    let json = serde_json::to_string_pretty(&metrics).expect("metrics are plain numbers and names");
    folder.write(METRICS, (json + "\n").as_bytes())?;
    folder.finish()?;
    let heading = format!("{} pooled", counted(n_folds, "fold"));
    tables::show_test_tables(
        screen,
        &heading,
        n_leaked,
        metrics.pooled_deduplicated.as_ref(),
        &metrics.pooled,
    );
    show(screen, &metrics);
    screen.field("run", &folder.path().display().to_string());
    screen.result(&metrics);
    Ok(())
}

/// Of every figure of a whole part that all folds have.
fn mean_and_sd(folds: &[PartMetrics]) -> (BTreeMap<String, f64>, BTreeMap<String, f64>) {
    let values = |fold: &PartMetrics| match serde_json::to_value(fold) {
        Ok(Value::Object(map)) => map,
        _ => unreachable!("a part is an object"),
    };
    let folds: Vec<_> = folds.iter().map(values).collect();
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

fn show(screen: &Screen, metrics: &FoldMetrics) {
    let as_given = if metrics.n_leaked > 0 { ", all pictures as given" } else { "" };
    let mut rows = vec![vec![format!("over the folds{as_given}"), "mean".to_owned(), "sd".to_owned()]];
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
            PartMetrics::new(vec!["a".into(), "b".into()], &predictions, None)
        };
        let (mean, sd) = mean_and_sd(&[fold(2), fold(4), fold(3)]);
        assert!((mean["accuracy"] - 0.75).abs() < 1e-12 && (sd["accuracy"] - 0.25).abs() < 1e-12);
        assert!(
            !mean.contains_key("n") && !mean.contains_key("macro_roc_auc"),
            "one fold has a single class: {mean:?}"
        );
    }
}
