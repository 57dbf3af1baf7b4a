//! Ctrl-C and the system's request to terminate: the first signal is recorded, so that a run can write a checkpoint; the
//! second one ends the program at once.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

static RECEIVED: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// From now on, signals are recorded instead of ending the program. `on_first` is called at once when the first one comes,
/// on a thread of its own: the current step may take long.
///
/// # Errors
/// If the system does not allow it.
pub(crate) fn listen(on_first: impl FnOnce() + Send + 'static) -> io::Result<()> {
    if RECEIVED.get().is_some() {
        return Ok(());
    }
    let (signal, is_second) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    for number in [SIGINT, SIGTERM] {
        // In this order: the condition is checked before it is set.
        flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&is_second))?;
        flag::register(number, Arc::clone(&is_second))?;
        flag::register_usize(number, Arc::clone(&signal), number as usize)?;
    }
    let _ = RECEIVED.set(signal);
    call_on_first_signal(on_first)
}

#[cfg(unix)]
fn call_on_first_signal(on_first: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            on_first();
        }
    });
    Ok(())
}

/// Elsewhere signals can't be waited for; the run reacts at the end of the step.
#[cfg(not(unix))]
fn call_on_first_signal(_: impl FnOnce() + Send + 'static) -> io::Result<()> {
    Ok(())
}

/// The number of the signal that was received, if any.
#[must_use]
pub(crate) fn signal() -> Option<u8> {
    let number = RECEIVED.get().map_or(0, |signal| signal.load(Ordering::Relaxed));
    u8::try_from(number).ok().filter(|&number| number > 0)
}
