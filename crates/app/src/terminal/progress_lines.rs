//! How far a bar is, as lines on the error output: for a program that has started this one, and shows it in its own way.

use std::io::{Write as _, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

/// How often the bar is looked at. The work itself is not slowed: it moves the bar in any case.
const EACH: Duration = Duration::from_millis(500);

/// How far a bar is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BarState {
    /// The text at its left, such as `reading` or `epoch 3/20`.
    pub doing: String,
    /// What is done of it: images, or steps of all epochs.
    pub done: u64,
    /// Never 0.
    pub total: u64,
}

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    progress: BarState,
}

impl BarState {
    /// Of a bar that moves; `None` for one that is finished or has no length yet.
    fn of(bar: &ProgressBar) -> Option<Self> {
        let total = bar.length().filter(|&total| total > 0 && !bar.is_finished())?;
        Some(Self { doing: bar.prefix(), done: bar.position().min(total), total })
    }

    /// What a line says, if it is one of these.
    #[cfg(any(feature = "serve", test))]
    #[must_use]
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok().map(|Line { progress }| progress).filter(|state| state.total > 0)
    }

    fn line(self) -> String {
        serde_json::to_string(&Line { progress: self }).expect("texts and numbers")
    }
}

/// Writes a line whenever the bar that was made last has moved, until it is dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct ProgressLines(Arc<Mutex<Option<ProgressBar>>>);

impl ProgressLines {
    /// Begins to write.
    pub(super) fn start() -> Self {
        let lines = Self::default();
        let bar = Arc::downgrade(&lines.0);
        thread::spawn(move || {
            let mut last = BarState::default();
            while let Some(bar) = bar.upgrade() {
                let bar = bar.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(now) = bar.and_then(|bar| BarState::of(&bar)).filter(|now| *now != last) {
                    last.clone_from(&now);
                    // Who does not read them does not need them.
                    let _ = writeln!(stderr(), "{}", now.line());
                }
                thread::sleep(EACH);
            }
        });
        lines
    }

    /// Looks at this bar from now on.
    pub(super) fn follow(&self, bar: &ProgressBar) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_a_bar_is_until_it_is_finished() {
        let bar = ProgressBar::hidden();
        assert_eq!(BarState::of(&bar), None, "it has no length yet");
        bar.set_length(8);
        bar.set_prefix("epoch 1/2");
        bar.set_position(3);
        let state = BarState::of(&bar).expect("a bar that moves");
        let line = state.clone().line();
        assert_eq!(line, r#"{"progress":{"doing":"epoch 1/2","done":3,"total":8}}"#);
        assert_eq!(BarState::of_line(&line), Some(state));
        for other in ["", "error: no images", r#"{"progress":{"doing":"","done":0,"total":0}}"#] {
            assert_eq!(BarState::of_line(other), None, "{other}");
        }
        bar.finish_and_clear();
        assert_eq!(BarState::of(&bar), None);
    }
}
