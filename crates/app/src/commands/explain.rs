//! `roentgen explain`: the image beside Grad-CAM and occlusion sensitivity, as one PNG.

use std::path::Path;

use image::RgbImage;
use ndarray::Array2;
use roentgen_data::{ImageRegion, ImageSource, LoadedFiles, visible_region};
use serde::Serialize;

use crate::error::AppError;
use crate::error::command::CommandError;
use crate::model::explain::{Explanation, Occlusion};
use crate::model::model_card::ModelCard;
use crate::model::model_file;
use crate::model::trained_model::Model;
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
    path: String,
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
    out: String,
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
    let model = model_file::read(model)?;
    let card = &model.card;
    let class = class.map(|class| find_class(card, class)).transpose()?;
    let bad = |reason: String| CommandError::BadImage { path: file.into(), reason };
    let explained = ExplainedImage::read(&model, &file.into(), class).map_err(bad)?;
    explained.notes.iter().for_each(|note| screen.note("note", note));
    let (grad_cam, occlusion) = (explained.explanation.grad_cam(), explained.explanation.occlusion());
    let panels = [
        prediction_panel(&explained.explanation, card),
        explained.grad_cam_panel(&grad_cam),
        explained.occlusion_panel(&occlusion),
    ];
    let sheet = overlay::sheet(&explained.image, explained.window, &panels);
    output.write(&to_png(&sheet).map_err(|error| bad(error.to_string()))?)?;
    show(request, &explained.explanation, &occlusion, card, screen);
    Ok(())
}

/// An image whose prediction is explained.
pub(crate) struct ExplainedImage<'a> {
    card: &'a ModelCard,
    /// At its original size.
    pub image: RgbImage,
    /// What the model sees of it, in pixels.
    pub window: ImageRegion,
    pub explanation: Explanation<'a>,
    /// What is unusual in its file.
    pub notes: Vec<&'static str>,
}

impl<'a> ExplainedImage<'a> {
    /// Reads an image, and predicts it. `None` is the predicted class.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub(crate) fn read(model: &'a Model, source: &ImageSource, class: Option<usize>) -> Result<Self, String> {
        let card = &model.card;
        let options = card.image_options();
        let image = source.open(&options)?.to_rgb8();
        let LoadedFiles { images, mut by_source, counts } = card.read_images(std::slice::from_ref(source));
        by_source.remove(0)?;
        let notes = counts.notes(&options).iter().filter_map(|note| note.of_one).collect();
        let explanation = Explanation::new(model, &images, 0, class);
        let small = images.image(0);
        let small_size = (small.width, small.height);
        let window = visible_region(image.dimensions(), small_size, options.crop as usize, options.fit);
        Ok(Self { card, image, window, explanation, notes })
    }

    /// The explained class.
    pub(crate) fn class(&self) -> &'a str {
        &self.card.class_names[self.explanation.class]
    }

    /// Where the network finds evidence for the explained class.
    pub(crate) fn grad_cam_panel<'map>(&self, map: &'map Array2<f32>) -> Panel<'map> {
        let (greatest, class) = (greatest(map), self.class());
        let (heat, caption) = if greatest > 0.0 {
            (Some(Heat { map, end: format!("{greatest:.2}") }), format!("evidence for {class}"))
        } else {
            (None, format!("no evidence for {class}"))
        };
        Panel { title: "Grad-CAM".to_owned(), heat, caption }
    }

    /// How much the log-odds of the explained class fall where each part of the image is hidden.
    pub(crate) fn occlusion_panel<'map>(&self, occlusion: &'map Occlusion) -> Panel<'map> {
        let (map, class) = (&occlusion.lost_log_odds, self.class());
        let effect = self.effect_of_hiding(occlusion);
        let caption = match &effect {
            HidingEffect::Less { before, after } => {
                format!("fall of the log-odds of {class} if hidden; at most from {before} to {after}")
            }
            HidingEffect::Hardly { probability } => {
                format!(
                    "fall of the log-odds of {class} if hidden; hiding any one part hardly changes its probability, {probability}"
                )
            }
            HidingEffect::None => format!("hiding any part makes {class} no less probable"),
        };
        let has_heat = !matches!(effect, HidingEffect::None);
        let heat = has_heat.then(|| Heat { map, end: format!("{:.2}", greatest(map)) });
        Panel { title: "Occlusion".to_owned(), heat, caption }
    }

    /// What hiding the most important part does to the explained class.
    pub(crate) fn effect_of_hiding(&self, occlusion: &Occlusion) -> HidingEffect {
        HidingEffect::new(self.explanation.probabilities[self.explanation.class], occlusion)
    }
}

/// What hiding parts of an image does to the probability of a class, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HidingEffect {
    /// At most, it falls from one to another.
    Less { before: String, after: String },
    /// It falls, but not visibly.
    Hardly { probability: String },
    /// It falls nowhere.
    None,
}

