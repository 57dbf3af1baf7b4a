//! How far a run is, by the files in its folder: also one that was started in a terminal.

use std::path::Path;

use roentgen_data::read_text_file;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::super::page_words::without_flags;
use super::super::quality::Quality;
use super::process::{Bar, End, TrainingStatus};
use crate::config::TrainConfig;
use crate::run_dir::file_names::{CONFIG, LAST_MODEL, LOG, METRICS, MODEL, REPORT, TIMES};
use crate::run_dir::records::{LogLine, MAX_LOG_BYTES, TimeLine};
use crate::run_dir::run_folder::RunFolder;
use crate::terminal::screen::{counted, thousands};

/// Epochs whose times the time left is estimated by.
const LATEST: usize = 5;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct Progress {
    pub(super) state: Stage,
    /// The same for people.
    pub(super) sentence: String,
    /// What the model can do, in words, once it has been tested.
    pub(super) result: Option<String>,
    /// Why it failed.
    pub(super) reason: Option<String>,
    /// Epochs that are done.
    pub(super) epoch: usize,
    /// All epochs; absent before the images are read, and of several trainings.
    pub(super) epochs: Option<usize>,
    /// The share of all epochs that is done, with that of the present one; while images are read, the share of them.
    pub(super) fraction: Option<f64>,
    /// Until the last epoch is done; in the first one without validation, whose time is not known yet.
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
    pub(super) fn of(folder: &Path, log: &[LogLine], own: Option<TrainingStatus>) -> Self {
        let has = |name: &str| folder.join(name).is_file();
        let state = stage(folder, own.as_ref());
        let is_own = own.as_ref().is_some_and(|own| own.end.is_none());
        let config = TrainConfig::read(&folder.join(CONFIG)).ok();
        let is_several = config.as_ref().is_some_and(|config| config.repetition().is_some());
        let epochs = config.filter(|_| !is_several).and_then(|config| config.epochs);
        let bar = own.as_ref().and_then(|own| own.bar.as_ref());
        let epochs_done = epochs.map(|epochs| epochs_done(log.len(), epochs, bar));
        let seconds_left = epochs
            .zip(epochs_done)
            .filter(|_| state == Stage::Training)
            .and_then(|(epochs, done)| time_left(&lines::<TimeLine>(folder, TIMES), done, epochs, bar));
        let sentence = match state {
            Stage::Stopped if !has(CONFIG) => "Stopped before it began; start it again.".to_owned(),
            Stage::Stopped if is_several => "Stopped before all its trainings had ended.".to_owned(),
            Stage::Reading => reading(bar),
            _ => sentence(state, log.len(), epochs),
        };
        let fraction = match (state, bar, epochs.zip(epochs_done)) {
            (Stage::Reading, Some(Bar { state, .. }), _) => Some(state.done as f64 / state.total as f64),
            (Stage::Training | Stage::Stopping | Stage::Stopped, _, Some((n, done))) => Some(done / n as f64),
            _ => None,
        };
        let (reason, is_resumable) = match own.and_then(|own| own.end) {
            Some(End::Failed { reason, is_resumable, .. }) if state == Stage::Failed => {
                (Some(without_flags(&reason)), is_resumable)
            }
            _ => (None, state == Stage::Stopped),
        };
        let result = (state == Stage::Done).then(|| Quality::read(folder).result).flatten();
        let is_at_work = matches!(state, Stage::Reading | Stage::Training | Stage::Evaluating);
        Self {
            state,
            sentence,
            result,
            reason,
            epoch: log.len(),
            epochs,
            // A thousandth is a pixel or less.
            fraction: fraction.map(|fraction| (1000.0 * fraction).round() / 1000.0),
            seconds_left,
            can_stop: is_at_work && is_own,
            can_resume: is_resumable && has(CONFIG) && !has(METRICS),
            has_model: has(MODEL),
            has_report: has(REPORT),
        }
    }
}

