//! Test-time averaging: one picture looked at several times, as training has shown others, and the answers averaged.
//!
//! Known from Krizhevsky et al. (2012, section 4.1: crops and mirror images) and Simonyan & Zisserman (2015, section 4.2:
//! several sizes). What was magnified and stretched in training is so here, by fixed steps and about the centre.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::augment::mirrored;
use crate::{AffineTransform, center_window};

/// The views at each picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TtaConfig {
    /// Whether every view is repeated in the mirror.
    #[serde(default)]
    pub mirror: bool,
    /// With two views at a magnified and at a reduced picture, by a third of this share; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub zoom: f32,
    /// With two views at a picture that is wider and one that is taller, by this share; 0 for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub aspect: f32,
}

/// One view at the centre of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TtaView {
    /// Whether in the mirror.
    pub flip: bool,
    /// Rows and columns of the picture to one of the crop.
    pub spacing: [f32; 2],
}

impl TtaView {
    /// The centre as it is.
    pub const PLAIN: Self = Self { flip: false, spacing: [1.0; 2] };

    /// What each row of a crop takes of the rows of a picture of `side` rows, `(crop, side)`: the view as a matrix.
    ///
    /// The view at a channel is `rows * channel * columns^T`.
    #[must_use]
    pub fn rows(&self, crop: usize, side: usize) -> Vec<f32> {
        interpolation(self.spacing[0], false, crop, side)
    }

    /// What each column of a crop takes of the columns of a picture of `side` columns, `(crop, side)`.
    #[must_use]
    pub fn columns(&self, crop: usize, side: usize) -> Vec<f32> {
        interpolation(self.spacing[1], self.flip, crop, side)
    }

    /// How the picture is magnified and stretched, if it is.
    pub(crate) fn affine(&self) -> Option<AffineTransform> {
        (self.spacing != Self::PLAIN.spacing).then(|| AffineTransform::spaced(self.spacing))
    }
}

/// Along one axis, as [`AffineTransform::cut`] takes pixels.
fn interpolation(spacing: f32, flip: bool, crop: usize, side: usize) -> Vec<f32> {
    let mut weights = vec![0.0; crop * side];
    let centre = (crop as f32 - 1.0) / 2.0;
    let start = center_window(crop, side, side).top as f32;
    for (at, weights) in weights.chunks_exact_mut(side).enumerate() {
        let at = if flip { crop - 1 - at } else { at };
        let place = start + centre + spacing * (at as f32 - centre);
        let before = libm::floorf(place);
        let share = place - before;
        weights[mirrored(before as isize, side)] += 1.0 - share;
        weights[mirrored(before as isize + 1, side)] += share;
    }
    weights
}

impl TtaConfig {
    /// Whether some view shows more, or less, than the crop.
    #[must_use]
    pub fn reaches_beyond_crop(&self) -> bool {
        self.zoom > 0.0 || self.aspect > 0.0
    }

    /// All of them, [`TtaView::PLAIN`] last.
    #[must_use]
    pub fn views(&self) -> Vec<TtaView> {
        let mut spacings = Vec::new();
        if self.aspect > 0.0 {
            let root = (1.0 + self.aspect).sqrt();
            spacings.extend([[root, 1.0 / root], [1.0 / root, root]]);
        }
        if self.zoom > 0.0 {
            let factor = 1.0 + self.zoom / 3.0;
            spacings.extend([[factor; 2], [1.0 / factor; 2]]);
        }
        spacings.push(TtaView::PLAIN.spacing);
        let flips: &[bool] = if self.mirror { &[true, false] } else { &[false] };
        spacings
            .iter()
            .flat_map(|&spacing| flips.iter().map(move |&flip| TtaView { flip, spacing }))
            .collect()
    }
}

