//! `roentgen explain`: the image beside Grad-CAM and occlusion, as one png.

use std::path::{Path, PathBuf};

use roentgen_data::{LoadOptions, LoadedFiles, SizeLimits, load_files, open_image, visible_region};
use serde::Serialize;

use crate::error::AppError;
use crate::model::explain::{above_least, explain};
use crate::model::model_file::{self, ModelCard};
use crate::report::overlay::{self, Panel};
use crate::run_dir::atomic_file::write_file;
use crate::terminal::screen::Screen;

/// What `roentgen explain` is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The model.
    pub model: &'a Path,
    /// The picture.
    pub file: &'a Path,
    /// The class to explain; none for the likeliest.
    pub class: Option<&'a str>,
    /// The png to write.
    pub out: &'a Path,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Figures<'a> {
    path: PathBuf,
    /// The class that is explained, and its probability.
    class: &'a str,
    probability: f64,
    /// The likeliest class.
    answer: &'a str,
    refused: bool,
    out: &'a Path,
}

/// Writes the film beside both opinions, laid over it.
///
/// # Errors
/// For a file that is no model or no picture, a class that the model does not know, and a disk that is full.
pub(crate) fn run(request: &Request<'_>, screen: &Screen) -> Result<(), AppError> {
    let Request { model, file, class, out } = *request;
    if !out.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png")) {
        return Err(AppError::NotPng { path: out.into() });
    }
    let (model, card) = model_file::read(model)?;
    let class = class.map(|class| find_class(&card, class)).transpose()?;
    let bad = |reason: String| AppError::BadPicture { path: file.into(), reason };
    let film = open_image(file, &SizeLimits::default()).map_err(bad)?.to_rgb8();
    let options = LoadOptions { resize: card.resize, crop: card.size, ..LoadOptions::default() };
    let LoadedFiles { images, mut by_path } =
        load_files(&[file.into()], card.channels, &options, &roentgen_data::silent);
    by_path.remove(0).map_err(bad)?;
    let explanation = explain(&model, &card, &images, 0, class);
    let small = images.image(0);
    let window = visible_region(film.dimensions(), (small.width, small.height), card.size as usize);
    let name = &card.class_names[explanation.class];
    let probability = explanation.probabilities[explanation.class];
    let most_lost = explanation.occlusion.iter().copied().fold(0.0, f32::max);
    let answer = &card.class_names[explanation.answer];
    let percent = |class: usize| {
        format!("{} {:.1} %", card.class_names[class], 100.0 * explanation.probabilities[class])
    };
    let (title, below) = match explanation.reject_reason {
        Some(reject_reason) => {
            (format!("{}; refused", percent(explanation.answer)), reject_reason.reason().to_owned())
        }
        None => (percent(explanation.answer), "framed: what the model sees".to_owned()),
    };
    // Half a point is what rounds to one.
    let is_lost = most_lost >= 0.005;
    let evidence = above_least(&explanation.grad_cam);
    let panels = [
        Panel { title: title.clone(), heat: None, caption: below.clone() },
        Panel {
            title: "Grad-CAM".to_owned(),
            heat: Some(&evidence),
            caption: format!("least .. most evidence for {name}"),
        },
        Panel {
            title: "Occlusion".to_owned(),
            heat: is_lost.then_some(&explanation.occlusion),
            caption: if is_lost {
                format!("0 .. {:.0} points of {name} lost if hidden", 100.0 * most_lost)
            } else {
                "hiding any part changes nothing".to_owned()
            },
        },
    ];
    let picture = overlay::sheet(&film, window, &panels);
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).map_err(|error| bad(error.to_string()))?;
    write_file(out, png.get_ref())?;
    screen.field("film", &file.display().to_string());
    screen.field("answer", &title);
    if name != answer {
        screen.field("explained", &percent(explanation.class));
    }
    if explanation.reject_reason.is_some() {
        screen.field("refused", &below);
    }
    screen.field("written", &out.display().to_string());
    let refused = explanation.reject_reason.is_some();
    screen.result(&Figures { path: file.into(), class: name, probability, answer, refused, out });
    Ok(())
}

fn find_class(card: &ModelCard, name: &str) -> Result<usize, AppError> {
    let found = card.class_names.iter().position(|class| class.eq_ignore_ascii_case(name));
    found.ok_or_else(|| AppError::NoSuchClass { name: name.to_owned(), known: card.class_names.join(", ") })
}
