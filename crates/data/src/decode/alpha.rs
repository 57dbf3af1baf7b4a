//! Images with transparent pixels.
//!
//! Transparent pixels are put on black. An opacity that is the same in every pixel is ignored: it says nothing of the image,
//! and an opacity of zero everywhere, which some programs write by mistake, would make the image black.

use image::DynamicImage;

/// Converts an image to grey or RGB, 8 or 16 bit. The opacity is not applied where the image `is_premultiplied` by it. The second
/// value says whether it has an opacity that is ignored.
pub(super) fn flatten(decoded: DynamicImage, is_premultiplied: bool) -> (DynamicImage, bool) {
    let opacity = Opacity::of(&decoded);
    let is_applied = opacity == Opacity::Varies && !is_premultiplied;
    let shown_8 = |value: u8, alpha: u8| match is_applied {
        true => over_black(value.into(), alpha.into(), 255) as u8,
        false => value,
    };
    let shown_16 = |value: u16, alpha: u16| match is_applied {
        true => over_black(value.into(), alpha.into(), 65_535) as u16,
        false => value,
    };
    let flat = match decoded {
        DynamicImage::ImageLuma8(_)
        | DynamicImage::ImageRgb8(_)
        | DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageRgb16(_) => decoded,
        DynamicImage::ImageLumaA8(image) => DynamicImage::ImageLuma8(map_pixels(&image, |p| {
            let [value, alpha] = p.0;
            image::Luma([shown_8(value, alpha)])
        })),
        DynamicImage::ImageRgba8(image) => DynamicImage::ImageRgb8(map_pixels(&image, |p| {
            let [r, g, b, alpha] = p.0;
            image::Rgb([r, g, b].map(|value| shown_8(value, alpha)))
        })),
        DynamicImage::ImageLumaA16(image) => DynamicImage::ImageLuma16(map_pixels(&image, |p| {
            let [value, alpha] = p.0;
            image::Luma([shown_16(value, alpha)])
        })),
        DynamicImage::ImageRgba16(image) => DynamicImage::ImageRgb16(map_pixels(&image, |p| {
            let [r, g, b, alpha] = p.0;
            image::Rgb([r, g, b].map(|value| shown_16(value, alpha)))
        })),
        // Floating-point numbers, which are rejected before.
        other => DynamicImage::ImageRgb8(other.to_rgb8()),
    };
    (flat, opacity == Opacity::Constant)
}

/// The opacity of the pixels of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opacity {
    /// Every pixel is opaque, or the image has no opacities.
    Opaque,
    /// The same everywhere, and less than opaque.
    Constant,
    Varies,
}

impl Opacity {
    fn of(image: &DynamicImage) -> Self {
        match image {
            DynamicImage::ImageLumaA8(image) => Self::of_values(image.pixels().map(|p| p.0[1]), u8::MAX),
            DynamicImage::ImageRgba8(image) => Self::of_values(image.pixels().map(|p| p.0[3]), u8::MAX),
            DynamicImage::ImageLumaA16(image) => Self::of_values(image.pixels().map(|p| p.0[1]), u16::MAX),
            DynamicImage::ImageRgba16(image) => Self::of_values(image.pixels().map(|p| p.0[3]), u16::MAX),
            _ => Self::Opaque,
        }
    }

    fn of_values<T: PartialEq + Copy>(mut alphas: impl Iterator<Item = T>, opaque: T) -> Self {
        let first = alphas.next().unwrap_or(opaque);
        match (alphas.all(|alpha| alpha == first), first == opaque) {
            (false, _) => Self::Varies,
            (true, true) => Self::Opaque,
            (true, false) => Self::Constant,
        }
    }
}

/// `value` of opacity `alpha` in front of black, rounded to nearest.
fn over_black(value: u32, alpha: u32, opaque: u32) -> u32 {
    ((u64::from(value) * u64::from(alpha) + u64::from(opaque / 2)) / u64::from(opaque)) as u32
}

fn map_pixels<P: image::Pixel, Q: image::Pixel>(
    image: &image::ImageBuffer<P, Vec<P::Subpixel>>,
    map: impl Fn(&P) -> Q,
) -> image::ImageBuffer<Q, Vec<Q::Subpixel>> {
    image::ImageBuffer::from_fn(image.width(), image.height(), |x, y| map(image.get_pixel(x, y)))
}

#[cfg(test)]
mod tests {
    use image::{LumaA, Rgba, RgbaImage};

    use super::*;

    fn film(alpha: impl Fn(u32) -> u8) -> DynamicImage {
        DynamicImage::ImageRgba8(RgbaImage::from_fn(9, 7, |x, y| {
            Rgba([(x * 20) as u8, (y * 30) as u8, 90, alpha(x)])
        }))
    }

    #[test]
    fn a_constant_opacity_is_ignored() {
        let (opaque, is_ignored) = flatten(film(|_| 255), false);
        assert!(!is_ignored && opaque.as_bytes().contains(&90));
        for alpha in [0, 1, 254] {
            assert_eq!(flatten(film(|_| alpha), false), (opaque.clone(), true), "opacity {alpha}");
        }
        let wide = image::ImageBuffer::from_pixel(4, 4, LumaA([40_000u16, 0]));
        let (flat, is_ignored) = flatten(DynamicImage::ImageLumaA16(wide), false);
        assert!(is_ignored && flat.into_luma16().iter().all(|&value| value == 40_000));
    }

    #[test]
    fn a_varying_opacity_is_put_on_black() {
        let (flat, is_ignored) = flatten(film(|x| if x < 3 { 0 } else { 255 }), false);
        let flat = flat.into_rgb8();
        assert!(!is_ignored);
        assert_eq!((flat.get_pixel(2, 2).0, flat.get_pixel(3, 2).0), ([0, 0, 0], [60, 60, 90]));
    }
}