/// In words, such as "6 views: as it is, 1.30 times as wide and as tall, each in the mirror too".
impl fmt::Display for TtaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.views().len();
        write!(f, "{n} view{}: as it is", if n == 1 { "" } else { "s" })?;
        if self.aspect > 0.0 {
            write!(f, ", {:.2} times as wide and as tall", 1.0 + self.aspect)?;
        }
        if self.zoom > 0.0 {
            write!(f, ", {:.2} times nearer and farther", 1.0 + self.zoom / 3.0)?;
        }
        match (self.mirror, n) {
            (true, 2) => f.write_str(" and in the mirror"),
            (true, _) => f.write_str(", each in the mirror too"),
            (false, _) => Ok(()),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(share: &f32) -> bool {
    *share == 0.0
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Array4};

    use super::*;
    use crate::small_image::SmallImage;
    use crate::{ImageSet, Normalization, Sample, Transform, fill_batch};

    #[test]
    fn nothing_asked_is_one_plain_look() {
        assert_eq!(TtaConfig::default().views(), [TtaView::PLAIN]);
        let mirror = TtaConfig { mirror: true, ..TtaConfig::default() };
        assert_eq!(mirror.views(), [TtaView { flip: true, ..TtaView::PLAIN }, TtaView::PLAIN]);
    }

    #[test]
    fn a_look_is_two_matrices() {
        let (side, crop) = (13, 10);
        let pixels: Vec<u8> = (0..side * side).map(|place| (place * place % 251) as u8).collect();
        let picture = SmallImage {
            width: side as u32,
            height: side as u32,
            channels: 1,
            pixels: pixels.clone(),
            coloured: false,
            small: false,
        };
        let set = ImageSet::pack(1, vec![(picture, "a".to_owned(), 0)]);
        let norm = Normalization { mean: vec![0.0], std: vec![1.0 / 255.0], per_image: false };
        let picture =
            Array2::from_shape_fn((side, side), |(row, column)| f32::from(pixels[row * side + column]));
        let matrix = |weights| Array2::from_shape_vec((crop, side), weights).unwrap();
        for view in (TtaConfig { mirror: true, zoom: 0.5, aspect: 0.6 }).views() {
            let expected =
                matrix(view.rows(crop, side)).dot(&picture).dot(&matrix(view.columns(crop, side)).t());
            let (mut x, mut labels) = (Array4::zeros((0, 0, 0, 0)), Vec::new());
            fill_batch(
                &set,
                &[Sample::first(0)],
                Transform::Center { crop, view },
                &norm,
                &mut x,
                &mut labels,
            );
            for (value, expected) in x.iter().zip(&expected) {
                assert!((value - expected).abs() < 2e-3, "{view:?}: {value} for {expected}");
            }
        }
    }

    #[test]
    fn looks_are_told_in_words() {
        let says = |mirror, zoom, aspect| TtaConfig { mirror, zoom, aspect }.to_string();
        assert_eq!(says(false, 0.0, 0.0), "1 view: as it is");
        assert_eq!(says(true, 0.0, 0.0), "2 views: as it is and in the mirror");
        assert_eq!(
            says(true, 0.3, 0.25),
            "10 views: as it is, 1.25 times as wide and as tall, 1.10 times nearer and farther, each in the mirror too"
        );
    }

    #[test]
    fn every_way_has_its_opposite_and_each_its_mirror_image() {
        let views = TtaConfig { mirror: true, zoom: 0.3, aspect: 0.44 }.views();
        assert_eq!((views.len(), views.last()), (10, Some(&TtaView::PLAIN)));
        for view in &views {
            let is_there = |flip: bool, spacing: [f32; 2]| {
                views.iter().any(|other| {
                    other.flip == flip
                        && (0..2).all(|axis| (other.spacing[axis] - spacing[axis]).abs() < 1e-6)
                })
            };
            assert!(is_there(view.flip, view.spacing.map(|spacing| 1.0 / spacing)), "{view:?}");
            assert!(is_there(!view.flip, view.spacing), "{view:?}");
        }
        let area = |view: &TtaView| view.spacing[0] * view.spacing[1];
        let areas: Vec<f32> = views.iter().step_by(2).map(area).collect();
        for (area, expected) in areas.iter().zip([1.0, 1.0, 1.21, 1.0 / 1.21, 1.0]) {
            assert!((area - expected).abs() < 1e-5, "{areas:?}");
        }
        assert!(
            (views[0].spacing[0] - 1.2).abs() < 1e-6,
            "a picture that is 1.44 times as wide for its height"
        );
    }
}
