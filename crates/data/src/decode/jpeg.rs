//! JPEG files, by the decoder that reads them right.
//!
//! The decoder of the crate `image` (zune-jpeg 0.5.15) turns streams with one scan per component and subsampling, and streams
//! with chroma denser than luma, into stripes, or panics. The older jpeg-decoder reads these. Streams of other kinds are named,
//! with the way to convert them.

use image::metadata::Orientation;
use image::{DynamicImage, ImageFormat};
use jpeg_decoder::PixelFormat;

use crate::jpeg_header::{JpegHeader, JpegProcess, MAX_SCANS, has_too_many_scans};
use crate::jpeg_scans::have_every_block;
use crate::options::SizeLimits;

/// The headers of a stream of a kind that is read; none if a header is damaged, which the decoder says more about.
///
/// # Errors
/// The kind that is not read, and how to convert it.
pub(super) fn header_of(bytes: &[u8]) -> Result<Option<JpegHeader>, String> {
    let Some(header) = JpegHeader::of(bytes) else { return Ok(None) };
    match header.process {
        JpegProcess::Sequential | JpegProcess::Progressive if header.bits == 8 => Ok(Some(header)),
        JpegProcess::Sequential | JpegProcess::Progressive => {
            Err(not_read(&format!("JPEG of {} bits", header.bits)))
        }
        JpegProcess::JpegLs => Err(not_read("JPEG-LS")),
        JpegProcess::Lossless => Err(not_read("lossless JPEG")),
        JpegProcess::Arithmetic => Err(not_read("JPEG with arithmetic coding")),
        JpegProcess::Hierarchical => Err(not_read("hierarchical JPEG")),
    }
}

/// Decodes a complete file: the image as it is stored, and how it has to be rotated or mirrored.
///
/// # Errors
/// In words for the user.
pub(super) fn decode(
    bytes: &[u8],
    header: Option<JpegHeader>,
    limits: &SizeLimits,
) -> Result<(DynamicImage, Orientation), String> {
    let Some(header) = header else { return super::decode(bytes, ImageFormat::Jpeg, limits) };
    // The decoder of usual streams stops by itself where all components are in the first scan: after as many scans in a
    // progressive stream, else after the first.
    let is_limited = header.is_usual() && header.n_in_first_scan == header.sampling.len();
    if !is_limited && has_too_many_scans(bytes) {
        return Err(not_read(&format!("a JPEG of more than {MAX_SCANS} scans")));
    }
    let decoded = if header.is_usual() {
        super::decode(bytes, ImageFormat::Jpeg, limits)
    } else {
        decode_unusual(bytes, &header, limits)
    }?;
    // After the decoder, which has checked the size.
    if !have_every_block(bytes, &header) {
        return Err(
            "truncated: parts of the JPEG are missing or damaged, which decoders fill with grey".to_owned()
        );
    }
    Ok(decoded)
}

fn not_read(kind: &str) -> String {
    format!(
        "not read: it is {kind}; convert it with `magick IN OUT.png`, or with `dcmdjpeg` if it was made of DICOM"
    )
}

fn decode_unusual(
    bytes: &[u8],
    header: &JpegHeader,
    limits: &SizeLimits,
) -> Result<(DynamicImage, Orientation), String> {
    let (width, height, n) = (header.columns as u32, header.rows as u32, header.sampling.len());
    let n_bytes = u64::from(width) * u64::from(height) * n as u64;
    limits.check_image([width, height], n_bytes, bytes.len())?;
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    let pixels = decoder.decode().map_err(|error| format!("damaged JPEG: {error}"))?;
    let image = match decoder.info().map(|info| info.pixel_format) {
        Some(PixelFormat::L8) => {
            image::GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8)
        }
        Some(PixelFormat::RGB24) => {
            image::RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8)
        }
        _ => return Err(not_read("JPEG of four colours (CMYK)")),
    };
    let image = image.ok_or("damaged JPEG: it has fewer pixels than it says")?;
    let orientation = decoder.exif_data().and_then(super::orientation_of);
    Ok((image, orientation.unwrap_or(Orientation::NoTransforms)))
}
