//! The flag of all commands that load training data: where decoded images are kept.

use std::path::PathBuf;

use clap::Args;

use crate::config::TrainConfig;
use crate::config::error::ConfigError;

/// Where decoded images are kept. Not a setting of a run: no result depends on it.
#[derive(Debug, Args)]
pub(super) struct CacheArgs {
    /// Folder for a file with the decoded images, outside of DATA, which is made by the first run and makes the next ones start in
    /// seconds. Results are the same as without it; a file of it that does not fit the images, or is damaged, is made anew
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

impl CacheArgs {
    /// The settings with the folder.
    ///
    /// # Errors
    /// [`ConfigError::Conflict`] for films that the program draws.
    pub(super) fn add_to(&self, config: TrainConfig) -> Result<TrainConfig, ConfigError> {
        if self.cache.is_some() && config.uses_phantom() {
            let reason = "they are drawn, not decoded; leave it out, or give other images";
            return Err(ConfigError::Conflict { first: "--cache", second: "the phantom films", reason });
        }
        Ok(TrainConfig { cache: self.cache.clone(), ..config })
    }

    /// The folder.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        self.cache.clone()
    }
}
