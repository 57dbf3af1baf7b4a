//! Heat maps over an image: colours, a frame around what the model sees, and sheets of several panels with text.

use std::fmt::Write as _;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
#[cfg(feature = "serve")]
use image::{Rgba, RgbaImage};
use ndarray::Array2;
use roentgen_data::ImageRegion;

use super::sheet_text::{Font, lines};
use crate::model::heat_map::sample;

/// Opacity of the colour where the heat is greatest.
pub(crate) const STRENGTH: f32 = 0.65;
/// The part of the colour map Plasma that is used. Its end is a pale yellow, which bright bone could be taken for.
const LAST_COLOUR: f64 = 0.75;
/// Factor of the brightness outside of what the model sees.
const OUTSIDE: f32 = 0.45;
/// Smaller images are enlarged by a whole number until their short side has this, so that details and text are legible.
const MIN_SIDE: u32 = 448;
/// Larger images are reduced until their long side has at most this.
const MAX_SIDE: u32 = 1600;
/// Grey over which the legend shows the colours.
const LEGEND_GREY: u8 = 110;
/// Letters that the bar of a legend is as long as.
const BAR_LETTERS: u32 = 8;
const BACKGROUND: Rgb<u8> = Rgb([16, 16, 18]);
const FRAME: Rgb<u8> = Rgb([255, 196, 64]);

/// One copy of the image on a sheet.
#[derive(Clone, Debug)]
pub(crate) struct Panel<'a> {
    /// The text above it.
    pub title: String,
    /// The heat map over it, if any.
    pub heat: Option<Heat<'a>>,
    /// The text below it.
    pub caption: String,
}

/// A heat map with its legend. The scale begins at zero: zero and negative heat are transparent.
#[derive(Clone, Debug)]
pub(crate) struct Heat<'a> {
    /// Values by cell.
    pub map: &'a Array2<f32>,
    /// The greatest value, as the end of the legend.
    pub end: String,
}

