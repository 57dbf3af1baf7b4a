//! Several trainings of one command: folds, seeds and sweeps, one after the other, on ranks, or as tasks.

pub(super) mod cross_validation;
pub(crate) mod parts;
pub(super) mod same_settings;
pub(super) mod seeds;
pub(crate) mod several_runs;
pub(crate) mod share;
pub(super) mod spread;
pub(crate) mod sweep;
pub(super) mod task_summary;
pub(crate) mod whole_folder;
