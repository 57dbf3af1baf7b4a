//! How far two cores are from each other: the time that a cache line takes from one thread to another and back.
//!
//! Between cores of one L3 cache it takes some 50 to 100 ns; between those of two caches or two sockets several times as long,
//! and what one thread writes and the other reads is then slower, too. A virtual machine may have either, and change from one
//! to the other in seconds.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Round trips that are timed together.
const TRIPS: u64 = 200;
/// After it, no more round trips are timed.
const BUDGET: Duration = Duration::from_millis(50);
/// Reads of the line before a thread sleeps: the other one is on the same core, and the system wakes a thread on an idle one.
const SPINS: u64 = 20_000;
const SLEEP: Duration = Duration::from_micros(50);
/// A longer round trip is not one between two cores.
const LONGEST_NS: f64 = 5_000.0;

/// Nanoseconds for a cache line from one thread to another and back, the shortest of several measurements; `None` with one
/// thread, and where the system kept both threads on one core.
pub(super) fn measure_ns(threads: usize) -> Option<f64> {
    if threads < 2 {
        return None;
    }
    // Even: this thread's turn. Odd: the other's. `u64::MAX`: the end.
    let turn = AtomicU64::new(0);
    let start = Instant::now();
    let shortest = thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 1;
            while wait_for(&turn, number) {
                turn.store(number + 1, Ordering::Release);
                number += 2;
            }
        });
        let (mut shortest, mut number) = (f64::INFINITY, 0);
        while start.elapsed() < BUDGET {
            let (first, since) = (number, Instant::now());
            while number < first + 2 * TRIPS {
                turn.store(number + 1, Ordering::Release);
                number += 2;
                wait_for(&turn, number);
            }
            shortest = shortest.min(since.elapsed().as_secs_f64() * 1e9 / TRIPS as f64);
        }
        turn.store(u64::MAX, Ordering::Release);
        shortest
    });
    (shortest < LONGEST_NS).then_some(shortest)
}

/// Waits until `turn` is `number`; `false` at the end.
fn wait_for(turn: &AtomicU64, number: u64) -> bool {
    for tries in 1u64.. {
        match turn.load(Ordering::Acquire) {
            u64::MAX => return false,
            now if now == number => return true,
            _ if tries % SPINS == 0 => thread::sleep(SLEEP),
            _ => spin_loop(),
        }
    }
    unreachable!("the loop has no end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_threads_take_turns() {
        // `None` where another test has the other core.
        assert!(measure_ns(2).is_none_or(|ns| (1.0..LONGEST_NS).contains(&ns)));
        assert_eq!(measure_ns(1), None);
        assert!(wait_for(&AtomicU64::new(4), 4));
        assert!(!wait_for(&AtomicU64::new(u64::MAX), 4));
    }
}
