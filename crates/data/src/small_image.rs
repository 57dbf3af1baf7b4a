//! An image as it is stored in memory: small, 8 bit, grey or RGB.
//!
//! Images are reduced with a bilinear (triangle) filter as wide as the reduction, so the result is antialiased. The crate
//! `image` adds f32 values in a fixed order and calls no mathematical function: the result is the same on every machine.

use std::cmp::{max, min};

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageBuffer, Pixel};

use crate::colour;
use crate::crop_window::centre_window;

/// Largest ratio of the long side to the short side. Longer images are cropped to their centre, so that a strip of
/// 10 x 20,000 pixels does not become one of 28 x 56,000.
const MAX_ASPECT: u32 = 4;

/// A decoded and resized image. Its short side is `resize` of the load options, or that of the original if it is smaller,
/// but at least the crop: scaling up adds no detail, and augmentation can continue an image by its mirror image instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SmallImage {
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

impl SmallImage {
    /// Resizes a grey or RGB image of 8 or 16 bit to a short side between `crop` and `resize`.
    ///
    /// # Panics
    /// If the image has no pixels, or another layout than those four.
    pub(crate) fn from_decoded(decoded: &DynamicImage, resize: u32, crop: u32) -> Self {
        let (width, height) = (decoded.width(), decoded.height());
        assert!(width > 0 && height > 0, "SmallImage::from_decoded: {width}x{height} has no pixels");
        let short = min(width, height);
        let resize = min(resize, max(crop, short));
        let cut = (min(width, short * MAX_ASPECT), min(height, short * MAX_ASPECT));
        let (width_out, height_out) = (scaled(cut.0, short, resize), scaled(cut.1, short, resize));
        let out = (width_out, height_out);
        let (channels, pixels) = match decoded {
            DynamicImage::ImageLuma8(image) => (1, resize_centre(image, cut, out)),
            DynamicImage::ImageRgb8(image) => (3, resize_centre(image, cut, out)),
            DynamicImage::ImageLuma16(image) => (1, to_8_bit(&resize_centre(image, cut, out))),
            DynamicImage::ImageRgb16(image) => (3, to_8_bit(&resize_centre(image, cut, out))),
            other => {
                panic!(
                    "SmallImage::from_decoded: expected grey or RGB of 8 or 16 bit, got {:?}",
                    other.color()
                )
            }
        };
        let coloured = channels == 3 && colour::is_coloured(&pixels);
        Self { width: width_out, height: height_out, channels, pixels, coloured, small: short < crop }
    }
}

/// The region of an image, of the width and height `original`, that the centre crop of its small version shows; `small` is
/// the width and height of that version. Left, top, right and bottom edge in pixels of the original.
#[must_use]
pub fn visible_region(original: (u32, u32), small: (usize, usize), crop: usize) -> [f64; 4] {
    let short = min(original.0, original.1);
    let window = centre_window(crop, small.1, small.0);
    let along = |side: u32, small: usize, from: isize| {
        let cut = min(side, short * MAX_ASPECT);
        let scale = f64::from(cut) / small as f64;
        let first = f64::from((side - cut) / 2) + from as f64 * scale;
        [first, first + crop as f64 * scale]
    };
    let ([left, right], [top, bottom]) =
        (along(original.0, small.0, window.left), along(original.1, small.1, window.top));
    [left, top, right, bottom]
}

/// The centre of `image`, of the size `cut`, resized to `out`.
fn resize_centre<P: Pixel + 'static>(
    image: &ImageBuffer<P, Vec<P::Subpixel>>,
    cut: (u32, u32),
    out: (u32, u32),
) -> Vec<P::Subpixel> {
    let (left, top) = ((image.width() - cut.0) / 2, (image.height() - cut.1) / 2);
    let centre = imageops::crop_imm(image, left, top, cut.0, cut.1);
    imageops::resize(&*centre, out.0, out.1, FilterType::Triangle).into_raw()
}

/// 65,535 becomes 255; rounded to nearest.
fn to_8_bit(values: &[u16]) -> Vec<u8> {
    values.iter().map(|&value| ((u32::from(value) * 255 + 32_767) / 65_535) as u8).collect()
}

