//! RLE frames of DICOM files (PS3.5 annex G): for each byte of a sample a segment, compressed with PackBits.
//!
//! The decoder of dicom-rs reserves memory for the number of segments that a fragment names, and expands a segment whole before
//! it looks at the size of the image: a small file would take all memory. This one writes into a frame of the size that was checked.

use super::header::{Decompressed, PixelLayout};

/// Decodes the fragment of a frame: samples little endian, colours of a pixel side by side.
///
/// # Errors
/// In words for the user.
pub(super) fn decode(fragment: &[u8], layout: &PixelLayout) -> Result<Decompressed, String> {
    let bytes = frame_of(fragment, layout)
        .ok_or("damaged pixels in a DICOM file: its RLE segments do not fit the size of the image")?;
    Ok(Decompressed { bytes, is_transformed: false })
}

fn frame_of(fragment: &[u8], layout: &PixelLayout) -> Option<Vec<u8>> {
    let sample_bytes = layout.bits_allocated as usize / 8;
    let n_segments = layout.samples * sample_bytes;
    // Numbers of four bytes: how many segments there are, and where each begins.
    let number = |index: usize| {
        let bytes = fragment.get(4 * index..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes) as usize)
    };
    if number(0)? != n_segments {
        return None;
    }
    let mut frame = vec![0; layout.rows * layout.columns * n_segments];
    for segment in 0..n_segments {
        let start = number(1 + segment)?;
        let end = if segment + 1 < n_segments { number(2 + segment)? } else { fragment.len() };
        // The first segment of a sample has its highest byte.
        let (sample, byte) = (segment / sample_bytes, sample_bytes - 1 - segment % sample_bytes);
        let places = frame[sample * sample_bytes + byte..].iter_mut().step_by(n_segments);
        unpack(fragment.get(start..end)?, places)?;
    }
    Some(frame)
}

/// Writes the bytes of a segment to `places`, all of which it has to fill. What follows in the segment is padding. The last run
/// may be longer by a byte, because some encoders pad an odd number of pixels before they
/// compress them.
fn unpack<'a>(mut packed: &[u8], mut places: impl ExactSizeIterator<Item = &'a mut u8>) -> Option<()> {
    while places.len() > 0 {
        let (&head, rest) = packed.split_first()?;
        // A run of bytes as they are, nothing, or a run of one byte.
        let (n_values, n_packed) = match head {
            0..=127 => (usize::from(head) + 1, usize::from(head) + 1),
            128 => (0, 0),
            129.. => (257 - usize::from(head), 1),
        };
        let (values, rest) = rest.split_at_checked(n_packed)?;
        if n_values > places.len() + 1 {
            return None;
        }
        for (&value, place) in values.iter().cycle().take(n_values).zip(&mut places) {
            *place = value;
        }
        packed = rest;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_two_bytes_are_joined_and_padding_is_ignored() {
        let layout = PixelLayout::grey([1, 3], 16);
        let frame = |high: &[u8], low: &[u8]| {
            let mut fragment = [2u32, 64, 64 + high.len() as u32].map(u32::to_le_bytes).concat();
            fragment.resize(64, 0);
            decode(&[&fragment[..], high, low].concat(), &layout).map(|decompressed| decompressed.bytes)
        };
        let expected: Result<Vec<u8>, String> = Ok(vec![1, 9, 2, 9, 3, 9]);
        // A run, then literal bytes with a zero that makes the length even.
        assert_eq!(frame(&[254, 9], &[0x80, 2, 1, 2, 3, 0]), expected);
        // A byte more than there are pixels.
        assert_eq!(frame(&[253, 9], &[0, 1, 2, 2, 3, 0]), expected);
        for low in [&[1, 1, 2][..], &[2, 1, 2], &[252, 1]] {
            assert!(frame(&[254, 9], low).is_err_and(|error| error.contains("RLE segments")), "{low:?}");
        }
    }
}
