//! `roentgen export`: a model as a file for other programs.

use std::path::Path;

use crate::error::AppError;
use crate::model::model_file::{self, ModelCard};
use crate::model::onnx;
use crate::run_dir::atomic_file::write_file;
use crate::terminal::screen::Screen;

/// Writes the model `model` to `out`.
///
/// # Errors
/// For a file that is no model, one that normalises each picture by the whole of it, and a disk that is full.
pub(crate) fn run(model: &Path, out: &Path, screen: &Screen) -> Result<(), AppError> {
    let (model, card) = model_file::read(model)?;
    if card.normalization.per_image {
        return Err(AppError::NotExportable);
    }
    let bytes = onnx::to_bytes(&model, &card);
    write_file(out, &bytes)?;
    let ModelCard { channels, resize, .. } = card;
    let side = onnx::side(&card);
    screen.field("input", &format!("pixels (batch, {channels}, {side}, {side}), 0 to 1; the centre of a picture whose short side is {resize}"));
    screen.field(
        "output",
        &format!(
            "logits and probabilities (batch, {}): {}",
            card.class_names.len(),
            card.class_names.join(", ")
        ),
    );
    screen.field("written", &out.display().to_string());
    Ok(())
}