/// `image` once for each panel, side by side. `window` is what the model sees, in pixels.
#[must_use]
pub(crate) fn sheet(image: &RgbImage, window: ImageRegion, panels: &[Panel<'_>]) -> RgbImage {
    let (image_width, height) = shown_size(image.dimensions());
    let window = window.resized(image.dimensions(), (image_width, height));
    let image = imageops::resize(image, image_width, height, FilterType::Triangle);
    // A narrow image still needs room for its text.
    let width = image_width.max(MIN_SIDE);
    let font = Font::for_width(width);
    let margin = font.height() / 3;
    let columns = (width - 2 * margin) / font.width();
    let titles: Vec<Vec<String>> = panels.iter().map(|panel| lines(&panel.title, columns)).collect();
    let captions: Vec<Vec<String>> = panels.iter().map(|panel| lines(&panel.caption, columns)).collect();
    let rows_of = |texts: &[Vec<String>]| texts.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let legend_rows = u32::from(panels.iter().any(|panel| panel.heat.is_some()));
    let header = rows_of(&titles) * font.height() + 2 * margin;
    let footer = (legend_rows + rows_of(&captions)) * font.height() + 2 * margin;
    let size = (width * panels.len() as u32, header + height + footer);
    let mut sheet = RgbImage::from_pixel(size.0, size.1, BACKGROUND);
    for (number, panel) in panels.iter().enumerate() {
        let left = number as u32 * width;
        let shown = panel
            .heat
            .as_ref()
            .map_or_else(|| framed(&image, window), |heat| with_heat(&image, window, heat.map));
        imageops::replace(&mut sheet, &shown, i64::from(left), i64::from(header));
        font.write(&mut sheet, (left + margin, margin), &titles[number]);
        let bottom = header + height + margin;
        if let Some(heat) = &panel.heat {
            write_legend(&mut sheet, font, (left + margin, bottom), &heat.end);
        }
        let legend = if panel.heat.is_some() { font.height() } else { 0 };
        font.write(&mut sheet, (left + margin, bottom + legend), &captions[number]);
    }
    sheet
}

/// The colours from zero to the greatest value, between their numbers.
fn write_legend(sheet: &mut RgbImage, font: Font, (left, top): (u32, u32), end: &str) {
    let (zero, bar) = (2 * font.width(), BAR_LETTERS * font.width());
    font.write(sheet, (left, top), &["0".to_owned()]);
    let grey = Rgb([LEGEND_GREY; 3]);
    for column in 0..bar {
        let colour = heated(grey, column as f32 / (bar - 1) as f32);
        for row in font.height() / 5..font.height() * 4 / 5 {
            sheet.put_pixel(left + zero + column, top + row, colour);
        }
    }
    font.write(sheet, (left + zero + bar + font.width(), top), &[end.to_owned()]);
}

/// The colours from zero to the greatest value as a gradient of CSS, over the grey of the legend.
#[must_use]
pub(crate) fn css_gradient() -> String {
    let mut stops = String::new();
    for step in 0..=10u8 {
        let Rgb([r, g, b]) = heated(Rgb([LEGEND_GREY; 3]), f32::from(step) / 10.0);
        let _ = write!(stops, ", rgb({r} {g} {b})");
    }
    format!("linear-gradient(to right{stops})")
}

/// The size at which an image of this size is shown.
fn shown_size((width, height): (u32, u32)) -> (u32, u32) {
    let enlarged = MIN_SIDE.div_ceil(width.min(height)).max(1);
    let factor = f64::min(f64::from(enlarged), f64::from(MAX_SIDE) / f64::from(width.max(height)));
    let shown = |side: u32| (f64::from(side) * factor).round().max(1.0) as u32;
    (shown(width), shown(height))
}

/// `image` under a heat map whose scale begins at zero; darker outside of `window`, which is in pixels.
#[must_use]
pub(crate) fn with_heat(image: &RgbImage, window: ImageRegion, heat: &Array2<f32>) -> RgbImage {
    let greatest = heat.iter().copied().fold(0.0, f32::max).max(f32::MIN_POSITIVE);
    shaded(image, window, |x, y, pixel| heated(pixel, (sample(heat, x, y) / greatest).clamp(0.0, 1.0)))
}

/// A heat map over a transparent ground, for an image of this size; with the opacity [`STRENGTH`] over the image, it is [`with_heat`].
#[cfg(feature = "serve")]
#[must_use]
pub(crate) fn transparent((width, height): (u32, u32), window: ImageRegion, heat: &Array2<f32>) -> RgbaImage {
    let greatest = heat.iter().copied().fold(0.0, f32::max).max(f32::MIN_POSITIVE);
    RgbaImage::from_fn(width, height, |x, y| match place_in(window, x, y) {
        Some((u, v)) => {
            let share = (sample(heat, u, v) / greatest).clamp(0.0, 1.0);
            let Rgb([r, g, b]) = colour_of(share);
            Rgba([r, g, b, (255.0 * share.sqrt()).round() as u8])
        }
        None => Rgba([0; 4]),
    })
}

/// A pixel under a share of the greatest heat.
fn heated(pixel: Rgb<u8>, share: f32) -> Rgb<u8> {
    let (colour, opacity) = (colour_of(share), STRENGTH * share.sqrt());
    Rgb([0, 1, 2]
        .map(|c| (f32::from(colour.0[c]) * opacity + f32::from(pixel.0[c]) * (1.0 - opacity)).round() as u8))
}

/// `image`, darker outside of `window`, and a line along the inside of it.
fn framed(image: &RgbImage, window: ImageRegion) -> RgbImage {
    let ImageRegion { left, top, right, bottom } = window;
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
fn shaded(image: &RgbImage, window: ImageRegion, inside: impl Fn(f64, f64, Rgb<u8>) -> Rgb<u8>) -> RgbImage {
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let pixel = *image.get_pixel(x, y);
        match place_in(window, x, y) {
            Some((u, v)) => inside(u, v, pixel),
            None => Rgb(pixel.0.map(|value| (f32::from(value) * OUTSIDE) as u8)),
        }
    })
}

/// Where the centre of a pixel is in the window, from 0 to 1 across and down; `None` outside of it.
fn place_in(ImageRegion { left, top, right, bottom }: ImageRegion, x: u32, y: u32) -> Option<(f64, f64)> {
    let (u, v) = ((f64::from(x) + 0.5 - left) / (right - left), (f64::from(y) + 0.5 - top) / (bottom - top));
    ((0.0..=1.0).contains(&u) && (0.0..=1.0).contains(&v)).then_some((u, v))
}

