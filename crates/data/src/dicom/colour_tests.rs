//! Colour images in luma and chroma (YBR_FULL) get the colours that they were made of, however they are compressed.

use dicom_core::value::PixelFragmentSequence;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use image::DynamicImage;

use super::{DicomError, DicomImage, read};
use crate::options::SizeLimits;

const SECONDARY_CAPTURE: &str = "1.2.840.10008.5.1.4.1.1.7";
const RLE: &str = "1.2.840.10008.1.2.5";
const JPEG_LOSSLESS: &str = "1.2.840.10008.1.2.4.70";
const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";

/// A 2x2 image.
const RGB: [[u8; 3]; 4] = [[255, 0, 0], [20, 200, 40], [0, 0, 255], [250, 240, 130]];

/// Luma and chroma of a pixel, by the equations of PS3.3 section C.7.6.3.1.2.
fn ybr_of(rgb: [u8; 3]) -> [u8; 3] {
    let [r, g, b] = rgb.map(f64::from);
    let ybr = [
        0.2990 * r + 0.5870 * g + 0.1140 * b,
        -0.1687 * r - 0.3313 * g + 0.5000 * b + 128.0,
        0.5000 * r - 0.4187 * g - 0.0813 * b + 128.0,
    ];
    ybr.map(|value| value.round().clamp(0.0, 255.0) as u8)
}

/// The pixels of a file of 2x2 pixels.
fn shown(stream: Vec<u8>, photometric: &str, transfer_syntax: &str) -> Vec<[u8; 3]> {
    let image = image_of(2, stream, photometric, transfer_syntax).expect("an image").image;
    let DynamicImage::ImageRgb8(rgb) = image else { panic!("RGB of 8 bits") };
    rgb.pixels().map(|pixel| pixel.0).collect()
}

/// What is read of a file of `side` rows and columns.
fn image_of(
    side: u16,
    stream: Vec<u8>,
    photometric: &str,
    transfer_syntax: &str,
) -> Result<DicomImage, DicomError> {
    let mut object = InMemDicomObject::new_empty();
    object.put(DataElement::new(tags::SOP_CLASS_UID, VR::UI, SECONDARY_CAPTURE));
    object.put(DataElement::new(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric));
    let numbers = [
        (tags::SAMPLES_PER_PIXEL, 3u16),
        (tags::PLANAR_CONFIGURATION, 0),
        (tags::ROWS, side),
        (tags::COLUMNS, side),
        (tags::BITS_ALLOCATED, 8),
        (tags::BITS_STORED, 8),
        (tags::HIGH_BIT, 7),
        (tags::PIXEL_REPRESENTATION, 0),
    ];
    for (tag, number) in numbers {
        object.put(DataElement::new(tag, VR::US, dicom_core::PrimitiveValue::from(number)));
    }
    let fragments = PixelFragmentSequence::new_fragments(vec![stream]);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(transfer_syntax)
        .media_storage_sop_class_uid(SECONDARY_CAPTURE)
        .media_storage_sop_instance_uid("1.2.3")
        .build()
        .expect("a meta header");
    let mut bytes = Vec::new();
    object.with_exact_meta(meta).write_all(&mut bytes).expect("a file");
    read(&bytes, &SizeLimits::default())
}

/// Three segments, a plane each, of one literal run (PS3.5 annex G).
fn rle(pixels: [[u8; 3]; 4]) -> Vec<u8> {
    let mut stream: Vec<u8> = [3, 64, 70, 76].map(u32::to_le_bytes).concat();
    stream.resize(64, 0);
    for sample in 0..3 {
        // The length less one, the bytes, and a byte that makes the length even.
        stream.push(3);
        stream.extend(pixels.map(|pixel| pixel[sample]));
        stream.push(0x80);
    }
    stream
}

