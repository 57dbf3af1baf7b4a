//! The parts of a run that consists of several trainings, such as one for each fold or seed. The run folder holds a complete
//! run for each part.

use roentgen_data::Dataset;

use super::same_settings;
use super::whole_folder::{Whole, WholeFolder};
use crate::config::TrainConfig;
use crate::data_loading::error::DataLoadingError;
use crate::data_loading::several::DataLoader;
use crate::memory::MemoryShare;
use crate::metrics::test_metrics::TestMetrics;
use crate::model::instruction_sets::OtherCpu;
use crate::model::predicted_set::PredictedSet;
use crate::ranks::Ranks;
use crate::run_dir::error::{RunDirError, WriteError};
use crate::run_dir::file_names::{CONFIG, METRICS};
use crate::run_dir::planned_folder::PlannedFolder;
use crate::run_dir::run_folder::RunFolder;
use crate::terminal::screen::Screen;
use crate::training::error::TrainingError;
use crate::training::on_ranks::leader::Leader;
use crate::training::pipeline::{self, Execution, FinishedRun};
use crate::training::resumption::Resumption;

/// One of several trainings.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Shown above it.
    pub heading: String,
    /// Its folder in that of the whole.
    pub folder: String,
    /// Its settings.
    pub config: TrainConfig,
}

/// The result of a part.
#[derive(Debug)]
pub(super) struct PartResult<'a> {
    pub(super) data: &'a Dataset,
    pub(super) metrics: TestMetrics,
    pub(super) test: PredictedSet,
}

/// Trains every part that has not ended yet, and hands the results of all of them, in their order, to `gather`. `config` has the
/// settings of the whole, and `other_cpu` is for the parts that are resumed. Returns the folder of the whole.
///
/// # Errors
/// As [`pipeline::train`], of any part; as [`pipeline::reopen`] and [`pipeline::train_in_folder`], of a part that is resumed.
pub(super) fn train_parts(
    config: &TrainConfig,
    parts: &[Part],
    mut folder: WholeFolder,
    other_cpu: OtherCpu,
    screen: &Screen,
    mut gather: impl FnMut(PartResult<'_>),
) -> Result<RunFolder, TrainingError> {
    let mut loader = DataLoader::default();
    for part in parts {
        screen.line(&screen.bold(&part.heading));
        let data = load_tested(&mut loader, part, screen)?;
        let opened = folder.open(Whole::of(config), data)?;
        let trained = train_unless_ended(part, data, &opened, MemoryShare::ALL, other_cpu, screen)?;
        let (metrics, test) = match trained {
            Some(FinishedRun { metrics, test, .. }) => {
                metrics.test.zip(test).ok_or(DataLoadingError::EmptyTest)?
            }
            None => {
                let path = opened.file(&part.folder);
                screen.field("evaluated", &format!("again: {} has ended", path.display()));
                pipeline::evaluate_ended_run(&path, data, other_cpu)?
            }
        };
        gather(PartResult { data, metrics, test });
        screen.line("");
        folder = WholeFolder::Existing(opened);
    }
    let WholeFolder::Existing(folder) = folder else { unreachable!("the first part created it") };
    Ok(folder)
}

/// Trains the parts of a share that have not ended yet, each with `memory`, in a folder that others work in too. Returns their
/// folders.
///
/// # Errors
/// As [`train_parts`].
pub(super) fn train_share(
    parts: &[&Part],
    loader: &mut DataLoader,
    folder: &RunFolder,
    memory: MemoryShare,
    other_cpu: OtherCpu,
    screen: &Screen,
) -> Result<Vec<String>, TrainingError> {
    for part in parts {
        screen.line(&screen.bold(&part.heading));
        let data = load_tested(loader, part, screen)?;
        if train_unless_ended(part, data, folder, memory, other_cpu, screen)?.is_none() {
            screen.field("run", &format!("{} has ended before", folder.file(&part.folder).display()));
        }
        screen.line("");
    }
    Ok(parts.iter().map(|part| part.folder.clone()).collect())
}

/// The data of a part, which must have a test set.
pub(super) fn load_tested<'a>(
    loader: &'a mut DataLoader,
    part: &Part,
    screen: &Screen,
) -> Result<&'a Dataset, DataLoadingError> {
    tested(loader.load(&part.config, screen)?)
}

/// The data, which must have a test set.
pub(super) fn tested(data: &Dataset) -> Result<&Dataset, DataLoadingError> {
    if data.test.is_empty() { Err(DataLoadingError::EmptyTest) } else { Ok(data) }
}

/// Fails if parts of the folder have not ended.
///
/// # Errors
/// [`RunDirError::NotEnded`].
pub(super) fn check_ended<'a>(
    folders: impl IntoIterator<Item = &'a str>,
    whole: &RunFolder,
) -> Result<(), RunDirError> {
    let missing: Vec<String> =
        folders.into_iter().filter(|folder| !whole.has_ended(folder)).map(str::to_owned).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(RunDirError::NotEnded { path: whole.path().to_owned(), folders: missing })
}

/// Trains a part in its own folder, or resumes it; `None` if it has ended before. In both cases it must have been trained with
/// the settings of the part.
fn train_unless_ended(
    part: &Part,
    data: &Dataset,
    folder: &RunFolder,
    memory: MemoryShare,
    other_cpu: OtherCpu,
    screen: &Screen,
) -> Result<Option<FinishedRun>, TrainingError> {
    let path = folder.file(&part.folder);
    same_settings::check_begun(&path, &part.config)?;
    if path.join(METRICS).is_file() {
        RunFolder::finish_ended(&path);
        return Ok(None);
    }
    let whole = Whole::of(&part.config);
    let begun = begin_or_reopen(&part.config, data, whole, folder, &part.folder, memory);
    let ranks = Ranks::one();
    let leader = Leader::of(&ranks);
    let finished = begun.and_then(|(config, folder)| {
        pipeline::train_in_folder(&config, data, folder, Execution::new(&leader, other_cpu), screen)
    });
    finished.map(Some).map_err(|error| resumable_as_a_whole(error, folder))
}

/// Begins the training with the settings `config` in the folder `name` inside `folder`, that of the whole, or reopens it where it
/// has begun, with `memory`. Returns its settings and its folder.
///
/// # Errors
/// As [`pipeline::begin`], and if the file of `--init` is not that of the other trainings; as [`pipeline::reopen`].
pub(super) fn begin_or_reopen(
    config: &TrainConfig,
    data: &Dataset,
    whole: Whole<'_>,
    folder: &RunFolder,
    name: &str,
    memory: MemoryShare,
) -> Result<(TrainConfig, RunFolder), TrainingError> {
    let path = folder.file(name);
    if path.join(CONFIG).is_file() {
        let resumption = Resumption { threads: config.threads, ..Resumption::default() };
        return pipeline::reopen(&path, &resumption, data, memory);
    }
    whole.check_init(folder)?;
    pipeline::begin(config, data, PlannedFolder::inside(folder, name), memory)
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

/// An error of one task, which its own command continues, while others work in the folder of the whole.
pub(super) fn resumable_as_a_task(error: TrainingError) -> TrainingError {
    match error {
        TrainingError::Interrupted { signal, .. } => TrainingError::TaskInterrupted { signal },
        TrainingError::RunDir(RunDirError::ResumableWrite { path, source, .. }) => {
            RunDirError::from(WriteError { path, source }).into()
        }
        TrainingError::RunDir(RunDirError::Moved { path }) => {
            RunDirError::from(WriteError { path, source: std::io::ErrorKind::NotFound.into() }).into()
        }
        other => other,
    }
}
