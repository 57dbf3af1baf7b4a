//! The samples of a frame, as stored: plain, or decoded by the transfer syntax (PS3.5 section 8 and annex A.4).

use dicom_core::value::Value;
use dicom_dictionary_std::tags;
use dicom_object::DefaultDicomObject;
use dicom_transfer_syntax_registry::{TransferSyntaxIndex as _, TransferSyntaxRegistry};

use super::header::{Decompressed, Photometric, PixelLayout};
use super::{jpeg, jpeg2000, rle};

const JPEG_BASELINE: &str = "1.2.840.10008.1.2.4.50";
const JPEG_EXTENDED: &str = "1.2.840.10008.1.2.4.51";
const JPEG_LOSSLESS: &str = "1.2.840.10008.1.2.4.57";
const JPEG_LOSSLESS_FIRST_ORDER: &str = "1.2.840.10008.1.2.4.70";
const JPEG_LS_LOSSLESS: &str = "1.2.840.10008.1.2.4.80";
const JPEG_LS_NEAR_LOSSLESS: &str = "1.2.840.10008.1.2.4.81";
const JPEG_2000_LOSSLESS: &str = "1.2.840.10008.1.2.4.90";
const JPEG_2000: &str = "1.2.840.10008.1.2.4.91";
const RLE: &str = "1.2.840.10008.1.2.5";

/// The bytes of the first frame, little endian, colours of a pixel side by side.
///
/// # Errors
/// Why it cannot be decoded, and how to convert the file, in words for the user.
pub(super) fn first_frame(object: &DefaultDicomObject, layout: &PixelLayout) -> Result<Vec<u8>, String> {
    let n_pixels = layout.rows * layout.columns;
    let n_bytes = n_pixels * layout.samples * (layout.bits_allocated as usize / 8);
    let element = object.get(tags::PIXEL_DATA).ok_or("DICOM file without pixels")?;
    let Value::Primitive(value) = element.value() else {
        let Decompressed { mut bytes, is_transformed } = decompress(object, layout)?;
        if bytes.len() < n_bytes {
            return Err("damaged DICOM file: it has fewer pixels than it says".to_owned());
        }
        bytes.truncate(n_bytes);
        return Ok(if layout.is_ybr() && !is_transformed { ybr_to_rgb(bytes) } else { bytes });
    };
    let bytes = value.to_bytes();
    let plain = |n: usize| {
        bytes.get(..n).ok_or_else(|| "truncated: the DICOM file has fewer pixels than it says".to_owned())
    };
    Ok(match layout.photometric {
        Photometric::YbrFull422 => ybr_422_to_rgb(plain(n_pixels.next_multiple_of(2) * 2)?, n_pixels),
        Photometric::YbrFull if layout.is_planar => ybr_to_rgb(interleaved(plain(n_bytes)?)),
        Photometric::YbrFull => ybr_to_rgb(plain(n_bytes)?.to_vec()),
        Photometric::Rgb if layout.is_planar => interleaved(plain(n_bytes)?),
        _ => plain(n_bytes)?.to_vec(),
    })
}

fn decompress(object: &DefaultDicomObject, layout: &PixelLayout) -> Result<Decompressed, String> {
    let syntax = object.meta().transfer_syntax();
    let fragments = object.get(tags::PIXEL_DATA).and_then(|element| element.fragments()).unwrap_or(&[]);
    match syntax {
        JPEG_BASELINE | JPEG_EXTENDED | JPEG_LOSSLESS | JPEG_LOSSLESS_FIRST_ORDER => {
            jpeg::decode_jpeg(&fragments.concat(), layout)
        }
        JPEG_LS_LOSSLESS | JPEG_LS_NEAR_LOSSLESS => {
            let bytes = jpeg::decode_jpeg_ls(&fragments.concat(), layout)?;
            Ok(Decompressed { bytes, is_transformed: false })
        }
        JPEG_2000_LOSSLESS | JPEG_2000 => jpeg2000::decode(&fragments.concat(), layout),
        // Every frame is in one fragment.
        RLE => rle::decode(fragments.first().map(Vec::as_slice).unwrap_or_default(), layout),
        _ => Err(unsupported(syntax)),
    }
}

/// What is said of a transfer syntax that is not read.
fn unsupported(syntax: &str) -> String {
    let name = TransferSyntaxRegistry.get(syntax).map_or(syntax, |syntax| syntax.name());
    format!("DICOM file compressed as {name}, which is not read; convert it with `gdcmconv --raw IN OUT`")
}

/// Three planes as pixels of three samples.
fn interleaved(planes: &[u8]) -> Vec<u8> {
    let n = planes.len() / 3;
    (0..n).flat_map(|pixel| [planes[pixel], planes[n + pixel], planes[2 * n + pixel]]).collect()
}

/// Luma and chroma of every pixel as RGB (PS3.3 section C.7.6.3.1.2, the inverse of ITU-R BT.601).
fn ybr_to_rgb(mut pixels: Vec<u8>) -> Vec<u8> {
    pixels.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| *pixel = rgb_of(*pixel));
    pixels
}

/// Two lumas and the chroma that they share, for every two pixels.
fn ybr_422_to_rgb(pairs: &[u8], n_pixels: usize) -> Vec<u8> {
    let pixels = pairs.as_chunks::<4>().0.iter().flat_map(|&[y0, y1, cb, cr]| [[y0, cb, cr], [y1, cb, cr]]);
    pixels.take(n_pixels).flat_map(rgb_of).collect()
}

fn rgb_of([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let (y, cb, cr) = (f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    let rgb = [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb];
    rgb.map(|value| value.round().clamp(0.0, 255.0) as u8)
}
