//! What can go wrong in `roentgen bench`.

use std::path::PathBuf;

/// Why a benchmark did not measure.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The filter matches no case and no layer.
    #[error("--filter {filter} matches nothing; there are: {names}")]
    NothingToMeasure {
        /// The filter that was given.
        filter: String,
        /// All names that it could match.
        names: String,
    },
    /// A process that measures failed.
    #[error("{program} did not measure: {reason}")]
    Process {
        /// The program that was started.
        program: String,
        /// The error of the operating system, or the last line that the process wrote to its standard error.
        reason: String,
    },
    /// The file is not a record of a benchmark.
    #[error("cannot use the record {}: {reason}; give a file that `bench --save` wrote", path.display())]
    RecordInvalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl BenchError {
    /// Whether a flag is wrong, rather than the work itself.
    pub(crate) fn is_usage_error(&self) -> bool {
        match self {
            Self::NothingToMeasure { .. } | Self::RecordInvalid { .. } => true,
            Self::Process { .. } => false,
        }
    }
}