impl HidingEffect {
    /// `before` is the probability while nothing is hidden.
    fn new(before: f64, occlusion: &Occlusion) -> Self {
        if greatest(&occlusion.lost_log_odds) < MIN_SHOWN_LOSS {
            return Self::None;
        }
        let [before, after] = [before, occlusion.least_probability].map(probability_text);
        if before == after { Self::Hardly { probability: before } } else { Self::Less { before, after } }
    }
}

/// A PNG with a text chunk by which a later call recognises it.
fn to_png(sheet: &RgbImage) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, sheet.width(), sheet.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.add_text_chunk("Software".to_owned(), "roentgen explain".to_owned())?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(sheet)?;
    writer.finish()?;
    Ok(bytes)
}

/// The index of a class, by its name, or by its name in another case if that is the name of no other class.
///
/// # Errors
/// [`CommandError::NoSuchClass`].
pub(crate) fn find_class(card: &ModelCard, name: &str) -> Result<usize, CommandError> {
    find_class_name(&card.class_names, name).ok_or_else(|| CommandError::NoSuchClass {
        name: name.to_owned(),
        known: card.class_names.join(", "),
    })
}

fn find_class_name(class_names: &[String], name: &str) -> Option<usize> {
    let in_any_case = || {
        let mut found = (0..class_names.len()).filter(|&class| class_names[class].eq_ignore_ascii_case(name));
        found.next().filter(|_| found.next().is_none())
    };
    class_names.iter().position(|class| class == name).or_else(in_any_case)
}

/// A class and its probability.
fn with_probability(class: usize, explanation: &Explanation<'_>, card: &ModelCard) -> String {
    format!("{} {}", card.class_names[class], probability_text(explanation.probabilities[class]))
}

/// The predicted class and its probability; a rejected image has no class.
fn prediction(explanation: &Explanation<'_>, card: &ModelCard) -> String {
    match explanation.reject_reason {
        Some(_) => REJECTED.to_owned(),
        None => with_probability(explanation.predicted, explanation, card),
    }
}

/// The image without a heat map, below the prediction.
fn prediction_panel(explanation: &Explanation<'_>, card: &ModelCard) -> Panel<'static> {
    let caption = explanation.reject_reason.map_or("frame: what the model sees", |reason| reason.in_words());
    Panel { title: prediction(explanation, card), heat: None, caption: caption.to_owned() }
}

/// The greatest value of a map, at least 0.
pub(crate) fn greatest(map: &Array2<f32>) -> f32 {
    map.iter().copied().fold(0.0, f32::max)
}

fn show(
    request: &ExplainRequest<'_>,
    explanation: &Explanation<'_>,
    occlusion: &Occlusion,
    card: &ModelCard,
    screen: &Screen,
) {
    let ExplainRequest { file, out, .. } = *request;
    screen.field("image", &file.display().to_string());
    screen.field("predicted", &prediction(explanation, card));
    if explanation.class != explanation.predicted {
        screen.field("explained", &with_probability(explanation.class, explanation, card));
    }
    if let Some(reason) = explanation.reject_reason {
        screen.field("rejected", reason.in_words());
    }
    screen.field("written", &out.display().to_string());
    screen.result(&ExplainResult {
        path: file.display().to_string(),
        class: &card.class_names[explanation.class],
        probability: explanation.probabilities[explanation.class],
        predicted: explanation.reject_reason.map_or(&card.class_names[explanation.predicted], |_| REJECTED),
        rejected: explanation.reject_reason.is_some(),
        occlusion_log_odds: greatest(&occlusion.lost_log_odds),
        occlusion_probability: occlusion.least_probability,
        out: out.display().to_string(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_found_by_its_exact_name_first() {
        let class_names = ["A", "a", "Flu", "XY", "xy"].map(str::to_owned);
        let found = ["A", "a", "flu", "xy", "Xy", "b"].map(|name| find_class_name(&class_names, name));
        assert_eq!(found, [Some(0), Some(1), Some(2), Some(4), None, None]);
    }

    #[test]
    fn a_change_that_is_not_visible_is_not_shown_as_one() {
        let effect = |before: f64, least_probability: f64, greatest: f32| {
            let lost_log_odds = Array2::from_elem((2, 2), greatest);
            HidingEffect::new(before, &Occlusion { lost_log_odds, least_probability })
        };
        let text = str::to_owned;
        assert_eq!(
            effect(0.9, 0.5, 2.2),
            HidingEffect::Less { before: text("90.0 %"), after: text("50.0 %") }
        );
        assert_eq!(effect(0.9999, 0.993, 4.3), HidingEffect::Hardly { probability: text("> 99 %") });
        assert_eq!(effect(0.9, 0.9001, -0.1), HidingEffect::None);
    }
}
