//! Ranks over MPI, through the crate `ferrompi`.
//!
//! Any thread may call MPI, one at a time (`ThreadLevel::Serialized`). A transfer is polled instead of waited for, so that
//! [`liveness`] gets its turn, and a thread of this process that computes gets the core.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, iter, mem, thread};

use ferrompi::{Communicator, Mpi, ThreadLevel};

use super::Ranks;
use super::error::RankError;
use super::transport::Transport;
use liveness::Liveness;

mod liveness;

/// Tag of all messages but signs of life; they are told apart by their order.
const TAG: i32 = 1;
/// Largest message: just below 64 KiB, up to which MPI sends over TCP without asking the receiver first. Larger ones let the
/// two directions of an exchange take turns.
const PIECE: usize = 65_000;
/// How long a transfer is polled as fast as possible, only yielding the core.
const EAGER: Duration = Duration::from_micros(200);
/// The sleep between two polls of a transfer that takes longer than [`EAGER`], as when another rank writes a file.
const PAUSE: Duration = Duration::from_micros(50);
/// Exit code of a process that panicked, as without MPI.
const EXIT_OF_PANIC: i32 = 101;

/// The communicator of all ranks, behind a lock.
struct World {
    communicator: Communicator,
    is_calling: Mutex<()>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    /// Permission to call MPI.
    fn call(&self) -> (&Communicator, MutexGuard<'_, ()>) {
        (&self.communicator, self.is_calling.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection to the other ranks of an MPI job.
#[derive(Clone, Debug)]
struct MpiTransport {
    world: Arc<World>,
    rank: usize,
    size: usize,
}

impl MpiTransport {
    /// Sends and receives at the same time, where there is something to send or to receive.
    fn transfer(
        &self,
        sent: Option<(usize, &[u8])>,
        received: Option<(usize, &mut [u8])>,
    ) -> Result<(), RankError> {
        let transferred = ferrompi::scope(|scope| {
            let mut requests = Vec::new();
            {
                let (world, _call) = self.world.call();
                // The receiver first: a message that finds its place is not copied. No bytes are a message, too.
                if let Some((from, bytes)) = received {
                    let (first, rest) = bytes.split_at_mut(bytes.len().min(PIECE));
                    for piece in iter::once(first).chain(rest.chunks_mut(PIECE)) {
                        requests.push(Some(world.irecv(scope, piece, from as i32, TAG)?));
                    }
                }
                if let Some((to, bytes)) = sent {
                    let (first, rest) = bytes.split_at(bytes.len().min(PIECE));
                    for piece in iter::once(first).chain(rest.chunks(PIECE)) {
                        requests.push(Some(world.isend(scope, piece, to as i32, TAG)?));
                    }
                }
            }
            let start = Instant::now();
            loop {
                {
                    let _call = self.world.call();
                    for request in &mut requests {
                        if request.as_mut().map(|request| request.test()).transpose()?.flatten().is_some() {
                            *request = None;
                        }
                    }
                    requests.retain(Option::is_some);
                }
                if requests.is_empty() {
                    return Ok(());
                }
                if start.elapsed() < EAGER { thread::yield_now() } else { thread::sleep(PAUSE) }
            }
        });
        transferred.map_err(|error| RankError::Lost { text: format!("a message was lost: {error}") })
    }
}

impl Transport for MpiTransport {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn send(&self, to: usize, bytes: &[u8]) -> Result<(), RankError> {
        self.transfer(Some((to, bytes)), None)
    }

    fn receive(&self, from: usize, bytes: &mut [u8]) -> Result<(), RankError> {
        self.transfer(None, Some((from, bytes)))
    }

    fn exchange(&self, peer: usize, sent: &[u8], received: &mut [u8]) -> Result<(), RankError> {
        self.transfer(Some((peer, sent)), Some((peer, received)))
    }
}

/// The name of this host.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// Name and version of the MPI library: `Open MPI v4.1.4`, `MPICH Version: 4.0.2`.
pub(super) fn library() -> String {
    let text = Mpi::library_version().unwrap_or_default();
    let name = text.split([',', '\n']).next().unwrap_or_default();
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Runs `work` as one of the ranks of an MPI job.
///
/// A process that fails does not wait for the others, which may wait for it: it ends without ending MPI, and mpirun and srun
/// then end the others. `is_shown_elsewhere` says of an error that another rank ends with it.
pub(super) fn with_mpi<T, E: From<RankError>>(
    work: impl FnOnce(&Ranks) -> Result<T, E>,
    is_shown_elsewhere: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let no_mpi = |reason: String| RankError::NoMpi { reason };
    let mpi = Mpi::init_thread(ThreadLevel::Serialized).map_err(|error| no_mpi(error.to_string()))?;
    if mpi.thread_level() < ThreadLevel::Serialized {
        return Err(no_mpi("its library was built without support for threads".to_owned()).into());
    }
    let communicator = mpi.world();
    let (rank, size) = (communicator.rank() as usize, communicator.size() as usize);
    let world = Arc::new(World { communicator, is_calling: Mutex::new(()) });
    let transport = MpiTransport { world: Arc::clone(&world), rank, size };
    let ranks = Ranks::over(transport, &host())?;
    let liveness = Liveness::watch(Arc::clone(&world), &ranks);
    let result = panic::catch_unwind(AssertUnwindSafe(|| work(&ranks)));
    match result {
        Ok(result) if result.as_ref().err().is_none_or(is_shown_elsewhere) => {
            liveness.end(&ranks);
            liveness::end_without_mpi(ranks.name_of(rank), i32::from(result.is_err()));
            result
        }
        Ok(result) => {
            mem::forget(mpi);
            result
        }
        Err(_) => signal_hook::low_level::exit(EXIT_OF_PANIC),
    }
}
