//! Roentgen as a program, and as a library for programs that train with it.
//!
//! The rooms, from top to bottom; each imports from lower ones only (`cargo xtask tidy` checks it):
//!
//! | room | holds |
//! |---|---|
//! | `cli` | flags and arguments |
//! | `commands`, `bench` | one file a verb: load, do, show |
//! | `training` | from loaded data to a trained model in its run folder |
//! | `report` | the page, its images and plots |
//! | `data_loading` | from a configuration to a data set, and what was found in it |
//! | `run_dir` | the files of a run folder |
//! | `model` | a trained model: file, inference, calibration, rejection, explanation, ONNX |
//! | `config` | all settings |
//! | `terminal` | lines, tables, progress bars |
//! | `metrics` | figures and their intervals, from predictions alone |
//! | `error`, `cpu` | what can go wrong; what the processor can do |
//!
//! ```
//! use roentgen::{Screen, TrainConfig};
//!
//! let folder = tempfile::tempdir()?;
//! let config = TrainConfig { films: 24, width: 8, epochs: Some(1), ..TrainConfig::default() };
//! roentgen::train(&config, Some(folder.path()), &Screen::new(true, false))?;
//! assert!(folder.path().join("model.safetensors").exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod bench;
mod cli;
mod commands;
mod config;
mod cpu;
mod data_loading;
mod error;
mod metrics;
mod model;
mod report;
mod run_dir;
mod terminal;
mod training;

#[doc(hidden)]
pub use cli::main;
pub use commands::train::run as train;
pub use config::TrainConfig;
#[doc(hidden)]
pub use cpu::missing_features;
pub use error::AppError;
pub use metrics::{PartMetrics, Predictions};
pub use terminal::screen::Screen;
pub use training::step::TrainingStep;
