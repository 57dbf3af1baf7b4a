//! Finds images that are the negative of the others: films of which black and white are exchanged.
//!
//! 1. Each image becomes a pattern of brightness: a grid of [`SIDE`] x [`SIDE`] mean values with the mean 0 and the norm 1.
//! 2. The common pattern is the one that explains most of the patterns of the training images: the first eigenvector of the
//!    sum of their outer products, by power iteration. It is the same whether some of them are negatives or not, as a pattern
//!    and its negative have the same outer product. So even a class that consists of negatives is found.
//! 3. An image is a negative if its pattern has a correlation of at most -[`MIN_CORRELATION`] with the common one.
//!
//! A data set without a common pattern, such as photographs, has no negatives: |correlation| reaches [`MIN_CORRELATION`] for
//! 53 % of 120 photographs, but for 99 % of 317 and of 5,005 chest films and of 3,000 of PneumoniaMNIST. Of these films none
//! has a correlation below -0.22, of their negatives none one above it.

use std::borrow::Borrow;

use serde::{Deserialize, Serialize};

use crate::colour;
use crate::small_image::SmallImage;

/// Side of the grid.
const SIDE: usize = 12;
/// Least correlation, and its negative, at which an image counts as an image with the pattern, or as a negative.
const MIN_CORRELATION: f64 = 0.3;
/// Least fraction of the images that need such a correlation.
const MIN_FRACTION: f64 = 0.95;
/// Fewer images have no common pattern.
pub(crate) const MIN_IMAGES: usize = 20;
/// Images that are compared to find the pattern: more do not change it.
const MAX_IMAGES: usize = 4_096;
/// Steps of the power iteration: the first eigenvalue of films is five times the second.
const N_STEPS: usize = 40;
/// A fraction of negatives above which their number does not say which ones are the negatives.
const MAX_MINORITY: f64 = 0.4;

/// The pattern of brightness that the training images have in common. Rows of the grid from the top, in units of 1/127 of the
/// largest value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<i8>")]
pub struct BrightnessPattern(Vec<i8>);

impl TryFrom<Vec<i8>> for BrightnessPattern {
    type Error = String;

    fn try_from(values: Vec<i8>) -> Result<Self, String> {
        match values.len() {
            len if len == SIDE * SIDE => Ok(Self(values)),
            len => Err(format!("the brightness pattern has {len} values, expected {}", SIDE * SIDE)),
        }
    }
}

impl BrightnessPattern {
    /// Of how many images one is enough to find the pattern of `n`.
    pub(crate) fn step(n: usize) -> usize {
        n.div_ceil(MAX_IMAGES).max(1)
    }

    /// The pattern of images, if they have a common one; [`Self::step`] says which images are enough.
    pub(crate) fn of(images: impl Iterator<Item = impl Borrow<SmallImage>>) -> Option<Self> {
        let patterns: Vec<Vec<f64>> = images.filter_map(|image| pattern_of(image.borrow())).collect();
        if patterns.len() < MIN_IMAGES {
            return None;
        }
        let common = first_eigenvector(&patterns);
        let correlations: Vec<f64> = patterns.iter().map(|pattern| dot(pattern, &common)).collect();
        let fraction = |holds: &dyn Fn(f64) -> bool| {
            correlations.iter().filter(|&&r| holds(r)).count() as f64 / correlations.len() as f64
        };
        if fraction(&|r| r.abs() >= MIN_CORRELATION) < MIN_FRACTION {
            return None;
        }
        let n_against = fraction(&|r| r < 0.0);
        let is_reversed = match n_against.min(1.0 - n_against) {
            minority if minority <= MAX_MINORITY => n_against > 0.5,
            // Around a film is air, which is black.
            _ => border_mean(&common) > 0.0,
        };
        let largest = common.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
        let unit = if is_reversed { -127.0 } else { 127.0 } / largest;
        Some(Self(common.iter().map(|value| (value * unit).round() as i8).collect()))
    }

    /// Its values; [`Self::try_from`] reads them.
    pub(crate) fn values(&self) -> &[i8] {
        &self.0
    }

    /// Whether an image is the negative of an image with this pattern.
    pub(crate) fn is_negative(&self, image: &SmallImage) -> bool {
        let Some(pattern) = pattern_of(image) else { return false };
        let common: Vec<f64> = self.0.iter().map(|&value| f64::from(value)).collect();
        let norm = dot(&common, &common).sqrt();
        dot(&pattern, &common) <= -MIN_CORRELATION * norm
    }
}

