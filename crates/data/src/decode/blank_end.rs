//! Images that may be incomplete: the part that comes last in the file is blank.
//!
//! An interrupted copy of a format without compression (DICOM, BMP, TIFF) has zeros in the place of what is missing, and nothing
//! else in it is wrong. Bands of one value on both sides are margins.

use image::{DynamicImage, ImageFormat};

/// Share of the rows that are blank at least.
const MIN_SHARE: f64 = 0.25;
/// Of rows that are blank at one side, the share that is blank at the other side too in an image with margins.
const MARGIN_SHARE: f64 = 0.5;

/// Whether the rows at the end of the file have one single value, and those at its start do not.
pub(super) fn has_blank_end(image: &DynamicImage, is_bottom_up: bool) -> bool {
    let bytes_of_pixel = usize::from(image.color().bytes_per_pixel());
    let bytes = image.as_bytes();
    let bytes_of_row = image.width() as usize * bytes_of_pixel;
    let Some(pixel) =
        (if is_bottom_up { bytes.get(..bytes_of_pixel) } else { bytes.rchunks_exact(bytes_of_pixel).next() })
    else {
        return false;
    };
    let is_blank = |row: &&[u8]| row.chunks_exact(bytes_of_pixel).all(|other| other == pixel);
    let from_top = || bytes.chunks_exact(bytes_of_row).take_while(is_blank).count();
    let from_bottom = || bytes.rchunks_exact(bytes_of_row).take_while(is_blank).count();
    let n_last = if is_bottom_up { from_top() } else { from_bottom() };
    if (n_last as f64) < MIN_SHARE * f64::from(image.height()) {
        return false;
    }
    let n_first = if is_bottom_up { from_bottom() } else { from_top() };
    (n_first as f64) < MARGIN_SHARE * n_last as f64
}

/// Whether the rows of a file begin at the bottom of the image: in BMP, unless the height is negative.
pub(super) fn is_bottom_up(bytes: &[u8], format: ImageFormat) -> bool {
    let height = || bytes.get(22..26)?.try_into().ok().map(i32::from_le_bytes);
    format == ImageFormat::Bmp && height().is_some_and(|height| height > 0)
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, Rgb, RgbImage};

    use super::*;

    /// Ten rows, of which those in `blank` are black.
    fn image(blank: impl Fn(u32) -> bool) -> GrayImage {
        GrayImage::from_fn(8, 20, |x, y| Luma([if blank(y) { 0 } else { (x + y + 1) as u8 }]))
    }

    #[test]
    fn one_side_alone_is_blank() {
        for (image, expected) in [
            (image(|y| y >= 15), true),
            (image(|y| y >= 16), false),
            (image(|y| y >= 10 || y == 0), true),
            (image(|y| !(5..15).contains(&y)), false),
            (image(|_| true), false),
            (image(|y| y < 10), false),
        ] {
            assert_eq!(has_blank_end(&image.clone().into(), false), expected, "{image:?}");
            let flipped = image::imageops::flip_vertical(&image);
            assert_eq!(has_blank_end(&flipped.into(), true), expected);
        }
        let colours = RgbImage::from_fn(8, 20, |x, y| Rgb(if y < 9 { [x as u8, 1, 2] } else { [1, 2, 3] }));
        assert!(has_blank_end(&colours.clone().into(), false));
        assert!(has_blank_end(&DynamicImage::from(colours).into_rgb16().into(), false));
    }

    #[cfg(feature = "dicom")]
    #[test]
    fn a_dicom_file_with_zeros_is_noted() {
        let element = |group: u16, number: u16, kind: &[u8; 2], value: &[u8]| {
            let length = match kind {
                b"OW" => [&[0, 0][..], &(value.len() as u32).to_le_bytes()].concat(),
                _ => (value.len() as u16).to_le_bytes().to_vec(),
            };
            [&group.to_le_bytes()[..], &number.to_le_bytes(), kind, &length, value].concat()
        };
        let number = |tag: u16, value: u16| element(0x28, tag, b"US", &value.to_le_bytes());
        let file = |photometric: &[u8], n_zeros: usize| {
            let mut pixels: Vec<u8> = (0..800u16).flat_map(|sample| (sample + 1).to_le_bytes()).collect();
            let n_bytes = pixels.len();
            pixels[n_bytes - n_zeros..].fill(0);
            let syntax = element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1\0");
            let start = [&[0; 128][..], b"DICM", &element(2, 0, b"UL", &(syntax.len() as u32).to_le_bytes())];
            let header = [
                element(8, 0x16, b"UI", b"1.2.840.10008.5.1.4.1.1.1\0"),
                element(8, 0x60, b"CS", b"CR"),
                number(2, 1),
                element(0x28, 4, b"CS", photometric),
                number(0x10, 40),
                number(0x11, 20),
                number(0x100, 16),
                number(0x101, 12),
                number(0x102, 11),
                number(0x103, 0),
            ];
            [start.concat(), syntax, header.concat(), element(0x7FE0, 0x10, b"OW", &pixels)].concat()
        };
        for photometric in [b"MONOCHROME1 ", b"MONOCHROME2 "] {
            let options = crate::options::LoadOptions::default();
            let noted = [0, 800].map(|n_zeros| {
                let decoded = crate::decode::decode_bytes(&file(photometric, n_zeros), &options);
                decoded.expect("an image").traits.has_blank_end
            });
            assert_eq!(noted, [false, true]);
        }
    }
}
