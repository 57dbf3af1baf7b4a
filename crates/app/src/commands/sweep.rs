//! `roentgen sweep`: searches settings on the validation set; new, or continued from where it was interrupted.

use std::path::Path;

use crate::config::TrainConfig;
use crate::config::on_ranks::{shared_config, shared_space};
use crate::config::search_space::SearchSpace;
use crate::error::AppError;
use crate::model::instruction_sets::OtherCpu;
use crate::ranks::Ranks;
use crate::run_dir::error::RunDirError;
use crate::run_dir::file_names::SPACE;
use crate::run_dir::planned_folder::PlannedFolder;
use crate::run_dir::run_folder::RunFolder;
use crate::terminal::screen::Screen;
use crate::training::resumption::Resumption;
use crate::training::several::share::Share;
use crate::training::several::sweep::{Sweep, to_try_again};
use crate::training::several::whole_folder::WholeFolder;

/// Searches `space` in a new folder at `out`; `config` has the settings that all trainings share. With several ranks, what the
/// first one has counts.
///
/// # Errors
/// Unusable settings or data, before the folder is created; then as [`Sweep::run`].
pub(crate) fn run(
    config: &TrainConfig,
    space: &SearchSpace,
    out: Option<&Path>,
    ranks: &Ranks,
    screen: &Screen,
) -> Result<(), AppError> {
    let folder = ranks.first(|| PlannedFolder::for_run(out, config).map_err(AppError::from))?;
    let sweep = ranks.together(|| Sweep::new(config, space).map_err(AppError::from))?;
    Ok(sweep.run(folder.map(WholeFolder::Planned), ranks, OtherCpu::Reject, screen)?)
}

/// Trains one task's share of a sweep, in the folder `out` that all tasks work in.
///
/// # Errors
/// As [`run()`].
pub(crate) fn run_task(
    config: &TrainConfig,
    space: &SearchSpace,
    task: Share,
    out: &Path,
    other_cpu: OtherCpu,
    screen: &Screen,
) -> Result<(), AppError> {
    PlannedFolder::for_task(out, config)?;
    Ok(Sweep::new(config, space)?.run_task(task, out, other_cpu, screen)?)
}

/// Continues a sweep that was interrupted, or that has ended with trainings that lacked memory. Trainings that have ended
/// otherwise are not repeated.
///
/// # Errors
/// If the folder is not that of a sweep, or settings or images have changed; else as [`run()`].
pub(crate) fn resume(
    path: &Path,
    resumption: &Resumption,
    ranks: &Ranks,
    screen: &Screen,
) -> Result<(), AppError> {
    let (folder, found) = ranks.first(|| open(path, resumption))?.unzip();
    let (config, space) = found.unzip();
    let config = shared_config::<AppError>(config, resumption.cache.clone(), ranks)?;
    let space = shared_space::<AppError>(space, ranks)?;
    let sweep = ranks.together(|| Sweep::new(&config, &space).map(Sweep::again).map_err(AppError::from))?;
    Ok(sweep.run(folder.map(WholeFolder::Existing), ranks, resumption.other_cpu, screen)?)
}

/// The folder of a sweep that can be continued, with its settings and what it searches.
fn open(path: &Path, resumption: &Resumption) -> Result<(RunFolder, (TrainConfig, SearchSpace)), AppError> {
    let tries_again = !to_try_again(path).is_empty();
    let folder = if tries_again { RunFolder::reopen(path)? } else { RunFolder::open(path)? };
    if !folder.file(SPACE).is_file() {
        let reason = "it is not the folder of a sweep; a run is continued with roentgen train --resume";
        return Err(RunDirError::not_resumable(path, reason).into());
    }
    let config = resumption.read_config(&folder)?;
    let space = SearchSpace::read(&folder.file(SPACE))?;
    Ok((folder, (config, space)))
}
