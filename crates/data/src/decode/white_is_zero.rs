//! Grey TIFF images whose smallest sample is white.

use crate::small_image::needed_bits;

/// Inverts samples again that the decoder has inverted within 16 bits: now within those that they use. A film of 12 bits would
/// lie in the brightest sixteenth of the range. Detectors have an even number of bits. Returns this number; where the training
/// images use more, [`lift`] corrects the samples.
pub(super) fn invert_within_used_bits(samples: &mut [u16]) -> u8 {
    // As they are in the file.
    samples.iter_mut().for_each(|sample| *sample = u16::MAX - *sample);
    let bits = needed_bits(samples).next_multiple_of(2);
    let white = white_of(bits);
    samples.iter_mut().for_each(|sample| *sample = white - white.min(*sample));
    bits
}

/// What is added to samples that were inverted within `inverted` bits, and of which `bits` are used: a zero of the file becomes the
/// white of these.
pub(super) fn lift(inverted: u8, bits: u8) -> u16 {
    white_of(bits).saturating_sub(white_of(inverted))
}

fn white_of(bits: u8) -> u16 {
    u16::MAX >> (16 - bits)
}
