//! What a sweep shows.

use super::{Contender, Sweep};
use crate::config::TrainConfig;
use crate::config::search_space::Search;
use crate::run_dir::records::VAL_WITHOUT_LEAKAGE;
use crate::run_dir::run_folder::RunFolder;
use crate::run_dir::sweep_record::{ResultRecord, RungRecord, ScoreName, SweepRecord, TrainingRecord};
use crate::terminal::figures::number;
use crate::terminal::screen::{Screen, counted, table};
use crate::terminal::tables;

/// Rows of the table at the end.
const MAX_ROWS: usize = 10;

/// Before the first training.
pub(super) fn plan(screen: &Screen, sweep: &Sweep<'_>, rungs: &[RungRecord]) {
    let names: Vec<&str> = sweep.space.searched.iter().map(|searched| searched.setting.name()).collect();
    let n = counted(sweep.candidates.len(), "setting");
    let kind = match sweep.space.search {
        Search::Grid => format!("grid of {n}"),
        Search::Random { trainings, seed } if trainings > sweep.candidates.len() => {
            format!(
                "all {n} (trainings is {trainings}, but no more differ), in the order of search seed {seed}"
            )
        }
        Search::Random { seed, .. } => format!("random, {n}, search seed {seed}"),
    };
    screen.field("search", &format!("{kind}: {}", names.join(", ")));
    if rungs.len() > 1 {
        let rung = |rung: &RungRecord| match rung.epochs_divisor {
            1 => format!("{} with all epochs", rung.n_trainings),
            divisor => format!("{} with 1/{divisor} of the epochs", rung.n_trainings),
        };
        screen.field("halving", &rungs.iter().map(rung).collect::<Vec<_>>().join(", then "));
    }
    let score = sweep.score.name;
    screen.field("score", &format!("validation {score}; the test set is not evaluated"));
    screen.line("");
}

/// Before the trainings of a rung, if there are several.
pub(super) fn rung(screen: &Screen, rungs: &[RungRecord], index: usize) {
    if rungs.len() > 1 {
        screen.line(&screen.bold(&format!("rung {} of {}", index + 1, rungs.len())));
    }
}

/// When a training has ended.
pub(super) fn training(screen: &Screen, sweep: &Sweep<'_>, contender: &Contender<'_>, result: &ResultRecord) {
    let settings = sweep.space.describe(&contender.candidate.values);
    let label = format!("{}/{}", contender.number, sweep.candidates.len());
    screen.field(&label, &format!("{settings}: {}", result_text(result, sweep.score)));
}

/// How a training ended.
fn result_text(result: &ResultRecord, score: ScoreName) -> String {
    match (result.score, &result.failure) {
        (Some(value), _) => {
            let saved = result.saved_epoch.unwrap_or(0);
            format!("{} {value:.3} in epoch {saved} of {}", score.name, result.epochs)
        }
        (None, Some(reason)) => format!("failed: {reason}"),
        (None, None) => "failed".to_owned(),
    }
}

/// After the last training; `best` has the settings to train again. The screen has its paths, which no file has with
/// `--pseudonyms`.
pub(super) fn results(
    screen: &Screen,
    sweep: &Sweep<'_>,
    (record, best): (&SweepRecord, &TrainConfig),
    is_medical: bool,
    folder: &RunFolder,
) {
    let mut heading = vec!["training".to_owned()];
    heading.extend(record.settings.iter().map(|setting| setting.name.to_owned()));
    heading.extend(["epochs", sweep.score.name, "log loss"].map(str::to_owned));
    if sweep.score.key == "log_loss" {
        heading.pop();
    }
    let rows = record.trainings.iter().take(MAX_ROWS).map(|training| row(record, training));
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    screen.line("");
    screen.indented(&table(&rows));
    let n_more = record.trainings.len().saturating_sub(MAX_ROWS);
    if n_more > 0 {
        screen.line(&format!("  and {n_more} more, in sweep.html"));
    }
    if record.trainings.iter().any(|training| training.last().set == Some(VAL_WITHOUT_LEAKAGE)) {
        screen.field("note", "the scores leave out the validation images that leaked");
    }
    tables::show_caution(screen, is_medical);
    screen.line("");
    screen.field("sweep", &folder.file("sweep.html").display().to_string());
    if record.command.is_some() {
        let n = counted(record.trainings.len(), "validation score");
        screen.field(
            "best",
            &format!("training {}. As the best of {n} it is too high by selection, and says little about new images. \
                     The test set was not evaluated: train the best setting once, and report the test metrics of \
                     that run:", record.trainings[0].number),
        );
        screen.line(&format!("  {}", best.command_line()));
    }
}

fn row(record: &SweepRecord, training: &TrainingRecord) -> Vec<String> {
    let last = training.last();
    let score = last.score.map_or_else(|| "failed".to_owned(), |score| format!("{score:.3}"));
    let mut row = vec![training.number.to_string()];
    row.extend(record.settings.iter().map(|setting| training.text_of(setting.name)));
    row.extend([last.epochs.to_string(), score]);
    if record.score.key != "log_loss" {
        row.push(number(last.log_loss));
    }
    row
}
