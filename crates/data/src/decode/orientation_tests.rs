//! Photographs are read as viewers show them, whatever their EXIF orientation is.

use std::io::Cursor;

use image::codecs::webp::WebPEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageEncoder as _, ImageFormat, Rgb, RgbImage};

use super::*;

/// A TIFF directory with the tag Orientation alone (EXIF 2.3, section 4.6.4).
fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    exif
}

fn encoded(image: &DynamicImage, format: ImageFormat, exif: &[u8]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("an encoded image");
    let mut bytes = bytes.into_inner();
    let (at, block) = match format {
        ImageFormat::Jpeg => {
            let length = (2 + 6 + exif.len()) as u16;
            (2, [b"\xff\xe1", &length.to_be_bytes()[..], b"Exif\0\0", exif].concat())
        }
        // After the signature and IHDR.
        _ => {
            let kind_and_data = [b"eXIf", exif].concat();
            let checksum = crc32fast::hash(&kind_and_data).to_be_bytes();
            (33, [&(exif.len() as u32).to_be_bytes()[..], &kind_and_data, &checksum].concat())
        }
    };
    bytes.splice(at..at, block);
    bytes
}

/// The same with numbers of four bytes.
fn long_exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0]);
    exif
}

/// How the stored image has to be changed so that `orientation` undoes it.
fn inverse(orientation: Orientation) -> Orientation {
    match orientation {
        Orientation::Rotate90 => Orientation::Rotate270,
        Orientation::Rotate270 => Orientation::Rotate90,
        other => other,
    }
}

#[test]
fn an_orientation_behind_the_pixels_of_a_png_is_read() {
    let image = DynamicImage::ImageRgb8(RgbImage::from_fn(60, 40, |x, y| Rgb([x as u8, y as u8, 90])));
    let first = encoded(&image, ImageFormat::Png, &[&b"Exif\0\0"[..], &exif(6)].concat());
    // The chunk between IHDR and the pixels moves behind them.
    let n_chunk = 12 + 6 + exif(6).len();
    let (chunk, end) = (&first[33..33 + n_chunk], first.len() - 12);
    let last = [&first[..33], &first[33 + n_chunk..end], chunk, &first[end..]].concat();
    for bytes in [first.clone(), last] {
        let found = decode_bytes(&bytes, &LoadOptions::default()).expect("an image");
        assert!(found.traits.is_reoriented && found.facts.width == 40, "{:?}", found.traits);
    }
}

#[test]
fn an_orientation_behind_the_prefix_of_jpeg_is_read_in_webp() {
    for prefix in [&b""[..], b"Exif\0\0"] {
        let mut bytes = Vec::new();
        let mut encoder = WebPEncoder::new_lossless(&mut bytes);
        encoder.set_exif_metadata([prefix, &exif(6)].concat()).expect("an EXIF block");
        encoder.encode(&[90; 60 * 40 * 3], 60, 40, ExtendedColorType::Rgb8).expect("an encoded image");
        let found = decode_bytes(&bytes, &LoadOptions::default()).expect("an image");
        assert!(found.traits.is_reoriented && found.facts.width == 40, "{prefix:?}");
    }
}

#[test]
fn an_orientation_of_four_bytes_is_read() {
    let image = DynamicImage::ImageRgb8(RgbImage::from_pixel(60, 40, Rgb([1, 2, 3])));
    let little = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x04\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    for exif in [long_exif(6), little] {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let bytes = encoded(&image, format, &exif);
            let found = decode_bytes(&bytes, &LoadOptions::default()).expect("an image");
            assert!(found.traits.is_reoriented && found.facts.width == 40, "{format:?} {exif:?}");
        }
    }
}

