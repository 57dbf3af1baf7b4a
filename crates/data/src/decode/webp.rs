//! The sizes of the frames of a WebP with an extended header. The decoder compares the size of a frame with that of the image only
//! after decoding it, so that a small file could take 0.4 GB.

/// Whether a frame in a chunk `VP8 ` is larger than the image (RFC 9649, sections 2.3 to 2.7). For lossless frames, in chunks
/// `VP8L`, the decoder checks it in time.
pub(super) fn has_too_large_frame(bytes: &[u8], [width, height]: [u32; 2]) -> bool {
    let is_too_large = |data: &[u8]| size_of(data).is_some_and(|[w, h]| w > width || h > height);
    chunks(bytes.get(12..).unwrap_or_default()).any(|(kind, data)| match &kind {
        // A frame of an animation: 16 bytes on its place and time, then its chunks. The decoder takes the one after `ALPH` for
        // `VP8 `, whatever its type.
        b"ANMF" => chunks(data.get(16..).unwrap_or_default()).any(|(_, data)| is_too_large(data)),
        _ => kind == *b"VP8 " && is_too_large(data),
    })
}

/// The chunks of a file: four bytes of type, four of length, the data, and a byte if the length is odd.
fn chunks(mut rest: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (kind, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        // With the padding, into which the decoder may read.
        let (data, others) = after.split_at(length.saturating_add(length % 2).min(after.len()));
        rest = others;
        Some((*kind, data))
    })
}

/// Width and height in the header of a frame (RFC 6386, section 9.1); the upper two bits of each say how it may be scaled.
fn size_of(frame: &[u8]) -> Option<[u32; 2]> {
    let sides = frame.get(3..)?.strip_prefix(b"\x9d\x01\x2a")?;
    let side = |at: usize| Some(u16::from_le_bytes(sides.get(at..at + 2)?.try_into().ok()?) & 0x3fff);
    Some([side(0)?.into(), side(2)?.into()])
}

#[cfg(test)]
mod tests {
    use super::super::open_bytes;
    use super::*;
    use crate::options::SizeLimits;

    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut bytes = [&kind[..], &(data.len() as u32).to_le_bytes(), data].concat();
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        bytes
    }

    /// A frame of a header alone, with an odd number of bytes.
    fn frame([width, height]: [u16; 2]) -> Vec<u8> {
        let header = [&b"\x10\0\0\x9d\x01\x2a"[..], &width.to_le_bytes(), &height.to_le_bytes(), b"\0"];
        chunk(b"VP8 ", &header.concat())
    }

    /// An image of 8 x 6 pixels.
    fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
        let head = chunk(b"VP8X", &[0, 0, 0, 0, 7, 0, 0, 5, 0, 0]);
        let body = [&b"WEBP"[..], &head, &chunks.concat()].concat();
        chunk(b"RIFF", &body)
    }

    #[test]
    fn a_frame_larger_than_the_image_is_not_decoded() {
        let (fits, wide, high) = (frame([8, 6]), frame([0x3fff, 6]), frame([0, 7]));
        let unknown = chunk(b"abcd", b"VP8");
        let animated =
            |frame: &[u8]| chunk(b"ANMF", &[&[0_u8; 16][..], &chunk(b"ALPH", b"x"), frame].concat());
        let renamed = [b"abcd", &wide[4..]].concat();
        // The last byte of its header is the padding of the frame of the animation.
        let short = chunk(b"ANMF", &[&[0_u8; 16][..], &chunk(b"ALPH", b"x"), &wide[..8 + 9]].concat());
        let short = [&short[..short.len() - 1], b"\x7f"].concat();
        for (chunks, expected) in [
            (vec![fits.clone()], false),
            (vec![animated(&renamed)], true),
            (vec![short], true),
            (vec![wide.clone()], true),
            (vec![unknown.clone(), high.clone()], true),
            // Two bits more for the scale.
            (vec![frame([8 | 0x4000, 6 | 0x8000])], false),
            (vec![unknown.clone(), animated(&fits), animated(&wide)], true),
            (vec![animated(&fits), unknown], false),
            // A frame of an animation that ends early, or that promises more, hides none behind it.
            (vec![chunk(b"ANMF", &[0; 16]), high.clone()], true),
            (vec![chunk(b"ANMF", &[&[0_u8; 16][..], b"abcd\xff\xff\xff\xff"].concat()), high], true),
        ] {
            let bytes = file(&chunks);
            assert_eq!(has_too_large_frame(&bytes, [8, 6]), expected, "{bytes:?}");
            for end in 0..bytes.len() {
                has_too_large_frame(&bytes[..end], [8, 6]);
            }
        }
        let opened = open_bytes(&file(&[wide]), &SizeLimits::default());
        let reason = opened.expect_err("no image").reason;
        assert!(reason.contains("a frame is larger than the image"), "{reason}");
    }
}
