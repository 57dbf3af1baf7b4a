//! The one-cycle policy (Smith and Topin 2018): the learning rate rises to its maximum and falls to almost
//! nothing within one run, while Adam's first coefficient does the opposite.
//!
//! ```text
//!  lr     max_lr       /\                    beta1  0.95 --\           /--
//!                    /    \                                 \        /
//!         max_lr/25 /       \_                               \    /
//!                    30 %      max_lr/250,000         0.85     \/
//! ```
//! Both halves are cosines. The figures are those of PyTorch's `OneCycleLR`, and so is its habit of counting
//! the turning points from step -1: the peak lies at step `0.3 * total_steps - 1`.

use std::f64::consts::PI;

/// Share of the run in which the learning rate rises.
const RISE: f64 = 0.3;
/// The run starts at the maximal learning rate over this.
const START_DIVISOR: f64 = 25.0;
/// The run ends at its first learning rate over this.
const END_DIVISOR: f64 = 1e4;
/// Adam's first coefficient where the learning rate is lowest.
const BETA1_MAX: f64 = 0.95;
/// Adam's first coefficient where the learning rate is highest.
const BETA1_MIN: f64 = 0.85;

/// What the schedule says about one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Learning rate.
    pub lr: f64,
    /// Decay of Adam's first moment.
    pub beta1: f64,
}

/// The schedule of a run of a known number of steps.
#[derive(Clone, Copy, Debug)]
pub struct OneCycle {
    max_lr: f64,
    total_steps: usize,
}

impl OneCycle {
    /// One cycle over `total_steps` steps (batches), with its peak at `max_lr`.
    ///
    /// # Panics
    /// If there is no step, or `max_lr` is not a positive number.
    #[must_use]
    pub fn new(max_lr: f64, total_steps: usize) -> Self {
        assert!(total_steps > 0, "OneCycle::new: total_steps must be positive");
        assert!(max_lr > 0.0 && max_lr.is_finite(), "OneCycle::new: max_lr must be positive, is {max_lr}");
        Self { max_lr, total_steps }
    }

    /// Number of steps in the run.
    #[must_use]
    pub fn total_steps(&self) -> usize {
        self.total_steps
    }

    /// The rates of step `step`, counted from 0.
    ///
    /// # Panics
    /// If the run has no such step.
    #[must_use]
    pub fn at(&self, step: usize) -> Rates {
        assert!(step < self.total_steps, "OneCycle::at: step {step} of a run of {}", self.total_steps);
        let (start_lr, step, last) =
            (self.max_lr / START_DIVISOR, step as f64, self.total_steps as f64 - 1.0);
        // Below zero in runs of up to three steps, which therefore only fall; never exactly 0.
        let peak = RISE * self.total_steps as f64 - 1.0;
        if step <= peak {
            let done = step / peak;
            Rates { lr: cosine(start_lr, self.max_lr, done), beta1: cosine(BETA1_MAX, BETA1_MIN, done) }
        } else {
            let done = (step - peak) / (last - peak);
            let end_lr = start_lr / END_DIVISOR;
            Rates { lr: cosine(self.max_lr, end_lr, done), beta1: cosine(BETA1_MIN, BETA1_MAX, done) }
        }
    }
}

/// From `start` (at `done` = 0) to `end` (at 1) along half a cosine.
fn cosine(start: f64, end: f64, done: f64) -> f64 {
    end + (start - end) / 2.0 * (libm::cos(PI * done) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_stay_within_their_bounds_for_every_total() {
        for total_steps in 1..=200 {
            let schedule = OneCycle::new(0.01, total_steps);
            for step in 0..total_steps {
                let Rates { lr, beta1 } = schedule.at(step);
                let lowest = 0.01 / START_DIVISOR / END_DIVISOR;
                assert!(lr >= lowest * 0.999 && lr <= 0.010_001, "lr {lr} at {step} of {total_steps}");
                assert!((0.849_999..=0.950_001).contains(&beta1), "beta1 {beta1} at {step} of {total_steps}");
            }
            let last = schedule.at(total_steps - 1);
            assert!((last.lr - 4e-8).abs() < 1e-12, "last lr {} of {total_steps}", last.lr);
        }
    }

    #[test]
    fn a_long_run_rises_then_falls() {
        let schedule = OneCycle::new(1.0, 100);
        assert!((schedule.at(0).lr - 0.04).abs() < 1e-15);
        assert!((schedule.at(29).lr - 1.0).abs() < 1e-15);
        assert!((1..=29).all(|step| schedule.at(step).lr > schedule.at(step - 1).lr));
        assert!((30..100).all(|step| schedule.at(step).lr < schedule.at(step - 1).lr));
    }
}
