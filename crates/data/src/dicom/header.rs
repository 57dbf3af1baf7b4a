//! What the header of a DICOM file says: what kind of image it is, whose, and how its pixels are stored.

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::Tag;

use crate::file_facts::{HeaderPatient, Origin, ViewPosition};
use crate::patients::normalised_identifier;

/// How the pixels of a frame are stored (PS3.3 section C.7.6.3).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PixelLayout {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// 1, or 3 for colour.
    pub(super) samples: usize,
    /// Bits that a sample takes in memory, 8 or 16.
    pub(super) bits_allocated: u32,
    pub(super) bits_stored: u32,
    pub(super) high_bit: u32,
    pub(super) is_signed: bool,
    pub(super) photometric: Photometric,
    /// Whether the colours lie in separate planes.
    pub(super) is_planar: bool,
}

/// The meaning of the samples of a pixel (PS3.3 section C.7.6.3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Photometric {
    /// The smallest value is white.
    Monochrome1,
    /// The smallest value is black.
    Monochrome2,
    Rgb,
    /// Luma and chroma.
    YbrFull,
    /// Two pixels share their chroma.
    YbrFull422,
}

impl PixelLayout {
    /// Whether the samples of a pixel are luma and chroma.
    pub(super) fn is_ybr(&self) -> bool {
        matches!(self.photometric, Photometric::YbrFull | Photometric::YbrFull422)
    }

    /// Grey values that use all of their bits, for tests of decoders.
    #[cfg(test)]
    pub(super) fn grey([rows, columns]: [usize; 2], bits: u32) -> Self {
        Self {
            rows,
            columns,
            samples: 1,
            bits_allocated: bits,
            bits_stored: bits,
            high_bit: bits - 1,
            is_signed: false,
            photometric: Photometric::Monochrome2,
            is_planar: false,
        }
    }
}

/// The samples of a frame, as a decoder returns them.
pub(super) struct Decompressed {
    pub(super) bytes: Vec<u8>,
    /// Whether the decoder has converted luma and chroma to RGB.
    pub(super) is_transformed: bool,
}

/// Reads how the pixels are stored; the size is not checked against any limit.
///
/// # Errors
/// What is missing or not supported, in words for the user.
pub(super) fn pixel_layout(object: &InMemDicomObject) -> Result<PixelLayout, String> {
    let required = |tag, name: &str| integer(object, tag).ok_or_else(|| format!("DICOM file without {name}"));
    let rows = required(tags::ROWS, "Rows")?;
    let columns = required(tags::COLUMNS, "Columns")?;
    let bits_allocated = required(tags::BITS_ALLOCATED, "BitsAllocated")?;
    let bits_stored = integer(object, tags::BITS_STORED).unwrap_or(bits_allocated);
    let high_bit = integer(object, tags::HIGH_BIT).unwrap_or(bits_stored - 1);
    let samples = integer(object, tags::SAMPLES_PER_PIXEL).unwrap_or(1);
    let photometric =
        match text(object, tags::PHOTOMETRIC_INTERPRETATION).as_deref() {
            Some("MONOCHROME1") => Photometric::Monochrome1,
            Some("MONOCHROME2") | None => Photometric::Monochrome2,
            Some("RGB" | "YBR_RCT" | "YBR_ICT") => Photometric::Rgb,
            Some("YBR_FULL") => Photometric::YbrFull,
            Some("YBR_FULL_422") => Photometric::YbrFull422,
            Some(_) => return Err(
                "DICOM file of a colour space that is not supported (not MONOCHROME1, MONOCHROME2, RGB or \
                               YBR_FULL); convert it with `dcmconv` or export it as png"
                    .to_owned(),
            ),
        };
    let is_colour = !matches!(photometric, Photometric::Monochrome1 | Photometric::Monochrome2);
    let are_bits_valid =
        (1..=bits_allocated).contains(&bits_stored) && (bits_stored - 1..bits_allocated).contains(&high_bit);
    let are_bits_supported = if is_colour { bits_allocated == 8 } else { matches!(bits_allocated, 8 | 16) };
    if rows < 1 || columns < 1 {
        return Err("DICOM file without pixels".to_owned());
    }
    if !are_bits_supported || !are_bits_valid {
        return Err(format!(
            "DICOM file of {bits_allocated} bits a sample, {bits_stored} of them used up to bit {high_bit}; supported are 8 \
             and 16 bits, of colour images 8"
        ));
    }
    if samples != if is_colour { 3 } else { 1 } {
        return Err(format!("DICOM file of {samples} samples a pixel, which does not fit its colour space"));
    }
    Ok(PixelLayout {
        rows: rows as usize,
        columns: columns as usize,
        samples: samples as usize,
        bits_allocated: bits_allocated as u32,
        bits_stored: bits_stored as u32,
        high_bit: high_bit as u32,
        is_signed: integer(object, tags::PIXEL_REPRESENTATION) == Some(1),
        photometric,
        is_planar: integer(object, tags::PLANAR_CONFIGURATION) == Some(1),
    })
}

/// The first integer of an element.
pub(super) fn integer(object: &InMemDicomObject, tag: Tag) -> Option<i64> {
    object.get(tag)?.to_multi_int::<i64>().ok()?.first().copied()
}

/// The first number of an element.
pub(super) fn number(object: &InMemDicomObject, tag: Tag) -> Option<f64> {
    let value = object.get(tag)?.to_multi_float64().ok()?.first().copied()?;
    value.is_finite().then_some(value)
}