/// A lossless JPEG stream, each sample predicted by the one on its left (ITU-T T.81 annex H). The codes of the nine categories
/// of differences are their numbers, of four bits.
fn lossless_jpeg(pixels: [[u8; 3]; 4]) -> Vec<u8> {
    let mut bits = String::new();
    for (at, pixel) in pixels.iter().enumerate() {
        for sample in 0..3 {
            let predicted = match at {
                0 => 128,
                2 => i32::from(pixels[0][sample]),
                _ => i32::from(pixels[at - 1][sample]),
            };
            let difference = i32::from(pixel[sample]) - predicted;
            let category = (32 - difference.unsigned_abs().leading_zeros()) as usize;
            let value = if difference < 0 { difference + (1 << category) - 1 } else { difference };
            bits += &format!("{category:04b}");
            if category > 0 {
                bits += &format!("{value:0category$b}");
            }
        }
    }
    while !bits.len().is_multiple_of(8) {
        bits.push('1');
    }
    let coded = (0..bits.len() / 8).map(|at| u8::from_str_radix(&bits[8 * at..8 * at + 8], 2).expect("bits"));
    let stuffed = coded.flat_map(|byte| if byte == 0xFF { vec![0xFF, 0] } else { vec![byte] });
    let mut stream = vec![0xFF, 0xD8];
    stream.extend([0xFF, 0xC3, 0, 17, 8, 0, 2, 0, 2, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]);
    stream.extend([0xFF, 0xC4, 0, 28, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    stream.extend(0..9);
    stream.extend([0xFF, 0xDA, 0, 12, 3, 1, 0, 2, 0, 3, 0, 1, 0, 0]);
    stream.extend(stuffed);
    stream.extend([0xFF, 0xD9]);
    stream
}

fn are_near(found: &[[u8; 3]], expected: [[u8; 3]; 4]) -> bool {
    found.as_flattened().iter().zip(expected.as_flattened()).all(|(a, b)| a.abs_diff(*b) <= 2)
}

#[test]
fn luma_and_chroma_of_rle_become_rgb() {
    let found = shown(rle(RGB.map(ybr_of)), "YBR_FULL", RLE);
    assert!(are_near(&found, RGB), "{found:?}");
    assert_eq!(shown(rle(RGB), "RGB", RLE), RGB);
}

#[test]
fn segments_of_rle_that_do_not_fit_the_image_are_rejected_before_memory_is_reserved() {
    // A number of segments whose offsets take 16 GiB.
    let many = vec![0xFF; 64];
    // Runs of 128 MB, for one pixel.
    let runs = [0x81u8, 0].repeat(1 << 20);
    let offsets = [3, 64, 64 + runs.len() as u32, 66 + runs.len() as u32];
    let mut long: Vec<u8> = offsets.map(u32::to_le_bytes).concat();
    long.resize(64, 0);
    long.extend(runs);
    long.extend([0, 7, 0, 7]);
    for (side, stream) in [(2, many), (1, long)] {
        let Err(DicomError::Unreadable(reason)) = image_of(side, stream, "RGB", RLE) else {
            panic!("{side}x{side} pixels");
        };
        assert!(reason.contains("RLE segments"), "{reason}");
    }
}

#[test]
fn luma_and_chroma_of_lossless_jpeg_become_rgb() {
    let found = shown(lossless_jpeg(RGB.map(ybr_of)), "YBR_FULL", JPEG_LOSSLESS);
    assert!(are_near(&found, RGB), "{found:?}");
    assert_eq!(shown(lossless_jpeg(RGB), "RGB", JPEG_LOSSLESS), RGB);
}

/// A codestream of `ORIGINAL` that OpenJPEG has written, without and with a colour transform of its own; hexadecimal.
const HEADER: &str = "ff4fff51002f00000000000200000002000000000000000000000002000000020000000000000000000307010107010107\
                      0101ff52000c000000010";
const UNTRANSFORMED: &str = "00004040001ff5c00044040ff90000a0000000000260001ff93cfb4140bf81e5df6cfb4140a5d12c7cbcfb4140309be15\
                             7fffd9";
const TRANSFORMED: &str = "10004040001ff5c00044040ff90000a0000000000270001ff93cfb4140e6c0c0cefdf8028013c1275bfdf80300c1b08c7ea\
                           f1ffd9";
const ORIGINAL: [[u8; 3]; 4] = [[76, 85, 255], [150, 44, 21], [29, 255, 107], [200, 128, 128]];

#[test]
fn luma_and_chroma_of_jpeg_2000_become_rgb_unless_the_codestream_has_a_transform() {
    let stream = |rest: &str| {
        let digits: Vec<u8> = [HEADER, rest].concat().into_bytes();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).expect("digits"), 16);
        digits.as_chunks().0.iter().map(|pair| byte(pair).expect("a byte")).collect::<Vec<u8>>()
    };
    let found = shown(stream(UNTRANSFORMED), "YBR_FULL", JPEG_2000);
    // The equations of the standard, solved for red, green and blue.
    let rgb_of = |[y, cb, cr]: [u8; 3]| {
        let (y, cb, cr) = (f64::from(y), f64::from(cb) - 128.0, f64::from(cr) - 128.0);
        [y + 1.402 * cr, y - 0.344 * cb - 0.714 * cr, y + 1.772 * cb].map(|value| value.round() as u8)
    };
    assert!(are_near(&found, ORIGINAL.map(rgb_of)), "{found:?}");
    assert_eq!(shown(stream(UNTRANSFORMED), "RGB", JPEG_2000), ORIGINAL);
    for photometric in ["YBR_RCT", "YBR_FULL"] {
        assert_eq!(shown(stream(TRANSFORMED), photometric, JPEG_2000), ORIGINAL, "{photometric}");
    }
}
