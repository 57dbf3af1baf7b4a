//! Signs of life. MPI waits for ever for a rank whose host, or the network to it, is gone; so every rank sends a sign of life
//! to the next one each second, in a ring, and ends with a reason if it has heard nothing for too long.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::World;
use crate::ranks::Ranks;

const TAG: i32 = 2;
/// Between two signs of life.
const INTERVAL: Duration = Duration::from_secs(1);
/// Variable with the seconds of silence after which a rank is given up.
const VARIABLE: &str = "ROENTGEN_RANK_TIMEOUT";
/// Without that variable. A host that swaps, or has many more threads than processors, is silent for seconds.
const DEFAULT_TIMEOUT: u64 = 30;

/// The threads that send signs of life, and wait for them.
pub(super) struct Liveness {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    world: Arc<World>,
    previous: i32,
}

struct Shared {
    start: Instant,
    /// When something was heard, in milliseconds since `start`.
    heard_ms: AtomicU64,
    is_over: AtomicBool,
    /// Ends the pauses.
    over: (Mutex<bool>, Condvar),
}

impl Shared {
    /// Waits for an interval, or until the end.
    fn pause(&self) {
        let (lock, condition) = &self.over;
        let is_over = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = condition.wait_timeout_while(is_over, INTERVAL, |is_over| !*is_over);
    }

    fn silence(&self) -> Duration {
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(heard)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

impl Liveness {
    /// Begins to send signs of life, and to wait for those of the previous rank.
    pub(super) fn watch(world: Arc<World>, ranks: &Ranks) -> Self {
        let (rank, size) = (ranks.rank(), ranks.size());
        let (next, previous) = ((rank + 1) % size, (rank + size - 1) % size);
        let shared = Arc::new(Shared {
            start: Instant::now(),
            heard_ms: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            over: (Mutex::new(false), Condvar::new()),
        });
        let mut threads = Vec::new();
        if size > 1 {
            let (sender, own_world) = (Arc::clone(&shared), Arc::clone(&world));
            threads.push(thread::spawn(move || {
                send_and_hear(&own_world, &sender, next as i32, previous as i32)
            }));
            // A thread of its own, which does not call MPI: the other may hang in a call.
            let watcher = Arc::clone(&shared);
            let (own, other) = (ranks.name_of(rank), ranks.name_of(previous));
            threads.push(thread::spawn(move || end_after_silence(&watcher, &own, &other)));
        }
        Self { shared, threads, world, previous: previous as i32 }
    }

    /// Ends the threads, once every rank has come to its end.
    pub(super) fn end(self, ranks: &Ranks) {
        // Without the others, the launcher ends this process.
        let _ = ranks.barrier();
        self.shared.is_over.store(true, Ordering::Relaxed);
        *self.shared.over.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.over.1.notify_all();
        for thread in self.threads {
            let _ = thread.join();
        }
        // MPI ends only once every message has been received, and no rank sends any more after this.
        let _ = ranks.barrier();
        while hear(&self.world, self.previous).unwrap_or(false) {}
    }
}

/// Ends this process with `code` if MPI has not ended soon, which is all that is left to do. MPICH 4.0 over TCP (UCX) was seen to
/// wait for ever in `MPI_Finalize`, once in some 90 runs: one rank for its peer, which waited for it in a barrier.
pub(super) fn end_without_mpi(own: String, code: i32) {
    thread::spawn(move || {
        let timeout = timeout();
        thread::sleep(timeout);
        let text = format!(
            "{own} ends without MPI, which has not ended for {} s; nothing of its work is lost",
            timeout.as_secs()
        );
        let _ = writeln!(io::stderr().lock(), "note: {text}");
        signal_hook::low_level::exit(code);
    });
}

/// Receives a sign of life, if there is one.
fn hear(world: &World, previous: i32) -> Result<bool, ferrompi::Error> {
    let (world, _call) = world.call();
    let is_there = world.iprobe::<u8>(previous, TAG)?.is_some();
    if is_there {
        world.recv(&mut [0u8], previous, TAG)?;
    }
    Ok(is_there)
}

fn send_and_hear(world: &World, shared: &Shared, next: i32, previous: i32) {
    while !shared.is_over() {
        // A message of a byte is sent without waiting for its receiver. An error shows as silence on the other side.
        {
            let (world, _call) = world.call();
            let _ = world.send(&[1u8], next, TAG);
        }
        while hear(world, previous).unwrap_or(false) {
            shared.heard_ms.store(shared.start.elapsed().as_millis() as u64, Ordering::Relaxed);
        }
        shared.pause();
    }
}

fn timeout() -> Duration {
    let given =
        std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok()).filter(|seconds| *seconds > 0);
    Duration::from_secs(given.unwrap_or(DEFAULT_TIMEOUT))
}

/// Ends this process when the previous rank has been silent for too long. mpirun or srun then end the others.
fn end_after_silence(shared: &Shared, own: &str, other: &str) {
    let timeout = timeout();
    while !shared.is_over() {
        if shared.silence() > timeout {
            let text = format!(
                "{own} has had no sign of life from {other} for {} s: its host is down, the network hangs, or it was \
                 stopped. The last checkpoint is whole: go on with --resume. ({VARIABLE} sets the seconds)",
                timeout.as_secs()
            );
            // The exit code remains if standard error takes no more.
            let _ = writeln!(io::stderr().lock(), "error: {text}");
            signal_hook::low_level::exit(1);
        }
        shared.pause();
    }
}