#[test]
fn an_orientation_that_is_written_as_text_is_read() {
    let image = DynamicImage::ImageRgb8(RgbImage::from_pixel(60, 40, Rgb([1, 2, 3])));
    let png = encoded(&image, ImageFormat::Png, &[]);
    let chunk = |kind: &[u8], data: &[u8]| {
        let kind_and_data = [kind, data].concat();
        let checksum = crc32fast::hash(&kind_and_data).to_be_bytes();
        [&(data.len() as u32).to_be_bytes()[..], &kind_and_data, &checksum].concat()
    };
    let width_with = |chunks: &[u8]| {
        // Without the empty EXIF block of twelve bytes, which is after IHDR.
        let bytes = [&png[..33], chunks, &png[45..]].concat();
        decode_bytes(&bytes, &LoadOptions::default()).expect("an image").facts.width
    };
    let width = |kind: &[u8], data: &[u8]| width_with(&chunk(kind, data));
    let block = [&b"Exif\0\0"[..], &exif(6)].concat();
    let digits: Vec<String> = block.iter().map(|byte| format!("{byte:02x}")).collect();
    let (first, rest) = digits.split_at(20);
    let text = format!("\nexif\n      {}\n{}\n{}\n", block.len(), first.concat(), rest.concat());
    assert_eq!(width(b"tEXt", format!("Raw profile type exif\0{text}").as_bytes()), 40);
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).expect("memory");
    let compressed = encoder.finish().expect("memory");
    assert_eq!(width(b"zTXt", &[&b"Raw profile type APP1\0\0"[..], &compressed].concat()), 40);
    for damaged in
        [&b"Raw profile type exif\0\nexif\n 9\n0g"[..], b"Raw profile type exif\0", b"Title\0exif 1 00"]
    {
        assert_eq!(width(b"tEXt", damaged), 60);
    }
    // Only the first one is read: the time for many would not be limited.
    let invalid = chunk(b"zTXt", b"Raw profile type exif\0\0damaged");
    let valid = chunk(b"zTXt", &[&b"Raw profile type exif\0\0"[..], &compressed].concat());
    assert_eq!(width_with(&[&valid[..], &invalid].concat()), 40);
    assert_eq!(width_with(&[&invalid[..], &valid].concat()), 60);
}

#[test]
fn a_photograph_is_read_as_viewers_show_it() {
    let upright = RgbImage::from_fn(60, 40, |x, y| Rgb([(x * 4) as u8, (y * 6) as u8, 90]));
    let upright = DynamicImage::ImageRgb8(upright);
    let options = LoadOptions::default();
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        let expected = decode_bytes(&encoded(&upright, format, &exif(1)), &options).expect("an image");
        assert!(!expected.traits.is_reoriented);
        for code in 2..=8 {
            let orientation = Orientation::from_exif(code).expect("one of eight");
            let mut stored = upright.clone();
            stored.apply_orientation(inverse(orientation));
            let found = decode_bytes(&encoded(&stored, format, &exif(code)), &options).expect("an image");
            assert!(found.traits.is_reoriented, "{format:?} {code}");
            assert_eq!((found.facts.width, found.facts.height), (60, 40), "{format:?} {code}");
            let pairs = found.image.pixels.iter().zip(&expected.image.pixels);
            let difference = pairs.map(|(a, b)| a.abs_diff(*b)).max().expect("pixels");
            assert!(
                difference <= if format == ImageFormat::Png { 0 } else { 6 },
                "{format:?} {code}: {difference}"
            );
        }
    }
}

#[test]
fn a_damaged_orientation_is_no_orientation() {
    let image = DynamicImage::ImageRgb8(RgbImage::from_pixel(40, 30, Rgb([1, 2, 3])));
    for exif in [exif(0), exif(9), exif(6)[..12].to_vec(), b"MM".to_vec(), Vec::new()] {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let found =
                decode_bytes(&encoded(&image, format, &exif), &LoadOptions::default()).expect("an image");
            assert!(!found.traits.is_reoriented && found.facts.width == 40, "{format:?} {exif:?}");
        }
    }
}
