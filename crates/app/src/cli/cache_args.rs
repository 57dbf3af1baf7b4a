//! The flag of all commands that load training data: where decoded images are kept.

use std::path::PathBuf;

use clap::Args;

use crate::config::TrainConfig;

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
    pub(super) fn add_to(&self, config: TrainConfig) -> TrainConfig {
        TrainConfig { cache: self.folder(), ..config }
    }

    /// The folder.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        self.cache.clone()
    }
}
