//! How far a run is, by the files in its folder: also one that was started in a terminal.

use std::path::Path;
use std::time::SystemTime;

use roentgen_data::read_text_file;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::process::{End, Glance};
use crate::config::TrainConfig;
use crate::run_dir::file_names::{CONFIG, LAST_MODEL, LOG, METRICS, MODEL, REPORT, TIMES};
use crate::run_dir::records::{LogLine, TimeLine};
use crate::run_dir::run_folder::RunFolder;
use crate::terminal::screen::counted;

/// Largest log that is read: 100,000 epochs, the most that there can be, have 30 MB.
const MAX_LOG_BYTES: u64 = 1 << 28;
/// Epochs whose times the time left is estimated by.
const LATEST: usize = 5;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stage {
    Reading,
    Training,
    Evaluating,
    Stopping,
    Stopped,
    Failed,
    Done,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Progress {
    pub(super) state: Stage,
    /// The same for people.
    pub(super) sentence: String,
    /// Why it failed.
    pub(super) reason: Option<String>,
    /// Epochs that are done.
    pub(super) epoch: usize,
    /// All epochs; absent before the images are read, and of several trainings.
    pub(super) epochs: Option<usize>,
    /// Until the last epoch is done.
    pub(super) seconds_left: Option<f64>,
    /// Whether this server can stop it.
    pub(super) can_stop: bool,
    pub(super) can_resume: bool,
    /// Whether there is a model to try.
    pub(super) has_model: bool,
    pub(super) has_report: bool,
}

impl Progress {
    /// Of the run in `folder`, with these epochs; `own` is what the server knows of a training that it started.
    pub(super) fn of(folder: &Path, log: &[LogLine], own: Option<Glance>) -> Self {
        let has = |name: &str| folder.join(name).is_file();
        let state = stage(folder, own.as_ref());
        let is_own = own.as_ref().is_some_and(|own| own.end.is_none());
        let config = TrainConfig::read(&folder.join(CONFIG)).ok();
        let epochs = config.filter(is_single).and_then(|config| config.epochs);
        let reason = match own.and_then(|own| own.end) {
            Some(End::Failed(reason)) if state == Stage::Failed => Some(reason),
            _ => None,
        };
        let is_at_work = matches!(state, Stage::Reading | Stage::Training | Stage::Evaluating);
        Self {
            state,
            sentence: match state {
                Stage::Stopped if !has(CONFIG) => "Stopped before it began; start it again.".to_owned(),
                _ => sentence(state, log.len(), epochs),
            },
            reason,
            epoch: log.len(),
            epochs,
            seconds_left: epochs
                .filter(|_| state == Stage::Training)
                .and_then(|n| time_left(folder, log.len(), n)),
            can_stop: is_at_work && is_own,
            can_resume: matches!(state, Stage::Stopped | Stage::Failed) && has(CONFIG),
            has_model: has(MODEL),
            has_report: has(REPORT),
        }
    }
}

impl Progress {
    /// Whether its epochs are counted at present.
    pub(super) fn is_counted(&self) -> bool {
        let states = [Stage::Training, Stage::Stopping, Stage::Stopped];
        self.epochs.is_some() && states.contains(&self.state)
    }
}

/// Whether the settings ask for one training.
fn is_single(config: &TrainConfig) -> bool {
    config.seeds.is_none() && (config.folds.is_none() || config.fold.is_some())
}

fn stage(folder: &Path, own: Option<&Glance>) -> Stage {
    let has = |name: &str| folder.join(name).is_file();
    let is_own_at_work = own.is_some_and(|own| own.end.is_none());
    match own {
        Some(own) if is_own_at_work && own.is_stopping => return Stage::Stopping,
        Some(own) if is_own_at_work && !own.has_begun => return Stage::Reading,
        _ => {}
    }
    if is_own_at_work || (!has(METRICS) && RunFolder::is_in_use(folder)) {
        return match () {
            () if has(LAST_MODEL) => Stage::Evaluating,
            () if has(CONFIG) => Stage::Training,
            () => Stage::Reading,
        };
    }
    match own.and_then(|own| own.end.as_ref()) {
        _ if has(METRICS) => Stage::Done,
        Some(End::Failed(_)) => Stage::Failed,
        _ => Stage::Stopped,
    }
}

fn sentence(state: Stage, epoch: usize, epochs: Option<usize>) -> String {
    let of = |epochs: Option<usize>| epochs.map_or_else(String::new, |epochs| format!(" of {epochs}"));
    match state {
        Stage::Reading => "Reading the images.".to_owned(),
        Stage::Training if epochs.is_none() => "Training.".to_owned(),
        Stage::Training => format!("Training: epoch {}{}.", epoch + 1, of(epochs)),
        Stage::Evaluating => "All epochs are done. Testing the model, and writing the report.".to_owned(),
        Stage::Stopping => "Stopping, with a checkpoint.".to_owned(),
        Stage::Stopped if epoch == 0 => "Stopped in the first epoch.".to_owned(),
        Stage::Stopped => format!("Stopped after epoch {epoch}{}.", of(epochs)),
        Stage::Failed => "The training failed.".to_owned(),
        Stage::Done if epoch == 0 => "Done.".to_owned(),
        Stage::Done => format!("Done, after {}.", counted(epoch, "epoch")),
    }
}

/// The epochs in the log of a run.
pub(super) fn read_log(folder: &Path) -> Vec<LogLine> {
    lines(folder, LOG)
}

/// The lines of a file, but the last one while it is being written; none if it cannot be read.
fn lines<T: DeserializeOwned>(folder: &Path, name: &str) -> Vec<T> {
    let text = read_text_file(&folder.join(name), MAX_LOG_BYTES).unwrap_or_default();
    text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
}

/// Seconds until the last epoch is done, by the times of the latest ones.
fn time_left(folder: &Path, epoch: usize, epochs: usize) -> Option<f64> {
    let times: Vec<TimeLine> = lines(folder, TIMES);
    let latest = &times[times.len().saturating_sub(LATEST)..];
    let mean = latest.iter().map(|time| time.seconds).sum::<f64>() / latest.len() as f64;
    let written = folder.join(TIMES).metadata().and_then(|file| file.modified()).ok()?;
    let since = SystemTime::now().duration_since(written).map_or(0.0, |since| since.as_secs_f64());
    let left = mean * epochs.saturating_sub(epoch) as f64 - since.min(mean);
    (!latest.is_empty()).then(|| rounded(left))
}

/// In steps that grow with the time, so that it does not change at each look.
fn rounded(seconds: f64) -> f64 {
    let step = match seconds {
        ..60.0 => 5.0,
        ..600.0 => 15.0,
        ..7200.0 => 60.0,
        _ => 600.0,
    };
    (seconds / step).ceil().max(1.0) * step
}
