//! Options that change no image of the training data.

use super::of_training;
use crate::decode::Decoded;
use crate::negatives::{BrightnessPattern, MIN_IMAGES};
use crate::options::{Invert, LoadOptions};
use crate::parts::Parts;
use crate::source::Item;

/// A note on each. `has_left_out` is whether DICOM files were left out.
pub(super) fn unused_option_notes(
    items: &[Item],
    images: &Parts<Decoded>,
    has_left_out: bool,
    pattern: Option<&BrightnessPattern>,
    options: &LoadOptions,
) -> impl Iterator<Item = String> {
    // Other data that a model is evaluated on have no training set; the options there are those of the model.
    let is_training = of_training(items, images).next().is_some();
    let has_dicom = has_left_out || images.iter().any(|decoded| decoded.origin.is_some());
    let view = (is_training && !options.views.is_empty() && !has_dicom)
        .then(|| "--view is not used: no image is DICOM".to_owned());
    let invert = (is_training && options.invert == Invert::Auto && pattern.is_none()).then(|| {
        format!(
            "--invert auto inverts nothing: the training images have no brightness pattern in common, or are fewer than {MIN_IMAGES}"
        )
    });
    view.into_iter().chain(invert)
}
