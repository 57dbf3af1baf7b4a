//! The errors of all rooms as one, with the exit code of the program.
//!
//! Each room has a small error type of its own. Those of `commands` and `bench` are in this room, because it is below
//! them: their functions return the joined type.

use roentgen_data::DataError;

use crate::config::error::ConfigError;
use crate::data_loading::error::{DataLoadingError, is_wrong_input};
use crate::model::error::ModelError;
use crate::ranks::error::{FAILURE, RankError, USAGE, WorkError};
use crate::run_dir::error::{RunDirError, WriteError};
use crate::training::error::TrainingError;
use bench::BenchError;
use command::CommandError;

pub(crate) mod bench;
pub(crate) mod command;
#[cfg(feature = "serve")]
pub(crate) mod serve;

/// Every way in which a command can fail.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The images cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data set of a configuration cannot be used.
    #[error(transparent)]
    DataLoading(#[from] DataLoadingError),
    /// A model file cannot be used.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A run folder cannot be used.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// A file that was asked for could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A training did not finish.
    #[error(transparent)]
    Training(#[from] TrainingError),
    /// Several ranks cannot work together.
    #[error(transparent)]
    Ranks(#[from] RankError),
    /// A benchmark did not measure.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A command did not finish.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The page cannot be served.
    #[cfg(feature = "serve")]
    #[error(transparent)]
    Serve(#[from] serve::ServeError),
    /// The threads could not be started.
    #[error("cannot start {n_threads} threads: {reason}; try fewer with --threads")]
    Threads {
        /// Number of threads.
        n_threads: usize,
        /// The error of the thread pool.
        reason: String,
    },
}

impl WorkError for AppError {
    fn exit_code(&self) -> u8 {
        Self::exit_code(self)
    }
}

impl AppError {
    /// 2 for a usage error, 130 and 143 for an interruption by SIGINT and SIGTERM, 1 for all others; of another rank's error,
    /// that of this error.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Training(error) => error.exit_code(),
            Self::Ranks(error) => error.exit_code(),
            _ if self.is_usage_error() => USAGE,
            _ => FAILURE,
        }
    }

    /// Whether the first of several ranks shows the error, and this one does not.
    pub(crate) fn is_shown_elsewhere(&self) -> bool {
        matches!(self, Self::Ranks(RankError::Shown) | Self::Training(TrainingError::Ranks(RankError::Shown)))
    }

    fn is_usage_error(&self) -> bool {
        match self {
            Self::Config(_) | Self::Model(_) => true,
            Self::Data(error) => is_wrong_input(error),
            Self::DataLoading(error) => error.is_usage_error(),
            Self::RunDir(error) => error.is_usage_error(),
            Self::Training(error) => error.is_usage_error(),
            Self::Ranks(error) => error.is_usage_error(),
            Self::Bench(error) => error.is_usage_error(),
            Self::Command(error) => error.is_usage_error(),
            #[cfg(feature = "serve")]
            Self::Serve(error) => error.is_usage_error(),
            Self::Write(_) | Self::Threads { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranks::in_threads::on_ranks;

    #[test]
    fn usage_errors_interruptions_and_failures_have_different_exit_codes() {
        let conflict =
            || ConfigError::Conflict { first: "--folds", second: "--test", reason: "leave one out" };
        assert_eq!(AppError::from(conflict()).exit_code(), 2);
        assert_eq!(AppError::from(TrainingError::from(conflict())).exit_code(), 2);
        let taken = RunDirError::OutNotEmpty { path: "run".into() };
        assert_eq!(AppError::from(TrainingError::from(taken)).exit_code(), 2);
        assert_eq!(AppError::from(CommandError::NoEvaluationData).exit_code(), 2);
        assert_eq!(AppError::from(CommandError::NoRate).exit_code(), 1);
        let missing = || DataError::NoSuchData { path: "films".into() };
        assert_eq!(AppError::from(missing()).exit_code(), 2);
        assert_eq!(AppError::from(TrainingError::from(DataLoadingError::from(missing()))).exit_code(), 2);
        let no_model = || ModelError::Invalid { path: "model".into(), reason: "it is a text".to_owned() };
        assert_eq!(AppError::from(no_model()).exit_code(), 2);
        assert_eq!(AppError::from(TrainingError::from(no_model())).exit_code(), 2);
        let unknown = CommandError::NoSuchClass { name: "flu".to_owned(), known: "covid".to_owned() };
        assert_eq!(AppError::from(unknown).exit_code(), 2);
        let bad = DataError::BadFiles { files: Vec::new(), total: 9 };
        assert_eq!(AppError::from(DataLoadingError::from(bad)).exit_code(), 2);
        assert_eq!(AppError::from(CommandError::NotAllRead { n_failed: 1, n: 2 }).exit_code(), 1);
        let interrupted = TrainingError::Interrupted { signal: 15, run: "run".into() };
        assert_eq!(AppError::from(interrupted).exit_code(), 143);
    }

    #[test]
    fn the_first_rank_ends_with_the_exit_code_of_the_one_that_failed() {
        let interrupted = || TrainingError::Interrupted { signal: 15, run: "run".into() };
        let wrong = || TrainingError::from(ModelError::Missing { path: "first".into() });
        let failures: [(&(dyn Fn() -> TrainingError + Sync), u8); 2] = [(&interrupted, 143), (&wrong, 2)];
        for (failure, expected) in failures {
            on_ranks(2, |ranks| {
                let work = || if ranks.is_first() { Ok(()) } else { Err(failure()) };
                let error = AppError::from(ranks.together(work).expect_err("one has failed"));
                assert!(!ranks.is_first() || error.exit_code() == expected, "{error}: {}", error.exit_code());
            });
        }
    }
}
