//! `roentgen explain`: the image beside Grad-CAM and occlusion sensitivity, as one PNG.

use std::path::{Path, PathBuf};

use ndarray::Array2;
use roentgen_data::{LoadedFiles, load_files, open_image, visible_region};
use serde::Serialize;

use crate::error::AppError;
use crate::error::command::CommandError;
use crate::model::explain::{Explanation, Occlusion, explain};
use crate::model::model_card::ModelCard;
use crate::model::model_file;
use crate::report::overlay::{self, Heat, Panel};
use crate::run_dir::output_file::OutputFile;
use crate::terminal::probability::{REJECTED, probability_text};
use crate::terminal::screen::Screen;

/// A smaller fall of the log-odds would be shown as 0.00.
const MIN_SHOWN_LOSS: f32 = 0.005;

/// The text chunk of a PNG of this command.
const MARK: &[u8] = b"tEXtSoftware\0roentgen explain";

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
    /// Whether `out` may be a file that this command did not write.
    pub force: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct ExplainResult<'a> {
    path: PathBuf,
    /// The explained class, and its probability.
    class: &'a str,
    probability: f64,
    /// The predicted class; `rejected` for a rejected image.
    predicted: &'a str,
    rejected: bool,
    /// The greatest fall of the log-odds of the explained class where a part of the image is hidden, in every view that the
    /// prediction averages over.
    occlusion_log_odds: f32,
    /// The probability of the explained class while the part with the greatest effect is hidden.
    occlusion_probability: f64,
    out: &'a Path,
}

/// Writes the image beside both heat maps, each drawn over it.
///
/// # Errors
/// If the model or the image cannot be read, the model does not know the class, or `out` is not a PNG file or cannot be written.
pub(crate) fn run(request: &ExplainRequest<'_>, screen: &Screen) -> Result<(), AppError> {
    let ExplainRequest { model, file, class, out, force } = *request;
    CommandError::check_ending("--out", out, "png")?;
    let model_path = model_file::path_of(model);
    let output = OutputFile { path: out, inputs: &[file, &model_path], mark: MARK, force };
    output.check()?;
    let (model, card) = model_file::read(model)?;
    let class = class.map(|class| find_class(&card, class)).transpose()?;
    let bad = |reason: String| CommandError::BadImage { path: file.into(), reason };
    let options = card.image_options();
    let full_image = open_image(file, &options).map_err(bad)?.to_rgb8();
    let LoadedFiles { images, mut by_source, notes } =
        load_files(&[file.into()], card.channels, &options, &roentgen_data::silent);
    by_source.remove(0).map_err(bad)?;
    notes.iter().for_each(|note| screen.note("note", note));
    let explanation = explain(&model, &card, &images, 0, class);
    let small = images.image(0);
    let small_size = (small.width, small.height);
    let window = visible_region(full_image.dimensions(), small_size, options.crop as usize, options.fit);
    let panels = [
        prediction_panel(&explanation, &card),
        grad_cam_panel(&explanation, &card),
        occlusion_panel(&explanation, &card),
    ];
    let sheet = overlay::sheet(&full_image, window, &panels);
    output.write(&to_png(&sheet).map_err(|error| bad(error.to_string()))?)?;
    show(request, &explanation, &card, screen);
    Ok(())
}

/// A PNG with a text chunk by which a later call recognises it.
fn to_png(sheet: &image::RgbImage) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, sheet.width(), sheet.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.add_text_chunk("Software".to_owned(), "roentgen explain".to_owned())?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(sheet)?;
    writer.finish()?;
    Ok(bytes)
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
    format!("{} {}", card.class_names[class], probability_text(explanation.probabilities[class]))
}

/// The predicted class and its probability; a rejected image has no class.
fn prediction(explanation: &Explanation, card: &ModelCard) -> String {
    match explanation.reject_reason {
        Some(_) => REJECTED.to_owned(),
        None => with_probability(explanation.answer, explanation, card),
    }
}

/// The image without a heat map, below the prediction.
fn prediction_panel(explanation: &Explanation, card: &ModelCard) -> Panel<'static> {
    let caption = explanation.reject_reason.map_or("frame: what the model sees", |reason| reason.reason());
    Panel { title: prediction(explanation, card), heat: None, caption: caption.to_owned() }
}

/// Where the network finds evidence for the explained class.
fn grad_cam_panel<'a>(explanation: &'a Explanation, card: &ModelCard) -> Panel<'a> {
    let class = &card.class_names[explanation.class];
    let greatest = greatest(&explanation.grad_cam);
    let (heat, caption) = if greatest > 0.0 {
        let heat = Heat { map: &explanation.grad_cam, end: format!("{greatest:.2}") };
        (Some(heat), format!("evidence for {class}"))
    } else {
        (None, format!("no evidence for {class}"))
    };
    Panel { title: "Grad-CAM".to_owned(), heat, caption }
}

/// How much the log-odds of the explained class fall where each part of the image is hidden.
fn occlusion_panel<'a>(explanation: &'a Explanation, card: &ModelCard) -> Panel<'a> {
    let Occlusion { lost_log_odds, least_probability } = &explanation.occlusion;
    let (greatest, class) = (greatest(lost_log_odds), &card.class_names[explanation.class]);
    let (heat, caption) = if greatest >= MIN_SHOWN_LOSS {
        let [before, after] =
            [explanation.probabilities[explanation.class], *least_probability].map(probability_text);
        let heat = Heat { map: lost_log_odds, end: format!("{greatest:.2}") };
        (Some(heat), format!("fall of the log-odds of {class} if hidden; at most from {before} to {after}"))
    } else {
        (None, format!("hiding any part makes {class} no less probable"))
    };
    Panel { title: "Occlusion".to_owned(), heat, caption }
}

fn greatest(map: &Array2<f32>) -> f32 {
    map.iter().copied().fold(0.0, f32::max)
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
        predicted: explanation.reject_reason.map_or(&card.class_names[explanation.answer], |_| REJECTED),
        rejected: explanation.reject_reason.is_some(),
        occlusion_log_odds: greatest(&explanation.occlusion.lost_log_odds),
        occlusion_probability: explanation.occlusion.least_probability,
        out,
    });
}
