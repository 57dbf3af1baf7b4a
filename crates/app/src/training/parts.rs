//! The parts of a run that consists of several trainings, such as one for each fold or seed. The run folder holds a complete
//! run for each part.

use roentgen_data::Dataset;
use serde::Serialize;

use super::pipeline::{self, FinishedRun, ResumeOptions};
use crate::config::TrainConfig;
use crate::data_loading::error::DataLoadingError;
use crate::data_loading::several::DataLoader;
use crate::metrics::test_metrics::TestMetrics;
use crate::model::predicted_set::PredictedSet;
use crate::run_dir::error::RunDirError;
use crate::run_dir::file_names::{CONFIG, METRICS};
use crate::run_dir::pseudonym_key;
use crate::run_dir::run_folder::{PlannedFolder, RunFolder};
use crate::terminal::foreign_text::printable_json;
use crate::terminal::screen::Screen;
use crate::training::error::TrainingError;

/// One of several trainings.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Shown above it.
    pub heading: String,
    /// Its folder in that of the whole.
    pub folder: String,
    /// Its settings.
    pub config: TrainConfig,
}

/// The folder of the whole.
#[derive(Debug)]
pub(crate) enum WholeFolder {
    /// Created once the data are known to be usable.
    Planned(PlannedFolder),
    /// That of an interrupted run, or one that was created a part ago.
    Existing(RunFolder),
}

impl WholeFolder {
    /// The folder; a new one gets the settings of the whole, and the file `more`, if there is one.
    pub(super) fn open(
        self,
        config: &TrainConfig,
        data: &Dataset,
        more: Option<(&str, &str)>,
    ) -> Result<RunFolder, TrainingError> {
        match self {
            Self::Existing(folder) => Ok(folder),
            Self::Planned(planned) => {
                let folder = planned.create()?;
                pseudonym_key::write(config, data, &folder)?;
                if let Some((name, text)) = more {
                    folder.write(name, text.as_bytes())?;
                }
                folder.write(CONFIG, config.recorded().to_toml().as_bytes())?;
                Ok(folder)
            }
        }
    }
}

/// What a part ended with.
#[derive(Debug)]
pub(super) struct PartResult<'a> {
    pub(super) data: &'a Dataset,
    pub(super) metrics: TestMetrics,
    pub(super) test: PredictedSet,
}

/// Trains every part that has not ended yet, and hands the results of all of them, in their order, to `gather`. `config` has the
/// settings of the whole. Returns its folder.
///
/// # Errors
/// As [`pipeline::train`], of any part; and as [`pipeline::resume`], for which `other_cpu` is.
pub(super) fn train_parts(
    config: &TrainConfig,
    parts: &[Part],
    mut folder: WholeFolder,
    other_cpu: bool,
    screen: &Screen,
    mut gather: impl FnMut(PartResult<'_>),
) -> Result<RunFolder, TrainingError> {
    let mut loader = DataLoader::default();
    for part in parts {
        screen.line(&screen.bold(&part.heading));
        let data = loader.load(&part.config, screen)?;
        if data.test.is_empty() {
            return Err(DataLoadingError::EmptyTest.into());
        }
        let opened = folder.open(config, data, None)?;
        let (metrics, test) = train_part(part, data, &opened, other_cpu, screen)?;
        gather(PartResult { data, metrics, test });
        screen.line("");
        folder = WholeFolder::Existing(opened);
    }
    let WholeFolder::Existing(folder) = folder else { unreachable!("the first part created it") };
    Ok(folder)
}

/// Writes the metrics of the whole, with which it has ended.
///
/// # Errors
/// As [`RunFolder::write`].
pub(super) fn end_whole(folder: &RunFolder, metrics: &impl Serialize) -> Result<(), RunDirError> {
    let json =
        printable_json(&serde_json::to_string_pretty(metrics).expect("metrics are plain numbers and names"));
    folder.write(METRICS, (json + "\n").as_bytes())?;
    folder.finish()
}

/// Trains a part in its own folder, resumes it, or evaluates it again if it has ended.
fn train_part(
    part: &Part,
    data: &Dataset,
    folder: &RunFolder,
    other_cpu: bool,
    screen: &Screen,
) -> Result<(TestMetrics, PredictedSet), TrainingError> {
    let path = folder.file(&part.folder);
    if path.join(METRICS).is_file() {
        screen.field("evaluated", &format!("again: {} has ended", path.display()));
        return pipeline::evaluate_ended_run(&path, data, other_cpu);
    }
    let finished = if path.join(CONFIG).is_file() {
        pipeline::resume(&path, ResumeOptions { threads: part.config.threads, other_cpu }, data, screen)
    } else {
        pipeline::train(&part.config, data, folder.inside(&part.folder), screen)
    };
    let FinishedRun { metrics, test, .. } = finished.map_err(|error| resumable_as_a_whole(error, folder))?;
    metrics.test.zip(test).ok_or_else(|| DataLoadingError::EmptyTest.into())
}

/// An error of one part whose advice names the folder of the whole: that is the one to resume.
pub(super) fn resumable_as_a_whole(mut error: TrainingError, folder: &RunFolder) -> TrainingError {
    if let TrainingError::Interrupted { run, .. }
    | TrainingError::RunDir(RunDirError::ResumableWrite { run, .. }) = &mut error
    {
        folder.path().clone_into(run);
    }
    error
}
