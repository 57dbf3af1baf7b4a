//! `roentgen export`: a model as an ONNX file.

use std::path::Path;

use crate::error::AppError;
use crate::error::command::CommandError;
use crate::model::model_card::ModelCard;
use crate::model::model_file;
use crate::model::onnx;
use crate::run_dir::atomic_file::write_file;
use crate::terminal::screen::Screen;

/// Writes the model file `model` as ONNX to `out`.
///
/// # Errors
/// If `model` is not a model file, if the model normalises each image by its own mean and deviation, and if `out` cannot
/// be written.
pub(crate) fn run(model: &Path, out: &Path, screen: &Screen) -> Result<(), AppError> {
    let (model, card) = model_file::read(model)?;
    if card.normalization.per_image {
        return Err(CommandError::NotExportable.into());
    }
    let bytes = onnx::to_bytes(&model, &card);
    write_file(out, &bytes)?;
    let ModelCard { channels, resize, .. } = card;
    let side = onnx::side(&card);
    screen.field("input", &format!("pixels (batch, {channels}, {side}, {side}), 0 to 1: the centre crop of an image resized to a short side of {resize}"));
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
