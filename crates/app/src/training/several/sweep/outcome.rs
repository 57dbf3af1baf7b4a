//! How a training of a sweep ended, by the files in its folder, and which of two is better.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use roentgen_data::{disk, read_text_file};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{Select, TrainConfig};
use crate::model::error::ModelError;
use crate::model::instruction_sets::OtherCpu;
use crate::run_dir::error::{RunDirError, WriteError};
use crate::run_dir::file_names::{CONFIG, FAILURE, LAST_MODEL, LOG, METRICS, MODEL, SWEEP};
use crate::run_dir::planned_folder::PlannedFolder;
use crate::run_dir::records::{LogLine, MAX_LOG_BYTES, MAX_METRICS_BYTES, VAL, VAL_WITHOUT_LEAKAGE};
use crate::run_dir::run_folder::RunFolder;
use crate::run_dir::sweep_record::{ResultRecord, ScoreName};
use crate::training::error::TrainingError;
use crate::training::several::same_settings;

/// The metric that epochs, and trainings, are compared by.
pub(super) fn score_name(select: Select) -> ScoreName {
    let score = |key, name| ScoreName { key, name, lower_is_better: false };
    match select {
        Select::Accuracy => score("accuracy", "accuracy"),
        Select::BalancedAccuracy => score("balanced_accuracy", "balanced accuracy"),
        Select::Auc => score("macro_roc_auc", "macro ROC AUC"),
        Select::LogLoss => ScoreName { lower_is_better: true, ..score("log_loss", "log loss") },
    }
}

/// `failure.json`.
#[derive(Serialize, Deserialize)]
struct Failure {
    reason: String,
    /// Whether there was too little memory, which may be otherwise on another day or machine.
    #[serde(default)]
    lacked_memory: bool,
    /// The settings, as a config file: the folder of a training that never began has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<String>,
}

/// A training that is to have `epochs` epochs in a folder, before it has ended.
pub(super) fn pending(folder: String, epochs: usize) -> ResultRecord {
    ResultRecord { folder, epochs, saved_epoch: None, set: None, score: None, log_loss: None, failure: None }
}

/// The result of the training in the folder `path`, which was to have the settings `config`; `None` if it has not ended.
///
/// # Errors
/// [`RunDirError::NotResumable`] if its files are not those that a training leaves, or it was trained with other settings or,
/// unless [`OtherCpu::Allow`], with other arithmetic.
pub(super) fn read(
    path: &Path,
    pending: &ResultRecord,
    config: &TrainConfig,
    score: ScoreName,
    other_cpu: OtherCpu,
) -> Result<Option<ResultRecord>, TrainingError> {
    same_settings::check_begun(path, config)?;
    let text = |path: &Path| {
        read_text_file(path, MAX_METRICS_BYTES).map_err(|error| invalid(path, error.to_string()))
    };
    let (metrics, failure) = (path.join(METRICS), path.join(FAILURE));
    if metrics.is_file() {
        let found: Value =
            serde_json::from_str(&text(&metrics)?).map_err(|error| invalid(&metrics, error.to_string()))?;
        // By the figures that epochs are selected by, but without images that leaked: they would rank first what memorises best.
        let selection = &found["selection"];
        let (Some(value), Some(log_loss)) = (selection["val_score"].as_f64(), selection["val_loss"].as_f64())
        else {
            let reason = "it does not have the figures that the saved epoch was selected by";
            return Err(invalid(&metrics, reason.to_owned()).into());
        };
        check_arithmetic(path, other_cpu)?;
        return Ok(Some(ResultRecord {
            saved_epoch: found["saved_epoch"].as_u64().map(|epoch| epoch as usize),
            set: [VAL_WITHOUT_LEAKAGE, VAL].into_iter().find(|set| selection["set"] == **set),
            // There, the larger is always the better.
            score: Some(if score.lower_is_better { -value } else { value }),
            log_loss: Some(log_loss),
            ..pending.clone()
        }));
    }
    if failure.is_file() {
        let Failure { reason, settings, .. } =
            serde_json::from_str(&text(&failure)?).map_err(|error| invalid(&failure, error.to_string()))?;
        settings.map_or(Ok(()), |settings| same_settings::check_text(path, &settings, config))?;
        return Ok(Some(ResultRecord { failure: Some(reason), ..pending.clone() }));
    }
    Ok(None)
}

/// Fails if the training in the folder `path`, which has ended, was computed with other arithmetic than that of this build.
fn check_arithmetic(path: &Path, other_cpu: OtherCpu) -> Result<(), RunDirError> {
    let log = path.join(LOG);
    let text = read_text_file(&log, MAX_LOG_BYTES).map_err(|error| invalid(&log, error.to_string()))?;
    let last: LogLine = serde_json::from_str(text.lines().last().unwrap_or_default())
        .map_err(|error| invalid(&log, error.to_string()))?;
    let is_other_cpu = |reason| RunDirError::not_resumable(path, reason);
    last.instruction_sets.check_this_build(other_cpu).map_err(is_other_cpu)
}

