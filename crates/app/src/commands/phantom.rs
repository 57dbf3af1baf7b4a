//! `roentgen data phantom`: the phantom films as a folder of png files.

use std::path::Path;

use roentgen_data::{PhantomOptions, write_phantom};

use crate::config::TrainConfig;
use crate::data_loading::phantom::{describe, options};
use crate::error::AppError;
use crate::terminal::foreign_text::shell_word;
use crate::terminal::screen::Screen;

/// Writes the films as a folder of png files.
///
/// # Errors
/// If the folder is in use or can't be written.
pub(crate) fn write(config: &TrainConfig, out: &Path, screen: &Screen) -> Result<(), AppError> {
    let options = options(config.films, config.seed);
    let loading = screen.loading();
    write_phantom(out, &options, &loading)?;
    drop(loading);
    let PhantomOptions { train, val, test, .. } = options;
    screen.field("data", &describe(config.seed));
    screen.field(
        "written",
        &format!("{}: {train} for training, {val} for validation, {test} for testing", out.display()),
    );
    screen.field("next", &format!("roentgen train {}", shell_word(out.display())));
    Ok(())
}
