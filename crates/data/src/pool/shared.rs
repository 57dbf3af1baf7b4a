//! What the training images decide together, and what it makes of all images.

use rayon::prelude::*;

use super::of_training;
use crate::cache::{CacheWriter, Shared};
use crate::decode::Decoded;
use crate::error::DataError;
use crate::negatives::BrightnessPattern;
use crate::options::LoadOptions;
use crate::parts::Parts;
use crate::sample_bits::{self, UsedBits};
use crate::source::Item;

/// Images whose pixels are in memory at once, where they are in a file.
pub(super) const CHUNK: usize = 512;

/// Finds the range of samples of 16 bits and the pattern of brightness, and changes the images of `items` accordingly. With `writer` their
/// pixels are in its file.
///
/// # Errors
/// [`DataError::Write`].
pub(super) fn apply_shared(
    items: &[Item],
    images: &mut Parts<Decoded>,
    mut writer: Option<&mut CacheWriter>,
    options: &LoadOptions,
) -> Result<Shared, DataError> {
    let sample_bits =
        options.sample_bits.or_else(|| sample_bits::of_training_images(of_training(items, images)));
    let mut used = UsedBits::default();
    if images.iter().any(|decoded| decoded.image.wide.is_some()) {
        with_pixels(images, writer.as_deref_mut(), |images| used.apply(images.iter_mut(), sample_bits))?;
    }
    let pattern = match &options.pattern {
        Some(pattern) => Some(pattern.clone()),
        None => pattern_of(items, images, writer.as_deref_mut())?,
    };
    if let Some(pattern) = &pattern {
        with_pixels(images, writer, |images| {
            images.par_iter_mut().for_each(|decoded| decoded.check_negative(pattern, options.invert));
        })?;
    }
    Ok(Shared { sample_bits, pattern, notes: used.notes().into_iter().map(|note| note.text).collect() })
}

/// The pattern that the training images have in common.
fn pattern_of(
    items: &[Item],
    images: &Parts<Decoded>,
    writer: Option<&mut CacheWriter>,
) -> Result<Option<BrightnessPattern>, DataError> {
    let step = BrightnessPattern::step(of_training(items, images).count());
    let train = of_training(items, images).map(|decoded| &decoded.image).step_by(step);
    let Some(writer) = writer else { return Ok(BrightnessPattern::of(train)) };
    let mut result = Ok(());
    let with_pixels = train.map_while(|image| {
        let mut image = image.clone();
        result = writer.load(&mut image);
        result.is_ok().then_some(image)
    });
    let pattern = BrightnessPattern::of(with_pixels);
    result.map(|()| pattern)
}

/// Calls `work` with images after images, whose pixels are in memory then, also if they are in the file of `writer`.
fn with_pixels(
    images: &mut Parts<Decoded>,
    writer: Option<&mut CacheWriter>,
    mut work: impl FnMut(&mut [Decoded]),
) -> Result<(), DataError> {
    let Some(writer) = writer else {
        images.parts_mut().for_each(work);
        return Ok(());
    };
    for chunk in images.parts_mut().flat_map(|part| part.chunks_mut(CHUNK)) {
        chunk.iter_mut().try_for_each(|decoded| writer.load(&mut decoded.image))?;
        work(chunk);
        chunk.iter_mut().try_for_each(|decoded| writer.store(&mut decoded.image))?;
    }
    Ok(())
}