/// `side * resize / short`, rounded to nearest.
fn scaled(side: u32, short: u32, resize: u32) -> u32 {
    let scaled = (u64::from(side) * u64::from(resize) * 2 + u64::from(short)) / (2 * u64::from(short));
    max(scaled as u32, resize)
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, ImageBuffer, Luma, Rgb, RgbImage};
    use proptest::prelude::*;

    use super::*;

    /// The weights of each output along one axis: a triangle as wide as the reduction, but at least one pixel.
    fn triangle(from: usize, to: usize) -> Vec<Vec<f64>> {
        let scale = from as f64 / to as f64;
        let radius = scale.max(1.0);
        let row = |out: usize| {
            let centre = (out as f64 + 0.5) * scale;
            let weight = |at: usize| (1.0 - ((at as f64 + 0.5 - centre) / radius).abs()).max(0.0);
            let weights: Vec<f64> = (0..from).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            weights.iter().map(|weight| weight / sum).collect()
        };
        (0..to).map(row).collect()
    }

    /// The naive twin of the resize, in f64.
    fn resized(pixels: &[u8], (width, height): (usize, usize), (w, h): (usize, usize)) -> Vec<f64> {
        let (across, down) = (triangle(width, w), triangle(height, h));
        let mut out = Vec::new();
        for weights_y in &down {
            for weights_x in &across {
                let row = |y: usize| -> f64 {
                    (0..width).map(|x| weights_x[x] * f64::from(pixels[y * width + x])).sum()
                };
                out.push((0..height).map(|y| weights_y[y] * row(y)).sum());
            }
        }
        out
    }

    fn noise(len: usize) -> Vec<u8> {
        (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 23) as u8).collect()
    }

    #[test]
    fn the_visible_region_is_in_pixels_of_the_original() {
        // 280 x 560 becomes 28 x 56; of that, rows 2 to 26 of 28 and columns 16 to 40 of 56 are visible.
        assert_eq!(visible_region((560, 280), (56, 28), 24), [160.0, 20.0, 400.0, 260.0]);
        // A strip is cropped to its centre first: 100 x 1000 to 100 x 400.
        assert_eq!(visible_region((1000, 100), (112, 28), 28), [450.0, 0.0, 550.0, 100.0]);
    }

    proptest! {
        #[test]
        fn resize_is_a_triangle_filter(width in 1usize..70, height in 1usize..70, resize in 8u32..40) {
            prop_assume!(width.max(height) <= 4 * width.min(height));
            let pixels = noise(width * height);
            let image = GrayImage::from_raw(width as u32, height as u32, pixels.clone()).unwrap();
            let image = SmallImage::from_decoded(&DynamicImage::ImageLuma8(image), resize, 8);
            prop_assert_eq!(image.width.min(image.height), width.min(height).clamp(8, resize as usize) as u32);
            let size = (image.width as usize, image.height as usize);
            let expected = resized(&pixels, (width, height), size);
            prop_assert_eq!(expected.len(), image.pixels.len());
            for (&found, expected) in image.pixels.iter().zip(expected) {
                // Rounded to 8 bit once, at the end.
                prop_assert!((f64::from(found) - expected).abs() <= 0.501, "{} for {}", found, expected);
            }
        }
    }

    #[test]
    fn resized_pixels_are_the_same_on_every_machine() {
        let image = RgbImage::from_raw(61, 47, noise(61 * 47 * 3)).unwrap();
        let image = SmallImage::from_decoded(&DynamicImage::ImageRgb8(image), 28, 24);
        assert_eq!(blake3::hash(&image.pixels).to_hex()[..16], *"d56fa11bbd480dd5");
    }

    #[test]
    fn sixteen_bit_grey_gives_what_eight_bit_gives() {
        let values = noise(40 * 50);
        let narrow = GrayImage::from_raw(40, 50, values.clone()).unwrap();
        let wide = ImageBuffer::<Luma<u16>, _>::from_fn(40, 50, |x, y| {
            Luma([u16::from(values[(y * 40 + x) as usize]) * 257])
        });
        let narrow = SmallImage::from_decoded(&DynamicImage::ImageLuma8(narrow), 28, 24);
        let wide = SmallImage::from_decoded(&DynamicImage::ImageLuma16(wide), 28, 24);
        assert_eq!((wide.width, wide.height, wide.channels), (28, 35, 1));
        assert!(narrow.pixels.iter().zip(&wide.pixels).all(|(a, b)| a.abs_diff(*b) <= 1));
    }

    #[test]
    fn a_strip_is_cropped_to_its_centre() {
        // White where the 40 x 10 centre is, black elsewhere.
        let strip =
            GrayImage::from_fn(2000, 10, |x, _| Luma([if (980..1020).contains(&x) { 255 } else { 0 }]));
        let image = SmallImage::from_decoded(&DynamicImage::ImageLuma8(strip), 28, 24);
        assert_eq!((image.width, image.height), (96, 24));
        assert!(image.pixels.iter().all(|&value| value == 255));
        assert!(image.small, "10 pixels are below the crop of 24");
    }

    #[test]
    fn colour_is_detected_and_stored() {
        let image = RgbImage::from_pixel(30, 30, Rgb([200, 100, 50]));
        let image = SmallImage::from_decoded(&DynamicImage::ImageRgb8(image), 28, 24);
        assert!(image.coloured && !image.small);
        assert_eq!(image.pixels, [200, 100, 50].repeat(28 * 28));
    }
}
