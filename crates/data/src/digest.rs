//! The digest of an image as decoded: equal pixels have equal digests under any file name, in any lossless format, and stored
//! as grey or as colour, in 8 bits or in 16.

use image::{DynamicImage, ImageBuffer, Luma, Primitive, Rgb};

/// BLAKE3 over the width, the bytes per pixel and the pixels, in the smallest layout that holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ImageDigest(pub(crate) [u8; 32]);

impl ImageDigest {
    /// Of an image before it is resized.
    pub(crate) fn of(image: &DynamicImage) -> Self {
        let smaller = grey_of(image);
        let image = smaller.as_ref().unwrap_or(image);
        let smaller = eight_bits_of(image);
        let image = smaller.as_ref().unwrap_or(image);
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

/// The grey image that is stored as a colour image with equal channels.
fn grey_of(image: &DynamicImage) -> Option<DynamicImage> {
    match image {
        DynamicImage::ImageRgb8(image) => first_of_equal_channels(image).map(DynamicImage::ImageLuma8),
        DynamicImage::ImageRgb16(image) => first_of_equal_channels(image).map(DynamicImage::ImageLuma16),
        _ => None,
    }
}

fn first_of_equal_channels<T>(image: &ImageBuffer<Rgb<T>, Vec<T>>) -> Option<ImageBuffer<Luma<T>, Vec<T>>>
where
    T: Primitive,
    Rgb<T>: image::Pixel<Subpixel = T>,
    Luma<T>: image::Pixel<Subpixel = T>,
{
    let pixels = image.as_raw().as_chunks::<3>().0;
    if pixels.iter().any(|&[r, g, b]| r != g || g != b) {
        return None;
    }
    ImageBuffer::from_raw(image.width(), image.height(), pixels.iter().map(|pixel| pixel[0]).collect())
}

/// The image of 8 bits that is stored in 16, white as 65535.
fn eight_bits_of(image: &DynamicImage) -> Option<DynamicImage> {
    let is_wide = matches!(image, DynamicImage::ImageLuma16(_) | DynamicImage::ImageRgb16(_));
    if !is_wide || image.as_bytes().as_chunks::<2>().0.iter().any(|[a, b]| a != b) {
        return None;
    }
    Some(match image {
        DynamicImage::ImageLuma16(_) => DynamicImage::ImageLuma8(image.to_luma8()),
        _ => DynamicImage::ImageRgb8(image.to_rgb8()),
    })
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

    #[test]
    fn equal_pixels_have_one_digest_in_grey_or_colour_of_8_or_16_bits() {
        let grey = DynamicImage::ImageLuma8(GrayImage::from_fn(5, 7, |x, y| Luma([(x * 40 + y * 9) as u8])));
        let stored: [DynamicImage; 3] =
            [grey.to_rgb8().into(), grey.to_luma16().into(), grey.to_rgb16().into()];
        stored.iter().for_each(|image| assert_eq!(ImageDigest::of(image), ImageDigest::of(&grey)));
        let mut other = grey.to_luma16();
        other.get_pixel_mut(4, 6).0[0] += 1;
        assert_ne!(ImageDigest::of(&other.into()), ImageDigest::of(&grey), "a level between two of 8 bits");
        let mut other = grey.to_rgb8();
        other.get_pixel_mut(0, 0).0[2] += 1;
        assert_ne!(ImageDigest::of(&other.into()), ImageDigest::of(&grey), "a little blue");
    }
}
