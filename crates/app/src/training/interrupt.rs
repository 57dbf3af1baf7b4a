//! Ctrl-C and the system's request to terminate: while data are read, and in every other command, a signal ends the program
//! at once; in training the first signal is recorded, so that a run can write a checkpoint, and the second one ends it. For a
//! program that starts a training, the end of the standard input is a way to ask for the same on every system.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::{fs, io, thread};

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

const SIGNALS: [i32; 2] = [SIGINT, SIGTERM];

/// While signals are recorded.
static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);
/// Whether signals act as they did before the first run.
static IS_RELEASED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
/// Whether [`stop_with_input`] was called.
static STOPS_WITH_INPUT: AtomicBool = AtomicBool::new(false);
/// Whether a signal ends the program, as [`end_on_signals`] has it.
static ENDS_PROGRAM: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// The handlers that are registered while signals are recorded.
struct Listener {
    /// The number of the signal that was received; 0 for none.
    signal: Arc<AtomicUsize>,
    registered: Vec<SigId>,
    #[cfg(unix)]
    watcher: signal_hook::iterator::Handle,
}

/// Until [`listen`] is called, a signal ends the program at once with the exit code that the help names. That holds also where
/// the system would ignore it: for a job in the background of a script, and for the first process of a container.
///
/// # Errors
/// If the system does not allow it.
pub(crate) fn end_on_signals() -> io::Result<()> {
    let ends = Arc::new(AtomicBool::new(true));
    for number in SIGNALS {
        flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&ends))?;
    }
    let _ = ENDS_PROGRAM.set(ends);
    Ok(())
}

/// A file that grows beyond the limit of `ulimit -f` is an error of the operation that writes it, like a full disk. By default,
/// the system ends the program with a signal, without a word.
///
/// # Errors
/// If the system does not allow it.
#[cfg(unix)]
pub(crate) fn survive_file_size_limit() -> io::Result<()> {
    // Any handler will do: the write fails as soon as the signal does not end the program.
    flag::register(signal_hook::consts::SIGXFSZ, Arc::default()).map(drop)
}

/// Memory that cannot be allocated ends the program with the exit code of an error. The standard library says how many bytes it
/// was, and aborts, which would look like a crash.
///
/// # Errors
/// If the system does not allow it.
#[cfg(unix)]
pub(crate) fn end_where_memory_is_missing() -> io::Result<()> {
    let always = Arc::new(AtomicBool::new(true));
    flag::register_conditional_shutdown(signal_hook::consts::SIGABRT, 1, always).map(drop)
}

/// From now on, signals are recorded instead of ending the program. `on_first` is called at once when the first one comes,
/// on a thread of its own: the current step may take long.
///
/// # Errors
/// If the system does not allow it.
pub(crate) fn listen(on_first: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut listener = LISTENER.lock().unwrap_or_else(PoisonError::into_inner);
    if listener.is_some() {
        return Ok(());
    }
    prepare_release()?;
    let (signal, is_second) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut registered = Vec::new();
    for number in SIGNALS {
        // In this order: the condition is checked before it is set.
        registered.push(flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&is_second))?);
        registered.push(flag::register(number, Arc::clone(&is_second))?);
        registered.push(flag::register_usize(number, Arc::clone(&signal), number as usize)?);
    }
    #[cfg(unix)]
    let watcher = call_on_first_signal(on_first)?;
    // Elsewhere signals can't be waited for.
    #[cfg(not(unix))]
    poll(&signal, on_first);
    if let Some(ends) = ENDS_PROGRAM.get() {
        ends.store(false, Ordering::Relaxed);
    }
    *listener = Some(Listener {
        signal,
        registered,
        #[cfg(unix)]
        watcher,
    });
    Ok(())
}

