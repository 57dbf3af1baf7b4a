//! Test-time augmentation (TTA): a model sees several views of an image, and the prediction is computed from the mean of their
//! logits.
//!
//! Known from Krizhevsky et al. (2012, section 4.1: crops and mirror images) and Simonyan & Zisserman (2015, section 4.2:
//! several sizes), who average probabilities. A mean of logits can be calibrated, and shifted to another class prior, as the
//! logits of one view. The views use the same kinds of changes as the augmentation of the training, in fixed steps and about
//! the centre.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::augment::AffineTransform;
use crate::crop_window::{centre_window, mirrored};

/// Which views of each image are averaged. The default is one view, without any change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TtaConfig {
    /// Whether the mirror image of every view is added.
    #[serde(default)]
    pub mirror: bool,
    /// Adds a magnified and a reduced view, by a third of this fraction; 0 adds none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub zoom: f32,
    /// Adds a wider and a taller view, by this fraction; 0 adds none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub aspect: f32,
}

/// One view of the centre of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TtaView {
    /// Whether it is mirrored.
    pub flip: bool,
    /// Rows and columns of the image per row and column of the crop.
    pub spacing: [f32; 2],
}

impl TtaView {
    /// The centre crop without any change.
    pub const PLAIN: Self = Self { flip: false, spacing: [1.0; 2] };

    /// The weights with which each row of the crop is interpolated from the rows of an image of `side` rows.
    ///
    /// # Shapes
    /// `(crop, side)`. The view of a channel is the product `rows * channel * columns^T`.
    #[must_use]
    pub fn rows(&self, crop: usize, side: usize) -> Vec<f32> {
        interpolation(self.spacing[0], false, crop, side)
    }

    /// The same for columns, of an image of `side` columns.
    #[must_use]
    pub fn columns(&self, crop: usize, side: usize) -> Vec<f32> {
        interpolation(self.spacing[1], self.flip, crop, side)
    }

    /// Magnification and stretch, if any.
    pub(crate) fn affine(&self) -> Option<AffineTransform> {
        (self.spacing != Self::PLAIN.spacing).then(|| AffineTransform::spaced(self.spacing))
    }
}

/// The weights along one axis, as in [`AffineTransform::cut`].
fn interpolation(spacing: f32, flip: bool, crop: usize, side: usize) -> Vec<f32> {
    let mut weights = vec![0.0; crop * side];
    let centre = (crop as f32 - 1.0) / 2.0;
    let start = centre_window(crop, side, side).top as f32;
    for (at, weights) in weights.chunks_exact_mut(side).enumerate() {
        let at = if flip { crop - 1 - at } else { at };
        let position = start + centre + spacing * (at as f32 - centre);
        let before = libm::floorf(position);
        let share = position - before;
        weights[mirrored(before as isize, side)] += 1.0 - share;
        weights[mirrored(before as isize + 1, side)] += share;
    }
    weights
}

impl TtaConfig {
    /// Whether some view shows more or less of the image than the centre crop.
    #[must_use]
    pub fn reaches_beyond_crop(&self) -> bool {
        self.zoom > 0.0 || self.aspect > 0.0
    }

    /// All views, [`TtaView::PLAIN`] last.
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

/// Text for the user, such as "6 views: original, 1.30 times wider and taller, each also mirrored".
impl fmt::Display for TtaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.views().len();
        write!(f, "{n} view{}: original", if n == 1 { "" } else { "s" })?;
        if self.aspect > 0.0 {
            write!(f, ", {:.2} times wider and taller", 1.0 + self.aspect)?;
        }
        if self.zoom > 0.0 {
            write!(f, ", {:.2} times magnified and reduced", 1.0 + self.zoom / 3.0)?;
        }
        match (self.mirror, n) {
            (true, 2) => f.write_str(" and mirrored"),
            (true, _) => f.write_str(", each also mirrored"),
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
    use super::*;

    #[test]
    fn the_default_is_one_plain_view() {
        assert_eq!(TtaConfig::default().views(), [TtaView::PLAIN]);
        let mirror = TtaConfig { mirror: true, ..TtaConfig::default() };
        assert_eq!(mirror.views(), [TtaView { flip: true, ..TtaView::PLAIN }, TtaView::PLAIN]);
    }

    #[test]
    fn views_are_described() {
        let text = |mirror, zoom, aspect| TtaConfig { mirror, zoom, aspect }.to_string();
        assert_eq!(text(false, 0.0, 0.0), "1 view: original");
        assert_eq!(text(true, 0.0, 0.0), "2 views: original and mirrored");
        assert_eq!(
            text(true, 0.3, 0.25),
            "10 views: original, 1.25 times wider and taller, 1.10 times magnified and reduced, each also mirrored"
        );
    }

    #[test]
    fn every_view_has_its_opposite_and_its_mirror_image() {
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
        assert!((views[0].spacing[0] - 1.2).abs() < 1e-6, "an aspect ratio of 1.44");
    }
}
