//! Files in each format: complete, damaged, too large, and with a wrong name.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{Rgb, RgbImage};
use proptest::prelude::*;

use std::fs;

use super::*;

fn encoded(format: ImageFormat) -> Vec<u8> {
    let image = RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 6) as u8, (y * 8) as u8, 90]));
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn reason(name: &str, bytes: &[u8], options: &LoadOptions) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    decode_file(&path, options).expect_err("the file is bad").reason
}

#[test]
fn every_prefix_of_an_image_is_rejected() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        let bytes = encoded(format);
        assert!(complete::is_complete(&bytes, format));
        for length in 0..bytes.len() {
            assert!(!complete::is_complete(&bytes[..length], format), "{format:?} cut to {length}");
        }
    }
}

#[test]
fn every_prefix_of_an_image_in_any_format_is_rejected() {
    let options = LoadOptions::default();
    for format in [ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP, ImageFormat::Gif] {
        let bytes = encoded(format);
        let is_read = |&length: &usize| decode_bytes(&bytes[..length], &options).is_ok();
        // Without the last four bytes, a GIF still has every pixel.
        let read: Vec<usize> = (0..bytes.len() - 4).filter(is_read).collect();
        assert_eq!(read, [0usize; 0], "{format:?} of {} bytes", bytes.len());
    }
}

#[test]
fn a_file_of_several_images_is_noted() {
    let traits = |bytes: &[u8]| decode_bytes(bytes, &LoadOptions::default()).expect("an image").traits;
    for format in [ImageFormat::Tiff, ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Png] {
        assert!(!traits(&encoded(format)).has_several_images, "{format:?}");
    }
    let frame =
        |value| image::Frame::new(image::RgbaImage::from_pixel(9, 7, image::Rgba([value, 0, 0, 255])));
    let mut gif = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut gif);
    encoder.encode_frames([frame(1), frame(90)]).unwrap();
    drop(encoder);
    assert!(traits(&gif).has_several_images);
    // The directory of a second page may be that of the first.
    let mut tiff = encoded(ImageFormat::Tiff);
    assert_eq!(tiff[..4], *b"II*\0");
    let at = u32::from_le_bytes(tiff[4..8].try_into().unwrap()) as usize;
    let n_entries = usize::from(u16::from_le_bytes([tiff[at], tiff[at + 1]]));
    tiff[at + 2 + 12 * n_entries..][..4].copy_from_slice(&8u32.to_le_bytes());
    assert!(traits(&tiff).has_several_images);
}

#[test]
fn a_tiff_of_other_numbers_is_named_with_its_conversion() {
    let tiff = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::new_luma16(9, 7).write_to(&mut bytes, ImageFormat::Tiff).unwrap();
        let mut bytes = bytes.into_inner();
        change(&mut bytes);
        reason("a.tif", &bytes, &LoadOptions::default())
    };
    // The entry SampleFormat: a tag, a type, a number of values, and the value.
    let entry = [0x53, 0x01, 3, 0, 1, 0, 0, 0];
    let with_format = |format: u8| {
        tiff(&|bytes| {
            let at = bytes.windows(8).position(|window| window == entry).expect("the entry");
            bytes[at + 8] = format;
        })
    };
    assert!(with_format(2).starts_with("not read: it is a TIFF of signed whole numbers; scale the range"));
    assert!(with_format(3).starts_with("not read: it is a TIFF of floating-point numbers; scale"));
    let mut float = Cursor::new(Vec::new());
    DynamicImage::ImageRgb32F(image::Rgb32FImage::new(9, 7)).write_to(&mut float, ImageFormat::Tiff).unwrap();
    let found = reason("a.tif", &float.into_inner(), &LoadOptions::default());
    assert!(found.starts_with("not read: it is a TIFF of floating-point numbers"), "{found}");
    // Indices of a palette.
    let palette = tiff(&|bytes| {
        let at =
            bytes.windows(8).position(|window| window == [0x06, 0x01, 3, 0, 1, 0, 0, 0]).expect("the entry");
        bytes[at + 8] = 3;
    });
    assert!(palette.starts_with("not read: it is a TIFF of a kind that is not supported ("), "{palette}");
}