/// The pattern of one image; `None` if it is flat.
fn pattern_of(image: &SmallImage) -> Option<Vec<f64>> {
    let grey = match image.channels {
        3 => colour::to_grey(&image.pixels),
        _ => image.pixels.clone(),
    };
    let ([left, top], (width, height)) = (image.margins(), image.content);
    // The pixels that a cell overlaps: at least one.
    let range = |cell: usize, side: u32| {
        let side = side as usize;
        cell * side / SIDE..((cell + 1) * side).div_ceil(SIDE)
    };
    let mean = |row: usize, column: usize| {
        let (mut sum, mut n) = (0u32, 0u32);
        for y in range(row, height) {
            for x in range(column, width) {
                sum += u32::from(grey[(y + top as usize) * image.width as usize + x + left as usize]);
                n += 1;
            }
        }
        f64::from(sum) / f64::from(n)
    };
    let cells: Vec<f64> = (0..SIDE * SIDE).map(|cell| mean(cell / SIDE, cell % SIDE)).collect();
    let average = cells.iter().sum::<f64>() / cells.len() as f64;
    let centred: Vec<f64> = cells.iter().map(|value| value - average).collect();
    let norm = dot(&centred, &centred).sqrt();
    (norm > 1.0).then(|| centred.iter().map(|value| value / norm).collect())
}

/// The unit vector u with the largest sum of (u . pattern)^2.
fn first_eigenvector(patterns: &[Vec<f64>]) -> Vec<f64> {
    let mut vector = patterns[0].clone();
    for _ in 0..N_STEPS {
        let mut next = vec![0.0; vector.len()];
        for pattern in patterns {
            let weight = dot(pattern, &vector);
            next.iter_mut().zip(pattern).for_each(|(sum, value)| *sum += weight * value);
        }
        let norm = dot(&next, &next).sqrt();
        vector = next.into_iter().map(|value| value / norm).collect();
    }
    vector
}

fn border_mean(pattern: &[f64]) -> f64 {
    let is_border = |cell: &usize| {
        let (row, column) = (cell / SIDE, cell % SIDE);
        [0, SIDE - 1].contains(&row) || [0, SIDE - 1].contains(&column)
    };
    (0..pattern.len()).filter(is_border).map(|cell| pattern[cell]).sum::<f64>() / (4 * SIDE - 4) as f64
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, GrayImage, Luma};

    use super::*;
    use crate::small_image::{Fit, Resizing};

    /// A bright disc somewhat off the centre, with noise.
    fn film(number: u32, is_negative: bool, fit: Fit) -> SmallImage {
        let film = GrayImage::from_fn(40, 56, |x, y| {
            let (dx, dy) = (f64::from(x) - 20.0 - f64::from(number % 5), f64::from(y) - 26.0);
            let noise = f64::from((x * 7919 + y * 104_729 + number * 31).wrapping_mul(2_654_435_761) >> 26);
            let value = 170.0 * libm::exp(-(dx * dx + dy * dy) / 250.0) + noise;
            Luma([if is_negative { 255 - value as u8 } else { value as u8 }])
        });
        SmallImage::from_decoded(&DynamicImage::ImageLuma8(film), Resizing { resize: 28, crop: 24, fit })
    }

    #[test]
    fn negatives_are_found_up_to_a_half_of_the_images() {
        for fit in [Fit::Crop, Fit::Pad, Fit::Stretch] {
            for n_negatives in [0, 1, 12, 20] {
                let films: Vec<SmallImage> = (0..40).map(|n| film(n, n < n_negatives, fit)).collect();
                let pattern = BrightnessPattern::of(films.iter()).expect("a common pattern");
                let found: Vec<bool> = films.iter().map(|film| pattern.is_negative(film)).collect();
                let expected: Vec<bool> = (0..40).map(|n| n < n_negatives).collect();
                assert_eq!(found, expected, "{fit:?}, {n_negatives} negatives");
            }
        }
    }

    #[test]
    fn an_inverted_negative_is_the_film() {
        for fit in [Fit::Crop, Fit::Pad] {
            let (film, mut negative) = (film(3, false, fit), film(3, true, fit));
            negative.invert();
            let pairs = film.pixels.iter().zip(&negative.pixels);
            assert!(pairs.into_iter().all(|(a, b)| a.abs_diff(*b) <= 1), "{fit:?}");
        }
    }

    #[test]
    fn images_without_a_common_pattern_have_no_negatives() {
        let noise = |number: u32| {
            let image = GrayImage::from_fn(4, 4, |x, y| {
                Luma([((x * 7919 + y * 104_729 + number * 613).wrapping_mul(2_654_435_761) >> 24) as u8])
            });
            let crop = Resizing { resize: 28, crop: 24, fit: Fit::Crop };
            SmallImage::from_decoded(&DynamicImage::ImageLuma8(image), crop)
        };
        let images: Vec<SmallImage> = (0..60).map(noise).collect();
        assert_eq!(BrightnessPattern::of(images.iter()), None);
        assert_eq!(BrightnessPattern::of(images[..19].iter()), None, "too few");
        let flat: Vec<SmallImage> = images
            .iter()
            .map(|image| SmallImage { pixels: vec![9; image.pixels.len()], ..image.clone() })
            .collect();
        assert_eq!(BrightnessPattern::of(flat.iter()), None);
    }
}
