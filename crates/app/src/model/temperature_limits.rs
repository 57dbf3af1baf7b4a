//! The temperatures among which [`calibration`](super::calibration) searches.

/// Bounds on `1 / temperature`.
pub(super) const MIN_INVERSE: f64 = 0.05;
pub(super) const MAX_INVERSE: f64 = 5.0;
/// A search that finds no minimum ends closer than this to a bound, relative to it.
const TOLERANCE: f64 = 1e-9;

/// Whether the search ended at a bound: it found no minimum, so the probabilities are not calibrated.
#[must_use]
pub(crate) fn is_at_limit(temperature: f64) -> bool {
    let inverse = 1.0 / temperature;
    inverse <= MIN_INVERSE * (1.0 + TOLERANCE) || inverse >= MAX_INVERSE * (1.0 - TOLERANCE)
}
