//! A trained model: its file, what it predicts, how far that can be trusted, and its forms for other programs.

pub(crate) mod assumed_prior;
pub(crate) mod batch_summary;
pub(crate) mod calibration;
pub(crate) mod class_priors;
pub(crate) mod error;
pub(crate) mod explain;
mod facts_summary;
pub(crate) mod heat_map;
pub(crate) mod image_prediction;
pub(crate) mod inference;
pub(crate) mod initial_model;
pub(crate) mod instruction_sets;
pub(crate) mod little_endian;
pub(crate) mod model_card;
pub(crate) mod model_file;
#[cfg(feature = "serve")]
pub(crate) mod neighbours;
pub(crate) mod observation;
pub(crate) mod onnx;
pub(crate) mod ood;
mod packed_numbers;
pub(crate) mod predicted_set;
pub(crate) mod shift;
pub(crate) mod temperature_limits;
pub(crate) mod tensors;
mod torch_file;
pub(crate) mod trained_model;
pub(crate) mod training_digests;
