//! An image as it is stored in memory: small, 8 bit, grey or RGB.
//!
//! Images are reduced with a bilinear (triangle) filter as wide as the reduction, so the result is antialiased. The crate
//! `image` adds f32 values in a fixed order and calls no mathematical function: the result is the same on every machine.

use std::borrow::Cow;
use std::cmp::{max, min};

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageBuffer, Pixel};

use crate::colour;
use crate::crop_window::centre_window;
use crate::image_region::ImageRegion;
use crate::pixel_file::Place;

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
    /// Whether the short side of the original, with [`Fit::Pad`] the long one, was below the crop, so that it was scaled up.
    pub(crate) small: bool,
    /// Width and height without margins.
    pub(crate) content: (u32, u32),
    /// Of an image of 16 bits, until it is known how many of them are used.
    pub(crate) wide: Option<Box<WideSamples>>,
    /// Where its pixels are, if they are in a file and not here.
    pub(crate) place: Place,
}

/// What is done with an image that is not square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// Its sides keep their ratio, and the model sees a square crop.
    #[default]
    Crop,
    /// Black margins make it square.
    Pad,
    /// It is stretched to a square.
    Stretch,
}

/// How large an image becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resizing {
    /// The short side, in pixels; with [`Fit::Pad`] and [`Fit::Stretch`] each side.
    pub(crate) resize: u32,
    /// The side of the crop: the least that the short side becomes.
    pub(crate) crop: u32,
    pub(crate) fit: Fit,
}

/// The steps of resizing one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ResizePlan {
    /// Width and height of the centre of the original that is resized.
    cut: (u32, u32),
    /// Width and height that it becomes.
    out: (u32, u32),
    /// Width and height with black margins.
    padded: (u32, u32),
}

impl Resizing {
    fn plan(self, (width, height): (u32, u32)) -> ResizePlan {
        let (short, long) = (min(width, height), max(width, height));
        let side = |side: u32| min(self.resize, max(self.crop, side));
        match self.fit {
            Fit::Crop => {
                let cut = (min(width, short * MAX_ASPECT), min(height, short * MAX_ASPECT));
                let out = (scaled(cut.0, short, side(short)), scaled(cut.1, short, side(short)));
                ResizePlan { cut, out, padded: out }
            }
            Fit::Pad => {
                let side = side(long);
                let out = (rounded(width, long, side), rounded(height, long, side));
                ResizePlan { cut: (width, height), out, padded: (side, side) }
            }
            Fit::Stretch => {
                let out = (side(long), side(long));
                ResizePlan { cut: (width, height), out, padded: out }
            }
        }
    }
}

impl SmallImage {
    /// Resizes a grey or RGB image of 8 or 16 bit.
    ///
    /// # Panics
    /// If the image has no pixels, or another layout than those four.
    pub(crate) fn from_decoded(decoded: &DynamicImage, resizing: Resizing) -> Self {
        let size = (decoded.width(), decoded.height());
        assert!(size.0 > 0 && size.1 > 0, "SmallImage::from_decoded: {}x{} has no pixels", size.0, size.1);
        let plan = resizing.plan(size);
        let (channels, pixels, wide) = match decoded {
            DynamicImage::ImageLuma8(image) => (1, resize_centre(image, plan), None),
            DynamicImage::ImageRgb8(image) => (3, resize_centre(image, plan), None),
            DynamicImage::ImageLuma16(image) => (1, Vec::new(), Some(Box::new(WideSamples::of(image, plan)))),
            DynamicImage::ImageRgb16(image) => (3, Vec::new(), Some(Box::new(WideSamples::of(image, plan)))),
            other => {
                panic!(
                    "SmallImage::from_decoded: expected grey or RGB of 8 or 16 bit, got {:?}",
                    other.color()
                )
            }
        };
        let (width, height) = plan.padded;
        let side = if resizing.fit == Fit::Pad { max(size.0, size.1) } else { min(size.0, size.1) };
        let small = side < resizing.crop;
        let pixels = wide.as_ref().map_or(pixels, |wide| wide.to_8_bit(16));
        let coloured = channels == 3 && colour::is_coloured(&pixels);
        let (content, place) = (plan.out, Place::default());
        Self { width, height, channels, pixels, coloured, small, content, wide, place }
    }

    /// An image that needs no resizing.
    #[cfg(test)]
    pub(crate) fn of_pixels((width, height): (u32, u32), channels: usize, pixels: Vec<u8>) -> Self {
        let coloured = channels == 3;
        let (content, place) = ((width, height), Place::default());
        Self { width, height, channels, pixels, coloured, small: false, content, wide: None, place }
    }