fn stage(folder: &Path, own: Option<&TrainingStatus>) -> Stage {
    let has = |name: &str| folder.join(name).is_file();
    let at_work = own.filter(|own| own.end.is_none());
    let is_at_work = at_work.is_some() || (!has(METRICS) && RunFolder::is_in_use(folder));
    if at_work.is_some_and(|own| own.is_stopping) {
        Stage::Stopping
    } else if at_work.is_some_and(|own| !own.has_begun) {
        Stage::Reading
    } else if is_at_work && has(LAST_MODEL) {
        Stage::Evaluating
    } else if is_at_work && has(CONFIG) {
        Stage::Training
    } else if is_at_work {
        Stage::Reading
    } else if own.is_some_and(|own| has_failed(folder, own)) {
        Stage::Failed
    } else if has(METRICS) {
        Stage::Done
    } else {
        Stage::Stopped
    }
}

/// Whether a training has failed, and no run in its folder has ended since. Older metrics are those of another run, such as one
/// that was copied there while the images were read.
fn has_failed(folder: &Path, own: &TrainingStatus) -> bool {
    let Some(End::Failed { at, .. }) = &own.end else { return false };
    let written = folder.join(METRICS).metadata().and_then(|metadata| metadata.modified());
    !written.is_ok_and(|written| written > *at)
}

