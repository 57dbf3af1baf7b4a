//! Whether a file is complete: it reaches the end mark of its format.
//!
//! Decoders accept a missing end: the JPEG decoder fills missing pixels with grey, the PNG decoder stops as soon as it
//! has all pixels. A truncated file is a sign of a failed copy, and a model would learn the grey areas, so the functions
//! below search for the end mark. They read lengths and markers only.

use image::ImageFormat;

/// True if the end mark is reached by the format's own structure.
pub(crate) fn is_complete(bytes: &[u8], format: ImageFormat) -> bool {
    match format {
        ImageFormat::Png => png_reaches_iend(bytes).is_some(),
        _ => jpeg_reaches_eoi(bytes).is_some(),
    }
}

/// Walks the chunks: four bytes of length, four of type, the data, four of checksum.
fn png_reaches_iend(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.get(8..)?;
    loop {
        let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let kind = rest.get(4..8)?;
        let after = rest.get(length.checked_add(12)?..)?;
        if kind == b"IEND" {
            return Some(());
        }
        rest = after;
    }
}

/// Walks the segments: a marker `FF xx` and, for most, two bytes of length and the data. The header of a scan (SOS) is
/// followed by entropy-coded bytes, in which `FF 00` is a literal FF and `FF D0`-`FF D7` are restarts.
fn jpeg_reaches_eoi(bytes: &[u8]) -> Option<()> {
    const EOI: u8 = 0xD9;
    let mut at = 2;
    loop {
        // To the next marker, past entropy-coded data and fill bytes.
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)?;
        at += bytes.get(at..)?.iter().position(|&byte| byte != 0xFF)?;
        let marker = bytes[at];
        at += 1;
        match marker {
            EOI => return Some(()),
            0x00 | 0x01 | 0xD0..=0xD8 => {}
            _ => {
                let length = usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
                at += length.max(2);
            }
        }
    }
}
