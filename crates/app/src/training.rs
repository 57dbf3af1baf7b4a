//! From loaded data to a trained model in its run folder.

pub(crate) mod checkpoint;
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
mod hard_examples;
mod initial_weights;
mod inputs;
pub(crate) mod interrupt;
pub(crate) mod linear_classifier;
pub(crate) mod memory_estimate;
#[cfg(test)]
mod micro_batch_tests;
mod new_model_card;
pub(crate) mod objective;
pub(crate) mod on_ranks;
pub(crate) mod pipeline;
pub(crate) mod probe_training;
pub(crate) mod quick_audit;
pub(crate) mod resumption;
mod run_summary;
pub(crate) mod several;
mod shard_sums;
pub(crate) mod step;
#[cfg(test)]
mod test_runs;
pub(crate) mod trainer;
mod validation;
mod work;