/// The first text of an element, without the blanks around it; absent where it is empty.
pub(super) fn text(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let value = object.get(tag)?.to_str().ok()?;
    let first = value.split('\\').next()?.trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned();
    (!first.is_empty()).then_some(first)
}

/// The items of a sequence; none where it is absent.
pub(super) fn items(object: &InMemDicomObject, tag: Tag) -> &[InMemDicomObject] {
    object.get(tag).and_then(|element| element.items()).unwrap_or(&[])
}

/// The kinds of files that are not radiographs of one frame.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NotRadiograph {
    /// An image of another kind, by its modality where that is one of the standard's.
    OtherModality(Option<&'static str>),
    /// Several frames.
    MultiFrame,
    /// Raw values of the detector (Presentation Intent Type FOR PROCESSING), which no radiologist looks at.
    ForProcessing,
    /// A report, a plan, or another file without pixels.
    NoPixels,
    /// DICOMDIR, the index of a folder.
    Directory,
}

impl std::fmt::Display for NotRadiograph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OtherModality(Some(modality)) => {
                write!(
                    f,
                    "a DICOM image of modality {modality}, not a radiograph (CR, DX, RG or secondary capture)"
                )
            }
            Self::OtherModality(None) => {
                write!(f, "a DICOM image that is not a radiograph (CR, DX, RG or secondary capture)")
            }
            Self::MultiFrame => write!(f, "a DICOM image of several frames"),
            Self::ForProcessing => write!(f, "a DICOM image for processing, not for presentation"),
            Self::NoPixels => write!(f, "a DICOM file without an image, such as a report"),
            Self::Directory => write!(f, "a DICOMDIR, the index of a folder"),
        }
    }
}

/// Classes of radiographs (PS3.4 annex B.5): CR, DX, and secondary captures.
const RADIOGRAPHS: [&str; 7] = [
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.7.1",
    "1.2.840.10008.5.1.4.1.1.7.2",
    "1.2.840.10008.5.1.4.1.1.7.3",
    "1.2.840.10008.5.1.4.1.1.7.4",
];
const DX_FOR_PROCESSING: &str = "1.2.840.10008.5.1.4.1.1.1.1.1";
const RADIOGRAPH_MODALITIES: [&str; 5] = ["CR", "DX", "RG", "OT", "SC"];
/// Other modalities of the standard (PS3.3 section C.7.3.1.1.1) that messages name.
const OTHER_MODALITIES: [&str; 14] =
    ["CT", "MR", "US", "NM", "PT", "MG", "XA", "RF", "IO", "PX", "ES", "XC", "OP", "SM"];

/// Checks that a file is a radiograph of one frame.
///
/// # Errors
/// What it is instead.
pub(super) fn check_kind(object: &InMemDicomObject) -> Result<(), NotRadiograph> {
    if object.get(tags::DIRECTORY_RECORD_SEQUENCE).is_some() {
        return Err(NotRadiograph::Directory);
    }
    if object.get(tags::PIXEL_DATA).is_none() {
        return Err(NotRadiograph::NoPixels);
    }
    let class = text(object, tags::SOP_CLASS_UID);
    let modality = text(object, tags::MODALITY);
    let is_for_processing = text(object, tags::PRESENTATION_INTENT_TYPE).as_deref() == Some("FOR PROCESSING");
    if is_for_processing || class.as_deref() == Some(DX_FOR_PROCESSING) {
        return Err(NotRadiograph::ForProcessing);
    }
    let is_radiograph = match (&class, &modality) {
        (Some(class), _) => RADIOGRAPHS.contains(&class.as_str()),
        (None, Some(modality)) => RADIOGRAPH_MODALITIES.contains(&modality.as_str()),
        (None, None) => true,
    };
    if !is_radiograph {
        let known = OTHER_MODALITIES.into_iter().find(|known| modality.as_deref() == Some(known));
        return Err(NotRadiograph::OtherModality(known));
    }
    match integer(object, tags::NUMBER_OF_FRAMES) {
        Some(n) if n > 1 => Err(NotRadiograph::MultiFrame),
        _ => Ok(()),
    }
}

/// Where an image comes from.
pub(super) fn origin(object: &InMemDicomObject) -> Origin {
    let identifier = |tag| Some(digest(&[normalised_identifier(&text(object, tag)?)]));
    let patient = identifier(tags::PATIENT_ID)
        .map(|id| HeaderPatient::Identifier { id, issuer: identifier(tags::ISSUER_OF_PATIENT_ID) });
    let device = [tags::MANUFACTURER, tags::MANUFACTURER_MODEL_NAME];
    let study = identifier(tags::STUDY_INSTANCE_UID);
    Origin {
        patient: patient.or_else(|| study.map(HeaderPatient::Study)),
        study,
        device: digest(&device.map(|tag| text(object, tag).unwrap_or_default())),
        view: match text(object, tags::VIEW_POSITION).as_deref() {
            Some("PA") => ViewPosition::Pa,
            Some("AP") => ViewPosition::Ap,
            Some("LL" | "RL" | "LATERAL" | "LAT") => ViewPosition::Lateral,
            _ => ViewPosition::Other,
        },
        has_burned_in_text: text(object, tags::BURNED_IN_ANNOTATION).as_deref() == Some("YES"),
    }
}

/// A length before each text: no two lists of texts are hashed as the same bytes.
fn digest(texts: &[String]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    *hasher.finalize().as_bytes()
}
