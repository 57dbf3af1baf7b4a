//! One training on several ranks: the first one leads it, the others follow, and their gradients are summed in a fixed order.

pub(crate) mod follower;
pub(crate) mod leader;
pub(super) mod rank_sums;
pub(super) mod shared_observation;
#[cfg(test)]
mod shared_run_tests;
