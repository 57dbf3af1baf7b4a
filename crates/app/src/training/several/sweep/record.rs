//! From the trainings of a sweep to `sweep.json`.

use serde_json::{Map, Value};

use super::{Contender, Sweep};
use crate::config::TrainConfig;
use crate::config::pseudonyms::KEY_FILE;
use crate::config::search_space::values::{Range, Spacing, Values};
use crate::run_dir::sweep_record::{RungRecord, SearchedValues, SettingRecord, SweepRecord, TrainingRecord};

/// The record of a sweep whose settings are in order, the best first.
pub(super) fn of(sweep: &Sweep<'_>, rungs: Vec<RungRecord>, contenders: &[Contender<'_>]) -> SweepRecord {
    let searched = &sweep.space.searched;
    let settings = searched.iter().map(|searched| SettingRecord {
        name: searched.setting.name(),
        values: match &searched.values {
            Values::List(values) => SearchedValues::List { values: values.clone() },
            Values::Range(Range { from, to, spacing, .. }) => {
                SearchedValues::Range { from: *from, to: *to, log: *spacing == Spacing::Log }
            }
        },
    });
    let training = |contender: &Contender<'_>| TrainingRecord {
        number: contender.number,
        settings: searched
            .iter()
            .zip(&contender.candidate.values)
            .map(|(searched, text)| (searched.setting.name().to_owned(), typed(text)))
            .collect::<Map<_, _>>(),
        rungs: contender.results.clone(),
    };
    let trainings: Vec<TrainingRecord> = contenders.iter().map(training).collect();
    let best = best(contenders);
    let command = trainings[0].last().score.map(|_| best.with_pseudonyms().command_line());
    let command_key = command.as_ref().filter(|_| best.has_path_pseudonyms()).map(|_| KEY_FILE);
    SweepRecord { score: sweep.score, settings: settings.collect(), rungs, trainings, command, command_key }
}

/// The settings that train the best of a sweep again.
pub(super) fn best(contenders: &[Contender<'_>]) -> TrainConfig {
    // A sweep may be resumed with another number of threads.
    TrainConfig { threads: None, ..contenders[0].candidate.config.with_absolute_paths() }
}

/// A text of the command line as a number or a boolean of JSON, where it is one.
fn typed(text: &str) -> Value {
    let value = serde_json::from_str(text).ok();
    value.filter(|value: &Value| value.is_number() || value.is_boolean()).unwrap_or_else(|| text.into())
}
