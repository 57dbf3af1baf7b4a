//! Ctrl-C and the system's request to end: the first one is noted, so that a run can write what it has; the second one ends
//! the program at once.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

static ASKED: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// From now on, signals are noted instead of ending the program.
///
/// # Errors
/// If the system does not allow that.
pub fn listen() -> io::Result<()> {
    if ASKED.get().is_some() {
        return Ok(());
    }
    let (signal, is_second) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    for number in [SIGINT, SIGTERM] {
        // In this order: the condition is looked at before it is set.
        flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&is_second))?;
        flag::register(number, Arc::clone(&is_second))?;
        flag::register_usize(number, Arc::clone(&signal), number as usize)?;
    }
    let _ = ASKED.set(signal);
    Ok(())
}

/// The number of the signal that came, if one did.
#[must_use]
pub fn signal() -> Option<u8> {
    let number = ASKED.get().map_or(0, |signal| signal.load(Ordering::Relaxed));
    u8::try_from(number).ok().filter(|&number| number > 0)
}
