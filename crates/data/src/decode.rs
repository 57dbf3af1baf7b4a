//! From the bytes of a file to a small picture, or to the reason why there is none.
//!
//! Files are hostile: sizes are checked before anything is allocated for them, the content has to be what
//! the name says, and a file that stops before its end is refused even where a decoder would fill in grey.

use std::fs::{self, File};
use std::io::{Cursor, Read as _};
use std::path::Path;

use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader};

use crate::picture::Picture;
use crate::{LoadOptions, SizeLimits};

mod complete;

/// Reads, decodes and resizes one file.
///
/// # Errors
/// The reason why it is a bad file, in words for the user.
pub(crate) fn decode_file(path: &Path, options: &LoadOptions) -> Result<Picture, String> {
    let bytes = read(path, &options.limits)?;
    let format = format_of(path, &bytes)?;
    if !complete::is_complete(&bytes, format) {
        return Err(format!("truncated: the {} data stops before its end", name_of(format)));
    }
    let decoded = decode(&bytes, format, &options.limits)?;
    Ok(Picture::from_decoded(&flatten(decoded), options.resize, options.crop))
}

/// The bytes of a regular file of acceptable size.
fn read(path: &Path, limits: &SizeLimits) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    // Asked of the path first: opening a pipe would wait for a writer.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let most = limits.file_bytes;
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.is_empty() {
        return Err("empty file".to_owned());
    }
    if bytes.len() as u64 > most {
        return Err(format!("oversized: {} bytes, at most {most} are read", metadata.len()));
    }
    Ok(bytes)
}

/// The format of the content, which must be the one that the name says.
fn format_of(path: &Path, bytes: &[u8]) -> Result<ImageFormat, String> {
    let extension = path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
    let named = if extension.eq_ignore_ascii_case("png") { ImageFormat::Png } else { ImageFormat::Jpeg };
    match image::guess_format(bytes) {
        Ok(found) if found == named => Ok(found),
        Ok(found @ (ImageFormat::Png | ImageFormat::Jpeg)) => {
            Err(format!("misnamed: named .{extension}, but the content is {}; rename it", name_of(found)))
        }
        Ok(found) => Err(format!(
            "misnamed: named .{extension}, but the content is {}; convert it to png or jpeg",
            name_of(found)
        )),
        Err(_) => Err(format!("not a picture: named .{extension}, but the content is no known format")),
    }
}

fn name_of(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "PNG",
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Gif => "GIF",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        ImageFormat::Tiff => "TIFF",
        _ => "another format",
    }
}

fn decode(bytes: &[u8], format: ImageFormat, limits: &SizeLimits) -> Result<DynamicImage, String> {
    let damaged = |error: ImageError| format!("damaged {}: {error}", name_of(format));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut caps = image::Limits::default();
    caps.max_alloc = Some(limits.decoded_bytes);
    reader.limits(caps);
    let decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if width.max(height) > limits.side || decoder.total_bytes() > limits.decoded_bytes {
        return Err(format!(
            "oversized: {width}x{height} pixels, at most {} a side and {} MiB decoded are read",
            limits.side,
            limits.decoded_bytes >> 20
        ));
    }
    DynamicImage::from_decoder(decoder).map_err(damaged)
}

/// Puts transparent pixels on black and brings rare layouts to grey or RGB, 8 or 16 bit.
fn flatten(decoded: DynamicImage) -> DynamicImage {
    match decoded {
        DynamicImage::ImageLuma8(_)
        | DynamicImage::ImageRgb8(_)
        | DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageRgb16(_) => decoded,
        DynamicImage::ImageLumaA8(image) => DynamicImage::ImageLuma8(map_pixels(&image, |p| {
            image::Luma([over_black(u32::from(p.0[0]), u32::from(p.0[1]), 255) as u8])
        })),
        DynamicImage::ImageRgba8(image) => DynamicImage::ImageRgb8(map_pixels(&image, |p| {
            let [r, g, b, alpha] = p.0.map(u32::from);
            image::Rgb([r, g, b].map(|value| over_black(value, alpha, 255) as u8))
        })),
        DynamicImage::ImageLumaA16(image) => DynamicImage::ImageLuma16(map_pixels(&image, |p| {
            image::Luma([over_black(u32::from(p.0[0]), u32::from(p.0[1]), 65_535) as u16])
        })),
        DynamicImage::ImageRgba16(image) => DynamicImage::ImageRgb16(map_pixels(&image, |p| {
            let [r, g, b, alpha] = p.0.map(u32::from);
            image::Rgb([r, g, b].map(|value| over_black(value, alpha, 65_535) as u16))
        })),
        // Floating point pictures: neither png nor jpeg holds them.
        other => DynamicImage::ImageRgb8(other.to_rgb8()),
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
