//! The films of a report: which ones, and their pictures.

use std::io::Cursor;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use image::{DynamicImage, RgbImage};
use maud::{Markup, html};
use ndarray::Array2;
use roentgen_data::{ImageSet, SizeLimits, open_image, visible_region};

use crate::metrics::Predictions;
use crate::report::overlay;

/// Long side of a film in the report, in pixels.
const SIDE: u32 = 224;
const QUALITY: u8 = 82;

/// The images that were answered wrongly, the surest first.
pub(super) fn most_wrong(predictions: &Predictions, most: usize) -> Vec<usize> {
    let wrong = predictions.pairs().enumerate().filter(|(_, (truth, answer))| truth != answer);
    let mut wrong: Vec<(usize, f64)> =
        wrong.map(|(image, (truth, _))| (image, predictions.probabilities(image)[truth])).collect();
    wrong.sort_by(|a, b| a.1.total_cmp(&b.1));
    wrong.into_iter().take(most).map(|(image, _)| image).collect()
}

/// The images whose two likeliest classes are closest, but for `others`.
pub(super) fn most_unsure(predictions: &Predictions, most: usize, others: &[usize]) -> Vec<usize> {
    let margin = |image: usize| {
        let mut sorted = predictions.probabilities(image).to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        sorted[0] - sorted[1]
    };
    let images = (0..predictions.len()).filter(|image| !others.contains(image));
    let mut images: Vec<(usize, f64)> = images.map(|image| (image, margin(image))).collect();
    images.sort_by(|a, b| a.1.total_cmp(&b.1));
    images.into_iter().take(most).map(|(image, _)| image).collect()
}

/// A few images of each class, evenly from the first to the last.
pub(super) fn samples(set: &ImageSet, n_classes: usize, of_each: usize) -> Vec<usize> {
    let of_class = |class: usize| {
        let all: Vec<usize> = (0..set.len()).filter(|&image| set.labels()[image] as usize == class).collect();
        let step = all.len().div_ceil(of_each).max(1);
        all.into_iter().step_by(step)
    };
    (0..n_classes).flat_map(of_class).collect()
}

/// Where the pictures of a set are on the disk, if they are.
#[derive(Clone, Debug)]
pub(super) struct Originals {
    pub(super) folders: Vec<PathBuf>,
}

impl Originals {
    /// A film and the part of it that the model sees: as it is on the disk, or else as the model has it.
    pub(super) fn film(&self, set: &ImageSet, image: usize, crop: usize) -> (RgbImage, [f64; 4]) {
        let small = set.image(image);
        let paths = self.folders.iter().map(|folder| folder.join(set.name(image)));
        let original = paths
            .filter(|path| path.is_file())
            .find_map(|path| open_image(&path, &SizeLimits::default()).ok());
        let (width, height) = (small.width as u32, small.height as u32);
        let film = original.map_or_else(
            || match set.channels() {
                1 => RgbImage::from_fn(width, height, |x, y| {
                    image::Rgb([small.pixels[(y * width + x) as usize]; 3])
                }),
                _ => RgbImage::from_raw(width, height, small.pixels.to_vec()).expect("three values a pixel"),
            },
            |original: DynamicImage| original.to_rgb8(),
        );
        let window = visible_region(film.dimensions(), (small.width, small.height), crop);
        let scale = f64::from(SIDE) / f64::from(film.width().max(film.height()));
        let scaled = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
        let shown =
            imageops::resize(&film, scaled(film.width()), scaled(film.height()), FilterType::Triangle);
        (shown, window.map(|edge| edge * scale))
    }
}

/// One film, with what is to be said of it; beside it the same with heat, if there is any.
pub(super) fn figure(
    film: &(RgbImage, [f64; 4]),
    heat: Option<&Array2<f32>>,
    name: &str,
    said: &Markup,
) -> Markup {
    html! {
        figure.film {
            @if let Some(heat) = heat {
                div.pair {
                    img src=(data_uri(&film.0)) alt=(format!("film {name}"));
                    img src=(data_uri(&overlay::over(&film.0, film.1, heat))) alt=(format!("Grad-CAM over {name}"));
                }
            } @else {
                img src=(data_uri(&film.0)) alt=(format!("film {name}"));
            }
            (said)
        }
    }
}

fn data_uri(picture: &RgbImage) -> String {
    let mut jpeg = Cursor::new(Vec::new());
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    picture.write_with_encoder(encoder).expect("a picture of some pixels goes into memory");
    format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg.get_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_and_the_least_sure_come_first() {
        let mut predictions = Predictions::new(2);
        for (label, logit) in [(0, 3.0), (0, -0.1), (1, 5.0), (1, -2.0), (0, 0.2)] {
            // The logit is that of class 0.
            predictions.add(label, [logit, 0.0].into_iter());
        }
        assert_eq!(most_wrong(&predictions, 9), [2, 1]);
        assert_eq!(most_wrong(&predictions, 1), [2]);
        assert_eq!(most_unsure(&predictions, 2, &[1]), [4, 3]);
    }
}
