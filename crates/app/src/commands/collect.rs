//! `roentgen collect`: the results over all trainings, once every task has ended.

use std::path::Path;

use crate::config::search_space::SearchSpace;
use crate::error::AppError;
use crate::model::instruction_sets::OtherCpu;
use crate::ranks::Ranks;
use crate::run_dir::error::RunDirError;
use crate::run_dir::file_names::{CONFIG, SPACE};
use crate::run_dir::run_folder::RunFolder;
use crate::terminal::screen::Screen;
use crate::training::resumption::Resumption;
use crate::training::several::several_runs::SeveralRuns;
use crate::training::several::sweep::Sweep;
use crate::training::several::whole_folder::WholeFolder;

/// Joins the trainings in the folder `path`. Trains nothing.
///
/// # Errors
/// If tasks still work in the folder, or trainings have not ended; if it is the folder of a single training; if the images are
/// not those of the trainings.
pub(crate) fn run(path: &Path, resumption: &Resumption, screen: &Screen) -> Result<(), AppError> {
    if !path.join(CONFIG).is_file() {
        return Err(RunDirError::NotOfTasks { path: path.into() }.into());
    }
    let folder = RunFolder::open(path)?;
    let config = resumption.read_config(&folder)?;
    if folder.file(SPACE).is_file() {
        let space = SearchSpace::read(&folder.file(SPACE))?;
        let sweep = Sweep::new(&config, &space)?;
        sweep.check_ended(&folder)?;
        // All have ended, and their figures are read: nothing is computed with the arithmetic of this build.
        let folder = Some(WholeFolder::Existing(folder));
        return Ok(sweep.run(folder, &Ranks::one(), OtherCpu::Allow, screen)?);
    }
    let Some(several) = SeveralRuns::of(&config) else {
        return Err(RunDirError::NothingToCollect { path: path.into() }.into());
    };
    several.check_ended(&folder)?;
    Ok(several.run(WholeFolder::Existing(folder), resumption.other_cpu, screen)?)
}
