//! The folder of several trainings, in which each of them has a folder of its own.

use std::path::{Path, PathBuf};

use roentgen_data::{Dataset, SubsetOrigin, read_text_file};

use crate::config::TrainConfig;
use crate::config::error::ConfigError;
use crate::model::error::ModelError;
use crate::model::model_file;
use crate::ranks::Ranks;
use crate::run_dir::error::RunDirError;
use crate::run_dir::file_names::{CONFIG, IMAGES};
use crate::run_dir::planned_folder::PlannedFolder;
use crate::run_dir::pseudonym_key;
use crate::run_dir::run_folder::RunFolder;
use crate::training::error::TrainingError;
use crate::training::inputs;
use crate::training::inputs::class_names_digest;

/// Largest file of settings that is compared.
const MAX_BYTES: u64 = 1 << 20;

/// The folder of the whole.
#[derive(Debug)]
pub(crate) enum WholeFolder {
    /// Created once the data are known to be usable.
    Planned(PlannedFolder),
    /// The folder of an interrupted run, or one that an earlier part has created.
    Existing(RunFolder),
    /// The folder of several tasks, which the first of them creates.
    OfTasks(PathBuf),
}

/// The content of the files that the folder has besides the folders of the trainings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole<'a> {
    /// The settings of the whole.
    pub(crate) config: &'a TrainConfig,
    /// The file of `--init` that all trainings begin with.
    pub(crate) init: Option<&'a Path>,
    /// Another file, by its name, and its content.
    pub(crate) more: Option<(&'static str, &'a str)>,
}

impl WholeFolder {
    /// The folder; a new one gets the files of the whole.
    ///
    /// # Errors
    /// Files that cannot be written; a folder of tasks with other settings.
    pub(crate) fn open(self, whole: Whole<'_>, data: &Dataset) -> Result<RunFolder, TrainingError> {
        match self {
            Self::Existing(folder) => {
                whole.check_images(data, &folder)?;
                Ok(folder)
            }
            Self::Planned(planned) => {
                let init = whole.init_digest()?;
                let folder = planned.create()?;
                whole.write(data, init.as_deref(), &folder)?;
                Ok(folder)
            }
            Self::OfTasks(path) => {
                // What is there and is no run stays. A run that is there, or that another task makes meanwhile, is joined.
                match PlannedFolder::new(Some(&path)) {
                    Ok(_) | Err(RunDirError::OutIsRun { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                // Only the first task writes it; in another one, all trainings may have begun and need the file no longer.
                let init = if path.join(CONFIG).is_file() { None } else { whole.init_digest()? };
                let folder = RunFolder::join(&path, |folder| whole.write(data, init.as_deref(), folder))?;
                whole.check(&folder)?;
                whole.check_images(data, &folder)?;
                Ok(folder)
            }
        }
    }

    /// As [`Self::open`], on several ranks, which then work in it together. The first one gives the folder.
    ///
    /// # Errors
    /// As [`Self::open`]; [`RunDirError::NotSeen`] of a rank that does not share the file system.
    pub(crate) fn open_on(
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

impl<'a> Whole<'a> {
    /// For trainings that all have the settings `config`, but for seed or fold.
    pub(crate) fn of(config: &'a TrainConfig) -> Self {
        Self { config, init: config.init.as_deref(), more: None }
    }

    /// Writes the files of a new folder; `init` is the digest of the file of `--init`.
    fn write(self, data: &Dataset, init: Option<&str>, folder: &RunFolder) -> Result<(), RunDirError> {
        pseudonym_key::write(self.config, data, folder)?;
        if let Some((name, text)) = self.more {
            folder.write(name, text.as_bytes())?;
        }
        inputs::write(folder, &self.images_digest(data), init)?;
        // Last: a folder that has it can be continued.
        folder.write(CONFIG, self.config.recorded().to_toml().as_bytes())
    }

    /// Fails if the images are others than those of the first training.
    pub(crate) fn check_images(self, data: &Dataset, folder: &RunFolder) -> Result<(), RunDirError> {
        let (path, digest) = (folder.file(IMAGES), self.images_digest(data));
        if read_text_file(&path, MAX_BYTES).is_ok_and(|found| found.lines().next() == Some(digest.as_str())) {
            return Ok(());
        }
        let reason = "the images are no longer those that its trainings began with, or their patients or class names have \
                      changed; restore them, or begin in another folder";
        Err(RunDirError::not_resumable(folder.path(), reason))
    }

    /// Fails if the file of `--init` is another one than the trainings began with: for one that begins. Those that have ended, or
    /// have a checkpoint, do not need the file.
    ///
    /// # Errors
    /// [`RunDirError::NotResumable`]; [`ModelError`] if it cannot be read.
    pub(crate) fn check_init(self, folder: &RunFolder) -> Result<(), TrainingError> {
        match self.init_digest()? {
            Some(digest) => Ok(inputs::check_init(folder, &digest)?),
            None => Ok(()),
        }
    }

    fn init_digest(self) -> Result<Option<String>, ModelError> {
        self.init.map(model_file::file_digest).transpose()
    }

    /// A digest of all images with their patients, and of the class names, the same for every fold and seed.
    fn images_digest(self, data: &Dataset) -> String {
        let mut hasher = blake3::Hasher::new();
        // Phantom films are drawn anew for every seed.
        if !self.config.uses_phantom() {
            hasher.update(data.fingerprint.as_bytes());
            hasher.update(class_names_digest(&data.class_names).as_bytes());
            // What is split off is in the fingerprint, and depends on the seed.
            for (set, origin) in [(&data.val, data.val_origin), (&data.test, data.test_origin)] {
                if origin == SubsetOrigin::Given {
                    hasher.update(set.digest().as_bytes());
                }
            }
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Fails if a folder is that of other trainings.
    fn check(self, folder: &RunFolder) -> Result<(), TrainingError> {
        let other = |name: &str| RunDirError::OtherTrainings {
            path: folder.path().to_owned(),
            name: name.to_owned(),
        };
        let found = TrainConfig::read(&folder.file(CONFIG))?;
        // The number of threads is not part of a result.
        let text = |config: &TrainConfig| TrainConfig { threads: None, ..config.recorded() }.to_toml();
        let (found, own) = (text(&found), text(self.config));
        if let Some(line) = first_difference(&found, &own) {
            let (setting, _) = line.split_once('=').unwrap_or((line, ""));
            return Err(other(&format!("{} in {CONFIG}", setting.trim())).into());
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

/// The first line of `other` that `one` does not have; without any, the first line of `one` that `other` does not have.
fn first_difference<'a>(one: &'a str, other: &'a str) -> Option<&'a str> {
    let lacking = |text: &'a str, of: &str| text.lines().find(|line| !of.lines().any(|known| known == *line));
    lacking(other, one).or_else(|| lacking(one, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_found() {
        for (one, other, expected) in [
            ("a = 1\nb = 2\n", "a = 1\nb = 2\n", None),
            ("a = 1\nb = 2\n", "a = 1\nb = 3\n", Some("b = 3")),
            ("a = 1\n", "a = 1\nb = 2\n", Some("b = 2")),
            ("a = 1\nb = 2\n", "a = 1\n", Some("b = 2")),
            // A setting that only one of them has does not hide which it is.
            ("a = 1\nb = 2\nc = 3\n", "a = 1\nc = 3\n", Some("b = 2")),
        ] {
            assert_eq!(first_difference(one, other), expected);
        }
    }
}
