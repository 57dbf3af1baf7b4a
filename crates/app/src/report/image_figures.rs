//! The images of a report: which ones, and how each is shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{DynamicImage, GrayImage, RgbImage};
use maud::{Markup, html};
use ndarray::Array2;
use roentgen_data::{Fit, ImageRegion, ImageSet, ImageSource, LoadOptions, visible_region};

use crate::metrics::Predictions;
use crate::report::overlay;
use crate::report::picture::{scaled, to_jpeg};

/// Long side of an image in the report, in pixels.
const SIDE: u32 = 224;

/// The wrongly classified images, those with the most probable wrong class first, without those that are left out.
pub(super) fn worst_errors(predictions: &Predictions, max_images: usize, is_left_out: &[bool]) -> Vec<usize> {
    let wrong = predictions
        .pairs()
        .enumerate()
        .filter(|(image, (truth, predicted))| truth != predicted && !is_left_out[*image]);
    let mut wrong: Vec<(usize, f64)> =
        wrong.map(|(image, (_, predicted))| (image, predictions.probabilities(image)[predicted])).collect();
    wrong.sort_by(|a, b| b.1.total_cmp(&a.1));
    wrong.into_iter().take(max_images).map(|(image, _)| image).collect()
}

/// The images whose two most probable classes are closest, without those that are left out.
pub(super) fn least_certain(
    predictions: &Predictions,
    max_images: usize,
    is_left_out: &[bool],
) -> Vec<usize> {
    let margin = |image: usize| {
        let [mut first, mut second] = [f64::NEG_INFINITY; 2];
        for &probability in predictions.probabilities(image) {
            second = second.max(probability.min(first));
            first = first.max(probability);
        }
        first - second
    };
    let images = (0..predictions.len()).filter(|&image| !is_left_out[image]);
    let mut images: Vec<(usize, f64)> = images.map(|image| (image, margin(image))).collect();
    images.sort_by(|a, b| a.1.total_cmp(&b.1));
    images.into_iter().take(max_images).map(|(image, _)| image).collect()
}

/// A few images of each of the first `n_classes` classes, evenly spaced from the first to the last.
pub(crate) fn samples(set: &ImageSet, n_classes: usize, per_class: usize) -> Vec<usize> {
    let mut of_class = vec![Vec::new(); n_classes];
    for (image, &label) in set.labels().iter().enumerate() {
        // Of many classes, the caller wants the first few.
        if let Some(images) = of_class.get_mut(label as usize) {
            images.push(image);
        }
    }
    let some_of = |images: Vec<usize>| {
        let step = images.len().div_ceil(per_class).max(1);
        images.into_iter().step_by(step)
    };
    of_class.into_iter().flat_map(some_of).collect()
}

/// An image of a set, scaled for the report, and the window of it that the model sees.
pub(super) fn image_and_window(
    set: &ImageSet,
    image: usize,
    options: &LoadOptions,
) -> (RgbImage, ImageRegion) {
    let (height, width) = set.size(image);
    let (full, is_original) = full_image(set, image, options);
    let full = full.to_rgb8();
    // The reduced image has its margins already.
    let fit = if is_original { options.fit } else { Fit::Crop };
    let window = visible_region(full.dimensions(), (width, height), options.crop as usize, fit);
    let (shown, scale) = scaled(&full, SIDE);
    (shown, window.scaled(scale))
}

/// An image of a set, as small as in the report.
#[cfg(feature = "serve")]
#[must_use]
pub(crate) fn thumbnail(set: &ImageSet, image: usize, options: &LoadOptions) -> RgbImage {
    image_and_window(set, image, options).0
}

/// An image of a set from its file, and `true`; else the reduced image of the set: drawn phantom films and packed images have
/// no files, and a file may hold another image by now.
pub(crate) fn full_image(set: &ImageSet, image: usize, options: &LoadOptions) -> (DynamicImage, bool) {
    let original = set.file(image).and_then(|path| ImageSource::File(path).open_with_digest(options).ok());
    if let Some((original, digest)) = original
        && set.image_digest(image) == digest
    {
        return (original, true);
    }
    let small = set.image(image);
    let (width, height, pixels) = (small.width as u32, small.height as u32, small.pixels.into_owned());
    let reduced = match set.channels() {
        1 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        _ => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
    };
    (reduced.expect("a value for each channel of a pixel"), false)
}

/// One image with a text below; beside it the same image under `heat`, if there is any.
pub(super) fn figure(
    (image, window): &(RgbImage, ImageRegion),
    heat: Option<&Array2<f32>>,
    name: &str,
    text: &Markup,
) -> Markup {
    html! {
        figure.image {
            @if let Some(heat) = heat {
                div.pair {
                    img src=(data_uri(image)) alt=(format!("image {name}"));
                    img src=(data_uri(&overlay::with_heat(image, *window, heat))) alt=(format!("Grad-CAM over {name}"));
                }
            } @else {
                img src=(data_uri(image)) alt=(format!("image {name}"));
            }
            (text)
        }
    }
}

fn data_uri(image: &RgbImage) -> String {
    format!("data:image/jpeg;base64,{}", STANDARD.encode(to_jpeg(image)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_errors_and_the_least_certain_predictions_come_first() {
        let mut predictions = Predictions::new(2);
        for (label, logit) in [(0, 3.0), (0, -0.1), (1, 5.0), (1, -2.0), (0, 0.2)] {
            // The logit is that of class 0.
            predictions.add(label, [logit, 0.0].into_iter());
        }
        assert_eq!(worst_errors(&predictions, 9, &[false; 5]), [2, 1]);
        assert_eq!(worst_errors(&predictions, 1, &[false; 5]), [2]);
        let without = |left_out: usize| [0, 1, 2, 3, 4].map(|image| image == left_out);
        assert_eq!(worst_errors(&predictions, 9, &without(2)), [1], "a rejected image is not an error");
        assert_eq!(least_certain(&predictions, 2, &without(1)), [4, 3]);
    }

    #[test]
    fn the_worst_error_is_the_surest_wrong_answer_and_not_the_least_probable_true_class() {
        let mut predictions = Predictions::new(3);
        let mut add = |label: u32, probabilities: [f64; 3]| {
            predictions.add(label, probabilities.map(f64::ln).into_iter());
        };
        // The true class has the lowest probability in the first image, the wrong class the highest one in the second.
        add(0, [0.02, 0.50, 0.48]);
        add(0, [0.10, 0.88, 0.02]);
        assert_eq!(worst_errors(&predictions, 9, &[false; 2]), [1, 0]);
    }
}
