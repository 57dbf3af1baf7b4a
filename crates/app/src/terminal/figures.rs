//! Figures as tables and sentences show them.

use crate::metrics::Interval;

/// A number; `-` if it is undefined.
#[must_use]
pub(crate) fn number(value: Option<f64>) -> String {
    or_dash(value.map(|value| format!("{value:.3}")))
}

/// An interval; `-` if it is undefined.
#[must_use]
pub(crate) fn range(interval: Option<Interval>) -> String {
    or_dash(interval.map(|[low, high]| format!("{low:.3} to {high:.3}")))
}

/// A fraction as a percentage.
#[must_use]
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.1} %", 100.0 * fraction)
}

/// A cell of a table; `-` if it is empty.
#[must_use]
pub(crate) fn or_dash(cell: Option<String>) -> String {
    cell.unwrap_or_else(|| "-".to_owned())
}

/// What images of so many channels are.
#[must_use]
pub(crate) fn colour_word(channels: usize) -> &'static str {
    if channels == 1 { "grey" } else { "colour" }
}
