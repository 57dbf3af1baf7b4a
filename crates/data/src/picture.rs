//! One picture as the cache keeps it: small, 8 bit, grey or RGB.
//!
//! The reduction is a bilinear (triangle) filter stretched to the scale, so it is antialiased. It runs in
//! `fast_image_resize`, which works on integers for 8- and 16-bit pixels: every SIMD path adds the same
//! integers, so the result is the same on every machine (a test below holds it to plain sums).

use std::cmp::{max, min};

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::DynamicImage;

use crate::colour;

/// Long side over short side beyond which a picture is cut to its centre, so that a strip of 10 x 20,000
/// pixels does not become one of 28 x 56,000.
const MOST_ASPECT: u32 = 4;

/// A decoded and resized picture; its short side is the `resize` of the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// 1 or 3 values per pixel, as decoded.
    pub(crate) channels: usize,
    /// Rows from the top, channels together.
    pub(crate) pixels: Vec<u8>,
    /// Whether the colours are more than a tint; see [`colour`].
    pub(crate) coloured: bool,
    /// Whether the short side of the original was below the crop, so that it was scaled up.
    pub(crate) small: bool,
}

impl Picture {
    /// Resizes a grey or RGB picture of 8 or 16 bit to a short side of `resize`.
    ///
    /// # Panics
    /// If the picture has no pixel, or another layout than those four.
    pub(crate) fn from_decoded(decoded: &DynamicImage, resize: u32, crop: u32) -> Self {
        let (pixel_type, channels, wide) = match decoded {
            DynamicImage::ImageLuma8(_) => (PixelType::U8, 1, false),
            DynamicImage::ImageRgb8(_) => (PixelType::U8x3, 3, false),
            DynamicImage::ImageLuma16(_) => (PixelType::U16, 1, true),
            DynamicImage::ImageRgb16(_) => (PixelType::U16x3, 3, true),
            other => {
                panic!("Picture::from_decoded: expected grey or RGB of 8 or 16 bit, got {:?}", other.color())
            }
        };
        let (width, height) = (decoded.width(), decoded.height());
        assert!(width > 0 && height > 0, "Picture::from_decoded: {width}x{height} has no pixel");
        let short = min(width, height);
        let cut = (min(width, short * MOST_ASPECT), min(height, short * MOST_ASPECT));
        let (width_out, height_out) = (scaled(cut.0, short, resize), scaled(cut.1, short, resize));

        let source = ImageRef::new(width, height, decoded.as_bytes(), pixel_type);
        let source = source.expect("an image's buffer has its size and alignment");
        let mut resized = Image::new(width_out, height_out, pixel_type);
        let (left, top) = ((width - cut.0) / 2, (height - cut.1) / 2);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .crop(f64::from(left), f64::from(top), f64::from(cut.0), f64::from(cut.1))
            .use_alpha(false);
        Resizer::new().resize(&source, &mut resized, &options).expect("the cut lies inside the picture");

        let mut pixels = resized.into_vec();
        if wide {
            pixels =
                pixels.chunks_exact(2).map(|pair| to_8_bit(u16::from_ne_bytes([pair[0], pair[1]]))).collect();
        }
        let coloured = channels == 3 && colour::is_coloured(&pixels);
        Self { width: width_out, height: height_out, channels, pixels, coloured, small: short < crop }
    }
}

/// 65,535 becomes 255; rounded to nearest.
fn to_8_bit(value: u16) -> u8 {
    ((u32::from(value) * 255 + 32_767) / 65_535) as u8
}

/// `side * resize / short`, rounded to nearest.
fn scaled(side: u32, short: u32, resize: u32) -> u32 {
    let scaled = (u64::from(side) * u64::from(resize) * 2 + u64::from(short)) / (2 * u64::from(short));
    max(scaled as u32, resize)
}
