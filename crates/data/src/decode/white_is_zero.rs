//! Grey TIFF images whose smallest sample is white.

use crate::small_image::needed_bits;

/// Inverts samples again that the decoder has inverted within 16 bits: now within those that they use. A film of 12 bits would
/// lie in the brightest sixteenth of the range. Detectors have an even number of bits.
pub(super) fn invert_within_used_bits(samples: &mut [u16]) {
    // As they are in the file.
    samples.iter_mut().for_each(|sample| *sample = u16::MAX - *sample);
    let bits = needed_bits(samples).next_multiple_of(2);
    let white = u16::MAX >> (16 - bits);
    samples.iter_mut().for_each(|sample| *sample = white - white.min(*sample));
}
