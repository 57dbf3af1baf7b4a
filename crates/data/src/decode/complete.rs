//! Whether a file is complete: it reaches the end mark of its format.
//!
//! Decoders accept a missing end: the JPEG decoder fills missing pixels with grey, the PNG decoder stops as soon as it
//! has all pixels. A truncated file is a sign of a failed copy, and a model would learn the grey areas, so the functions
//! below search for the end mark. They read lengths and markers only.

use image::ImageFormat;

use crate::jpeg_header::{END_OF_IMAGE, segments};

/// True if the end mark is reached by the format's own structure.
pub(crate) fn is_complete(bytes: &[u8], format: ImageFormat) -> bool {
    match format {
        ImageFormat::Png => png_reaches_iend(bytes).is_some(),
        ImageFormat::Jpeg => segments(bytes).any(|segment| segment.marker == END_OF_IMAGE),
        // Their decoders need every pixel.
        _ => true,
    }
}

/// A chunk of a PNG.
struct Chunk<'a> {
    /// Four bytes of type, then the data.
    kind_and_data: &'a [u8],
    checksum: u32,
}

impl Chunk<'_> {
    fn kind(&self) -> &[u8] {
        &self.kind_and_data[..4]
    }
}

/// The first chunk and what follows it: four bytes of length, four of type, the data, four of checksum.
fn first_chunk(bytes: &[u8]) -> Option<(Chunk<'_>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = u32::from_be_bytes(*length) as usize;
    let (kind_and_data, rest) = rest.split_at_checked(length.checked_add(4)?)?;
    let (checksum, rest) = rest.split_first_chunk()?;
    Some((Chunk { kind_and_data, checksum: u32::from_be_bytes(*checksum) }, rest))
}

/// Walks the chunks.
fn png_reaches_iend(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.get(8..)?;
    loop {
        let (chunk, after) = first_chunk(rest)?;
        if chunk.kind() == b"IEND" {
            return Some(());
        }
        rest = after;
    }
}

/// The type of the first chunk of a PNG whose checksum is wrong.
pub(crate) fn chunk_with_wrong_checksum(bytes: &[u8], format: ImageFormat) -> Option<String> {
    let mut rest = bytes.get(8..).filter(|_| format == ImageFormat::Png)?;
    loop {
        let (chunk, after) = first_chunk(rest)?;
        if crc32fast::hash(chunk.kind_and_data) != chunk.checksum {
            return Some(chunk.kind().escape_ascii().to_string());
        }
        rest = after;
    }
}

/// Width and height in IHDR, the first chunk of a png.
pub(crate) fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let sides = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR")?;
    let side = |at: usize| Some(u32::from_be_bytes(sides.get(at..at + 4)?.try_into().ok()?));
    Some((side(0)?, side(4)?))
}

/// The EXIF block of a PNG, wherever it is: the decoder reads one before the pixels only. Some programs put the prefix of JPEG
/// before it.
pub(crate) fn exif_of_png(bytes: &[u8], format: ImageFormat) -> Option<&[u8]> {
    let mut rest = bytes.get(8..).filter(|_| format == ImageFormat::Png)?;
    loop {
        let (chunk, after) = first_chunk(rest)?;
        if chunk.kind() == b"eXIf" {
            let block = &chunk.kind_and_data[4..];
            return Some(block.strip_prefix(b"Exif\0\0").unwrap_or(block));
        }
        rest = after;
    }
}

/// The bits that the samples of a PNG use, as its chunk sBIT says: the most of all channels (PNG specification, 11.3.2.7).
pub(crate) fn significant_bits(bytes: &[u8], format: ImageFormat) -> Option<u8> {
    let mut rest = bytes.get(8..).filter(|_| format == ImageFormat::Png)?;
    loop {
        let (chunk, after) = first_chunk(rest)?;
        match chunk.kind() {
            b"sBIT" => return chunk.kind_and_data[4..].iter().copied().max(),
            b"IDAT" => return None,
            _ => rest = after,
        }
    }
}
