//! Data augmentation: a random square crop and a random horizontal flip.
//!
//! `(seed, epoch, image index)` alone decides what an image looks like: not the batch it is in, not the
//! thread that cuts it.

use roentgen_tensor::rng::{CounterRng, Purpose};

/// The square that is cut out of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Whether columns are taken from right to left.
    pub flip: bool,
}

/// What training does to its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Augment {
    /// Side of the square, in pixels.
    pub crop: usize,
    /// Whether every second picture, at random, is mirrored.
    pub flip: bool,
}

impl Augment {
    /// The random window of image `image_idx` in `epoch`, for a picture of `height` x `width` pixels.
    ///
    /// # Panics
    /// If the picture is smaller than the crop.
    #[must_use]
    pub fn train_window(&self, seed: u64, epoch: u64, image_idx: u64, height: usize, width: usize) -> Window {
        assert_fits(self.crop, height, width);
        let mut rng = CounterRng::new(seed, Purpose::Augment, epoch, image_idx);
        let top = rng.below((height - self.crop) as u32 + 1) as usize;
        let left = rng.below((width - self.crop) as u32 + 1) as usize;
        // Drawn even where it is not used, so that switching flips off leaves the crops as they are.
        let flip = rng.below(2) == 1 && self.flip;
        Window { top, left, flip }
    }
}

/// The window that evaluation uses: the centre, as torchvision rounds it.
///
/// # Panics
/// If the picture is smaller than the crop.
#[must_use]
pub fn center_window(crop: usize, height: usize, width: usize) -> Window {
    assert_fits(crop, height, width);
    // torchvision's round() takes halves to the even number.
    let centre = |slack: usize| (slack / 2) + usize::from(slack % 4 == 3);
    Window { top: centre(height - crop), left: centre(width - crop), flip: false }
}

fn assert_fits(crop: usize, height: usize, width: usize) {
    assert!(crop <= height && crop <= width, "a crop of {crop} does not fit into {height}x{width} pixels");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_and_both_flips_occur_evenly() {
        let augment = Augment { crop: 24, flip: true };
        let mut counts = [[[0u32; 2]; 7]; 5];
        for image in 0..70_000 {
            let window = augment.train_window(1, 0, image, 28, 30);
            counts[window.top][window.left][usize::from(window.flip)] += 1;
        }
        let counts = counts.as_flattened().as_flattened();
        assert!(counts.iter().all(|&count| (850..1150).contains(&count)), "{counts:?}");
    }

    #[test]
    fn seed_epoch_and_image_decide() {
        let augment = Augment { crop: 8, flip: true };
        let windows = |seed, epoch| -> Vec<Window> {
            (0..50).map(|image| augment.train_window(seed, epoch, image, 40, 40)).collect()
        };
        assert_eq!(windows(1, 2), windows(1, 2));
        assert_ne!(windows(1, 2), windows(1, 3));
        assert_ne!(windows(1, 2), windows(2, 2));
        let still = Augment { flip: false, ..augment };
        for (image, window) in windows(1, 2).into_iter().enumerate() {
            let expected = Window { flip: false, ..window };
            assert_eq!(still.train_window(1, 2, image as u64, 40, 40), expected, "crops stay without flips");
        }
    }

    #[test]
    fn centres_are_rounded_as_torchvision_rounds_them() {
        let tops: Vec<usize> = (24..33).map(|height| center_window(24, height, 24).top).collect();
        assert_eq!(tops, [0, 0, 1, 2, 2, 2, 3, 4, 4]);
    }
}