/// From now on, the end of the standard input has the effect of a request to terminate, unless a signal came before. It comes
/// too when the program at its other end is killed.
pub(crate) fn stop_with_input() {
    STOPS_WITH_INPUT.store(true, Ordering::Relaxed);
    thread::spawn(|| {
        // An input that cannot be read has ended, too.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let listener = LISTENER.lock().unwrap_or_else(PoisonError::into_inner);
        match &*listener {
            // Never the second request, which would end the run without a checkpoint.
            Some(Listener { signal, .. }) => {
                let _ = signal.compare_exchange(0, SIGTERM as usize, Ordering::Relaxed, Ordering::Relaxed);
            }
            None => low_level::exit(128 + SIGTERM),
        }
    });
}

/// Whether the end of the standard input has that effect.
#[must_use]
pub(crate) fn stops_with_input() -> bool {
    STOPS_WITH_INPUT.load(Ordering::Relaxed)
}

/// Signals are no longer recorded, and act as before [`listen`]: for a program that goes on after a run.
pub(crate) fn release() {
    let Some(listener) = LISTENER.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    for id in listener.registered {
        low_level::unregister(id);
    }
    #[cfg(unix)]
    listener.watcher.close();
    if let Some(is_released) = IS_RELEASED.get() {
        is_released.store(true, Ordering::Relaxed);
    }
}

/// Without an action a signal would be ignored, because the handler of `signal_hook` stays. So where nothing handled the
/// signal before, an action ends the program whenever nobody listens.
fn prepare_release() -> io::Result<()> {
    if let Some(is_released) = IS_RELEASED.get() {
        is_released.store(false, Ordering::Relaxed);
        return Ok(());
    }
    let is_released = Arc::new(AtomicBool::new(false));
    for number in SIGNALS.into_iter().filter(|&number| has_default_action(number)) {
        flag::register_conditional_default(number, Arc::clone(&is_released))?;
    }
    let _ = IS_RELEASED.set(is_released);
    Ok(())
}

/// Whether this process neither handles nor ignores a signal. Linux has lists of both, as hexadecimal masks; elsewhere the
/// default is assumed.
fn has_default_action(signal: i32) -> bool {
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return true };
    let is_in = |list: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(list)).map(str::trim);
        let mask = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok());
        mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
    };
    !is_in("SigCgt:") && !is_in("SigIgn:")
}

/// Calls `on_first` soon after the first signal, unless nobody listens any more.
#[cfg(any(test, not(unix)))]
fn poll(signal: &Arc<AtomicUsize>, on_first: impl FnOnce() + Send + 'static) {
    let signal = Arc::downgrade(signal);
    thread::spawn(move || {
        while let Some(number) = signal.upgrade().map(|signal| signal.load(Ordering::Relaxed)) {
            if number > 0 {
                return on_first();
            }
            thread::sleep(std::time::Duration::from_millis(100));
        }
    });
}

#[cfg(unix)]
fn call_on_first_signal(
    on_first: impl FnOnce() + Send + 'static,
) -> io::Result<signal_hook::iterator::Handle> {
    let mut signals = signal_hook::iterator::Signals::new(SIGNALS)?;
    let handle = signals.handle();
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            on_first();
        }
    });
    Ok(handle)
}

/// The number of the signal that was received, if any.
#[must_use]
pub(crate) fn signal() -> Option<u8> {
    let listener = LISTENER.lock().unwrap_or_else(PoisonError::into_inner);
    let number = listener.as_ref().map_or(0, |listener| listener.signal.load(Ordering::Relaxed));
    u8::try_from(number).ok().filter(|&number| number > 0)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_signal_is_noticed_by_polling_until_nobody_listens() {
        let (sender, receiver) = channel();
        let signal = Arc::new(AtomicUsize::new(0));
        let other = sender.clone();
        poll(&signal, move || sender.send("first").expect("a receiver"));
        signal.store(SIGINT as usize, Ordering::Relaxed);
        assert_eq!(receiver.recv(), Ok("first"));
        let unused = Arc::new(AtomicUsize::new(0));
        poll(&unused, move || other.send("second").expect("a receiver"));
        drop(unused);
        assert!(receiver.recv().is_err(), "its thread has ended");
    }
}
