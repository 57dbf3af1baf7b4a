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
