//! Whether a file holds several images, of which only the first is read: pages of a TIFF, frames of an animation.

use image::ImageFormat;

use super::complete::png_chunks;
use super::directory::Directory;

pub(super) fn has_several_images(bytes: &[u8], format: ImageFormat) -> bool {
    match format {
        ImageFormat::Tiff => Directory::of(bytes).is_some_and(|directory| directory.has_next()),
        ImageFormat::Gif => has_gif_frames(bytes).unwrap_or(false),
        // The flag of an animation in the chunk VP8X.
        ImageFormat::WebP => {
            bytes.get(12..16) == Some(b"VP8X") && bytes.get(20).is_some_and(|flags| flags & 2 > 0)
        }
        ImageFormat::Png => png_chunks(bytes).any(|chunk| chunk.kind() == b"acTL"),
        _ => false,
    }
}

/// Whether a second image follows the first (GIF89a, sections 18 to 25).
fn has_gif_frames(bytes: &[u8]) -> Option<bool> {
    let n_table = |flags: u8| if flags & 0x80 > 0 { 3usize << ((flags & 7) + 1) } else { 0 };
    let mut at = 13 + n_table(*bytes.get(10)?);
    let mut has_image = false;
    loop {
        match *bytes.get(at)? {
            b'!' => at += 2,
            b',' if has_image => return Some(true),
            b',' => {
                has_image = true;
                at += 11 + n_table(*bytes.get(at + 9)?);
            }
            _ => return Some(false),
        }
        // The data are in blocks of up to 255 bytes, each after its length; an empty one is the last.
        while let length @ 1.. = usize::from(*bytes.get(at)?) {
            at += 1 + length;
        }
        at += 1;
    }
}
