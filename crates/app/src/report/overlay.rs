//! Heat maps over an image: colours, a frame around what the model sees, text in a small bitmap font.

use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use ndarray::Array2;

/// Opacity of the colour where the heat is greatest.
const STRENGTH: f32 = 0.6;
/// Factor of the brightness outside of what the model sees.
const OUTSIDE: f32 = 0.45;
/// Smaller images are enlarged by a whole number until their short side has this, so that details and text are legible.
const MIN_SIDE: u32 = 448;
/// Larger images are reduced until their long side has at most this.
const MAX_SIDE: u32 = 1600;
/// Side of a letter of the font, in its own pixels.
const LETTER: u32 = 8;
const BACKGROUND: Rgb<u8> = Rgb([16, 16, 18]);
const INK: Rgb<u8> = Rgb([236, 236, 236]);
const FRAME: Rgb<u8> = Rgb([255, 196, 64]);

/// One copy of the image on a sheet.
#[derive(Clone, Debug)]
pub(crate) struct Panel<'a> {
    /// The line above it.
    pub title: String,
    /// The heat map over it: negative heat is transparent, the greatest has the last colour.
    pub heat: Option<&'a Array2<f32>>,
    /// The line below it; with a heat map, to the right of the bar of colours.
    pub caption: String,
}

/// `image` once for each panel, side by side. `window` is what the model sees, in pixels: left, top, right, bottom.
#[must_use]
pub(crate) fn sheet(image: &RgbImage, window: [f64; 4], panels: &[Panel<'_>]) -> RgbImage {
    let (image_width, height) = shown_size(image.dimensions());
    let factors = [image_width, height, image_width, height].map(f64::from);
    let sides = [image.width(), image.height(), image.width(), image.height()].map(f64::from);
    let window = std::array::from_fn(|edge| window[edge] * factors[edge] / sides[edge]);
    let image = imageops::resize(image, image_width, height, FilterType::Triangle);
    // A narrow image still needs room for its text.
    let width = image_width.max(MIN_SIDE);
    // Letters grow with the image, as long as the longest line fits.
    let longest =
        panels.iter().flat_map(|panel| [panel.title.chars().count(), panel.caption.chars().count() + 7]);
    let fitting = width / (LETTER * longest.max().unwrap_or(1) as u32);
    let scale = (width / 400).clamp(1, fitting.max(1));
    let line = LETTER * scale * 2;
    let mut sheet = RgbImage::from_pixel(width * panels.len() as u32, height + 2 * line, BACKGROUND);
    for (number, panel) in panels.iter().enumerate() {
        let left = number as u32 * width;
        let shown = panel.heat.map_or_else(|| framed(&image, window), |heat| with_heat(&image, window, heat));
        imageops::replace(&mut sheet, &shown, i64::from(left), i64::from(line));
        let margin = line / 4;
        write(&mut sheet, (left + margin, margin), scale, width - margin, &panel.title);
        let (mut x, y) = (left + margin, line + height + margin);
        if panel.heat.is_some() {
            let bar = 5 * LETTER * scale;
            for column in 0..bar {
                let colour = colour_of(column as f32 / bar as f32);
                (0..LETTER * scale).for_each(|row| sheet.put_pixel(x + column, y + row, colour));
            }
            x += bar + LETTER * scale;
        }
        write(&mut sheet, (x, y), scale, left + width - x, &panel.caption);
    }
    sheet
}

/// The size at which an image of this size is shown.
fn shown_size((width, height): (u32, u32)) -> (u32, u32) {
    let enlarged = MIN_SIDE.div_ceil(width.min(height)).max(1);
    let factor = f64::min(f64::from(enlarged), f64::from(MAX_SIDE) / f64::from(width.max(height)));
    let shown = |side: u32| (f64::from(side) * factor).round().max(1.0) as u32;
    (shown(width), shown(height))
}

/// `image` under a heat map; darker outside of `window`, which is in pixels: left, top, right, bottom.
#[must_use]
pub(crate) fn with_heat(image: &RgbImage, window: [f64; 4], heat: &Array2<f32>) -> RgbImage {
    let greatest = heat.iter().copied().fold(0.0, f32::max).max(f32::MIN_POSITIVE);
    shaded(image, window, |x, y, pixel| {
        let share = (sample(heat, x, y) / greatest).clamp(0.0, 1.0);
        let (colour, opacity) = (colour_of(share), STRENGTH * share.sqrt());
        Rgb([0, 1, 2].map(|c| {
            (f32::from(colour.0[c]) * opacity + f32::from(pixel.0[c]) * (1.0 - opacity)).round() as u8
        }))
    })
}

/// `image`, darker outside of `window`, and a line along the inside of it.
fn framed(image: &RgbImage, window: [f64; 4]) -> RgbImage {
    let [left, top, right, bottom] = window;
    let thickness = (image.width().min(image.height()) / 200).max(1);
    let mut framed = shaded(image, window, |_, _, pixel| pixel);
    for (x, y, pixel) in framed.enumerate_pixels_mut() {
        let (x, y, line) = (f64::from(x) + 0.5, f64::from(y) + 0.5, f64::from(thickness));
        let is_inside = |by: f64| x > left + by && x < right - by && y > top + by && y < bottom - by;
        if is_inside(0.0) && !is_inside(line) {
            *pixel = FRAME;
        }
    }
    framed
}

/// Replaces each pixel of the window by what `inside` returns for its position in the window, 0 to 1, and its colour;
/// darkens the others.
fn shaded(image: &RgbImage, window: [f64; 4], inside: impl Fn(f64, f64, Rgb<u8>) -> Rgb<u8>) -> RgbImage {
    let [left, top, right, bottom] = window;
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let (u, v) =
            ((f64::from(x) + 0.5 - left) / (right - left), (f64::from(y) + 0.5 - top) / (bottom - top));
        let pixel = *image.get_pixel(x, y);
        if (0.0..=1.0).contains(&u) && (0.0..=1.0).contains(&v) {
            inside(u, v, pixel)
        } else {
            Rgb(pixel.0.map(|value| (f32::from(value) * OUTSIDE) as u8))
        }
    })
}

