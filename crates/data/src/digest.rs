//! The digest of an image as decoded: equal pixels have equal digests under any file name and in any lossless format.

use image::DynamicImage;

/// BLAKE3 over the width, the bytes per pixel and the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ImageDigest([u8; 32]);

impl ImageDigest {
    /// Of an image before it is resized.
    pub(crate) fn of(image: &DynamicImage) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&image.width().to_le_bytes());
        hasher.update(&[image.color().bytes_per_pixel()]);
        hasher.update(image.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// The first eight bytes: enough to distinguish millions of images, and small enough to store for each.
    pub(crate) fn short(&self) -> u64 {
        u64::from_be_bytes(*self.0.first_chunk().expect("a digest has more than eight bytes"))
    }
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, RgbImage};

    use super::*;

    #[test]
    fn the_digest_is_that_of_pixels_and_layout() {
        let grey = |width, height| ImageDigest::of(&DynamicImage::ImageLuma8(GrayImage::new(width, height)));
        assert_eq!(grey(6, 4), grey(6, 4));
        assert_ne!(grey(6, 4), grey(4, 6));
        assert_ne!(grey(6, 4), ImageDigest::of(&DynamicImage::ImageRgb8(RgbImage::new(2, 4))));
        assert_ne!(grey(6, 4).short(), grey(4, 6).short());
    }
}
