//! Heat over a film: colours, the frame of what the model sees, words in a small bitmap font.

use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use ndarray::Array2;

/// How much of the colour shows where the heat is greatest.
const STRENGTH: f32 = 0.6;
/// What is left of the light outside of what the model sees.
const OUTSIDE: f32 = 0.45;
/// Smaller films are enlarged by a whole number until their short side has this, so that one can see and read.
const LEAST_SIDE: u32 = 448;
/// Larger films are reduced until their long side has no more than this.
const MOST_SIDE: u32 = 1600;
/// Side of a letter of the font, in its own pixels.
const LETTER: u32 = 8;
const BACKGROUND: Rgb<u8> = Rgb([16, 16, 18]);
const INK: Rgb<u8> = Rgb([236, 236, 236]);
const FRAME: Rgb<u8> = Rgb([255, 196, 64]);

/// One picture of a sheet.
#[derive(Clone, Debug)]
pub(crate) struct Panel<'a> {
    /// Over it.
    pub title: String,
    /// Laid over the film; negative heat does not show, the greatest has the last colour.
    pub heat: Option<&'a Array2<f32>>,
    /// Under it; beside the colours, where there is heat.
    pub scale: String,
}

/// `film` once for each panel, side by side.
#[must_use]
pub(crate) fn sheet(film: &RgbImage, window: [f64; 4], panels: &[Panel<'_>]) -> RgbImage {
    let (film_width, height) = shown_size(film.dimensions());
    let factors = [film_width, height, film_width, height].map(f64::from);
    let sides = [film.width(), film.height(), film.width(), film.height()].map(f64::from);
    let window = std::array::from_fn(|edge| window[edge] * factors[edge] / sides[edge]);
    let film = imageops::resize(film, film_width, height, FilterType::Triangle);
    // Room for words beside a film that is no wider than a few of them.
    let width = film_width.max(LEAST_SIDE);
    // Letters grow with the film, as long as the longest line fits.
    let longest =
        panels.iter().flat_map(|panel| [panel.title.chars().count(), panel.scale.chars().count() + 7]);
    let fitting = width / (LETTER * longest.max().unwrap_or(1) as u32);
    let scale = (width / 400).clamp(1, fitting.max(1));
    let line = LETTER * scale * 2;
    let mut sheet = RgbImage::from_pixel(width * panels.len() as u32, height + 2 * line, BACKGROUND);
    for (number, panel) in panels.iter().enumerate() {
        let left = number as u32 * width;
        let shown = panel.heat.map_or_else(|| framed(&film, window), |heat| over(&film, window, heat));
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
        write(&mut sheet, (x, y), scale, left + width - x, &panel.scale);
    }
    sheet
}

/// How large a film is shown.
fn shown_size((width, height): (u32, u32)) -> (u32, u32) {
    let enlarged = LEAST_SIDE.div_ceil(width.min(height)).max(1);
    let factor = f64::min(f64::from(enlarged), f64::from(MOST_SIDE) / f64::from(width.max(height)));
    let shown = |side: u32| (f64::from(side) * factor).round().max(1.0) as u32;
    (shown(width), shown(height))
}

/// `film` under heat; darker where the model sees nothing of it. `window` is that part in pixels: left, top, right, bottom.
#[must_use]
pub(crate) fn over(film: &RgbImage, window: [f64; 4], heat: &Array2<f32>) -> RgbImage {
    let most = heat.iter().copied().fold(0.0, f32::max).max(f32::MIN_POSITIVE);
    shaded(film, window, |x, y, light| {
        let share = (sample(heat, x, y) / most).clamp(0.0, 1.0);
        let (colour, part) = (colour_of(share), STRENGTH * share.sqrt());
        Rgb([0, 1, 2]
            .map(|c| (f32::from(colour.0[c]) * part + f32::from(light.0[c]) * (1.0 - part)).round() as u8))
    })
}

/// `film`, darker where the model sees nothing of it, and a line around the rest.
fn framed(film: &RgbImage, window: [f64; 4]) -> RgbImage {
    let [left, top, right, bottom] = window;
    let thickness = (film.width().min(film.height()) / 200).max(1);
    // Of half a line and more: where all is seen there is nothing to frame.
    let mut framed = shaded(film, window, |_, _, light| light);
    for (x, y, pixel) in framed.enumerate_pixels_mut() {
        let (x, y, line) = (f64::from(x) + 0.5, f64::from(y) + 0.5, f64::from(thickness));
        let is_inside = |by: f64| x > left + by && x < right - by && y > top + by && y < bottom - by;
        if is_inside(0.0) && !is_inside(line) {
            *pixel = FRAME;
        }
    }
    framed
}

/// What `inside` makes of each pixel of the window, from its place there in 0 to 1; the others darker.
fn shaded(film: &RgbImage, window: [f64; 4], inside: impl Fn(f64, f64, Rgb<u8>) -> Rgb<u8>) -> RgbImage {
    let [left, top, right, bottom] = window;
    RgbImage::from_fn(film.width(), film.height(), |x, y| {
        let (u, v) =
            ((f64::from(x) + 0.5 - left) / (right - left), (f64::from(y) + 0.5 - top) / (bottom - top));
        let light = *film.get_pixel(x, y);
        if (0.0..=1.0).contains(&u) && (0.0..=1.0).contains(&v) {
            inside(u, v, light)
        } else {
            Rgb(light.0.map(|value| (f32::from(value) * OUTSIDE) as u8))
        }
    })
}

/// The heat at a place in 0 to 1, bilinear between the centres of its cells.
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

/// Inferno: evenly lighter to the eye, also to one that sees no red or no green.
fn colour_of(share: f32) -> Rgb<u8> {
    let colour = colorous::INFERNO.eval_continuous(f64::from(share));
    Rgb([colour.r, colour.g, colour.b])
}

/// Writes a line whose top left corner is at `at`, as far as `width` goes. Letters that the font lacks show as `?`.
fn write(picture: &mut RgbImage, at: (u32, u32), scale: u32, width: u32, text: &str) {
    let most = (width / (LETTER * scale)) as usize;
    for (number, letter) in text.chars().take(most).enumerate() {
        let rows =
            BASIC_FONTS.get(letter).or_else(|| LATIN_FONTS.get(letter)).or_else(|| BASIC_FONTS.get('?'));
        let left = at.0 + number as u32 * LETTER * scale;
        for (y, row) in rows.into_iter().flatten().enumerate() {
            for x in (0..LETTER).filter(|x| row >> x & 1 == 1) {
                for (dx, dy) in (0..scale).flat_map(|dx| (0..scale).map(move |dy| (dx, dy))) {
                    let (x, y) = (left + x * scale + dx, at.1 + y as u32 * scale + dy);
                    if x < picture.width() && y < picture.height() {
                        picture.put_pixel(x, y, INK);
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
    fn heat_lies_where_it_belongs() {
        let film = RgbImage::from_pixel(90, 60, Rgb([100; 3]));
        let mut heat = Array2::zeros((3, 3));
        heat[[0, 2]] = 5.0;
        // The window is the right half of the film.
        let shown = over(&film, [45.0, 0.0, 90.0, 60.0], &heat);
        assert_eq!(shown.get_pixel(10, 10).0, [45; 3], "outside it is darker");
        assert_eq!(shown.get_pixel(50, 50).0, [100; 3], "no heat leaves the film as it is");
        let hot = shown.get_pixel(85, 5).0;
        assert!(hot[0] > 150, "the corner of the heat is bright: {hot:?}");
    }

    #[test]
    fn sheets_fit_films_of_any_size() {
        let heat = Array2::from_elem((3, 3), 1.0);
        let panel =
            |heat| Panel { title: "Größe 50.0 %, and a long remark".into(), heat, scale: "0 .. 1".into() };
        for (film, shown) in [
            ((1, 1), (448, 448)),
            ((28, 40), (448, 640)),
            ((500, 90), (1600, 288)),
            ((1200, 1000), (1200, 1000)),
            ((3000, 4000), (1200, 1600)),
            ((20, 8000), (448, 1600)),
        ] {
            let picture = RgbImage::from_pixel(film.0, film.1, Rgb([50; 3]));
            let window = [0.0, 0.0, f64::from(film.0), f64::from(film.1)];
            let sheet = sheet(&picture, window, &[panel(None), panel(Some(&heat))]);
            let words = sheet.height() - shown.1;
            assert!(sheet.width() == 2 * shown.0 && (16..160).contains(&words), "{film:?}: {words}");
        }
    }

    #[test]
    fn the_frame_is_reduced_with_its_film() {
        let film = RgbImage::from_pixel(4000, 3200, Rgb([50; 3]));
        let panel = Panel { title: String::new(), heat: None, scale: String::new() };
        let sheet = sheet(&film, [1000.0, 800.0, 3000.0, 2400.0], &[panel]);
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