/// A file of a training that cannot be used, and what to do.
fn invalid(file: &Path, reason: String) -> RunDirError {
    let reason = format!("{reason}; remove the folder of this training, and it is trained again");
    RunDirError::not_resumable(file, reason)
}

/// Records in the folder `name` of the whole why the training with the settings `config` did not finish. One that lacked memory
/// keeps its checkpoint: it is tried again.
///
/// # Errors
/// As [`RunFolder::write`].
pub(super) fn write_failure(
    whole: &RunFolder,
    name: &str,
    config: &TrainConfig,
    error: &TrainingError,
) -> Result<(), RunDirError> {
    let has_begun = whole.file(name).join(CONFIG).is_file();
    let folder = if has_begun {
        RunFolder::reopen(&whole.file(name))?
    } else {
        PlannedFolder::inside(whole, name).create()?
    };
    let lacked_memory = matches!(error, TrainingError::NotEnoughMemory { .. });
    let settings = (!has_begun).then(|| config.recorded().to_toml());
    folder.write_json(FAILURE, &Failure { reason: reason(error, config), lacked_memory, settings })?;
    if lacked_memory { Ok(()) } else { folder.finish() }
}

/// The text of an error; with `--pseudonyms`, a word is in the place of the path of `--init`.
fn reason(error: &TrainingError, config: &TrainConfig) -> String {
    match error {
        TrainingError::Model(ModelError::OtherSizes { reason, .. }) if config.pseudonyms => {
            let path = config.with_pseudonyms().init.unwrap_or_default();
            ModelError::OtherSizes { path, reason: reason.clone() }.to_string()
        }
        _ => error.to_string(),
    }
}

/// The folders of the trainings of a sweep, in its folder `whole`, that ended for lack of memory.
#[must_use]
pub(crate) fn to_try_again(whole: &Path) -> Vec<PathBuf> {
    let folders = disk::list(whole).into_iter().flatten().flatten().map(|entry| entry.path());
    folders.filter(|path| lacked_memory(path)).collect()
}

/// Removes what says that trainings, and with them the sweep, have ended.
///
/// # Errors
/// [`WriteError`].
pub(super) fn forget_ends(whole: &RunFolder, trainings: &[PathBuf]) -> Result<(), RunDirError> {
    if !trainings.is_empty() {
        remove(whole.file(SWEEP))?;
    }
    trainings.iter().try_for_each(|training| remove(training.join(FAILURE)))
}

/// Removes what says that trainings have ended, of those that lacked memory.
///
/// # Errors
/// [`WriteError`].
pub(super) fn forget_lack_of_memory(trainings: impl Iterator<Item = PathBuf>) -> Result<(), RunDirError> {
    let mut again = trainings.filter(|path| lacked_memory(path));
    again.try_for_each(|path| remove(path.join(FAILURE)))
}

/// Whether the training in the folder `path` ended for lack of memory.
pub(super) fn lacked_memory(path: &Path) -> bool {
    let text = read_text_file(&path.join(FAILURE), MAX_METRICS_BYTES);
    let failure = text.ok().and_then(|text| serde_json::from_str::<Failure>(&text).ok());
    failure.is_some_and(|failure| failure.lacked_memory) && !path.join(METRICS).is_file()
}

fn remove(path: PathBuf) -> Result<(), RunDirError> {
    Ok(disk::remove(&path).map_err(|source| WriteError { path, source })?)
}

/// Removes the models of a training that has ended: only its figures are used, and the best setting is trained again.
///
/// # Errors
/// [`WriteError`].
pub(super) fn remove_models(path: &Path) -> Result<(), RunDirError> {
    [MODEL, LAST_MODEL].into_iter().try_for_each(|name| remove(path.join(name)))
}

