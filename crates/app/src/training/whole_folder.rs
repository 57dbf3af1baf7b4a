//! The folder of several trainings, in which each of them has a folder of its own.

use std::path::PathBuf;

use roentgen_data::{Dataset, read_text_file};

use crate::config::TrainConfig;
use crate::config::error::ConfigError;
use crate::ranks::Ranks;
use crate::run_dir::error::RunDirError;
use crate::run_dir::file_names::CONFIG;
use crate::run_dir::planned_folder::PlannedFolder;
use crate::run_dir::pseudonym_key;
use crate::run_dir::run_folder::RunFolder;
use crate::training::error::TrainingError;

/// Largest file of settings that is compared.
const MAX_BYTES: u64 = 1 << 20;

/// The folder of the whole.
#[derive(Debug)]
pub(crate) enum WholeFolder {
    /// Created once the data are known to be usable.
    Planned(PlannedFolder),
    /// That of an interrupted run, or one that was created a part ago.
    Existing(RunFolder),
    /// That of several tasks, which the first of them creates.
    OfTasks(PathBuf),
}

/// What the folder has files of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole<'a> {
    /// The settings of the whole.
    pub(super) config: &'a TrainConfig,
    /// Another file, by its name, and its content.
    pub(super) more: Option<(&'static str, &'a str)>,
}

impl WholeFolder {
    /// The folder; a new one gets the files of the whole.
    ///
    /// # Errors
    /// Files that cannot be written; a folder of tasks with other settings.
    pub(super) fn open(self, whole: Whole<'_>, data: &Dataset) -> Result<RunFolder, TrainingError> {
        match self {
            Self::Existing(folder) => Ok(folder),
            Self::Planned(planned) => {
                let folder = planned.create()?;
                whole.write(data, &folder)?;
                Ok(folder)
            }
            Self::OfTasks(path) => {
                // What is there and is no run stays.
                if !path.join(CONFIG).is_file() {
                    PlannedFolder::new(Some(&path))?;
                }
                let folder = RunFolder::join(&path, |folder| whole.write(data, folder))?;
                whole.check(&folder)?;
                Ok(folder)
            }
        }
    }

    /// As [`Self::open`], on several ranks, which then work in it together. The first one gives the folder.
    ///
    /// # Errors
    /// As [`Self::open`]; [`RunDirError::NotSeen`] of a rank that does not share the file system.
    pub(super) fn open_on(
        folder: Option<Self>,
        ranks: &Ranks,
        whole: Whole<'_>,
        data: &Dataset,
    ) -> Result<RunFolder, TrainingError> {
        let folder = ranks.first(|| folder.expect("the first rank has one").open(whole, data))?;
        if ranks.size() == 1 {
            return Ok(folder.expect("this is the first rank"));
        }
        // The first rank names it as it was given; from here on it is not alone in it.
        let own = folder.map(|folder| folder.path().to_owned());
        let absolute = own.as_ref().and_then(|path| std::path::absolute(path).ok()).unwrap_or_default();
        let mut bytes = absolute.to_string_lossy().into_owned().into_bytes();
        ranks.broadcast(&mut bytes)?;
        let path = own.unwrap_or_else(|| String::from_utf8_lossy(&bytes).into_owned().into());
        ranks.together(|| {
            if !path.join(CONFIG).is_file() {
                return Err(RunDirError::NotSeen { path: path.clone() }.into());
            }
            Ok(RunFolder::join(&path, |_| Ok(()))?)
        })
    }
}

impl Whole<'_> {
    /// Writes the files of a new folder.
    fn write(self, data: &Dataset, folder: &RunFolder) -> Result<(), RunDirError> {
        pseudonym_key::write(self.config, data, folder)?;
        if let Some((name, text)) = self.more {
            folder.write(name, text.as_bytes())?;
        }
        // Last: a folder that has it can be continued.
        folder.write(CONFIG, self.config.recorded().to_toml().as_bytes())
    }

    /// Fails if a folder is that of other trainings.
    fn check(self, folder: &RunFolder) -> Result<(), TrainingError> {
        let other = |name| RunDirError::OtherTrainings { path: folder.path().to_owned(), name };
        let found = TrainConfig::read(&folder.file(CONFIG))?;
        // The number of threads is not part of a result.
        let text = |config: &TrainConfig| TrainConfig { threads: None, ..config.recorded() }.to_toml();
        if text(&found) != text(self.config) {
            return Err(other(CONFIG).into());
        }
        if let Some((name, expected)) = self.more {
            let path = folder.file(name);
            let found = read_text_file(&path, MAX_BYTES)
                .map_err(|error| ConfigError::Unreadable { path, source: error.into() })?;
            if found != expected {
                return Err(other(name).into());
            }
        }
        Ok(())
    }
}
