//! The settings of the first rank, on all ranks.

use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::search_space::SearchSpace;
use super::settings::TrainConfig;
use crate::ranks::Ranks;
use crate::ranks::error::RankError;

/// The settings that the first rank has as its `own`, on all ranks; each has its own `cache`.
///
/// # Errors
/// If a rank cannot be reached.
pub(crate) fn shared_config<E: From<RankError> + From<ConfigError>>(
    own: Option<TrainConfig>,
    cache: Option<PathBuf>,
    ranks: &Ranks,
) -> Result<TrainConfig, E> {
    let config = match own {
        Some(config) if ranks.size() == 1 => config,
        own => {
            let own = own.map(|config| config.with_absolute_paths().to_toml());
            TrainConfig::from_toml(&shared_text(own, ranks)?)?
        }
    };
    Ok(TrainConfig { cache, ..config })
}

/// The search space that the first rank has read, on all ranks.
///
/// # Errors
/// If a rank cannot be reached.
pub(crate) fn shared_space<E: From<RankError> + From<ConfigError>>(
    own: Option<SearchSpace>,
    ranks: &Ranks,
) -> Result<SearchSpace, E> {
    match own {
        Some(space) if ranks.size() == 1 => Ok(space),
        own => {
            let text = shared_text(own.map(|space| space.text), ranks)?;
            Ok(SearchSpace::parse(Path::new("the file of the first rank"), text)?)
        }
    }
}

fn shared_text(own: Option<String>, ranks: &Ranks) -> Result<String, RankError> {
    let mut bytes = own.map(String::into_bytes).unwrap_or_default();
    ranks.broadcast(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
