//! Images at a small size, for the pages.

use image::DynamicImage;

use crate::report::picture::to_jpeg;

/// Longest side, in pixels.
const SIDE: u32 = 112;

/// A JPEG file.
pub(super) type Picture = Vec<u8>;

/// An image at a small size.
pub(super) fn thumbnail(image: DynamicImage) -> Picture {
    let small = if image.width().max(image.height()) > SIDE { image.thumbnail(SIDE, SIDE) } else { image };
    to_jpeg(&small.to_rgb8())
}
