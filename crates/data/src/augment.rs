//! Data augmentation: random changes of the training images.
//!
//! Always a random square crop and a random flip; on request an affine transform, a change of brightness and contrast, and
//! an erased rectangle. `(seed, epoch, key)` alone determine the parameters, not the batch or the thread. A method that is
//! switched off still draws its random numbers, so that switching one method on or off leaves the others unchanged.
//!
//! Images are never scaled up to fit a crop. A side below [`Augment::padded_side`] is padded by reflection up to this; for
//! CIFAR-10, zeros are the custom (He et al. 2016, section 4.2).

mod affine;
mod erase;
mod tone;

use roentgen_tensor::rng::{CounterRng, Purpose};

use crate::crop_window::{CropWindow, assert_fits};

pub(crate) use affine::AffineTransform;
use erase::Rectangle;
use tone::Tone;

/// The ranges of the augmentation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augment {
    /// Side of the square, in pixels.
    pub crop: usize,
    /// Smaller images are padded by reflection up to this side before they are cropped.
    pub padded_side: usize,
    /// Whether a random half of the images is mirrored.
    pub flip: bool,
    /// Largest rotation in both directions, in degrees.
    pub rotate: f32,
    /// Largest magnification, as a fraction; the largest reduction is a third of it.
    pub zoom: f32,
    /// Largest change of the aspect ratio, as a fraction.
    pub aspect: f32,
    /// Largest change of brightness (in standard deviations) and contrast (as a fraction).
    pub jitter: f32,
    /// Fraction of the images in which a rectangle is erased.
    pub erase: f32,
}

/// The parameters for one image in one epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AugmentParams {
    /// The crop.
    pub window: CropWindow,
    /// Rotation, magnification and stretch, if any.
    pub affine: Option<AffineTransform>,
    /// Change of brightness and contrast, if any.
    pub tone: Option<Tone>,
    /// The part of the crop that is erased, if any.
    pub erased: Option<Rectangle>,
}

impl Augment {
    /// Random crops, and random flips if `flip` is set; nothing else.
    #[must_use]
    pub fn crop_and_flip(crop: usize, padded_side: usize, flip: bool) -> Self {
        Self { crop, padded_side, flip, rotate: 0.0, zoom: 0.0, aspect: 0.0, jitter: 0.0, erase: 0.0 }
    }

    /// Whether images are rotated, magnified or stretched.
    fn has_affine(&self) -> bool {
        [self.rotate, self.zoom, self.aspect].iter().any(|&most| most > 0.0)
    }

    /// The parameters for an image of `height` x `width` pixels; `key` identifies the image, and its repeat, in the epoch.
    ///
    /// # Panics
    /// If the image is smaller than the crop.
    #[must_use]
    pub(crate) fn params(
        &self,
        seed: u64,
        epoch: u64,
        key: u64,
        height: usize,
        width: usize,
    ) -> AugmentParams {
        assert_fits(self.crop, height, width);
        let mut rng = CounterRng::new(seed, Purpose::Augment, epoch, key);
        let mut start = |side: usize| {
            let padded = side.max(self.padded_side);
            rng.below((padded - self.crop) as u32 + 1) as isize - ((padded - side) / 2) as isize
        };
        let (top, left) = (start(height), start(width));
        let flip = rng.below(2) == 1 && self.flip;
        let affine = AffineTransform::draw(&mut rng, self.rotate, self.zoom);
        let tone = Tone::draw(&mut rng, self.jitter);
        let erased = Rectangle::draw(&mut rng, self.erase, self.crop);
        let affine = affine.randomly_stretched(&mut rng, self.aspect);
        AugmentParams {
            window: CropWindow { top, left, flip },
            affine: self.has_affine().then_some(affine),
            tone: (self.jitter > 0.0).then_some(tone),
            erased,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(
        augment: &Augment,
        seed: u64,
        epoch: u64,
        n: u64,
        height: usize,
        width: usize,
    ) -> Vec<CropWindow> {
        (0..n).map(|image| augment.params(seed, epoch, image, height, width).window).collect()
    }

    #[test]
    fn every_position_and_both_flips_occur_evenly() {
        let augment = Augment::crop_and_flip(24, 24, true);
        let mut counts = [[[0u32; 2]; 7]; 5];
        for window in windows(&augment, 1, 0, 70_000, 28, 30) {
            counts[window.top as usize][window.left as usize][usize::from(window.flip)] += 1;
        }
        let counts = counts.as_flattened().as_flattened();
        assert!(counts.iter().all(|&count| (850..1150).contains(&count)), "{counts:?}");
    }

    #[test]
    fn seed_epoch_and_image_determine_the_window() {
        let augment = Augment::crop_and_flip(8, 8, true);
        let windows = |seed, epoch| windows(&augment, seed, epoch, 50, 40, 40);
        assert_eq!(windows(1, 2), windows(1, 2));
        assert_ne!(windows(1, 2), windows(1, 3));
        assert_ne!(windows(1, 2), windows(2, 2));
    }

    #[test]
    fn switching_one_method_off_leaves_the_others_unchanged() {
        let all = Augment {
            crop: 8,
            padded_side: 8,
            flip: true,
            rotate: 9.0,
            zoom: 0.1,
            aspect: 0.3,
            jitter: 0.2,
            erase: 1.0,
        };
        let params = |augment: Augment, image| augment.params(1, 2, image, 40, 40);
        for image in 0..50 {
            let whole = params(all, image);
            let still = params(Augment { flip: false, ..all }, image);
            assert_eq!(still, AugmentParams { window: CropWindow { flip: false, ..whole.window }, ..whole });
            assert_eq!(
                params(Augment { rotate: 0.0, zoom: 0.0, aspect: 0.0, ..all }, image),
                AugmentParams { affine: None, ..whole }
            );
            assert_eq!(params(Augment { jitter: 0.0, ..all }, image), AugmentParams { tone: None, ..whole });
            assert_eq!(params(Augment { erase: 0.0, ..all }, image), AugmentParams { erased: None, ..whole });
        }
    }

    #[test]
    fn a_small_image_is_cropped_from_its_mirrored_continuation() {
        let augment = Augment::crop_and_flip(32, 37, false);
        let tops: Vec<isize> = windows(&augment, 0, 0, 500, 32, 32).iter().map(|window| window.top).collect();
        assert_eq!((tops.iter().min(), tops.iter().max()), (Some(&-2), Some(&3)));
        let long = windows(&augment, 0, 0, 500, 32, 50);
        assert!(
            long.iter().all(|window| (0..=18).contains(&window.left)),
            "the long side needs no continuation"
        );
    }
}
