//! Data augmentation: what a training picture looks like when its turn comes.
//!
//! A random square crop and a random flip always; a turn, a stretch, a change of tone and an erased rectangle where they are
//! asked for. `(seed, epoch, draw)` alone decides all of it: not the batch, not the thread that cuts it. What is
//! switched off still draws its numbers, so that switching one thing leaves the others as they are.
//!
//! Pictures are never scaled up for the sake of a crop: one whose side is below [`Augment::frame`] is continued by its
//! mirror image up to there, as is the custom for CIFAR-10 (He et al. 2016, section 4.2, with zeros).

mod affine;
mod erase;
mod tone;

use roentgen_tensor::rng::{CounterRng, Purpose};

pub use affine::AffineTransform;
pub use erase::Rectangle;
pub use tone::Tone;

/// The square that is cut out of a picture. It may reach beyond the edges, where the picture is mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First row.
    pub top: isize,
    /// First column.
    pub left: isize,
    /// Whether columns are taken from right to left.
    pub flip: bool,
}

/// What training does to its pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augment {
    /// Side of the square, in pixels.
    pub crop: usize,
    /// Sides that windows are drawn from, at least: smaller pictures are continued up to here.
    pub frame: usize,
    /// Whether every second picture, at random, is mirrored.
    pub flip: bool,
    /// Largest turn either way, in degrees.
    pub rotate: f32,
    /// Largest magnification, as a share; the largest reduction is a third of it.
    pub zoom: f32,
    /// Largest change of the ratio of width to height, as a share.
    pub aspect: f32,
    /// Largest change of brightness (in standard deviations) and contrast (as a share).
    pub jitter: f32,
    /// Share of the pictures that lose a rectangle.
    pub erase: f32,
}

/// One picture as it looks in one epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AugmentParams {
    /// Where it is cut.
    pub window: Window,
    /// How it is turned, magnified and stretched, if it is.
    pub affine: Option<AffineTransform>,
    /// Brightness and contrast, if they change.
    pub tone: Option<Tone>,
    /// What is erased of the crop.
    pub erased: Option<Rectangle>,
}

impl Augment {
    /// Crops, and flips if asked: the recipe's own augmentation.
    #[must_use]
    pub fn crop_and_flip(crop: usize, frame: usize, flip: bool) -> Self {
        Self { crop, frame, flip, rotate: 0.0, zoom: 0.0, aspect: 0.0, jitter: 0.0, erase: 0.0 }
    }

    /// Whether pictures are turned, magnified or stretched.
    fn has_affine(&self) -> bool {
        [self.rotate, self.zoom, self.aspect].iter().any(|&most| most > 0.0)
    }

    /// How the picture of `draw`, of `height` x `width` pixels, looks in `epoch`.
    ///
    /// # Panics
    /// If the picture is smaller than the crop.
    #[must_use]
    pub fn params(&self, seed: u64, epoch: u64, draw: u64, height: usize, width: usize) -> AugmentParams {
        assert_fits(self.crop, height, width);
        let mut rng = CounterRng::new(seed, Purpose::Augment, epoch, draw);
        let mut start = |side: usize| {
            let framed = side.max(self.frame);
            rng.below((framed - self.crop) as u32 + 1) as isize - ((framed - side) / 2) as isize
        };
        let (top, left) = (start(height), start(width));
        let flip = rng.below(2) == 1 && self.flip;
        let affine = AffineTransform::draw(&mut rng, self.rotate, self.zoom);
        let tone = Tone::draw(&mut rng, self.jitter);
        let erased = Rectangle::draw(&mut rng, self.erase, self.crop);
        let affine = affine.stretch(&mut rng, self.aspect);
        AugmentParams {
            window: Window { top, left, flip },
            affine: self.has_affine().then_some(affine),
            tone: (self.jitter > 0.0).then_some(tone),
            erased,
        }
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
    let centre = |slack: usize| ((slack / 2) + usize::from(slack % 4 == 3)) as isize;
    Window { top: centre(height - crop), left: centre(width - crop), flip: false }
}

fn assert_fits(crop: usize, height: usize, width: usize) {
    assert!(crop <= height && crop <= width, "a crop of {crop} does not fit into {height}x{width} pixels");
}

/// The place in `0..side` that shows at `at` of a picture continued by its mirror image; the edge itself is not
/// repeated.
pub(crate) fn mirrored(at: isize, side: usize) -> usize {
    let last = side as isize - 1;
    if (0..=last).contains(&at) {
        return at as usize;
    }
    if last == 0 {
        return 0;
    }
    let folded = at.rem_euclid(2 * last);
    (if folded > last { 2 * last - folded } else { folded }) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(augment: &Augment, seed: u64, epoch: u64, n: u64, height: usize, width: usize) -> Vec<Window> {
        (0..n).map(|image| augment.params(seed, epoch, image, height, width).window).collect()
    }

    #[test]
    fn every_place_and_both_flips_occur_evenly() {
        let augment = Augment::crop_and_flip(24, 24, true);
        let mut counts = [[[0u32; 2]; 7]; 5];
        for window in windows(&augment, 1, 0, 70_000, 28, 30) {
            counts[window.top as usize][window.left as usize][usize::from(window.flip)] += 1;
        }
        let counts = counts.as_flattened().as_flattened();
        assert!(counts.iter().all(|&count| (850..1150).contains(&count)), "{counts:?}");
    }

    #[test]
    fn seed_epoch_and_image_decide() {
        let augment = Augment::crop_and_flip(8, 8, true);
        let windows = |seed, epoch| windows(&augment, seed, epoch, 50, 40, 40);
        assert_eq!(windows(1, 2), windows(1, 2));
        assert_ne!(windows(1, 2), windows(1, 3));
        assert_ne!(windows(1, 2), windows(2, 2));
    }

    #[test]
    fn what_is_switched_off_leaves_the_rest_as_it_was() {
        let all = Augment {
            crop: 8,
            frame: 8,
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
            assert_eq!(still, AugmentParams { window: Window { flip: false, ..whole.window }, ..whole });
            assert_eq!(
                params(Augment { rotate: 0.0, zoom: 0.0, aspect: 0.0, ..all }, image),
                AugmentParams { affine: None, ..whole }
            );
            assert_eq!(params(Augment { jitter: 0.0, ..all }, image), AugmentParams { tone: None, ..whole });
            assert_eq!(params(Augment { erase: 0.0, ..all }, image), AugmentParams { erased: None, ..whole });
        }
    }

    #[test]
    fn a_picture_below_the_frame_is_cut_from_its_continuation() {
        let augment = Augment::crop_and_flip(32, 37, false);
        let tops: Vec<isize> = windows(&augment, 0, 0, 500, 32, 32).iter().map(|window| window.top).collect();
        assert_eq!((tops.iter().min(), tops.iter().max()), (Some(&-2), Some(&3)));
        let long = windows(&augment, 0, 0, 500, 32, 50);
        assert!(
            long.iter().all(|window| (0..=18).contains(&window.left)),
            "no need to continue the long side"
        );
    }

    #[test]
    fn the_mirror_does_not_repeat_the_edge() {
        let seen: Vec<usize> = (-4..9).map(|at| mirrored(at, 5)).collect();
        assert_eq!(seen, [4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0]);
        assert_eq!(mirrored(-3, 1), 0);
    }

    #[test]
    fn centres_are_rounded_as_torchvision_rounds_them() {
        let tops: Vec<isize> = (24..33).map(|height| center_window(24, height, 24).top).collect();
        assert_eq!(tops, [0, 0, 1, 2, 2, 2, 3, 4, 4]);
    }
}