/// The colour map Plasma without its pale end: from blue to orange. Its lightness rises evenly, so that colour-blind readers
/// can use it too, and none of its colours is near a grey.
fn colour_of(share: f32) -> Rgb<u8> {
    let colour = colorous::PLASMA.eval_continuous(f64::from(share) * LAST_COLOUR);
    Rgb([colour.r, colour.g, colour.b])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region([left, top, right, bottom]: [f64; 4]) -> ImageRegion {
        ImageRegion { left, top, right, bottom }
    }

    #[test]
    fn heat_is_drawn_at_its_cell_of_the_window() {
        let image = RgbImage::from_pixel(90, 60, Rgb([100; 3]));
        let mut heat = Array2::zeros((3, 3));
        heat[[0, 2]] = 5.0;
        // The window is the right half of the image.
        let shown = with_heat(&image, region([45.0, 0.0, 90.0, 60.0]), &heat);
        assert_eq!(shown.get_pixel(10, 10).0, [45; 3], "outside it the image is darker");
        assert_eq!(shown.get_pixel(50, 50).0, [100; 3], "without heat the image is unchanged");
        let hot = shown.get_pixel(85, 5).0;
        assert!(hot[0] > 150, "the corner of the heat is bright: {hot:?}");
    }

    #[cfg(feature = "serve")]
    #[test]
    fn a_transparent_map_over_the_image_is_the_image_with_heat() {
        let image = RgbImage::from_pixel(90, 60, Rgb([100; 3]));
        let heat = Array2::from_shape_fn((3, 3), |(y, x)| y as f32 - x as f32);
        let window = region([45.0, 0.0, 90.0, 60.0]);
        let (overlay, expected) = (transparent((90, 60), window, &heat), with_heat(&image, window, &heat));
        assert_eq!(overlay.get_pixel(10, 10).0[3], 0, "outside of the window");
        for (x, y) in [(50, 55), (46, 59), (70, 30), (88, 2)] {
            let Rgba([r, g, b, a]) = *overlay.get_pixel(x, y);
            let opacity = f32::from(a) / 255.0 * STRENGTH;
            for (colour, expected) in [r, g, b].into_iter().zip(expected.get_pixel(x, y).0) {
                let shown = f32::from(colour) * opacity + 100.0 * (1.0 - opacity);
                assert!((shown - f32::from(expected)).abs() <= 1.5, "{shown}, expected {expected}");
            }
        }
    }

    #[test]
    fn the_scale_of_the_heat_begins_at_zero() {
        let image = RgbImage::from_pixel(60, 60, Rgb([100; 3]));
        let mut heat = Array2::from_elem((3, 3), 0.49);
        heat[[0, 0]] = 1.0;
        let shown = with_heat(&image, region([0.0, 0.0, 60.0, 60.0]), &heat);
        assert_eq!(
            shown.get_pixel(50, 50).0,
            heated(Rgb([100; 3]), 0.49).0,
            "half the heat is drawn as half"
        );
        assert_ne!(shown.get_pixel(50, 50).0, [100; 3], "and not as nothing");
    }

    #[test]
    fn no_grey_can_be_taken_for_heat() {
        for grey in (0..=255).step_by(5) {
            for share in [0.25, 0.5, 0.75, 1.0] {
                let colour = heated(Rgb([grey; 3]), share).0;
                let chroma = colour.iter().max().unwrap() - colour.iter().min().unwrap();
                assert!(chroma >= 40, "{share} of the heat over {grey}: {colour:?}");
            }
        }
    }

    #[test]
    fn sheets_fit_images_of_any_size() {
        let map = Array2::from_elem((3, 3), 1.0);
        let panel =
            |heat| Panel { title: "Größe 50.0 %, and a long title".into(), heat, caption: "0 to 1".into() };
        let heat = || Some(Heat { map: &map, end: "1.00".into() });
        for (size, shown) in [
            ((1, 1), (448, 448)),
            ((28, 40), (448, 640)),
            ((500, 90), (1600, 288)),
            ((1200, 1000), (1200, 1000)),
            ((3000, 4000), (1200, 1600)),
            ((20, 8000), (448, 1600)),
        ] {
            let image = RgbImage::from_pixel(size.0, size.1, Rgb([50; 3]));
            let window = region([0.0, 0.0, f64::from(size.0), f64::from(size.1)]);
            let sheet = sheet(&image, window, &[panel(None), panel(heat())]);
            let text_height = sheet.height() - shown.1;
            assert!(
                sheet.width() == 2 * shown.0 && (60..160).contains(&text_height),
                "{size:?}: {text_height}"
            );
        }
    }

    #[test]
    fn a_legend_shows_the_colours_of_the_heat_below_its_panel() {
        let map = Array2::from_elem((3, 3), 1.0);
        let image = RgbImage::from_pixel(448, 448, Rgb([50; 3]));
        let panel = Panel {
            title: "t".into(),
            heat: Some(Heat { map: &map, end: "2.0".into() }),
            caption: "c".into(),
        };
        let sheet = sheet(&image, region([0.0, 0.0, 448.0, 448.0]), &[panel]);
        let last = heated(Rgb([LEGEND_GREY; 3]), 1.0);
        let found = sheet.enumerate_pixels().filter(|(_, y, pixel)| *y > 470 && **pixel == last).count();
        assert!(found > 5, "{found} pixels with the colour of the greatest heat");
        assert!(css_gradient().ends_with(&format!("rgb({} {} {}))", last.0[0], last.0[1], last.0[2])));
    }

    #[test]
    fn the_frame_is_reduced_with_its_image() {
        let image = RgbImage::from_pixel(4000, 3200, Rgb([50; 3]));
        let panel = Panel { title: String::new(), heat: None, caption: String::new() };
        let sheet = sheet(&image, region([1000.0, 800.0, 3000.0, 2400.0]), &[panel]);
        // Without a legend, header and footer are equally high.
        let (top, frame) = ((sheet.height() - 1280) / 2, FRAME.0);
        let at = |x: u32, y: u32| sheet.get_pixel(x, top + y).0;
        assert_eq!([at(401, 640), at(1198, 640), at(800, 321), at(800, 958)], [frame; 4]);
        assert_eq!((at(800, 640), at(200, 640)), ([50; 3], [22; 3]));
    }
}
