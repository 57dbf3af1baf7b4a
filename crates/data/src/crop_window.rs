//! The square that is cut out of an image, and what is beyond the edges of the image.

/// A square window. It may extend beyond the edges of the image, where the image is continued by its mirror image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CropWindow {
    /// First row.
    pub top: isize,
    /// First column.
    pub left: isize,
    /// Whether columns are taken from right to left.
    pub flip: bool,
}

/// The window that evaluation uses: the centre, rounded as torchvision rounds it.
///
/// # Panics
/// If the image is smaller than the crop.
#[must_use]
pub(crate) fn centre_window(crop: usize, height: usize, width: usize) -> CropWindow {
    assert_fits(crop, height, width);
    // torchvision's round() takes halves to the even number.
    let centre = |slack: usize| ((slack / 2) + usize::from(slack % 4 == 3)) as isize;
    CropWindow { top: centre(height - crop), left: centre(width - crop), flip: false }
}

pub(crate) fn assert_fits(crop: usize, height: usize, width: usize) {
    assert!(crop <= height && crop <= width, "a crop of {crop} does not fit into {height}x{width} pixels");
}

/// The index in `0..side` of the pixel shown at `at` when the image is continued by its mirror image; the edge itself
/// is not repeated.
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

    #[test]
    fn the_mirror_does_not_repeat_the_edge() {
        let found: Vec<usize> = (-4..9).map(|at| mirrored(at, 5)).collect();
        assert_eq!(found, [4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0]);
        assert_eq!(mirrored(-3, 1), 0);
    }

    #[test]
    fn centres_are_rounded_as_torchvision_rounds_them() {
        let tops: Vec<isize> = (24..33).map(|height| centre_window(24, height, 24).top).collect();
        assert_eq!(tops, [0, 0, 1, 2, 2, 2, 3, 4, 4]);
    }
}
