//! The one-cycle schedule (Smith and Topin 2018): during one run the learning rate rises to its maximum and falls to
//! almost zero, while Adam's `beta1` falls and rises.
//!
//! ```text
//!  lr     max_lr       /\                    beta1  0.95 --\           /--
//!                    /    \                                 \        /
//!         max_lr/25 /       \_                               \    /
//!                    30 %      max_lr/250,000         0.85     \/
//! ```
//! Both halves are half cosines. The numbers are those of PyTorch's `OneCycleLR`. As in PyTorch, the peak is at step
//! `0.3 * total_steps - 1`, where steps count from 0.

use std::f64::consts::PI;

/// Fraction of the run in which the learning rate rises.
const RISE_FRACTION: f64 = 0.3;
/// Maximal learning rate divided by that of the first step.
const START_DIVISOR: f64 = 25.0;
/// Learning rate of the first step divided by that of the last step.
const END_DIVISOR: f64 = 1e4;
/// `beta1` where the learning rate is lowest.
const BETA1_MAX: f64 = 0.95;
/// `beta1` where the learning rate is highest.
const BETA1_MIN: f64 = 0.85;

/// The values of the schedule in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Learning rate.
    pub lr: f64,
    /// Decay of Adam's first moment, `beta1`.
    pub beta1: f64,
}

/// The schedule of a run whose number of steps is known.
#[derive(Clone, Copy, Debug)]
pub struct OneCycle {
    max_lr: f64,
    total_steps: usize,
}

impl OneCycle {
    /// One cycle over `total_steps` steps (batches) with the maximal learning rate `max_lr`.
    ///
    /// # Panics
    /// If `total_steps` is 0, or `max_lr` is not positive and finite.
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
    /// If `step` is not below `total_steps`.
    #[must_use]
    pub fn at(&self, step: usize) -> Rates {
        assert!(step < self.total_steps, "OneCycle::at: step {step} of a run of {}", self.total_steps);
        let (start_lr, step, last) =
            (self.max_lr / START_DIVISOR, step as f64, self.total_steps as f64 - 1.0);
        // Negative for up to three steps: then the rate only falls. It is never exactly 0, so there is no division by 0.
        let peak = RISE_FRACTION * self.total_steps as f64 - 1.0;
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

/// Half a cosine from `start`, where `done` is 0, to `end`, where it is 1.
fn cosine(start: f64, end: f64, done: f64) -> f64 {
    end + (start - end) / 2.0 * (libm::cos(PI * done) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_within_their_bounds_for_every_number_of_steps() {
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