    /// The left and the upper margin.
    pub(crate) fn margins(&self) -> [u32; 2] {
        [(self.width - self.content.0) / 2, (self.height - self.content.1) / 2]
    }

    /// Those of its `values` that are not in the margins.
    fn content_of<'a, T>(&self, values: &'a mut [T]) -> impl Iterator<Item = &'a mut T> {
        let [left, top] = self.margins().map(|margin| margin as usize * self.channels);
        let (width, height) = (self.content.0 as usize * self.channels, self.content.1 as usize);
        let rows = values[top * self.width as usize..].chunks_exact_mut(self.width as usize * self.channels);
        rows.take(height).flat_map(move |row| &mut row[left..left + width])
    }

    /// Exchanges black and white, but not in the margins.
    pub(crate) fn invert(&mut self) {
        let mut pixels = std::mem::take(&mut self.pixels);
        self.content_of(&mut pixels).for_each(|value| *value = 255 - *value);
        self.pixels = pixels;
    }

    /// Its pixels, or its samples of 16 bits, as they are stored in a file.
    pub(crate) fn samples(&self) -> Cow<'_, [u8]> {
        match &self.wide {
            Some(wide) => little_endian(&wide.values).into(),
            None => Cow::Borrowed(&self.pixels),
        }
    }

    /// Takes them out of memory.
    pub(crate) fn take_samples(&mut self) -> Vec<u8> {
        match &mut self.wide {
            Some(wide) => little_endian(&std::mem::take(&mut wide.values)),
            None => std::mem::take(&mut self.pixels),
        }
    }

    /// How many bytes they are.
    pub(crate) fn n_sample_bytes(&self) -> usize {
        let n_samples = self.width as usize * self.height as usize * self.channels;
        if self.wide.is_some() { 2 * n_samples } else { n_samples }
    }

    /// Takes back what [`Self::take_samples`] has taken.
    pub(crate) fn put_samples(&mut self, bytes: Vec<u8>) {
        match &mut self.wide {
            Some(wide) => wide.values = bytes.as_chunks().0.iter().map(|&b| u16::from_le_bytes(b)).collect(),
            None => self.pixels = bytes,
        }
    }

    /// Makes the pixels from the samples of 16 bits, of which only the lower `bits` are used; larger samples are white. `lift` is
    /// added to all but the margins.
    pub(crate) fn use_bits(&mut self, bits: u8, lift: u16) {
        if let Some(mut wide) = self.wide.take() {
            if lift > 0 {
                self.content_of(&mut wide.values).for_each(|value| *value = value.saturating_add(lift));
            }
            self.pixels = wide.to_8_bit(bits);
            self.coloured = self.channels == 3 && colour::is_coloured(&self.pixels);
        }
    }
}

fn little_endian(samples: &[u16]) -> Vec<u8> {
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// Samples of 16 bits, from which the pixels are made when it is known how many of the bits are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WideSamples {
    /// Of the small image.
    values: Vec<u16>,
    /// The bits that hold the samples of the original; see [`needed_bits`].
    pub(crate) needed_bits: u8,
}

/// One in this many samples may be of a hot pixel.
const FEW: usize = 1000;

/// The smallest number of bits, at least 8, that holds every sample; or all but a few, if these have a quarter of the range of
/// the few at most. A single hot pixel of 65,535 would make a film of 12 bits almost black.
pub(crate) fn needed_bits(samples: &[u16]) -> u8 {
    let mut counts = [0usize; u16::BITS as usize + 1];
    samples.iter().for_each(|sample| counts[(u16::BITS - sample.leading_zeros()) as usize] += 1);
    let bits_without = |n_left_out: usize| {
        let mut n_larger = 0;
        let bits = (1..counts.len()).rev().find(|&bits| {
            n_larger += counts[bits];
            n_larger > n_left_out
        });
        bits.unwrap_or(0).max(8) as u8
    };
    let (all, most) = (bits_without(0), bits_without(samples.len() / FEW));
    if most + 2 <= all { most } else { all }
}

impl WideSamples {
    /// Without samples, which [`SmallImage::put_samples`] adds.
    pub(crate) fn of_bits(needed_bits: u8) -> Self {
        Self { values: Vec::new(), needed_bits }
    }

    fn of<P: Pixel<Subpixel = u16> + 'static>(image: &ImageBuffer<P, Vec<u16>>, plan: ResizePlan) -> Self {
        Self { values: resize_centre(image, plan), needed_bits: needed_bits(image) }
    }

    /// The largest value of `bits` becomes 255; rounded to nearest.
    fn to_8_bit(&self, bits: u8) -> Vec<u8> {
        let white = (1u32 << bits) - 1;
        let of_white = |value: u16| (min(u32::from(value), white) * 255 + white / 2) / white;
        self.values.iter().map(|&value| of_white(value) as u8).collect()
    }
}

