//! Roentgen as a program: settings, the training run, evaluation, what is shown and what is kept.
//!
//! | question | file |
//! |---|---|
//! | What can be decided, and what is the default? | [`config`] |
//! | What happens in a step? | [`step`], [`trainer`] |
//! | Which epoch is kept, and when does a run end early? | [`best_epoch`], [`patience`] |
//! | What is in the data, and what is wrong with them? | [`inspect`], [`audit`] |
//! | What happens with `--folds`? | [`folds`] |
//! | How fast is it? | [`mod@bench`] |
//! | What happens in a run, and what does it leave behind? | [`train`], [`run_folder`] |
//! | How does a run survive a power cut or Ctrl-C? | [`checkpoint`], [`interrupt`] |
//! | How are the figures computed? | [`evaluate`], [`metrics`] |
//! | How far can a probability be believed? | [`temperature`] |
//! | Which of two runs is better? | [`compare`], [`predictions_file`] |
//! | What is in a model file? | [`model_file`] |
//! | What is on the screen? | [`screen`], [`tables`] |
//! | Which flags are there? | [`cli`] |
//!
//! ```
//! use roentgen::config::TrainConfig;
//! use roentgen::screen::Screen;
//!
//! let folder = tempfile::tempdir()?;
//! let config = TrainConfig { films: 24, width: 8, epochs: Some(1), ..TrainConfig::default() };
//! roentgen::train::run(&config, Some(folder.path()), &Screen::new(true, false))?;
//! assert!(folder.path().join("model.safetensors").exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod audit;
pub mod bench;
pub mod best_epoch;
pub mod checkpoint;
pub mod cli;
pub mod compare;
pub mod config;
pub mod cpu;
pub mod describe;
pub mod error;
pub mod evaluate;
pub mod explain;
pub mod folds;
mod hardest;
pub mod inspect;
pub mod interrupt;
mod loss;
pub mod lr_find;
pub mod metrics;
pub mod model_file;
pub mod novelty;
pub mod onnx;
pub mod overlay;
pub mod patience;
pub mod phantom_films;
mod plot;
pub mod predict;
pub mod predictions_file;
pub mod report;
pub mod run_folder;
pub mod screen;
pub mod seen;
mod short_training;
pub mod step;
pub mod tables;
pub mod temperature;
pub mod tensorboard;
pub mod train;
pub mod trainer;