/// A grey TIFF of 40 x 30 pixels in one strip. Of each entry `compressions` has its type and its value.
fn tiff_of_strip(strip: &[u8], compressions: &[(u16, u32)]) -> Vec<u8> {
    let directory_at = 8 + strip.len() as u32;
    let mut entries: Vec<(u16, u16, u32)> = vec![(0x100, 3, 40), (0x101, 3, 30), (0x102, 3, 8)];
    entries.extend(compressions.iter().map(|&(kind, value)| (0x103, kind, value)));
    let n_bytes = strip.len() as u32;
    entries.extend([(0x106, 3, 1), (0x111, 4, 8), (0x115, 3, 1), (0x116, 3, 30), (0x117, 4, n_bytes)]);
    let mut bytes = [&b"II*\0"[..], &directory_at.to_le_bytes(), strip].concat();
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, value) in entries {
        bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        bytes.extend([1u32.to_le_bytes(), value.to_le_bytes()].concat());
    }
    bytes.extend([0; 4]);
    bytes
}

#[test]
fn a_tiff_of_jpeg_streams_is_named_with_its_conversion() {
    let mut jpeg = Cursor::new(Vec::new());
    DynamicImage::new_luma8(40, 30).write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    let jpeg = jpeg.into_inner();
    let options = LoadOptions::default();
    assert!(decode_bytes(&tiff_of_strip(&[90; 1200], &[(3, 1)]), &options).is_ok(), "without compression");
    let expected = "not read: it is a TIFF compressed with JPEG; convert it with `magick";
    // As a number of two bytes, four, one, and eight elsewhere; the decoder takes the last of several entries.
    let cases: [&[(u16, u32)]; 6] =
        [&[(3, 7)], &[(3, 6)], &[(4, 7)], &[(1, 7)], &[(16, 8)], &[(3, 1), (3, 7)]];
    for compressions in cases {
        let found = reason("a.tif", &tiff_of_strip(&jpeg, compressions), &options);
        assert!(found.starts_with(expected), "{compressions:?}: {found}");
    }
    // The decoder would fill the second half with grey, and take memory for the size in the stream.
    let mut larger = jpeg.clone();
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a frame");
    larger[frame + 5..frame + 9].copy_from_slice(&[0x40, 0, 0x40, 0]);
    for stream in [&jpeg[..jpeg.len() - 12], &larger] {
        let found = reason("a.tif", &tiff_of_strip(stream, &[(3, 7)]), &options);
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn a_tiff_that_is_multiplied_by_its_opacity_is_not_multiplied_again() {
    let colours = RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 3) as u8, (y * 4) as u8, 90]));
    let film = image::RgbaImage::from_fn(40, 30, |x, y| {
        let [r, g, b] = colours.get_pixel(x, y).0;
        image::Rgba([r, g, b, 255 - x as u8])
    });
    let mut tiff = Cursor::new(Vec::new());
    film.write_to(&mut tiff, ImageFormat::Tiff).unwrap();
    let mut tiff = tiff.into_inner();
    let opened =
        |tiff: &[u8]| open_unnamed(tiff, &SizeLimits::default()).expect("an image").image.into_rgb8();
    assert!(opened(&tiff) != colours, "the opacity is applied");
    // The entry SampleFormat with its four values becomes ExtraSamples with one.
    let entry = [0x53, 0x01, 3, 0, 4, 0, 0, 0];
    let at = tiff.windows(8).rposition(|window| window == entry).expect("the entry");
    tiff[at..at + 12].copy_from_slice(&[0x52, 0x01, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    assert!(opened(&tiff) == colours);
}

#[test]
fn bytes_after_the_end_are_ignored() {
    for (format, name) in [(ImageFormat::Png, "a.png"), (ImageFormat::Jpeg, "a.JPG")] {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = encoded(format);
        bytes.extend([0; 7]);
        fs::write(dir.path().join(name), bytes).unwrap();
        decode_file(&dir.path().join(name), &LoadOptions::default()).unwrap();
    }
}

#[test]
fn each_reason_names_the_fault() {
    let options = LoadOptions::default();
    let (png, jpeg) = (encoded(ImageFormat::Png), encoded(ImageFormat::Jpeg));
    assert_eq!(reason("a.png", b"", &options), "empty file");
    let cases: [(&str, &[u8], &str); 5] = [
        ("a.png", &png[..png.len() / 2], "truncated: the PNG data"),
        ("a.jpeg", &jpeg[..jpeg.len() / 2], "truncated: the JPEG data"),
        ("a.png", b"GIF89a", "damaged GIF: "),
        ("a.png", b"\0\0\0\x18ftypheic", "not read: it is HEIC; convert"),
        ("a.png", b"hello, this is a text", "not an image"),
    ];
    for (name, bytes, expected) in cases {
        let found = reason(name, bytes, &options);
        assert!(found.starts_with(expected), "{found}");
    }
    let mut damaged = png.clone();
    let middle = png.len() / 2;
    damaged[middle] ^= 0xFF;
    assert!(reason("a.png", &damaged, &options).starts_with("damaged PNG"));
    // The checksum of the pixels, before the twelve bytes of IEND.
    let mut damaged = png.clone();
    damaged[png.len() - 13] ^= 0xFF;
    let found = reason("a.png", &damaged, &options);
    assert_eq!(found, "damaged PNG: the checksum of its chunk IDAT is wrong");
    // The class of a Huffman table, behind the mark of its segment and its length.
    let mut damaged = jpeg.clone();
    let table = jpeg.windows(2).position(|mark| mark == [0xFF, 0xC4]).unwrap();
    damaged[table + 4] = 0xFF;
    let found = reason("a.jpg", &damaged, &options);
    assert!(found.starts_with("damaged JPEG: ") && !found.contains("Format error"), "{found}");
    assert_eq!(found.to_lowercase().matches("jpeg").count(), 1, "{found}");
}

#[test]
fn an_image_without_pixels_is_rejected() {
    let mut gif = encoded(ImageFormat::Gif);
    // Width and height of the screen; the frame on it keeps its size.
    for side in [6..8, 8..10, 6..10] {
        gif[side].fill(0);
        let found = reason("a.gif", &gif, &LoadOptions::default());
        assert_eq!(found, "damaged GIF: it has no pixels; export the image again");
        gif[6..10].copy_from_slice(&[40, 0, 30, 0]);
    }
}

#[test]
fn the_content_decides_the_format_and_a_wrong_name_is_noted() {
    let dir = tempfile::tempdir().unwrap();
    let formats = [
        ("png", ImageFormat::Png),
        ("jpg", ImageFormat::Jpeg),
        ("bmp", ImageFormat::Bmp),
        ("tif", ImageFormat::Tiff),
        ("webp", ImageFormat::WebP),
        ("gif", ImageFormat::Gif),
    ];
    for (extension, format) in formats {
        for (name, is_misnamed) in [
            (format!("a.{extension}"), false),
            ("b".to_owned(), false),
            ("1.2.840.113619".to_owned(), false),
            ("c.dcm".to_owned(), true),
        ] {
            let path = dir.path().join(name);
            fs::write(&path, encoded(format)).unwrap();
            let found = decode_file(&path, &LoadOptions::default()).expect("an image");
            assert_eq!((found.traits.is_misnamed, found.facts.width), (is_misnamed, 40), "{path:?}");
        }
    }
}

#[test]
fn a_huge_png_is_rejected_with_its_size_and_the_limit() {
    let mut png = encoded(ImageFormat::Png);
    png[16..24].copy_from_slice(&[0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 9]);
    let found = reason("a.png", &png, &LoadOptions::default());
    assert!(found.starts_with("too large: 2147483647x9 pixels, the limits are 20000 per side"), "{found}");
}

#[test]
fn a_small_file_of_a_large_image_is_rejected_before_it_is_decoded() {
    let of_side = |side: u32| {
        let mut bytes = Cursor::new(Vec::new());
        let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::NoFilter);
        DynamicImage::new_luma8(side, side).write_with_encoder(encoder).unwrap();
        bytes.into_inner()
    };
    let found = reason("a.png", &of_side(6_000), &LoadOptions::default());
    assert!(found.starts_with("too large: 6000x6000 pixels in "), "{found}");
    assert!(decode(&of_side(1_000), ImageFormat::Png, &SizeLimits::default()).is_ok(), "a blank image");
    // Of chroma denser than luma, which another decoder reads.
    let mut jpeg = encoded(ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a frame");
    let side = 6_000u16.to_be_bytes();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[side, side].concat());
    jpeg[frame + 14] = 0x22;
    let found = reason("a.jpg", &jpeg, &LoadOptions::default());
    assert!(found.starts_with("too large: 6000x6000 pixels in "), "{found}");
}