/// The region of an image, of the width and height `original`, that the centre crop of its small version shows; `small` is
/// the width and height of that version. In pixels of the original; outside of it where the model sees margins.
#[must_use]
pub fn visible_region(original: (u32, u32), small: (usize, usize), crop: usize, fit: Fit) -> ImageRegion {
    let (short, long) = (min(original.0, original.1), max(original.0, original.1));
    let window = centre_window(crop, small.1, small.0);
    let along = |side: u32, small: usize, from: isize| {
        let shown = match fit {
            Fit::Crop => min(side, short * MAX_ASPECT),
            Fit::Pad => long,
            Fit::Stretch => side,
        };
        let scale = f64::from(shown) / small as f64;
        // Crops begin at a whole pixel.
        let margin = if fit == Fit::Crop {
            f64::from((side - shown) / 2)
        } else {
            (f64::from(side) - f64::from(shown)) / 2.0
        };
        let first = margin + from as f64 * scale;
        [first, first + crop as f64 * scale]
    };
    let ([left, right], [top, bottom]) =
        (along(original.0, small.0, window.left), along(original.1, small.1, window.top));
    ImageRegion { left, top, right, bottom }
}

/// The centre of `image`, resized, with black margins where the plan has some.
fn resize_centre<P: Pixel + 'static>(
    image: &ImageBuffer<P, Vec<P::Subpixel>>,
    ResizePlan { cut, out, padded }: ResizePlan,
) -> Vec<P::Subpixel> {
    let (left, top) = ((image.width() - cut.0) / 2, (image.height() - cut.1) / 2);
    let centre = imageops::crop_imm(image, left, top, cut.0, cut.1);
    let resized = imageops::resize(&*centre, out.0, out.1, FilterType::Triangle);
    if out == padded {
        return resized.into_raw();
    }
    let mut square = ImageBuffer::new(padded.0, padded.1);
    let (left, top) = ((padded.0 - out.0) / 2, (padded.1 - out.1) / 2);
    imageops::replace(&mut square, &resized, i64::from(left), i64::from(top));
    square.into_raw()
}

/// `side * resize / short`, rounded to nearest.
fn scaled(side: u32, short: u32, resize: u32) -> u32 {
    let scaled = (u64::from(side) * u64::from(resize) * 2 + u64::from(short)) / (2 * u64::from(short));
    max(scaled as u32, resize)
}

