//! DICOM files that the tests write: however its values are stored, an image is displayed as the one that it was made of.

use std::io::Write as _;

use dicom_core::value::{PixelFragmentSequence, PrimitiveValue};
use dicom_core::{DataElement, Length, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use image::DynamicImage;

use super::{DicomError, NotRadiograph, header, read, structure};
use crate::file_facts::HeaderPatient;
use crate::options::SizeLimits;

const CR: &str = "1.2.840.10008.5.1.4.1.1.1";
const SIDE: usize = 24;
const EXPLICIT_BIG: &str = "1.2.840.10008.1.2.2";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";

/// How a film is stored.
#[derive(Clone, Copy, Debug)]
struct Storage {
    bits_allocated: u16,
    bits_stored: u16,
    is_signed: bool,
    photometric: &'static str,
    transfer_syntax: &'static str,
}

const PLAIN: Storage = Storage {
    bits_allocated: 16,
    bits_stored: 12,
    is_signed: false,
    photometric: "MONOCHROME2",
    transfer_syntax: structure::EXPLICIT_LITTLE,
};

/// A grey image of all levels.
fn film() -> Vec<u8> {
    (0..SIDE * SIDE).map(|pixel| (pixel * 255 / (SIDE * SIDE - 1)) as u8).collect()
}

/// The elements of a film, and its window, which spans the whole range of the stored bits.
fn object_of(film: &[u8], storage: Storage) -> InMemDicomObject {
    let (bits, range) = (storage.bits_stored, (1i64 << storage.bits_stored) - 1);
    let offset = if storage.is_signed { -(1 << (bits - 1)) } else { 0 };
    let samples: Vec<u16> = film
        .iter()
        .map(|&grey| {
            let grey = if storage.photometric == "MONOCHROME1" { 255 - grey } else { grey };
            let value = (i64::from(grey) * range + 127) / 255 + offset;
            value as u16 & ((1u32 << bits) - 1) as u16
        })
        .collect();
    let mut object = InMemDicomObject::new_empty();
    let mut put =
        |tag: Tag, vr: VR, value: PrimitiveValue| drop(object.put(DataElement::new(tag, vr, value)));
    put(tags::SOP_CLASS_UID, VR::UI, CR.into());
    put(tags::MODALITY, VR::CS, "CR".into());
    put(tags::PATIENT_ID, VR::LO, "somebody".into());
    put(tags::ROWS, VR::US, (SIDE as u16).into());
    put(tags::COLUMNS, VR::US, (SIDE as u16).into());
    put(tags::SAMPLES_PER_PIXEL, VR::US, 1u16.into());
    put(tags::BITS_ALLOCATED, VR::US, storage.bits_allocated.into());
    put(tags::BITS_STORED, VR::US, bits.into());
    put(tags::HIGH_BIT, VR::US, (bits - 1).into());
    put(tags::PIXEL_REPRESENTATION, VR::US, u16::from(storage.is_signed).into());
    put(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, storage.photometric.into());
    put(tags::WINDOW_CENTER, VR::DS, (offset as f64 + (range + 1) as f64 / 2.0).to_string().into());
    put(tags::WINDOW_WIDTH, VR::DS, (range + 1).to_string().into());
    let pixels = match storage.bits_allocated {
        8 => PrimitiveValue::from(samples.iter().map(|&sample| sample as u8).collect::<Vec<u8>>()),
        _ => PrimitiveValue::U16(samples.iter().copied().collect()),
    };
    if storage.transfer_syntax == JPEG_LS {
        let mut stream = Vec::new();
        jpegls::encode(&samples, SIDE as u32, SIDE as u32, &mut stream).expect("a stream");
        let fragments = PixelFragmentSequence::new_fragments(vec![stream]);
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
    } else {
        object.put(DataElement::new(
            tags::PIXEL_DATA,
            if storage.bits_allocated == 8 { VR::OB } else { VR::OW },
            pixels,
        ));
    }
    object
}

fn bytes_of(object: InMemDicomObject, transfer_syntax: &str) -> Vec<u8> {
    let meta = |transfer_syntax: &str| {
        FileMetaTableBuilder::new()
            .transfer_syntax(transfer_syntax)
            .media_storage_sop_class_uid(CR)
            .media_storage_sop_instance_uid("1.2.3")
            .build()
            .expect("a meta header")
    };
    let mut bytes = Vec::new();
    if transfer_syntax != structure::DEFLATED {
        object.with_exact_meta(meta(transfer_syntax)).write_all(&mut bytes).expect("a file");
        return bytes;
    }
    object.with_exact_meta(meta(structure::EXPLICIT_LITTLE)).write_all(&mut bytes).expect("a file");
    let start = structure::structure_of(&bytes).expect("a structure").data_set;
    let mut deflated = [&[0; 128][..], b"DICM"].concat();
    meta(structure::DEFLATED).write(&mut deflated).expect("a meta header");
    let mut encoder = flate2::write::DeflateEncoder::new(deflated, flate2::Compression::default());
    encoder.write_all(&bytes[start..]).expect("memory");
    encoder.finish().expect("memory")
}

fn greys(bytes: &[u8]) -> Vec<u8> {
    let image = read(bytes, &SizeLimits::default()).expect("a radiograph").image;
    let DynamicImage::ImageLuma16(grey) = image else { panic!("grey of 16 bits") };
    grey.iter().map(|&value| (f64::from(value) / 257.0).round() as u8).collect()
}

#[test]
fn a_film_looks_the_same_however_it_is_stored() {
    let mut n = 0;
    for transfer_syntax in [structure::EXPLICIT_LITTLE, IMPLICIT, EXPLICIT_BIG, structure::DEFLATED, JPEG_LS]
    {
        for photometric in ["MONOCHROME1", "MONOCHROME2"] {
            for (bits_allocated, bits_stored) in
                [(8, 8), (16, 8), (16, 10), (16, 12), (16, 14), (16, 15), (16, 16)]
            {
                for is_signed in [false, true] {
                    let storage =
                        Storage { bits_allocated, bits_stored, is_signed, photometric, transfer_syntax };
                    let found = greys(&bytes_of(object_of(&film(), storage), transfer_syntax));
                    let difference =
                        found.iter().zip(film()).map(|(&found, grey)| found.abs_diff(grey)).max();
                    assert!(difference <= Some(1), "{storage:?}: {difference:?}");
                    n += 1;
                }
            }
        }
    }
    assert_eq!(n, 5 * 2 * 7 * 2);
}

#[test]
fn windows_tables_and_padding_are_applied_in_their_order() {
    let shown = |change: &dyn Fn(&mut InMemDicomObject)| {
        let mut object = object_of(&film(), PLAIN);
        change(&mut object);
        greys(&bytes_of(object, PLAIN.transfer_syntax))
    };
    let text = |object: &mut InMemDicomObject, tag, value: &str| {
        drop(object.put(DataElement::new(tag, VR::DS, value)))
    };
    // A narrower window: half of the greys are black or white. The first of several windows counts.
    let narrow = shown(&|object| {
        text(object, tags::WINDOW_CENTER, "2048\\100");
        text(object, tags::WINDOW_WIDTH, "2048\\50");
    });
    let n_extreme = narrow.iter().filter(|&&grey| grey == 0 || grey == 255).count();
    assert!(n_extreme.abs_diff(SIDE * SIDE / 2) < 6, "{n_extreme}");
    // The rescaled values are what the window is for.
    let rescaled = shown(&|object| {
        text(object, tags::RESCALE_SLOPE, "2");
        text(object, tags::RESCALE_INTERCEPT, "-1000");
        text(object, tags::WINDOW_CENTER, "3096");
        text(object, tags::WINDOW_WIDTH, "8192");
    });
    assert!(rescaled.iter().zip(film()).all(|(&found, grey)| found.abs_diff(grey) <= 1));
    // A sigmoid is steepest at the centre, and never reaches black or white there.
    let sigmoid = shown(&|object| {
        object.put(DataElement::new(tags::VOILUT_FUNCTION, VR::CS, "SIGMOID"));
    });
    assert!(sigmoid[0] > 20 && sigmoid[SIDE * SIDE - 1] < 235 && sigmoid.is_sorted());
    // Without a window the range is that of the pixels, without their tails and without padding.
    let without_window = |padding: Option<u16>| {
        shown(&|object| {
            object.remove_element(tags::WINDOW_CENTER);
            if let Some(padding) = padding {
                object.put(DataElement::new(
                    tags::PIXEL_PADDING_VALUE,
                    VR::US,
                    PrimitiveValue::from(padding),
                ));
                let mut values = vec![padding; SIDE];
                values.extend((SIDE..SIDE * SIDE).map(|pixel| 1000 + pixel as u16));
                object.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(values.into())));
            }
        })
    };
    assert!(without_window(None).iter().zip(film()).all(|(&found, grey)| found.abs_diff(grey) <= 3));
    let padded = without_window(Some(4095));
    assert!(
        padded[..SIDE].iter().all(|&grey| grey == 0),
        "padding is black, though its value is the largest"
    );
    assert!(padded[SIDE] == 0 && padded[SIDE * SIDE - 1] == 255 && padded[SIDE..].is_sorted());
}

