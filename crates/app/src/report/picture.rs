//! Images as pages show them.

use std::io::Cursor;

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};

/// Quality of the JPEG files, of 100.
const QUALITY: u8 = 82;

/// An image with a long side of `side` pixels, and how much larger that is.
#[must_use]
pub(crate) fn scaled(image: &RgbImage, side: u32) -> (RgbImage, f64) {
    let scale = f64::from(side) / f64::from(image.width().max(image.height()));
    let shown = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    let (width, height) = (shown(image.width()), shown(image.height()));
    (imageops::resize(image, width, height, FilterType::Triangle), scale)
}

/// An image as a JPEG file.
///
/// # Panics
/// If a side has more than 65,535 pixels.
#[must_use]
pub(crate) fn to_jpeg(image: &RgbImage) -> Vec<u8> {
    let mut jpeg = Cursor::new(Vec::new());
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    image.write_with_encoder(encoder).expect("an image of some pixels fits into memory");
    jpeg.into_inner()
}
