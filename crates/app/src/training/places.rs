//! Where a training that is continued finds its images: they may have been moved.

use std::path::PathBuf;

use crate::config::TrainConfig;
use crate::config::error::ConfigError;

/// Where what is continued finds its images.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Their new path, if they were moved. Other images are rejected: a checkpoint, a model, and the folder of several trainings
    /// have digests of them.
    pub(crate) moved_data: Option<PathBuf>,
    /// The new path of [`TrainConfig::test`], likewise.
    pub(crate) moved_test: Option<PathBuf>,
    /// [`TrainConfig::cache`].
    pub(crate) cache: Option<PathBuf>,
}

impl Places {
    /// Whether anything was moved.
    pub(crate) fn is_moved(&self) -> bool {
        self.moved_data.is_some() || self.moved_test.is_some()
    }

    /// The settings with the places of now.
    ///
    /// # Errors
    /// [`ConfigError::Conflict`] if there were no test images of their own.
    pub(crate) fn over(self, config: TrainConfig) -> Result<TrainConfig, ConfigError> {
        let Self { moved_data, moved_test, cache } = self;
        if moved_test.is_some() && config.test.is_none() {
            let reason = "it is the new place of test images that were given with --test; leave it out";
            return Err(ConfigError::Conflict {
                first: "--test",
                second: "what began without --test",
                reason,
            });
        }
        let (data, test) = (moved_data.unwrap_or(config.data), moved_test.or(config.test));
        Ok(TrainConfig { data, test, cache, ..config })
    }
}
