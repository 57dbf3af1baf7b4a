//! Text in a picture, in the font Noto Sans Mono at the size that fits.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::terminal::screen::wrap;

/// Letters of a line that should fit into the width of a panel.
const LETTERS: u32 = 36;
const INK: [u8; 3] = [236; 3];
const WEIGHT: FontWeight = FontWeight::Regular;

/// The font at one of its sizes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Font {
    size: RasterHeight,
}

impl Font {
    /// The largest size at which a line of [`LETTERS`] fits into `width` pixels, or the smallest.
    pub(super) fn for_width(width: u32) -> Self {
        let sizes = [RasterHeight::Size32, RasterHeight::Size24, RasterHeight::Size20, RasterHeight::Size16];
        let fonts = sizes.map(|size| Self { size });
        fonts.into_iter().find(|font| font.width() * LETTERS <= width).unwrap_or(fonts[3])
    }

    /// Width of a letter, in pixels.
    pub(super) fn width(self) -> u32 {
        get_raster_width(WEIGHT, self.size) as u32
    }

    /// Height of a line, in pixels.
    pub(super) fn height(self) -> u32 {
        self.size.val() as u32
    }

    /// Writes lines with their top left corner at `left`, `top`. Letters that the font lacks become `?`.
    pub(super) fn write(self, image: &mut RgbImage, (left, top): (u32, u32), lines: &[String]) {
        for (line, text) in lines.iter().enumerate() {
            for (number, letter) in text.chars().enumerate() {
                let at = (left + number as u32 * self.width(), top + line as u32 * self.height());
                self.write_letter(image, at, letter);
            }
        }
    }

    fn write_letter(self, image: &mut RgbImage, (left, top): (u32, u32), letter: char) {
        let raster = get_raster(letter, WEIGHT, self.size).or_else(|| get_raster('?', WEIGHT, self.size));
        for (y, row) in raster.iter().flat_map(|raster| raster.rows()).enumerate() {
            for (x, &ink) in row.iter().enumerate() {
                // A letter at the edge is cut off there.
                if let Some(pixel) = image.get_pixel_mut_checked(left + x as u32, top + y as u32) {
                    *pixel = blended(*pixel, ink);
                }
            }
        }
    }
}

/// A pixel under `ink` of 255 of the colour of letters.
fn blended(pixel: Rgb<u8>, ink: u8) -> Rgb<u8> {
    let mix = |under: u8, over: u8| {
        ((u32::from(under) * u32::from(255 - ink) + u32::from(over) * u32::from(ink)) / 255) as u8
    };
    Rgb([0, 1, 2].map(|c| mix(pixel.0[c], INK[c])))
}

/// The lines of a text that is broken at spaces, each of at most `columns` letters; a longer word is cut off.
pub(super) fn lines(text: &str, columns: u32) -> Vec<String> {
    let cut = |line: String| {
        if line.chars().count() <= columns as usize {
            return line;
        }
        line.chars().take(columns as usize - 1).chain(['~']).collect()
    };
    wrap(text, columns as usize).into_iter().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_grow_with_the_panel_and_long_words_are_cut_off() {
        assert!(Font::for_width(448).height() >= 20, "legible on the smallest panel");
        assert!(Font::for_width(448).width() * LETTERS <= 448);
        assert_eq!(Font::for_width(1600).height(), 32);
        assert_eq!(Font::for_width(10).height(), 16);
        assert_eq!(lines("one two abcdefghijk", 7), ["one two", "abcdef~"]);
    }

    #[test]
    fn accents_are_written_and_unknown_letters_become_question_marks() {
        let written = |text: &str| {
            let mut image = RgbImage::new(40, 40);
            Font::for_width(448).write(&mut image, (0, 0), &[text.to_owned()]);
            image
        };
        assert_ne!(written("\u{e9}"), written("e"));
        assert_ne!(written("\u{e9}"), written("?"));
        assert_eq!(written("\u{4e2d}"), written("?"));
        assert!(written("I").pixels().any(|pixel| pixel.0[0] > 200), "letters are bright");
    }
}
