//! A rectangle in an image.

/// The edges of a rectangle in an image, from its upper left corner, in pixels or as shares of its sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageRegion {
    /// The left edge; below 0 where the rectangle begins outside of the image.
    pub left: f64,
    /// The upper edge.
    pub top: f64,
    /// The right edge.
    pub right: f64,
    /// The lower edge.
    pub bottom: f64,
}

impl ImageRegion {
    /// Left, top, right and bottom edge.
    #[must_use]
    pub fn edges(self) -> [f64; 4] {
        [self.left, self.top, self.right, self.bottom]
    }

    /// The same rectangle in an image whose sides are `factor` times as long.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let [left, top, right, bottom] = self.edges().map(|edge| edge * factor);
        Self { left, top, right, bottom }
    }

    /// The same rectangle where an image of the width and height `from` has those of `to`; `(1, 1)` gives shares of the sides.
    #[must_use]
    pub fn resized(self, from: (u32, u32), to: (u32, u32)) -> Self {
        let across = |edge: f64| edge * f64::from(to.0) / f64::from(from.0);
        let down = |edge: f64| edge * f64::from(to.1) / f64::from(from.1);
        Self {
            left: across(self.left),
            top: down(self.top),
            right: across(self.right),
            bottom: down(self.bottom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_keeps_its_place_in_an_image_of_another_size() {
        let region = ImageRegion { left: -10.0, top: 20.0, right: 40.0, bottom: 60.0 };
        assert_eq!(region.scaled(0.5).edges(), [-5.0, 10.0, 20.0, 30.0]);
        assert_eq!(region.resized((40, 80), (20, 160)).edges(), [-5.0, 40.0, 20.0, 120.0]);
        assert_eq!(region.resized((40, 80), (1, 1)).edges(), [-0.25, 0.25, 1.0, 0.75]);
    }
}
