//! The local detail of an image: its pixels after local normalisation of brightness and contrast.

use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, ImageBuffer, Luma};

/// Side of the grid.
pub(crate) const SIDE: usize = 48;
/// A value for each cell, rows from the top; [`UNIT`] is one standard deviation.
pub(crate) type Detail = [i8; SIDE * SIDE];

/// One standard deviation of the detail.
const UNIT: f32 = 32.0;
/// The surroundings extend this many cells in each direction: 9x9 of 48x48, about the width of a rib and its gap.
const RADIUS: usize = 4;
/// Share of the whole image's contrast that is added to that of the surroundings, so that the noise of a
/// uniform border is not amplified to the strength of the ribs.
const FLOOR: f32 = 0.5;
/// Standard deviation, of 255 levels, under which an image is flat.
const FLAT: f32 = 1.0;
/// Images with a shorter side below this have too little detail: handwritten digits of 8x8 pixels by different people
/// correlate up to 0.99.
pub(crate) const MIN_SIDE_WITH_DETAIL: u32 = 16;

/// Whether an image of this size is too small to be compared by its detail.
pub(crate) fn is_tiny(width: u32, height: u32) -> bool {
    width.min(height) < MIN_SIDE_WITH_DETAIL
}

/// Local contrast normalisation (Jarrett et al. 2009, section 3.1, with a box for the Gaussian): the difference to the
/// mean of the surroundings, over its standard deviation there. A change of brightness or contrast leaves it the same.
///
/// Samples of 16 bits use the lower `bits` of them. `None` for an image that is flat or smaller than [`MIN_SIDE_WITH_DETAIL`].
pub(crate) fn of(image: &DynamicImage, bits: u8) -> Option<Detail> {
    if is_tiny(image.width(), image.height()) {
        return None;
    }
    let values = shrunk(image, bits);
    if standard_deviation(&values) < FLAT {
        return None;
    }
    let mut detail: Vec<f32> =
        values.iter().zip(blurred(&values)).map(|(value, mean)| value - mean).collect();
    let squares: Vec<f32> = detail.iter().map(|value| value * value).collect();
    let floor = FLOOR * FLOOR * mean(&squares);
    for (value, square) in detail.iter_mut().zip(blurred(&squares)) {
        *value /= (square + floor).sqrt();
    }
    let (average, spread) = (mean(&detail), standard_deviation(&detail));
    let quantised = |value: f32| ((value - average) / spread * UNIT).round().clamp(-127.0, 127.0) as i8;
    (spread > 0.0).then(|| std::array::from_fn(|at| quantised(detail[at])))
}

/// The brightness on the grid, in 255 levels.
fn shrunk(image: &DynamicImage, bits: u8) -> Vec<f32> {
    match image {
        // Not copied: a film of 16 bits has 10 MB and more.
        DynamicImage::ImageLuma8(grey) => shrunk_8_bit(grey),
        DynamicImage::ImageLuma16(grey) => shrunk_16_bit(grey, bits),
        _ if image.color().bytes_per_pixel() > image.color().channel_count() => {
            shrunk_16_bit(&image.to_luma16(), bits)
        }
        _ => shrunk_8_bit(&image.to_luma8()),
    }
}

fn shrunk_8_bit(grey: &GrayImage) -> Vec<f32> {
    let small = imageops::resize(grey, SIDE as u32, SIDE as u32, FilterType::Triangle);
    small.iter().map(|&value| f32::from(value)).collect()
}

fn shrunk_16_bit(grey: &ImageBuffer<Luma<u16>, Vec<u16>>, bits: u8) -> Vec<f32> {
    // A film of 10 bits has 64 times less contrast than one that fills the 16 bits.
    let white = f32::from(u16::MAX >> (16 - bits));
    let small = imageops::resize(grey, SIDE as u32, SIDE as u32, FilterType::Triangle);
    small.iter().map(|&value| (f32::from(value) * 255.0 / white).min(255.0)).collect()
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}

fn standard_deviation(values: &[f32]) -> f32 {
    let average = mean(values);
    (values.iter().map(|value| (value - average) * (value - average)).sum::<f32>() / values.len() as f32)
        .sqrt()
}

/// The mean over the surroundings of each cell, as far as they are inside the image.
fn blurred(values: &[f32]) -> Vec<f32> {
    let along_rows = blurred_rows(values);
    transposed(&blurred_rows(&transposed(&along_rows)))
}

fn blurred_rows(values: &[f32]) -> Vec<f32> {
    let mean_of = |at: usize| {
        let (row, x) = (at / SIDE * SIDE, at % SIDE);
        mean(&values[row + x.saturating_sub(RADIUS)..row + usize::min(x + RADIUS + 1, SIDE)])
    };
    (0..values.len()).map(mean_of).collect()
}

fn transposed(values: &[f32]) -> Vec<f32> {
    (0..values.len()).map(|at| values[at % SIDE * SIDE + at / SIDE]).collect()
}
