//! Small valid DICOM films.

use dicom_core::value::{PixelFragmentSequence, PrimitiveValue};
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

const SIDE: u16 = 24;
const CR: &str = "1.2.840.10008.5.1.4.1.1.1";

/// Uncompressed films of 12 bits in three encodings, and one whose pixels are the JPEG stream `jpeg`.
pub(super) fn films(jpeg: Vec<u8>) -> Vec<Vec<u8>> {
    let uncompressed = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"].map(|syntax| {
        let samples = (0..SIDE * SIDE).map(|at| at * 7 % 4096).collect();
        film(syntax, 12, |object| {
            drop(object.put_element(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(samples))))
        })
    });
    let compressed = film("1.2.840.10008.1.2.4.50", 8, |object| {
        let fragments = PixelFragmentSequence::new_fragments(vec![jpeg]);
        object.put_element(DataElement::new(tags::PIXEL_DATA, VR::OB, fragments));
    });
    uncompressed.into_iter().chain([compressed]).collect()
}

fn film(transfer_syntax: &str, bits: u16, put_pixels: impl FnOnce(&mut InMemDicomObject)) -> Vec<u8> {
    let mut object = InMemDicomObject::new_empty();
    let mut put = |tag, vr, value: PrimitiveValue| drop(object.put_element(DataElement::new(tag, vr, value)));
    put(tags::SOP_CLASS_UID, VR::UI, CR.into());
    put(tags::MODALITY, VR::CS, "CR".into());
    put(tags::PATIENT_ID, VR::LO, "1".into());
    put(tags::ROWS, VR::US, SIDE.into());
    put(tags::COLUMNS, VR::US, SIDE.into());
    put(tags::SAMPLES_PER_PIXEL, VR::US, 1u16.into());
    put(tags::BITS_ALLOCATED, VR::US, (if bits > 8 { 16u16 } else { 8 }).into());
    put(tags::BITS_STORED, VR::US, bits.into());
    put(tags::HIGH_BIT, VR::US, (bits - 1).into());
    put(tags::PIXEL_REPRESENTATION, VR::US, 0u16.into());
    put(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME1".into());
    put(tags::WINDOW_CENTER, VR::DS, "2048".into());
    put(tags::WINDOW_WIDTH, VR::DS, "4096".into());
    put_pixels(&mut object);
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(transfer_syntax)
        .media_storage_sop_class_uid(CR)
        .media_storage_sop_instance_uid("1.2.3")
        .build()
        .expect("a meta header");
    let mut bytes = Vec::new();
    object.with_exact_meta(meta).write_all(&mut bytes).expect("a film in memory");
    bytes
}