#[test]
fn a_padding_value_outside_the_stored_bits_matches_no_pixel() {
    // The last pixel of the film is white: the largest stored value, or the smallest one of MONOCHROME1.
    let last_grey = |storage: Storage, vr: VR, padding: PrimitiveValue| {
        let mut object = object_of(&film(), storage);
        object.put(DataElement::new(tags::PIXEL_PADDING_VALUE, vr, padding));
        *greys(&bytes_of(object, storage.transfer_syntax)).last().expect("pixels")
    };
    assert_eq!(last_grey(PLAIN, VR::US, 4_095u16.into()), 0);
    assert_eq!(last_grey(PLAIN, VR::US, 65_535u16.into()), 255);
    let signed = Storage { is_signed: true, photometric: "MONOCHROME1", ..PLAIN };
    assert_eq!(last_grey(signed, VR::SS, (-2_048i16).into()), 0);
    assert_eq!(last_grey(signed, VR::US, 2_048u16.into()), 255);
    // Signed where it should be unsigned, and the reverse.
    assert_eq!(last_grey(signed, VR::US, 63_488u16.into()), 0);
    assert_eq!(last_grey(Storage { bits_stored: 16, ..PLAIN }, VR::SS, (-1i16).into()), 0);
}

#[test]
fn a_negative_slope_inverts_whatever_the_number_of_bits() {
    for bits_stored in [8, 12] {
        let storage = Storage { bits_stored, ..PLAIN };
        let mut object = object_of(&film(), storage);
        object.put(DataElement::new(tags::RESCALE_SLOPE, VR::DS, "-1"));
        object.put(DataElement::new(tags::RESCALE_INTERCEPT, VR::DS, "0"));
        object.remove_element(tags::WINDOW_CENTER);
        let found = greys(&bytes_of(object, storage.transfer_syntax));
        let is_near = |(found, grey): (&u8, u8)| found.abs_diff(255 - grey) <= 3;
        assert!(found.iter().zip(film()).all(is_near), "{bits_stored} bits: {found:?}");
    }
}

