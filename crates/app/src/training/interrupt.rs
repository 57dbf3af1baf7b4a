//! Ctrl-C and the system's request to end: the first one is noted, so that a run can write what it has; the second one ends
//! the program at once.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

static ASKED: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// From now on, signals are noted instead of ending the program. `on_first` is called at once when the first one comes, on a
/// thread that does nothing else: the step that is being taken may last.
///
/// # Errors
/// If the system does not allow that.
pub(crate) fn listen(on_first: impl FnOnce() + Send + 'static) -> io::Result<()> {
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
    tell(on_first)
}

#[cfg(unix)]
fn tell(on_first: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            on_first();
        }
    });
    Ok(())
}

/// Elsewhere signals can't be waited for; the end of the step tells.
#[cfg(not(unix))]
fn tell(_: impl FnOnce() + Send + 'static) -> io::Result<()> {
    Ok(())
}

/// The number of the signal that came, if one did.
#[must_use]
pub(crate) fn signal() -> Option<u8> {
    let number = ASKED.get().map_or(0, |signal| signal.load(Ordering::Relaxed));
    u8::try_from(number).ok().filter(|&number| number > 0)
}
