//! `roentgen export`: a model as an ONNX file.

use std::path::Path;

use crate::error::AppError;
use crate::error::command::CommandError;
use crate::model::model_card::ModelCard;
use crate::model::model_file;
use crate::model::onnx;
use crate::model::trained_model::Model;
use crate::run_dir::output_file::OutputFile;
use crate::terminal::screen::Screen;

/// What no file but an ONNX file of this program begins with: field 2, eight bytes long, the name of the producer.
const MARK: &[u8] = b"\x12\x08roentgen";

/// Writes the model file `model` as ONNX to `out`, over another file only with `force`.
///
/// # Errors
/// If `model` is not a model file, if the model normalises each image by its own mean and deviation, and if `out` has another
/// ending than `.onnx` or cannot be written.
pub(crate) fn run(model: &Path, out: &Path, force: bool, screen: &Screen) -> Result<(), AppError> {
    let model_path = model_file::path_of(model);
    let file = OutputFile { path: out, inputs: &[&model_path], mark: MARK, force };
    file.check()?;
    CommandError::check_ending("--onnx", out, "onnx")?;
    let model = model_file::read(model)?;
    let bytes = to_onnx(&model)?;
    file.write(&bytes)?;
    let card = &model.card;
    let ModelCard { channels, resize, fit, .. } = *card;
    let side = onnx::side(card);
    let crop = format!("the centre crop of an image ({})", fit.in_words(resize));
    screen.field("input", &format!("pixels (batch, {channels}, {side}, {side}), 0 to 1: {crop}"));
    if onnx::misses_pixels(card) {
        screen.field(
            "note",
            &format!(
                "views of test-time augmentation reach beyond the crop, and the file continues the {side}x{side} pixels by \
                 reflection where `predict` sees more of an image that is not square: logits of such images differ a little"
            ),
        );
    }
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

/// A model as an ONNX file.
///
/// # Errors
/// [`CommandError::NotExportable`] if it normalises each image by its own mean and deviation.
pub(crate) fn to_onnx(model: &Model) -> Result<Vec<u8>, CommandError> {
    if model.card.normalization.per_image {
        Err(CommandError::NotExportable)
    } else {
        Ok(onnx::to_bytes(&model.network, &model.card))
    }
}