/// The heat at a position in 0 to 1, bilinear between the centres of the cells.
fn sample(heat: &Array2<f32>, x: f64, y: f64) -> f32 {
    let between = |place: f64, n: usize| {
        let at = (place * n as f64 - 0.5).clamp(0.0, (n - 1) as f64);
        let low = (at as usize).min(n.saturating_sub(2));
        (low, (low + 1).min(n - 1), (at - low as f64) as f32)
    };
    let ((x0, x1, fx), (y0, y1, fy)) = (between(x, heat.ncols()), between(y, heat.nrows()));
    let row = |y: usize| heat[[y, x0]] * (1.0 - fx) + heat[[y, x1]] * fx;
    row(y0) * (1.0 - fy) + row(y1) * fy
}

/// The colour map Inferno: its lightness rises evenly, so that colour-blind readers can use it too.
fn colour_of(share: f32) -> Rgb<u8> {
    let colour = colorous::INFERNO.eval_continuous(f64::from(share));
    Rgb([colour.r, colour.g, colour.b])
}

/// Writes a line of text with its top left corner at `at`, cut off at `width`. Letters that the font lacks become `?`.
fn write(image: &mut RgbImage, at: (u32, u32), scale: u32, width: u32, text: &str) {
    let max_letters = (width / (LETTER * scale)) as usize;
    for (number, letter) in text.chars().take(max_letters).enumerate() {
        let rows =
            BASIC_FONTS.get(letter).or_else(|| LATIN_FONTS.get(letter)).or_else(|| BASIC_FONTS.get('?'));
        let left = at.0 + number as u32 * LETTER * scale;
        for (y, row) in rows.into_iter().flatten().enumerate() {
            for x in (0..LETTER).filter(|x| row >> x & 1 == 1) {
                for (dx, dy) in (0..scale).flat_map(|dx| (0..scale).map(move |dy| (dx, dy))) {
                    let (x, y) = (left + x * scale + dx, at.1 + y as u32 * scale + dy);
                    if x < image.width() && y < image.height() {
                        image.put_pixel(x, y, INK);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_is_drawn_at_its_cell_of_the_window() {
        let image = RgbImage::from_pixel(90, 60, Rgb([100; 3]));
        let mut heat = Array2::zeros((3, 3));
        heat[[0, 2]] = 5.0;
        // The window is the right half of the image.
        let shown = with_heat(&image, [45.0, 0.0, 90.0, 60.0], &heat);
        assert_eq!(shown.get_pixel(10, 10).0, [45; 3], "outside it the image is darker");
        assert_eq!(shown.get_pixel(50, 50).0, [100; 3], "without heat the image is unchanged");
        let hot = shown.get_pixel(85, 5).0;
        assert!(hot[0] > 150, "the corner of the heat is bright: {hot:?}");
    }

    #[test]
    fn sheets_fit_images_of_any_size() {
        let heat = Array2::from_elem((3, 3), 1.0);
        let panel =
            |heat| Panel { title: "Größe 50.0 %, and a long title".into(), heat, caption: "0 .. 1".into() };
        for (size, shown) in [
            ((1, 1), (448, 448)),
            ((28, 40), (448, 640)),
            ((500, 90), (1600, 288)),
            ((1200, 1000), (1200, 1000)),
            ((3000, 4000), (1200, 1600)),
            ((20, 8000), (448, 1600)),
        ] {
            let image = RgbImage::from_pixel(size.0, size.1, Rgb([50; 3]));
            let window = [0.0, 0.0, f64::from(size.0), f64::from(size.1)];
            let sheet = sheet(&image, window, &[panel(None), panel(Some(&heat))]);
            let text_height = sheet.height() - shown.1;
            assert!(
                sheet.width() == 2 * shown.0 && (16..160).contains(&text_height),
                "{size:?}: {text_height}"
            );
        }
    }

    #[test]
    fn the_frame_is_reduced_with_its_image() {
        let image = RgbImage::from_pixel(4000, 3200, Rgb([50; 3]));
        let panel = Panel { title: String::new(), heat: None, caption: String::new() };
        let sheet = sheet(&image, [1000.0, 800.0, 3000.0, 2400.0], &[panel]);
        let (top, frame) = ((sheet.height() - 1280) / 2, FRAME.0);
        let at = |x: u32, y: u32| sheet.get_pixel(x, top + y).0;
        assert_eq!([at(401, 640), at(1198, 640), at(800, 321), at(800, 958)], [frame; 4]);
        assert_eq!((at(800, 640), at(200, 640)), ([50; 3], [22; 3]));
    }

    #[test]
    fn sampling_is_exact_at_the_centres_of_cells() {
        let heat = Array2::from_shape_fn((2, 3), |(y, x)| (y * 3 + x) as f32);
        assert_eq!(sample(&heat, 0.5 / 3.0, 0.25), 0.0);
        assert!((sample(&heat, 1.5 / 3.0, 0.75) - 4.0).abs() < 1e-6);
        assert_eq!((sample(&heat, 0.0, 0.0), sample(&heat, 1.0, 1.0)), (0.0, 5.0));
        assert_eq!(sample(&Array2::from_elem((1, 1), 7.0), 0.3, 0.9), 7.0);
    }
}