#[test]
fn a_jpeg_of_many_scans_is_not_decoded() {
    let mut jpeg = encoded(ImageFormat::Jpeg);
    let at = |marker: u8| jpeg.windows(2).position(|pair| pair == [0xFF, marker]).expect("a segment");
    let (frame, scan) = (at(0xC0), at(0xDA));
    // Of chroma denser than luma, which another decoder reads.
    jpeg[frame + 14] = 0x22;
    let (head, scan) = jpeg[..jpeg.len() - 2].split_at(scan);
    let is_refused = |n: usize| {
        let bytes = [head, &scan.repeat(n), &[0xFF, 0xD9]].concat();
        decode_bytes(&bytes, &LoadOptions::default()).is_err_and(|unusable| {
            unusable.reason.starts_with("not read: it is a JPEG of more than 100 scans")
        })
    };
    assert!(is_refused(101) && !is_refused(100));
}

#[test]
fn sizes_beyond_the_limits_are_rejected() {
    let png = encoded(ImageFormat::Png);
    let limits = SizeLimits::default();
    let tight = [
        SizeLimits { file_bytes: 100, ..limits },
        SizeLimits { side: 39, ..limits },
        SizeLimits { decoded_bytes: 40 * 30 * 3 - 1, ..limits },
    ];
    for limits in tight {
        let options = LoadOptions { limits, ..LoadOptions::default() };
        let found = reason("a.png", &png, &options);
        assert!(found.starts_with("too large"), "{found}");
    }
}

#[test]
fn folders_and_missing_files_are_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let options = LoadOptions::default();
    assert_eq!(
        decode_file(dir.path(), &options).unwrap_err().reason,
        "cannot be read: it is not a regular file, but a folder"
    );
    let missing = decode_file(&dir.path().join("missing.png"), &options).unwrap_err().reason;
    assert!(missing.starts_with("cannot be read"), "{missing}");
}

proptest! {
    #[test]
    fn flipped_bytes_never_panic(at in 0usize..4000, with in 1u8..=255, jpeg in any::<bool>()) {
        let format = if jpeg { ImageFormat::Jpeg } else { ImageFormat::Png };
        let mut bytes = encoded(format);
        let at = at % bytes.len();
        bytes[at] ^= with;
        // An image or an error: both are fine, a panic is not.
        if let Ok((image, _)) = decode(&bytes, format, &SizeLimits::default()) {
            prop_assert!(image.width() > 0 && image.height() > 0);
        }
    }
}
