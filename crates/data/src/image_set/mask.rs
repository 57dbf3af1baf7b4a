//! Images with a region hidden, to find out what a model can predict without it.

use image::imageops::{self, FilterType};
use image::{GrayImage, RgbImage};

use super::{ImageSet, ImageView, Pixels};

/// Which region stays visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Only the outermost 8 % on each side.
    BorderOnly,
    /// Everything except the central 70 % of both sides, where a chest film shows the lungs.
    CentreBlanked,
}

/// Width of the border, in percent of the side.
pub(crate) const BORDER_PERCENT: usize = 8;
/// Side of the centre, in percent of the side.
pub(crate) const CENTRE_PERCENT: usize = 70;

impl Mask {
    /// Whether a pixel of a square image stays visible.
    fn shows(self, row: usize, column: usize, side: usize) -> bool {
        let margin = match self {
            Self::BorderOnly => (side * BORDER_PERCENT).div_ceil(100),
            Self::CentreBlanked => (side * (100 - CENTRE_PERCENT) + 100) / 200,
        };
        [row, column].iter().any(|&at| at < margin || at >= side - margin)
    }
}

impl ImageSet {
    /// The values of a square image that `mask` leaves visible, channels together.
    ///
    /// # Panics
    /// If the image is not square.
    #[must_use]
    pub fn visible(&self, index: usize, mask: Mask) -> Vec<u8> {
        let image = self.image(index);
        assert_eq!(image.height, image.width, "ImageSet::visible: images are squares");
        let pixels = image.pixels.chunks_exact(self.channels).enumerate();
        let is_visible = |at: usize| mask.shows(at / image.width, at % image.width, image.width);
        pixels.filter(|(at, _)| is_visible(*at)).flat_map(|(_, pixel)| pixel.iter().copied()).collect()
    }

    /// The images resized to squares of `side` pixels, so that no crop cuts off their edges.
    ///
    /// # Panics
    /// If `side` is 0.
    #[must_use]
    pub fn squared(&self, side: usize) -> Self {
        assert!(side > 0, "ImageSet::squared: side must be positive");
        let mut set = Self { pixels: Pixels::default(), ..self.clone() };
        let to = side as u32;
        for index in 0..self.len() {
            let image = self.image(index);
            let (width, height, pixels) =
                (image.width as u32, image.height as u32, image.pixels.into_owned());
            let fits = "the size matches the number of pixels";
            let resized = match self.channels {
                3 => {
                    let image = RgbImage::from_raw(width, height, pixels).expect(fits);
                    imageops::resize(&image, to, to, FilterType::Triangle).into_raw()
                }
                _ => {
                    let image = GrayImage::from_raw(width, height, pixels).expect(fits);
                    imageops::resize(&image, to, to, FilterType::Triangle).into_raw()
                }
            };
            set.pixels.push(side, side, &resized);
        }
        set
    }

    /// Square images in which everything that `mask` hides is set to `fill`, one value per channel.
    ///
    /// # Panics
    /// If an image is not square, or `fill` has another number of channels.
    #[must_use]
    pub fn masked(&self, mask: Mask, fill: &[u8]) -> Self {
        assert_eq!(fill.len(), self.channels, "ImageSet::masked: channels of the fill");
        let mut set = Self { pixels: Pixels::default(), ..self.clone() };
        for index in 0..self.len() {
            let ImageView { height, width, pixels } = self.image(index);
            assert_eq!(height, width, "ImageSet::masked: images are squares");
            let mut pixels = pixels.into_owned();
            for (at, pixel) in pixels.chunks_exact_mut(self.channels).enumerate() {
                if !mask.shows(at / width, at % width, width) {
                    pixel.copy_from_slice(fill);
                }
            }
            set.pixels.push(height, width, &pixels);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::small_image::SmallImage;

    fn set(width: u32, height: u32, channels: usize) -> ImageSet {
        let pixels = (0..width * height * channels as u32).map(|at| (at % 200) as u8 + 1).collect();
        let image = SmallImage::of_pixels((width, height), channels, pixels);
        ImageSet::pack(channels, vec![(image, "a".into(), 0)])
    }

    #[test]
    fn masks_show_the_border_and_hide_the_centre() {
        let shown = |mask: Mask| {
            let masked = set(24, 24, 1).masked(mask, &[0]);
            let image = masked.image(0);
            let rows = image.pixels.chunks_exact(24).map(|row| row.iter().filter(|&&p| p > 0).count());
            rows.collect::<Vec<_>>()
        };
        assert_eq!(shown(Mask::BorderOnly), [vec![24; 2], vec![4; 20], vec![24; 2]].concat());
        assert_eq!(shown(Mask::CentreBlanked), [vec![24; 4], vec![8; 16], vec![24; 4]].concat());
    }

    #[test]
    fn visible_pixels_are_unchanged_and_hidden_ones_are_the_fill() {
        let before = set(12, 12, 3);
        let after = before.masked(Mask::CentreBlanked, &[7, 8, 9]);
        let [before, after] = [&before, &after].map(|set| set.image(0).pixels);
        let pairs = before.chunks_exact(3).zip(after.chunks_exact(3));
        assert!(pairs.clone().all(|(before, after)| before == after || after == [7, 8, 9]));
        assert!(pairs.filter(|(before, after)| before == after).count() >= 12 * 12 - 8 * 8);
    }

    #[test]
    fn the_visible_values_are_those_that_a_mask_keeps() {
        let set = set(12, 12, 3);
        let masked = set.masked(Mask::BorderOnly, &[0; 3]);
        let kept: Vec<u8> = masked.image(0).pixels.iter().copied().filter(|&value| value > 0).collect();
        assert_eq!(set.visible(0, Mask::BorderOnly), kept);
    }

    #[test]
    fn a_squared_image_shows_all_of_the_original() {
        let squared = set(40, 20, 1).squared(20);
        let image = squared.image(0);
        assert_eq!((image.height, image.width, squared.len()), (20, 20, 1));
        assert_eq!(set(20, 20, 3).squared(20), set(20, 20, 3));
    }
}
