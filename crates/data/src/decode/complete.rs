//! Whether a file is complete: it reaches the end mark of its format.
//!
//! Decoders accept a missing end: the JPEG decoder fills missing pixels with grey, the PNG decoder stops as soon as it
//! has all pixels. A truncated file is a sign of a failed copy, and a model would learn the grey areas, so the functions
//! below search for the end mark. They read lengths and markers only.

use std::io::Read;

use flate2::read::ZlibDecoder;
use image::ImageFormat;

use crate::jpeg_header::{END_OF_IMAGE, segments};

/// Most bytes of a text that holds an EXIF block: those of a JPEG have at most 64 KiB, two digits each.
const MAX_PROFILE: u64 = 1 << 18;

/// True if the end mark is reached by the format's own structure.
pub(crate) fn is_complete(bytes: &[u8], format: ImageFormat) -> bool {
    match format {
        ImageFormat::Png => png_chunks(bytes).any(|chunk| chunk.kind() == b"IEND"),
        ImageFormat::Jpeg => segments(bytes).any(|segment| segment.marker == END_OF_IMAGE),
        // Their decoders need every pixel; a TIFF of JPEG streams is rejected.
        _ => true,
    }
}

/// A chunk of a PNG.
pub(super) struct Chunk<'a> {
    /// Four bytes of type, then the data.
    kind_and_data: &'a [u8],
    checksum: u32,
}

impl<'a> Chunk<'a> {
    pub(super) fn kind(&self) -> &'a [u8] {
        &self.kind_and_data[..4]
    }

    pub(super) fn data(&self) -> &'a [u8] {
        &self.kind_and_data[4..]
    }
}

/// The chunks of a PNG, as far as they are complete.
pub(super) fn png_chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (chunk, after) = first_chunk(rest)?;
        rest = after;
        Some(chunk)
    })
}

/// The first chunk and what follows it: four bytes of length, four of type, the data, four of checksum.
fn first_chunk(bytes: &[u8]) -> Option<(Chunk<'_>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = u32::from_be_bytes(*length) as usize;
    let (kind_and_data, rest) = rest.split_at_checked(length.checked_add(4)?)?;
    let (checksum, rest) = rest.split_first_chunk()?;
    Some((Chunk { kind_and_data, checksum: u32::from_be_bytes(*checksum) }, rest))
}

/// The type of the first chunk of a PNG whose checksum is wrong.
pub(crate) fn chunk_with_wrong_checksum(bytes: &[u8], format: ImageFormat) -> Option<String> {
    if format != ImageFormat::Png {
        return None;
    }
    let wrong = png_chunks(bytes).find(|chunk| crc32fast::hash(chunk.kind_and_data) != chunk.checksum)?;
    Some(wrong.kind().escape_ascii().to_string())
}

/// Width and height in IHDR, the first chunk of a png.
pub(crate) fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let sides = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR")?;
    let side = |at: usize| Some(u32::from_be_bytes(sides.get(at..at + 4)?.try_into().ok()?));
    Some((side(0)?, side(4)?))
}

/// The EXIF block of a PNG, wherever it is: the decoder reads one before the pixels only. Older programs write it as text. Only
/// the first one is read, valid or not: a text may inflate to a thousand times its bytes, and there may be many.
pub(crate) fn exif_of_png(bytes: &[u8]) -> Option<Vec<u8>> {
    let (kind, block) = png_chunks(bytes).find_map(|chunk| {
        let block = match chunk.kind() {
            b"eXIf" => Some(chunk.data()),
            b"tEXt" | b"zTXt" => after_name_of_profile(chunk.data()),
            _ => None,
        };
        Some((chunk.kind(), block?))
    })?;
    match kind {
        b"eXIf" => Some(block.to_vec()),
        // A byte says how the text is compressed: in one way only.
        b"zTXt" => profile_of_text(ZlibDecoder::new(block.get(1..)?)),
        _ => profile_of_text(block),
    }
}

/// What follows the name under which ImageMagick writes an EXIF block.
fn after_name_of_profile(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"Raw profile type ")?;
    [&b"exif\0"[..], b"APP1\0"].into_iter().find_map(|name| rest.strip_prefix(name))
}

/// The EXIF block that ImageMagick writes as text: its name, its length, and its bytes as lines of hexadecimal digits.
fn profile_of_text(written: impl Read) -> Option<Vec<u8>> {
    let mut text = String::new();
    written.take(MAX_PROFILE).read_to_string(&mut text).ok()?;
    let digits: Vec<u8> = text.split_whitespace().skip(2).flat_map(str::bytes).collect();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    digits.as_chunks::<2>().0.iter().map(byte).collect()
}

/// The bits that the samples of a PNG use, as its chunk sBIT says: the most of all channels (PNG specification, 11.3.2.7).
pub(crate) fn significant_bits(bytes: &[u8], format: ImageFormat) -> Option<u8> {
    if format != ImageFormat::Png {
        return None;
    }
    let mut before_pixels = png_chunks(bytes).take_while(|chunk| chunk.kind() != b"IDAT");
    let chunk = before_pixels.find(|chunk| chunk.kind() == b"sBIT")?;
    chunk.data().iter().copied().max()
}