/// The better one first: by score, then by validation loss; a training without a score is worse than any other.
pub(super) fn order(one: &ResultRecord, other: &ResultRecord, score: ScoreName) -> Ordering {
    let key = |result: &ResultRecord| {
        let worth = result.score.map(|value| if score.lower_is_better { value } else { -value });
        (worth.unwrap_or(f64::INFINITY), result.log_loss.unwrap_or(f64::INFINITY))
    };
    let (one, other) = (key(one), key(other));
    one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::model::instruction_sets::InstructionSets;
    use crate::run_dir::file_names::CHECKPOINT;

    fn result(score: Option<f64>, log_loss: f64) -> ResultRecord {
        ResultRecord { score, log_loss: Some(log_loss), ..pending("training-1".to_owned(), 3) }
    }

    #[test]
    fn a_failure_is_the_worst_and_the_loss_decides_between_equal_scores() {
        let (accuracy, loss) = (score_name(Select::Accuracy), score_name(Select::LogLoss));
        let before =
            |one: &ResultRecord, other: &ResultRecord, score| order(one, other, score) == Ordering::Less;
        assert!(before(&result(Some(0.9), 0.5), &result(Some(0.8), 0.1), accuracy));
        assert!(before(&result(Some(0.8), 0.1), &result(Some(0.8), 0.2), accuracy));
        assert!(before(&result(Some(0.0), 9.0), &result(None, 0.1), accuracy));
        assert!(before(&result(Some(0.1), 0.1), &result(Some(0.2), 0.2), loss));
        assert!(before(&result(Some(5.0), 5.0), &result(None, 0.1), loss));
    }

    #[test]
    fn a_training_that_lacks_memory_keeps_its_checkpoint_and_another_failure_does_not() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let whole = PlannedFolder::Given(parent.path().join("whole")).create().expect("a folder");
        let lacked = TrainingError::NotEnoughMemory {
            needed: String::new(),
            free: String::new(),
            limited_by: "",
            activations: String::new(),
            remedy: "",
        };
        let diverged = TrainingError::BatchTooSmall { size: 8, n_train: 1 };
        let config = TrainConfig { width: 32, ..TrainConfig::default() };
        for (error, is_kept) in [(lacked, true), (diverged, false)] {
            let path = whole.path().join("training-1");
            fs::create_dir_all(&path).expect("a folder");
            for name in [CONFIG, CHECKPOINT] {
                fs::write(path.join(name), "").expect("a file");
            }
            write_failure(&whole, "training-1", &config, &error).expect("a failure");
            assert_eq!((path.join(CHECKPOINT).exists(), lacked_memory(&path)), (is_kept, is_kept), "{error}");
            // A training that never began has its settings there.
            write_failure(&whole, "training-2", &config, &error).expect("a failure");
            let read = |config: &TrainConfig| {
                let path = whole.path().join("training-2");
                let (pending, score) = (pending("training-2".to_owned(), 3), score_name(Select::Accuracy));
                read(&path, &pending, config, score, OtherCpu::Reject)
            };
            assert!(read(&config).is_ok_and(|ended| ended.is_some()));
            assert!(
                read(&TrainConfig::default()).expect_err("another width").to_string().contains("width is 32")
            );
            fs::remove_dir_all(whole.path().join("training-2")).expect("it was there");
        }
    }

    #[test]
    fn a_training_that_has_not_ended_has_no_result_and_a_damaged_one_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path();
        let (pending, config) = (pending("training-1".to_owned(), 3), TrainConfig::default());
        let read_by = |select| read(path, &pending, &config, score_name(select), OtherCpu::Reject);
        let read = || read_by(Select::Accuracy);
        assert!(read().expect("an empty folder").is_none());
        fs::write(path.join(FAILURE), "{\"reason\": \"diverged\"}").expect("a file");
        assert_eq!(read().expect("a failure").expect("an end").failure.as_deref(), Some("diverged"));
        // The other figures are of predictions for another class prior.
        let metrics = r#"{"val": {"accuracy": 0.9, "log_loss": 0.1},
            "selection": {"set": "val", "val_score": 0.5, "val_loss": 1}, "saved_epoch": 2}"#;
        fs::write(path.join(METRICS), metrics).expect("a file");
        let error = read().expect_err("no log").to_string();
        assert!(error.contains("log.jsonl") && error.contains("is trained again"), "{error}");
        let line = LogLine {
            epoch: 3,
            train_loss: 1.0,
            train_accuracy: 0.5,
            val_loss: Some(1.0),
            val_accuracy: Some(0.5),
            val_score: Some(0.5),
            lr: 0.01,
            saved: false,
            instruction_sets: InstructionSets::of_this_build(),
        };
        fs::write(path.join(LOG), serde_json::to_string(&line).expect("a line")).expect("a file");
        let found = read().expect("metrics").expect("an end");
        assert_eq!((found.score, found.log_loss, found.saved_epoch), (Some(0.5), Some(1.0), Some(2)));
        assert_eq!(found.set, Some(VAL));
        let leaky = r#"{"val": {"log_loss": 0.1}, "val_deduplicated": {"log_loss": 1},
            "selection": {"set": "val_deduplicated", "val_score": -2, "val_loss": 2}, "saved_epoch": 2}"#;
        fs::write(path.join(METRICS), leaky).expect("a file");
        let found = read_by(Select::LogLoss).expect("metrics").expect("an end");
        assert_eq!(
            (found.score, found.log_loss, found.set),
            (Some(2.0), Some(2.0), Some(VAL_WITHOUT_LEAKAGE))
        );
        fs::write(path.join(METRICS), r#"{"val": {"accuracy": 0.5}, "saved_epoch": 2}"#).expect("a file");
        let error = read().expect_err("no selection").to_string();
        assert!(error.contains("the saved epoch was selected by"), "{error}");
        fs::write(path.join(METRICS), "{").expect("a file");
        let error = read().expect_err("half a file").to_string();
        assert!(error.contains("metrics.json") && error.contains("is trained again"), "{error}");
    }
}
