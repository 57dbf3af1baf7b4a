//! `roentgen explain`: the image beside Grad-CAM and occlusion sensitivity, as one PNG.

use std::path::{Path, PathBuf};

use roentgen_data::{LoadOptions, LoadedFiles, SizeLimits, load_files, open_image, visible_region};
use serde::Serialize;

use crate::error::AppError;
use crate::error::command::CommandError;
use crate::model::explain::{Explanation, above_least, explain};
use crate::model::model_card::ModelCard;
use crate::model::model_file;
use crate::report::overlay::{self, Panel};
use crate::run_dir::atomic_file::write_file;
use crate::terminal::screen::Screen;

/// A smaller loss of probability would be shown as 0 percentage points.
const MIN_SHOWN_LOSS: f32 = 0.005;

/// The arguments of `roentgen explain`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExplainRequest<'a> {
    /// The model file or the folder of a run.
    pub model: &'a Path,
    /// The image file.
    pub file: &'a Path,
    /// The class to explain; `None` for the predicted class.
    pub class: Option<&'a str>,
    /// The PNG file to write.
    pub out: &'a Path,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct ExplainResult<'a> {
    path: PathBuf,
    /// The explained class, and its probability.
    class: &'a str,
    probability: f64,
    /// The predicted class.
    predicted: &'a str,
    rejected: bool,
    out: &'a Path,
}

/// Writes the image beside both heat maps, each drawn over it.
///
/// # Errors
/// If the model or the image cannot be read, the model does not know the class, or `out` is no PNG or cannot be written.
pub(crate) fn run(request: &ExplainRequest<'_>, screen: &Screen) -> Result<(), AppError> {
    let ExplainRequest { model, file, class, out } = *request;
    if !out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) {
        return Err(CommandError::NotPng { path: out.into() }.into());
    }
    let (model, card) = model_file::read(model)?;
    let class = class.map(|class| find_class(&card, class)).transpose()?;
    let bad = |reason: String| CommandError::BadImage { path: file.into(), reason };
    let full_image = open_image(file, &SizeLimits::default()).map_err(bad)?.to_rgb8();
    let options = LoadOptions { resize: card.resize, crop: card.size, ..LoadOptions::default() };
    let LoadedFiles { images, mut by_path } =
        load_files(&[file.into()], card.channels, &options, &roentgen_data::silent);
    by_path.remove(0).map_err(bad)?;
    let explanation = explain(&model, &card, &images, 0, class);
    let small = images.image(0);
    let window = visible_region(full_image.dimensions(), (small.width, small.height), card.size as usize);
    let evidence = above_least(&explanation.grad_cam);
    let panels = [
        prediction_panel(&explanation, &card),
        Panel {
            title: "Grad-CAM".to_owned(),
            heat: Some(&evidence),
            caption: format!("least .. most evidence for {}", card.class_names[explanation.class]),
        },
        occlusion_panel(&explanation, &card),
    ];
    let sheet = overlay::sheet(&full_image, window, &panels);
    let mut png = std::io::Cursor::new(Vec::new());
    sheet.write_to(&mut png, image::ImageFormat::Png).map_err(|error| bad(error.to_string()))?;
    write_file(out, png.get_ref())?;
    show(request, &explanation, &card, screen);
    Ok(())
}

fn find_class(card: &ModelCard, name: &str) -> Result<usize, CommandError> {
    let found = card.class_names.iter().position(|class| class.eq_ignore_ascii_case(name));
    found.ok_or_else(|| CommandError::NoSuchClass {
        name: name.to_owned(),
        known: card.class_names.join(", "),
    })
}

/// A class and its probability.
fn with_probability(class: usize, explanation: &Explanation, card: &ModelCard) -> String {
    format!("{} {:.1} %", card.class_names[class], 100.0 * explanation.probabilities[class])
}

/// The predicted class and its probability, and whether the image is rejected.
fn prediction(explanation: &Explanation, card: &ModelCard) -> String {
    let rejected = if explanation.reject_reason.is_some() { "; rejected" } else { "" };
    with_probability(explanation.answer, explanation, card) + rejected
}

/// The image without a heat map, below the prediction.
fn prediction_panel(explanation: &Explanation, card: &ModelCard) -> Panel<'static> {
    let caption = explanation.reject_reason.map_or("frame: what the model sees", |reason| reason.reason());
    Panel { title: prediction(explanation, card), heat: None, caption: caption.to_owned() }
}

/// How much of the probability is lost where each part of the image is hidden.
fn occlusion_panel<'a>(explanation: &'a Explanation, card: &ModelCard) -> Panel<'a> {
    let largest_loss = explanation.occlusion.iter().copied().fold(0.0, f32::max);
    let (heat, caption) = if largest_loss >= MIN_SHOWN_LOSS {
        let class = &card.class_names[explanation.class];
        let caption = format!("0 .. {:.0} points of {class} lost if hidden", 100.0 * largest_loss);
        (Some(&explanation.occlusion), caption)
    } else {
        (None, "hiding any region changes nothing".to_owned())
    };
    Panel { title: "Occlusion".to_owned(), heat, caption }
}

fn show(request: &ExplainRequest<'_>, explanation: &Explanation, card: &ModelCard, screen: &Screen) {
    let ExplainRequest { file, out, .. } = *request;
    screen.field("image", &file.display().to_string());
    screen.field("predicted", &prediction(explanation, card));
    if explanation.class != explanation.answer {
        screen.field("explained", &with_probability(explanation.class, explanation, card));
    }
    if let Some(reason) = explanation.reject_reason {
        screen.field("rejected", reason.reason());
    }
    screen.field("written", &out.display().to_string());
    screen.result(&ExplainResult {
        path: file.into(),
        class: &card.class_names[explanation.class],
        probability: explanation.probabilities[explanation.class],
        predicted: &card.class_names[explanation.answer],
        rejected: explanation.reject_reason.is_some(),
        out,
    });
}
