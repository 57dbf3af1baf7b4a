//! The settings that may differ when a training is continued.

use std::path::PathBuf;

use crate::config::TrainConfig;
use crate::config::error::ConfigError;
use crate::model::instruction_sets::OtherCpu;
use crate::run_dir::file_names::CONFIG;
use crate::run_dir::run_folder::RunFolder;

/// The settings that may differ; all others are as they were.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resumption {
    /// Another number of threads.
    pub(crate) threads: Option<usize>,
    pub(crate) other_cpu: OtherCpu,
    /// The new path of the images, if they were moved. Other images are rejected: a checkpoint, a model, and the folder of a run
    /// have digests of them.
    pub(crate) moved_data: Option<PathBuf>,
    /// The new path of [`TrainConfig::test`], likewise.
    pub(crate) moved_test: Option<PathBuf>,
    /// [`TrainConfig::cache`].
    pub(crate) cache: Option<PathBuf>,
}

impl Resumption {
    /// The configuration in a run folder, checked, with what differs.
    ///
    /// # Errors
    /// As [`TrainConfig::read`] and [`TrainConfig::validate`]; [`ConfigError::Conflict`] if test images were moved that were not
    /// given.
    pub(crate) fn read_config(&self, folder: &RunFolder) -> Result<TrainConfig, ConfigError> {
        let Self { threads, moved_data, moved_test, cache, .. } = self.clone();
        let config = TrainConfig::read(&folder.file(CONFIG))?;
        let config = TrainConfig { threads: threads.or(config.threads), cache, ..config };
        config.validate()?;
        if moved_test.is_some() && config.test.is_none() {
            let reason = "it is the new place of test images that were given with --test; leave it out";
            let (first, second) = ("--test", "what began without --test");
            return Err(ConfigError::Conflict { first, second, reason });
        }
        let (data, test) = (moved_data.unwrap_or(config.data), moved_test.or(config.test));
        Ok(TrainConfig { data, test, ..config })
    }
}
