//! What can go wrong between ranks.

/// Exit code of a usage error: a wrong argument or setting, or data or a model that cannot be used.
pub(crate) const USAGE: u8 = 2;
/// Exit code of any other error.
pub(crate) const FAILURE: u8 = 1;

/// An error of work that ranks do together.
pub(crate) trait WorkError: std::error::Error + From<RankError> {
    /// The exit code of a program that ends with it.
    fn exit_code(&self) -> u8;
}

/// Why ranks cannot work together.
#[derive(Debug, thiserror::Error)]
pub enum RankError {
    /// A message did not arrive.
    #[error("{text}")]
    Lost {
        /// The message of MPI.
        text: String,
    },
    /// Something that must be the same on every rank is not.
    #[error("{text}")]
    Differ {
        /// What differs, where, and what to do.
        text: String,
    },
    /// Another rank failed.
    #[error("{rank}: {text}")]
    Failed {
        /// Which one.
        rank: String,
        /// Its error.
        text: String,
        /// The exit code of that error.
        exit_code: u8,
    },
    /// The error is shown by the first rank.
    #[error("the first rank shows the error")]
    Shown,
    /// A number of ranks that is no power of two.
    #[error("{size} ranks cannot share a batch: start {smaller} or {larger}, or another power of two")]
    NotPowerOfTwo {
        /// Number of ranks.
        size: usize,
        /// The power of two below.
        smaller: usize,
        /// The power of two above.
        larger: usize,
    },
    /// A number of ranks that the shards of a batch cannot be shared among.
    #[error(
        "{size} ranks cannot share a batch that --micro-batches cuts into {n_shards}: their number must be a power of two \
         that divides it; give --micro-batches {suggested}, or start another number of ranks. The weights depend on \
         --micro-batches, and not on the number of ranks"
    )]
    Unshareable {
        /// Number of ranks.
        size: usize,
        /// Shards of a batch.
        n_shards: usize,
        /// A number of shards that suits.
        suggested: usize,
    },
    /// Several ranks where one does the whole work.
    #[error("{work} is the work of one process, and {size} were started: start it without mpirun or srun")]
    NotShared {
        /// The name of the work.
        work: &'static str,
        /// Number of ranks.
        size: usize,
    },
    /// Several processes of a program that has no MPI.
    #[error(
        "{launcher} started {size} processes, but this program was built without MPI: each of them would do the whole \
         work. Build it with `cargo build --release --features mpi`, or start one process"
    )]
    WithoutMpi {
        /// The variable that gives their number.
        launcher: &'static str,
        /// Their number.
        size: usize,
    },
    /// Several processes that do not find each other.
    #[error(
        "{launcher} is {size}, but this process finds no other: it was built with {library}, and another MPI library started \
         it. Use the mpirun of {library}, or build the program with MPICC=... naming the compiler of the other library; under \
         Slurm, `srun --mpi=pmix` or what `srun --mpi=list` names"
    )]
    OtherMpi {
        /// The variable that gives their number.
        launcher: &'static str,
        /// Their number.
        size: usize,
        /// Name and version of the MPI library of this program.
        library: String,
    },
    /// MPI does not start.
    #[error("MPI does not start: {reason}")]
    NoMpi {
        /// The message of MPI.
        reason: String,
    },
}

impl WorkError for RankError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Failed { exit_code, .. } => *exit_code,
            _ if self.is_usage_error() => USAGE,
            _ => FAILURE,
        }
    }
}

impl RankError {
    /// Whether the command that started the ranks is wrong.
    pub(crate) fn is_usage_error(&self) -> bool {
        matches!(
            self,
            Self::NotPowerOfTwo { .. }
                | Self::Unshareable { .. }
                | Self::NotShared { .. }
                | Self::WithoutMpi { .. }
                | Self::OtherMpi { .. }
                | Self::Differ { .. }
        )
    }
}
