//! From loaded data to a trained model in its run folder.

pub(crate) mod checkpoint;
mod cross_validation;
mod divergence;
#[cfg(test)]
mod divergence_tests;
#[cfg(test)]
mod durability_tests;
pub(crate) mod early_stopping;
mod epoch_lines;
pub(crate) mod epoch_selection;
mod epochs;
pub(crate) mod error;
mod final_evaluation;
pub(crate) mod follower;
mod hard_examples;
mod initial_weights;
mod inputs;
pub(crate) mod interrupt;
pub(crate) mod leader;
pub(crate) mod linear_classifier;
pub(crate) mod memory_estimate;
#[cfg(test)]
mod micro_batch_tests;
mod new_model_card;
pub(crate) mod objective;
pub(crate) mod parts;
pub(crate) mod pipeline;
pub(crate) mod probe_training;
pub(crate) mod quick_audit;
mod rank_sums;
pub(crate) mod resumption;
mod run_summary;
mod same_settings;
mod seeds;
pub(crate) mod several_runs;
mod shard_sums;
pub(crate) mod share;
mod shared_observation;
#[cfg(test)]
mod shared_run_tests;
mod spread;
pub(crate) mod step;
pub(crate) mod sweep;
mod task_summary;
#[cfg(test)]
mod test_runs;
pub(crate) mod trainer;
mod validation;
pub(crate) mod whole_folder;
mod work;
