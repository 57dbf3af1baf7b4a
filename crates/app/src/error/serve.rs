//! What can go wrong with `roentgen serve`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The folder of runs cannot be read.
    #[error("cannot read the runs in {}: {source}; give a folder of run folders", path.display())]
    RunsUnreadable {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The address is taken, or not allowed.
    #[error("cannot serve on {address}: {source}; give another --port, or leave it out")]
    CannotListen {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The token of the user will not do.
    #[error("cannot take the token from {}: {reason}", path.display())]
    BadToken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No name of the server is known.
    #[error("--listen {address} needs --host NAME, the name or address by which browsers reach this machine")]
    NoHost {
        /// The address to listen on.
        address: IpAddr,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers for the token: {reason}")]
    NoToken {
        /// What it says.
        reason: String,
    },
    /// Threads cannot be started.
    #[error("cannot start threads for predictions: {reason}; try fewer with --threads")]
    NoThreads {
        /// The error of the thread pool.
        reason: String,
    },
    /// The server cannot be started.
    #[error("cannot start the server: {source}")]
    NotStarted {
        /// The error of the operating system.
        source: io::Error,
    },
}

impl ServeError {
    /// Whether an argument is wrong.
    pub(crate) fn is_usage_error(&self) -> bool {
        let is_of_system =
            matches!(self, Self::NoToken { .. } | Self::NoThreads { .. } | Self::NotStarted { .. });
        !is_of_system
    }
}
