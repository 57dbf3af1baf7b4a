//! `roentgen sweep`: searches settings on the validation set; new, or continued from where it was interrupted.

use std::path::{Path, PathBuf};

use crate::config::TrainConfig;
use crate::config::search_space::SearchSpace;
use crate::error::AppError;
use crate::run_dir::error::RunDirError;
use crate::run_dir::file_names::SPACE;
use crate::run_dir::run_folder::{PlannedFolder, RunFolder};
use crate::terminal::screen::Screen;
use crate::training::parts::WholeFolder;
use crate::training::pipeline::ResumeOptions;
use crate::training::sweep::Sweep;

/// Searches `space` in a new folder at `out`; `config` has the settings that all trainings share.
///
/// # Errors
/// Unusable settings or data, before the folder is created; then as [`Sweep::run`].
pub(crate) fn run(
    config: &TrainConfig,
    space: &SearchSpace,
    out: Option<&Path>,
    screen: &Screen,
) -> Result<(), AppError> {
    let folder = PlannedFolder::new(out)?;
    if !config.uses_phantom() {
        folder.check_outside(&config.data)?;
    }
    let sweep = Sweep::new(config, space)?;
    Ok(sweep.run(WholeFolder::Planned(folder), false, screen)?)
}

/// Continues an interrupted sweep, with the decoded images in `cache`. Trainings that have ended are not repeated.
///
/// # Errors
/// If the folder is not that of a sweep, or settings or images have changed; else as [`run()`].
pub(crate) fn resume(
    path: &Path,
    options: ResumeOptions,
    cache: Option<PathBuf>,
    screen: &Screen,
) -> Result<(), AppError> {
    let folder = RunFolder::open(path)?;
    if !folder.file(SPACE).is_file() {
        let reason = "it is not the folder of a sweep; a run is continued with roentgen train --resume";
        return Err(RunDirError::NotResumable { path: path.into(), reason: reason.to_owned() }.into());
    }
    let config = TrainConfig { cache, ..options.read_config(&folder)? };
    let space = SearchSpace::read(&folder.file(SPACE))?;
    let sweep = Sweep::new(&config, &space)?;
    Ok(sweep.run(WholeFolder::Existing(folder), options.other_cpu, screen)?)
}