fn sentence(state: Stage, epoch: usize, epochs: Option<usize>) -> String {
    let of = |epochs: Option<usize>| epochs.map_or_else(String::new, |epochs| format!(" of {epochs}"));
    match state {
        Stage::Reading => reading(None),
        Stage::Training if epochs.is_none() => "Training.".to_owned(),
        Stage::Training => format!("Training: epoch {}{}.", epoch + 1, of(epochs)),
        Stage::Evaluating => "All epochs are done. Testing the model, and writing the report.".to_owned(),
        Stage::Stopping => "Stopping, with a checkpoint.".to_owned(),
        Stage::Stopped if epoch == 0 => format!("Stopped in epoch 1{}.", of(epochs)),
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

/// What is done with the images before the first epoch.
fn reading(bar: Option<&Bar>) -> String {
    let Some(Bar { state, .. }) = bar else { return "Reading the images.".to_owned() };
    let doing = match state.doing.as_str() {
        "comparing" => "Comparing the images with each other",
        "drawing" => "Drawing the films",
        _ => "Reading the images",
    };
    format!("{doing}: {} of {}.", thousands(state.done as usize), thousands(state.total as usize))
}

/// The epochs that are done, and the share of the next one. The bar of a training counts the steps of all epochs.
fn epochs_done(epoch: usize, epochs: usize, bar: Option<&Bar>) -> f64 {
    let by_bar = bar.filter(|bar| bar.state.doing.starts_with("epoch"));
    let share = by_bar.map_or(0.0, |bar| bar.state.done as f64 / bar.state.total as f64);
    // The log is read later than the bar, or earlier. One that was written by hand may have more lines than there are epochs.
    let epoch = epoch.min(epochs);
    (share * epochs as f64).clamp(epoch as f64, (epoch + 1).min(epochs) as f64)
}

/// Seconds until the last epoch is done, by the times of the latest ones, or by the bar in the first one.
fn time_left(times: &[TimeLine], done: f64, epochs: usize, bar: Option<&Bar>) -> Option<f64> {
    let latest = &times[times.len().saturating_sub(LATEST)..];
    let mean = |seconds: fn(&TimeLine) -> f64| latest.iter().map(seconds).sum::<f64>() / latest.len() as f64;
    let steps_left = epochs as f64 - done;
    if latest.is_empty() {
        let bar = bar.filter(|bar| bar.state.doing.starts_with("epoch"))?;
        let seconds = bar.seconds_each()? * bar.state.total as f64 / epochs as f64;
        return Some(rounded(steps_left * seconds));
    }
    let validations_left = epochs.saturating_sub(times.len()) as f64;
    Some(rounded(steps_left * mean(|time| time.seconds) + validations_left * mean(|time| time.val_seconds)))
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::terminal::progress_lines::BarState;

    fn times(n: usize) -> Vec<TimeLine> {
        let time = |epoch| TimeLine { epoch, seconds: 20.0, val_seconds: 10.0, images_per_s: 1.0 };
        (1..=n).map(time).collect()
    }

    fn bar(doing: &str, done: u64, total: u64) -> Bar {
        Bar::new(BarState { doing: doing.to_owned(), done, total }, None)
    }

    #[test]
    fn the_time_left_has_the_rest_of_the_epoch_and_every_validation() {
        // Half of the third epoch of four: 1.5 times 20 s of steps, and two validations of 10 s.
        let half = bar("epoch 3/4", 250, 400);
        let done = epochs_done(2, 4, Some(&half));
        assert_eq!((done, time_left(&times(2), done, 4, Some(&half))), (2.5, Some(50.0)));
        // Its steps are done, not its validation.
        let end = bar("epoch 3/4", 300, 400);
        assert_eq!(time_left(&times(2), epochs_done(2, 4, Some(&end)), 4, Some(&end)), Some(40.0));
        // A training that was started elsewhere: whole epochs.
        assert_eq!(time_left(&times(2), epochs_done(2, 4, None), 4, None), Some(60.0));
        assert_eq!(time_left(&[], 0.0, 4, None), None, "nothing is known yet");
        assert_eq!(time_left(&[], 0.5, 4, Some(&bar("epoch 1/4", 50, 400))), None, "it has not moved yet");
    }

    #[test]
    fn a_log_with_more_lines_than_epochs_is_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = TrainConfig { epochs: Some(2), ..TrainConfig::default() };
        std::fs::write(folder.path().join(CONFIG), config.to_toml()).expect("a file");
        let line = |epoch: usize| {
            let figures = r#""train_loss":1.0,"train_accuracy":0.5,"lr":0.01,"saved":false"#;
            format!(r#"{{"epoch":{epoch},{figures},"instruction_sets":["AVX2"]}}"#)
        };
        let log = (1..=3).map(line).collect::<Vec<_>>().join("\n");
        std::fs::write(folder.path().join(LOG), log).expect("a file");
        let log = read_log(folder.path());
        let found = Progress::of(folder.path(), &log, None);
        assert_eq!((log.len(), found.state, found.fraction), (3, Stage::Stopped, Some(1.0)));
    }

    #[test]
    fn several_trainings_that_were_stopped_have_no_epoch() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = TrainConfig { folds: Some(5), epochs: Some(2), ..TrainConfig::default() };
        std::fs::write(folder.path().join(CONFIG), config.to_toml()).expect("a file");
        let found = Progress::of(folder.path(), &[], None);
        assert_eq!(found.sentence, "Stopped before all its trainings had ended.");
    }

    #[test]
    fn a_training_that_failed_has_not_the_result_of_another_run_in_its_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in [CONFIG, METRICS] {
            std::fs::write(folder.path().join(name), "").expect("a file");
        }
        let (now, minute) = (SystemTime::now(), Duration::from_secs(60));
        let end = End::Failed { reason: "the folder is in use".to_owned(), is_resumable: true, at: now };
        let own = TrainingStatus { has_begun: false, is_stopping: false, bar: None, end: Some(end) };
        let found = |written: SystemTime| {
            let file = std::fs::File::options().append(true).open(folder.path().join(METRICS));
            file.and_then(|file| file.set_modified(written)).expect("a time");
            let Progress { state, reason, can_resume, .. } =
                Progress::of(folder.path(), &[], Some(own.clone()));
            (state, reason, can_resume)
        };
        assert_eq!(found(now - minute), (Stage::Failed, Some("the folder is in use".to_owned()), false));
        assert_eq!(found(now + minute), (Stage::Done, None, false), "it was resumed elsewhere");
    }

    #[test]
    fn the_bar_never_contradicts_the_log() {
        let at = |epoch, done| epochs_done(epoch, 4, Some(&bar("epoch", done, 400)));
        assert_eq!([at(0, 0), at(0, 50), at(1, 99), at(1, 230), at(4, 400)], [0.0, 0.5, 1.0, 2.0, 4.0]);
        assert_eq!(epochs_done(1, 4, Some(&bar("evaluating", 1, 2))), 1.0);
        assert_eq!(reading(Some(&bar("reading", 1200, 5000))), "Reading the images: 1,200 of 5,000.");
    }
}
