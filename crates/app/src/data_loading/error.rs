//! What can be wrong with the data of a configuration.

use roentgen_data::DataError;

use crate::config::error::ConfigError;

/// Why data cannot be trained or tested on.
#[derive(Debug, thiserror::Error)]
pub enum DataLoadingError {
    /// A setting does not fit the images.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The images cannot be read, or are not a data set.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The sets share images or patients, under `--strict`.
    #[error(
        "--strict: the sets share {what}; remove them from one of the sets, or leave --strict out:\n{list}"
    )]
    Leakage {
        /// `images`, or `images or patients` where patients are known.
        what: &'static str,
        /// One indented line each.
        list: String,
    },
    /// The test set is empty.
    #[error("there are no test images; give a test set, or a larger --test-fraction")]
    EmptyTest,
}

impl DataLoadingError {
    /// Whether a setting is wrong, or the data are not what can be used.
    pub(crate) fn is_usage_error(&self) -> bool {
        match self {
            Self::Data(error) => is_wrong_input(error),
            Self::Config(_) | Self::EmptyTest => true,
            Self::Leakage { .. } => false,
        }
    }
}

/// Whether the data or the settings that were given cannot be used; if a file cannot be written, the work itself
/// failed.
pub(crate) fn is_wrong_input(error: &DataError) -> bool {
    !matches!(error, DataError::Write { .. } | DataError::UnreadableCache { .. })
}