#[test]
fn an_inverse_presentation_is_inverted_once() {
    let shown = |photometric, shape: &str| {
        let storage = Storage { photometric, ..PLAIN };
        let mut object = object_of(&film(), storage);
        object.put(DataElement::new(tags::PRESENTATION_LUT_SHAPE, VR::CS, shape));
        greys(&bytes_of(object, storage.transfer_syntax))
    };
    let is_near = |found: Vec<u8>, expected: fn(u8) -> u8| {
        found.iter().zip(film()).all(|(&found, grey)| found.abs_diff(expected(grey)) <= 1)
    };
    assert!(is_near(shown("MONOCHROME2", "IDENTITY"), |grey| grey));
    assert!(is_near(shown("MONOCHROME2", "INVERSE"), |grey| 255 - grey));
    assert!(is_near(shown("MONOCHROME1", "INVERSE"), |grey| grey), "both name the same inversion");
    assert!(is_near(shown("MONOCHROME1", "IDENTITY"), |grey| grey), "which the standard does not allow");
}

#[test]
fn files_are_recognised_without_preamble_and_without_meta_header() {
    let bytes = bytes_of(object_of(&film(), PLAIN), PLAIN.transfer_syntax);
    let expected = greys(&bytes);
    assert!(structure::is_dicom(&bytes));
    let without_preamble = &bytes[128..];
    let start = structure::structure_of(&bytes).expect("a structure").data_set;
    let without_meta = &bytes[start..];
    for shorter in [without_preamble, without_meta] {
        assert!(structure::is_dicom(shorter));
        assert_eq!(greys(shorter), expected);
    }
    for other in [&b"\x89PNG\r\n\x1a\n"[..], b"hello, this is a text", b"", b"\x08\x00"] {
        assert!(!structure::is_dicom(other));
    }
}

