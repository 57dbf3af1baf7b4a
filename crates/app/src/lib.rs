//! Roentgen as a program, and as a library for programs that train with it.
//!
//! The rooms, from top to bottom; each imports from lower ones only (`cargo xtask tidy` checks it):
//!
//! | room | holds |
//! |---|---|
//! | `cli`, `embed` | flags and arguments; the entry points of the library |
//! | `serve` | the page in the browser |
//! | `commands`, `bench` | one file for each command: load, do, show |
//! | `threads`, `error` | a pool of threads; the errors of all rooms as one |
//! | `training` | from loaded data to a trained model in its run folder |
//! | `report` | the page, its images and plots |
//! | `data_loading` | from a configuration to a data set, and what was found in it |
//! | `run_dir` | the files of a run folder |
//! | `model` | a trained model: file, inference, calibration, rejection, explanation, ONNX |
//! | `config` | all settings |
//! | `terminal` | lines, tables, progress bars |
//! | `metrics` | figures and their intervals, from predictions alone |
//! | `ranks` | several processes that work as one |
//! | `cpu`, `memory` | what the processor can do; how much memory is free |
//!
//! A program that embeds the trainer calls [`load()`], [`train()`] and [`Model`]. The crates below are re-exported, and so is
//! [`ndarray`], whose arrays they take; so the program needs no other dependency to call them.
//!
//! ```
//! use roentgen::{Screen, TrainConfig};
//!
//! let config = TrainConfig { films: 24, width: 8, epochs: Some(1), ..TrainConfig::default() };
//! let screen = Screen::silent();
//! let data = roentgen::load(&config, &screen)?;
//! let folder = tempfile::tempdir()?;
//! let run = roentgen::train(&config, &data, folder.path(), &screen)?;
//! println!("accuracy {:.3}", run.test.expect("a test set").confusion.accuracy());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub use ndarray;
pub use roentgen_data as data;
pub use roentgen_layers as layers;
pub use roentgen_optim as optim;
pub use roentgen_tensor as tensor;

mod bench;
mod cli;
mod commands;
mod config;
mod cpu;
mod data_loading;
mod embed;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod memory;
mod metrics;
mod model;
mod ranks;
mod report;
mod run_dir;
#[cfg(feature = "serve")]
mod serve;
mod terminal;
mod threads;
mod training;

#[doc(hidden)]
pub use cli::main;
pub use config::error::ConfigError;
pub use config::{
    ChannelChoice, ClassPrior, ClassWeights, ClipChoice, ConvAlgorithmChoice, DecayKind, FitChoice,
    InvertChoice, NormalizeBy, Preset, SamplerChoice, SeedRange, Select, TrainConfig, ViewList,
};
#[doc(hidden)]
pub use cpu::missing_features;
pub use data_loading::error::DataLoadingError;
pub use embed::{Model, TrainedRun, load, load_arrays, train};
pub use error::AppError;
pub use error::bench::BenchError;
pub use error::command::CommandError;
pub use metrics::{ClassMetrics, Confusion, Metric, MetricValues, Predictions, SubsetMetrics};
pub use model::error::ModelError;
pub use model::image_prediction::ImagePrediction;
pub use ranks::error::RankError;
pub use run_dir::error::{RunDirError, WriteError};
pub use terminal::screen::Screen;
pub use training::error::TrainingError;
pub use training::step::{StepOutcome, TrainingStep};
