//! DICOM: from the bytes of a file to the image that a radiologist sees.
//!
//! | file | task |
//! |---|---|
//! | `structure` | where the data set begins; no length leaves the file |
//! | `header` | what kind of image it is, whose, and how its pixels are stored |
//! | `frame`, `jpeg`, `jpeg2000`, `rle` | the stored samples, decompressed |
//! | `display` | from samples to grey values |
//!
//! Names, identifiers and dates of a header stay in this module: it returns a digest of the patient and of the device, which
//! the caller replaces by numbers.

use std::io::Read as _;

use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, FileMetaTableBuilder, InMemDicomObject};
use dicom_transfer_syntax_registry::{TransferSyntaxIndex as _, TransferSyntaxRegistry};
use image::{DynamicImage, ImageBuffer};

use crate::file_facts::Origin;
use crate::identifier::Identifier;
use crate::options::SizeLimits;
use header::PixelLayout;

#[cfg(test)]
mod colour_tests;
mod display;
mod frame;
#[cfg(test)]
mod golden_tests;
mod header;
mod jpeg;
mod jpeg2000;
mod rle;
mod structure;
#[cfg(test)]
mod synthetic_tests;

pub(crate) use header::NotRadiograph;
pub(crate) use structure::is_dicom;

/// An image out of a DICOM file.
#[derive(Debug)]
pub(crate) struct DicomImage {
    /// Grey of 16 bits, or RGB of 8 bits.
    pub(crate) image: DynamicImage,
    pub(crate) origin: Origin,
    /// Bits of a stored sample that are used.
    pub(crate) bits_stored: u8,
    /// Whether the smallest value is white.
    pub(crate) is_monochrome1: bool,
}

/// Why a DICOM file gives no image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DicomError {
    /// It is not a radiograph of one frame; a folder of a clinic holds many such files.
    NotRadiograph(NotRadiograph),
    /// It is one, but cannot be read, in words for the user.
    Unreadable(String),
}

impl From<String> for DicomError {
    fn from(reason: String) -> Self {
        Self::Unreadable(reason)
    }
}

/// Reads a radiograph.
///
/// # Errors
/// See [`DicomError`].
pub(crate) fn read(bytes: &[u8], limits: &SizeLimits) -> Result<DicomImage, DicomError> {
    let object = parse(bytes, limits)?;
    header::check_kind(&object).map_err(DicomError::NotRadiograph)?;
    let layout = header::pixel_layout(&object)?;
    check_size(&layout, bytes.len(), limits)?;
    Ok(DicomImage {
        image: image_of(&object, &layout)?,
        origin: header::origin(&object),
        bits_stored: layout.bits_stored as u8,
        is_monochrome1: layout.photometric == header::Photometric::Monochrome1,
    })
}

/// The identifier in the header of a file, if it is a DICOM file that has it.
pub(crate) fn identifier_of(bytes: &[u8], identifier: Identifier, limits: &SizeLimits) -> Option<String> {
    let tag = match identifier {
        Identifier::SopInstanceUid => tags::SOP_INSTANCE_UID,
        Identifier::StudyInstanceUid => tags::STUDY_INSTANCE_UID,
        Identifier::AccessionNumber => tags::ACCESSION_NUMBER,
        Identifier::PatientId => tags::PATIENT_ID,
    };
    let object = is_dicom(bytes).then(|| parse(bytes, limits).ok())??;
    header::text(&object, tag)
}

/// The elements of a file.
fn parse(bytes: &[u8], limits: &SizeLimits) -> Result<DefaultDicomObject, String> {
    let structure::Structure { transfer_syntax, data_set } = structure::structure_of(bytes)?;
    if transfer_syntax != structure::DEFLATED {
        return parse_data_set(&bytes[data_set..], &transfer_syntax);
    }
    let limit = limits.decoded_bytes;
    let mut inflated = Vec::new();
    let inflater = flate2::read::DeflateDecoder::new(&bytes[data_set..]);
    inflater
        .take(limit + 1)
        .read_to_end(&mut inflated)
        .map_err(|_| "damaged DICOM file: its deflated data set cannot be read".to_owned())?;
    if inflated.len() as u64 > limit {
        return Err(format!("too large: its data set has more than {} MiB", limit >> 20));
    }
    parse_data_set(&inflated, structure::EXPLICIT_LITTLE)
}

fn parse_data_set(data_set: &[u8], transfer_syntax: &str) -> Result<DefaultDicomObject, String> {
    let used = structure::check_lengths(data_set, transfer_syntax)?;
    // What the parser says of a fault may hold values of the file.
    let damaged = |what: &str| format!("damaged DICOM file: {what} cannot be read");
    let syntax = TransferSyntaxRegistry.get(transfer_syntax).ok_or_else(|| damaged("its transfer syntax"))?;
    let object = InMemDicomObject::read_dataset_with_ts(&data_set[..used], syntax)
        .map_err(|_| damaged("an element"))?;
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(transfer_syntax)
        .media_storage_sop_class_uid("")
        .media_storage_sop_instance_uid("")
        .build()
        .map_err(|_| damaged("its meta header"))?;
    Ok(object.with_exact_meta(meta))
}

/// Checked before anything is decoded.
fn check_size(layout: &PixelLayout, file_bytes: usize, limits: &SizeLimits) -> Result<(), String> {
    let (rows, columns) = (layout.rows as u64, layout.columns as u64);
    let n_bytes = rows * columns * layout.samples as u64 * u64::from(layout.bits_allocated / 8);
    limits.check_image([layout.columns as u32, layout.rows as u32], n_bytes, file_bytes)
}

/// The first frame, as it is displayed.
fn image_of(object: &DefaultDicomObject, layout: &PixelLayout) -> Result<DynamicImage, String> {
    let frame = frame::first_frame(object, layout)?;
    let (width, height) = (layout.columns as u32, layout.rows as u32);
    let image = if layout.samples == 3 {
        ImageBuffer::from_raw(width, height, frame).map(DynamicImage::ImageRgb8)
    } else {
        let grey = display::grey_values(object, layout, &frame);
        ImageBuffer::from_raw(width, height, grey).map(DynamicImage::ImageLuma16)
    };
    image.ok_or_else(|| "damaged DICOM file: it has fewer pixels than it says".to_owned())
}
