//! What can be wrong with the settings.

use std::io;
use std::path::PathBuf;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A setting is out of its range.
    #[error("{name} is {found}: expected {expected} (flag --{name}, or key `{name}` of the config file)")]
    OutOfRange {
        /// Flag and key.
        name: &'static str,
        /// Its value.
        found: String,
        /// Its range.
        expected: &'static str,
    },
    /// Two settings exclude each other.
    #[error("{first} cannot be used with {second}: {reason}")]
    Conflict {
        /// One of them.
        first: &'static str,
        /// The other one.
        second: &'static str,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// A combination of settings of a search cannot be used.
    #[error("{settings} cannot be used together: {error}")]
    UnusableCombination {
        /// The settings with their values.
        settings: String,
        /// Why not.
        error: Box<ConfigError>,
    },
    /// The config file does not exist, or cannot be read.
    #[error("cannot read the config file {}: {source}; check the path", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The config file is not valid TOML, or has an unknown key or a value of the wrong type.
    #[error("config file {}, line {line}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line of the fault, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}
