//! Several trainings of one command: folds, seeds and sweeps, one after the other, on ranks, or as tasks.

mod cross_validation;
mod parts;
mod same_settings;
mod seeds;
pub(crate) mod several_runs;
pub(crate) mod share;
mod spread;
pub(crate) mod sweep;
mod task_summary;
pub(crate) mod whole_folder;
