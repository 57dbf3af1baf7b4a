//! What the training images decide together, and what it makes of all images.

use rayon::prelude::*;

use super::of_training;
use crate::cache::{CacheWriter, Shared};
use crate::decode::Decoded;
use crate::error::DataError;
use crate::negatives::BrightnessPattern;
use crate::options::LoadOptions;
use crate::sample_bits::{self, UsedBits};
use crate::source::Item;

/// Images whose pixels are in memory at once, where they are in a file.
pub(super) const CHUNK: usize = 512;

/// Images that were decoded, each with its item.
type Good = [(Item, Decoded)];

/// Finds the range of samples of 16 bits and the pattern of brightness, and changes the images accordingly. With `writer` their
/// pixels are in its file.
///
/// # Errors
/// [`DataError::Write`].
pub(super) fn apply_shared(
    good: &mut Good,
    mut writer: Option<&mut CacheWriter>,
    options: &LoadOptions,
) -> Result<Shared, DataError> {
    let sample_bits = options.sample_bits.or_else(|| sample_bits::of_training_images(of_training(good)));
    let mut used = UsedBits::default();
    if good.iter().any(|(_, decoded)| decoded.image.wide.is_some()) {
        with_pixels(good, writer.as_deref_mut(), |good| {
            used.apply(good.iter_mut().map(|(_, decoded)| decoded), sample_bits);
        })?;
    }
    let pattern = match &options.pattern {
        Some(pattern) => Some(pattern.clone()),
        None => pattern_of(good, writer.as_deref_mut())?,
    };
    if let Some(pattern) = &pattern {
        with_pixels(good, writer, |good| {
            good.par_iter_mut().for_each(|(_, decoded)| decoded.check_negative(pattern, options.invert));
        })?;
    }
    Ok(Shared { sample_bits, pattern, notes: used.notes() })
}

/// The pattern that the training images have in common.
fn pattern_of(
    good: &mut Good,
    writer: Option<&mut CacheWriter>,
) -> Result<Option<BrightnessPattern>, DataError> {
    let step = BrightnessPattern::step(of_training(good).count());
    let train = of_training(good).map(|decoded| &decoded.image).step_by(step);
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

/// Calls `work` with the images, whose pixels are in memory then: all at once, or some after the others if they are in the file of
/// `writer`.
fn with_pixels(
    good: &mut Good,
    writer: Option<&mut CacheWriter>,
    mut work: impl FnMut(&mut Good),
) -> Result<(), DataError> {
    let Some(writer) = writer else {
        work(good);
        return Ok(());
    };
    for chunk in good.chunks_mut(CHUNK) {
        chunk.iter_mut().try_for_each(|(_, decoded)| writer.load(&mut decoded.image))?;
        work(chunk);
        chunk.iter_mut().try_for_each(|(_, decoded)| writer.store(&mut decoded.image))?;
    }
    Ok(())
}