/// `side * to / from`, rounded to nearest, and at least a pixel.
fn rounded(side: u32, from: u32, to: u32) -> u32 {
    let scaled = (u64::from(side) * u64::from(to) * 2 + u64::from(from)) / (2 * u64::from(from));
    max(scaled as u32, 1)
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, ImageBuffer, Luma, Rgb, RgbImage};
    use proptest::prelude::*;

    use super::*;

    fn crop(resize: u32, crop: u32) -> Resizing {
        Resizing { resize, crop, fit: Fit::Crop }
    }

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
        let region = |original, small, crop| visible_region(original, small, crop, Fit::Crop).edges();
        assert_eq!(region((560, 280), (56, 28), 24), [160.0, 20.0, 400.0, 260.0]);
        // A strip is cropped to its centre first: 100 x 1000 to 100 x 400.
        assert_eq!(region((1000, 100), (112, 28), 28), [450.0, 0.0, 550.0, 100.0]);
    }

    proptest! {
        #[test]
        fn resize_is_a_triangle_filter(width in 1usize..70, height in 1usize..70, resize in 8u32..40) {
            prop_assume!(width.max(height) <= 4 * width.min(height));
            let pixels = noise(width * height);
            let image = GrayImage::from_raw(width as u32, height as u32, pixels.clone()).unwrap();
            let image = SmallImage::from_decoded(&DynamicImage::ImageLuma8(image), crop(resize, 8));
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
        let image = SmallImage::from_decoded(&DynamicImage::ImageRgb8(image), crop(28, 24));
        assert_eq!(blake3::hash(&image.pixels).to_hex()[..16], *"d56fa11bbd480dd5");
    }

    #[test]
    fn sixteen_bit_grey_gives_what_eight_bit_gives() {
        let values = noise(40 * 50);
        let narrow = GrayImage::from_raw(40, 50, values.clone()).unwrap();
        let wide = ImageBuffer::<Luma<u16>, _>::from_fn(40, 50, |x, y| {
            Luma([u16::from(values[(y * 40 + x) as usize]) * 257])
        });
        let narrow = SmallImage::from_decoded(&DynamicImage::ImageLuma8(narrow), crop(28, 24));
        let wide = SmallImage::from_decoded(&DynamicImage::ImageLuma16(wide), crop(28, 24));
        assert_eq!((wide.width, wide.height, wide.channels), (28, 35, 1));
        assert!(narrow.pixels.iter().zip(&wide.pixels).all(|(a, b)| a.abs_diff(*b) <= 1));
    }

    #[test]
    fn a_strip_is_cropped_to_its_centre() {
        // White where the 40 x 10 centre is, black elsewhere.
        let strip =
            GrayImage::from_fn(2000, 10, |x, _| Luma([if (980..1020).contains(&x) { 255 } else { 0 }]));
        let image = SmallImage::from_decoded(&DynamicImage::ImageLuma8(strip), crop(28, 24));
        assert_eq!((image.width, image.height), (96, 24));
        assert!(image.pixels.iter().all(|&value| value == 255));
        assert!(image.small, "10 pixels are below the crop of 24");
    }

    #[test]
    fn a_long_image_is_padded_or_stretched_to_a_square() {
        let strip = GrayImage::from_fn(200, 100, |x, _| Luma([if x < 100 { 40 } else { 200 }]));
        let small = |fit: Fit| {
            SmallImage::from_decoded(
                &DynamicImage::ImageLuma8(strip.clone()),
                Resizing { resize: 28, crop: 24, fit },
            )
        };
        let row = |image: &SmallImage, y: usize| [image.pixels[y * 28 + 3], image.pixels[y * 28 + 24]];
        let (padded, stretched) = (small(Fit::Pad), small(Fit::Stretch));
        assert_eq!([padded.width, padded.height, stretched.width, stretched.height], [28; 4]);
        // Of 40 x 20 pixels, margins make 40 x 40, which are scaled down; a stretched short side is scaled up.
        for (side, is_small) in [(40, [false, true]), (22, [true, true])] {
            let image = DynamicImage::ImageLuma8(GrayImage::new(side, side / 2));
            let is_scaled_up =
                |fit| SmallImage::from_decoded(&image, Resizing { resize: 28, crop: 24, fit }).small;
            assert_eq!([Fit::Pad, Fit::Stretch].map(is_scaled_up), is_small, "{side}");
        }
        assert_eq!([6, 7, 20, 21].map(|y| row(&padded, y)), [[0, 0], [40, 200], [40, 200], [0, 0]]);
        assert_eq!([0, 27].map(|y| row(&stretched, y)), [[40, 200]; 2]);
        // The crop of 24 pixels is 24/28 of the long side; with margins it reaches beyond the short side.
        let region = |fit: Fit| visible_region((280, 140), (28, 28), 24, fit).edges();
        assert_eq!(region(Fit::Pad), [20.0, -50.0, 260.0, 190.0]);
        assert_eq!(region(Fit::Stretch), [20.0, 10.0, 260.0, 130.0]);
    }

    #[test]
    fn samples_of_twelve_bits_fill_the_range() {
        let film = |max: u32| {
            let at = move |x: u32, y: u32| Luma([((x + 30 * y) * max / 899) as u16]);
            SmallImage::from_decoded(
                &DynamicImage::ImageLuma16(ImageBuffer::from_fn(30, 30, at)),
                crop(28, 24),
            )
        };
        let (mut narrow, full) = (film(4_095), film(65_535));
        assert_eq!(narrow.wide.as_ref().map(|wide| wide.needed_bits), Some(12));
        assert!(narrow.pixels.iter().all(|&value| value < 17), "without knowing it, they are black");
        narrow.use_bits(12, 0);
        assert!(narrow.pixels.iter().zip(&full.pixels).all(|(a, b)| a.abs_diff(*b) <= 1));
    }

    #[test]
    fn samples_are_lifted_but_not_the_margins() {
        let film = ImageBuffer::from_pixel(56, 28, Luma([1_023u16]));
        let resizing = Resizing { resize: 28, crop: 24, fit: Fit::Pad };
        let mut film = SmallImage::from_decoded(&DynamicImage::ImageLuma16(film), resizing);
        film.use_bits(12, 3_072);
        let row = |y: usize| film.pixels[28 * y..][..28].to_vec();
        assert_eq!([row(6), row(7), row(20), row(21)], [0u8, 255, 255, 0].map(|value| vec![value; 28]));
    }

    #[test]
    fn colour_is_detected_and_stored() {
        let image = RgbImage::from_pixel(30, 30, Rgb([200, 100, 50]));
        let image = SmallImage::from_decoded(&DynamicImage::ImageRgb8(image), crop(28, 24));
        assert!(image.coloured && !image.small);
        assert_eq!(image.pixels, [200, 100, 50].repeat(28 * 28));
    }
}
