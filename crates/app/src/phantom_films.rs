//! The phantom films as a data set of this program: how many, and `roentgen data phantom`.

use std::path::Path;

use roentgen_data::{PhantomOptions, write_phantom};

use crate::config::TrainConfig;
use crate::error::AppError;
use crate::screen::Screen;

/// `films` to train on, an eighth as many to validate on, a quarter as many to test on.
#[must_use]
pub fn options(films: u32, seed: u64) -> PhantomOptions {
    let train = films as usize;
    PhantomOptions { seed, train, val: train / 8, test: train / 4, ..PhantomOptions::default() }
}

/// The same validation and test films with as few training films as can be: one of each class.
#[must_use]
pub fn without_training(films: u32, seed: u64) -> PhantomOptions {
    PhantomOptions { train: 3, ..options(films, seed) }
}

/// The set in words.
#[must_use]
pub fn describe(seed: u64) -> String {
    format!("phantom chest films, drawn by the program with seed {seed}")
}

/// Writes the films as a folder of png files.
///
/// # Errors
/// If the folder is in use or can't be written.
pub fn write(config: &TrainConfig, out: &Path, screen: &Screen) -> Result<(), AppError> {
    let options = options(config.films, config.seed);
    let loading = screen.loading();
    write_phantom(out, &options, &loading)?;
    drop(loading);
    let PhantomOptions { train, val, test, .. } = options;
    screen.field("data", &describe(config.seed));
    screen.field(
        "written",
        &format!("{}: {train} to train on, {val} to validate, {test} to test", out.display()),
    );
    screen.field("next", &format!("roentgen train --data {}", out.display()));
    Ok(())
}