#[test]
fn other_kinds_of_files_are_told_apart() {
    let kind = |tag, vr, value: &str| {
        let mut object = object_of(&film(), PLAIN);
        object.put(DataElement::new(tag, vr, value));
        header::check_kind(&object)
    };
    assert_eq!(kind(tags::MODALITY, VR::CS, "DX"), Ok(()));
    assert_eq!(kind(tags::NUMBER_OF_FRAMES, VR::IS, "3"), Err(NotRadiograph::MultiFrame));
    assert_eq!(
        kind(tags::PRESENTATION_INTENT_TYPE, VR::CS, "FOR PROCESSING"),
        Err(NotRadiograph::ForProcessing)
    );
    // Of CT; the modality is that of the film, which is no other modality of the standard.
    let class = "1.2.840.10008.5.1.4.1.1.2";
    assert_eq!(kind(tags::SOP_CLASS_UID, VR::UI, class), Err(NotRadiograph::OtherModality(None)));
    let mut report = object_of(&film(), PLAIN);
    report.remove_element(tags::PIXEL_DATA);
    assert_eq!(header::check_kind(&report), Err(NotRadiograph::NoPixels));
}

#[test]
fn patients_are_told_apart_by_identifier_and_issuer() {
    let patient = |id: &str, issuer: &str| {
        let mut object = object_of(&film(), PLAIN);
        object.put(DataElement::new(tags::PATIENT_ID, VR::LO, id));
        object.put(DataElement::new(tags::ISSUER_OF_PATIENT_ID, VR::LO, issuer));
        object.put(DataElement::new(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3.4"));
        header::origin(&object).patient.expect("a patient")
    };
    assert_eq!(patient("P 17", "A"), patient(" p  17 ", "a"), "case and blanks are no part of an identifier");
    assert_ne!(patient("17", "A"), patient("17", "B"));
    assert_ne!(patient("17", "A"), patient("1", "7A"));
    let parts = |id, issuer| match patient(id, issuer) {
        HeaderPatient::Identifier { id, issuer } => (id, issuer.is_some()),
        HeaderPatient::Study(_) => panic!("it has a PatientID"),
    };
    assert_eq!((parts("17", ""), parts("17", "A").1), ((parts("17", "A").0, false), true));
    assert!(matches!(patient("", ""), HeaderPatient::Study(_)), "the study, where there is no patient");
    let mut object = object_of(&film(), PLAIN);
    object.put(DataElement::new(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3.4"));
    object.put(DataElement::new(tags::PATIENT_ID, VR::LO, "17"));
    let study = header::origin(&object).study.expect("a study, also beside a patient");
    assert_eq!(patient("", ""), HeaderPatient::Study(study));
}

#[test]
fn no_error_repeats_a_value_of_the_file() {
    let mut object = object_of(&film(), PLAIN);
    for tag in [tags::PHOTOMETRIC_INTERPRETATION, tags::MODALITY, tags::SOP_CLASS_UID, tags::PATIENT_NAME] {
        object.put(DataElement::new(tag, VR::LO, "MARKER"));
    }
    let error = read(&bytes_of(object.clone(), PLAIN.transfer_syntax), &SizeLimits::default()).unwrap_err();
    assert!(!format!("{error:?}").contains("MARKER"), "{error:?}");
    object.put(DataElement::new(tags::SOP_CLASS_UID, VR::UI, CR));
    let Err(DicomError::Unreadable(reason)) =
        read(&bytes_of(object, PLAIN.transfer_syntax), &SizeLimits::default())
    else {
        panic!("the colour space is unknown");
    };
    assert!(!reason.contains("MARKER"), "{reason}");
}

#[test]
fn damaged_files_give_an_error_or_an_image() {
    let files = [structure::EXPLICIT_LITTLE, IMPLICIT, structure::DEFLATED, JPEG_LS]
        .map(|syntax| bytes_of(object_of(&film(), Storage { transfer_syntax: syntax, ..PLAIN }), syntax));
    let limits = SizeLimits { decoded_bytes: 1 << 20, ..SizeLimits::default() };
    let (mut n_errors, mut n_images) = (0, 0);
    for file in &files {
        for length in (0..file.len()).step_by(7) {
            if length + 8 >= file.len() {
                // The mark of the end of the fragments may be missing.
                break;
            }
            assert!(read(&file[..length], &limits).is_err(), "cut to {length} of {}", file.len());
        }
        // Every byte before the pixels, and some of the rest, with each bit flipped.
        for at in (0..file.len().min(900)).chain((900..file.len()).step_by(37)) {
            for bit in [0, 3, 7] {
                let mut damaged = file.clone();
                damaged[at] ^= 1 << bit;
                // A decoder may give up with a panic, which the caller catches.
                match std::panic::catch_unwind(|| read(&damaged, &limits)) {
                    Ok(Ok(_)) => n_images += 1,
                    _ => n_errors += 1,
                }
            }
        }
    }
    assert!(n_errors > 500 && n_images > 500, "{n_errors} errors, {n_images} images");
    // A length of four gigabytes.
    let element = [0x10, 0x00, 0x10, 0x00, b'U', b'N', 0, 0, 0xF0, 0xFF, 0xFF, 0xFF];
    let found = structure::check_lengths(&element, structure::EXPLICIT_LITTLE).unwrap_err();
    assert!(found.starts_with("truncated"), "{found}");
    assert_eq!(Length::UNDEFINED.get(), None);
}

#[test]
fn what_follows_the_pixels_is_not_parsed_and_the_number_of_items_is_limited() {
    let sequence = |tag: [u8; 4], n_items: usize| {
        let items = [0xFEu8, 0xFF, 0x00, 0xE0, 0, 0, 0, 0].repeat(n_items);
        let header = [tag, *b"SQ\0\0", (items.len() as u32).to_le_bytes()].concat();
        [header, items].concat()
    };
    let film = bytes_of(object_of(&film(), PLAIN), PLAIN.transfer_syntax);
    let start = structure::structure_of(&film).expect("a structure").data_set;
    let longer = [&film[..], &sequence([0xE1, 0x7F, 0x10, 0x10], 200_000)].concat();
    let used = structure::check_lengths(&longer[start..], structure::EXPLICIT_LITTLE);
    assert_eq!(used, Ok(film.len() - start));
    assert_eq!(greys(&longer), greys(&film));
    let truncated = read(&longer[..longer.len() - 1], &SizeLimits::default());
    assert!(truncated.is_err_and(|error| format!("{error:?}").contains("truncated")));
    for (n_items, is_allowed) in [(60_000, true), (100_001, false)] {
        let header = sequence([0x08, 0x00, 0x40, 0x11], n_items);
        let used = structure::check_lengths(&header, structure::EXPLICIT_LITTLE);
        match is_allowed {
            true => assert_eq!(used, Ok(header.len())),
            false => assert!(used.is_err_and(|error| error.contains("more than 100000 items"))),
        }
    }
}

#[test]
fn a_small_file_of_a_large_image_is_rejected_before_it_is_decoded() {
    let mut object = object_of(&film(), PLAIN);
    for tag in [tags::ROWS, tags::COLUMNS] {
        object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(4_200u16)));
    }
    let Err(DicomError::Unreadable(reason)) =
        read(&bytes_of(object, PLAIN.transfer_syntax), &SizeLimits::default())
    else {
        panic!("35 MB in 2 kB");
    };
    assert!(reason.starts_with("too large: 4200x4200 pixels in "), "{reason}");
}
