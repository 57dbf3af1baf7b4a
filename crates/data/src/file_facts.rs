//! Properties of a file that say nothing about the content of the image. If they predict the class, a model may use them
//! too: they reveal the scanner or the archive that a class comes from.

use std::fmt::{self, Display};

use image::{ColorType, ImageFormat};

use crate::jpeg_header::{START_OF_SCAN, segments};

/// The segment DQT of a JPEG.
const QUANTISATION_TABLES: u8 = 0xDB;
/// Devices of which each is a fact of its own.
const N_DEVICES: usize = 8;
/// Facts that only DICOM files have.
const N_DICOM: usize = 1 + 3 + N_DEVICES;

/// Facts of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FileFacts {
    /// In pixels, as stored.
    pub width: u32,
    /// In pixels, as stored.
    pub height: u32,
    /// Bits of a channel.
    pub bit_depth: u8,
    /// Channels as stored: 1 grey, 2 grey and opacity, 3 colour, 4 colour and opacity.
    pub channels: u8,
    /// Mean of all pixels and channels, in 0-1.
    pub mean: f32,
    /// Variety of the colours, of 255; see [`crate::colour`]. Not among the values, because it belongs to the content.
    pub colour: f32,
    /// Mean entry of the first quantisation table: 1 for the finest JPEG, about 60 for a coarse one; 0 for other files.
    pub jpeg_quantisation: f32,
    /// The number of the DICOM device among those of the data set, from 1, in the order of the images; 0 for other files.
    pub device: u32,
    /// How the patient was turned, in DICOM files that say so.
    pub view: ViewPosition,
    /// Whether the smallest stored value is white, in DICOM files.
    pub is_monochrome1: bool,
}

/// How the patient was turned to the rays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ViewPosition {
    /// From the back to the front.
    Pa,
    /// From the front to the back, as of patients who lie.
    Ap,
    /// From the side.
    Lateral,
    /// Another one, or unknown.
    #[default]
    Other,
}

impl Display for ViewPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pa => "PA",
            Self::Ap => "AP",
            Self::Lateral => "lateral",
            Self::Other => "another one or unknown",
        })
    }
}

/// Whose image a DICOM header says it is, as digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HeaderPatient {
    /// PatientID, and its issuer if the header has one.
    Identifier { id: [u8; 32], issuer: Option<[u8; 32]> },
    /// There is no PatientID: the study.
    Study([u8; 32]),
}

/// Where a DICOM image comes from. No text can be read back: there are digests only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) patient: Option<HeaderPatient>,
    /// Its study: another file of it may have the PatientID that this one lacks.
    pub(crate) study: Option<[u8; 32]>,
    /// Manufacturer and model of the device.
    pub(crate) device: [u8; 32],
    pub(crate) view: ViewPosition,
    /// Whether the header says that names may be written into the pixels.
    pub(crate) has_burned_in_text: bool,
}

impl FileFacts {
    /// Their names, in the order of [`Self::values`].
    pub const NAMES: [&'static str; 7 + N_DICOM] = [
        "width",
        "height",
        "aspect",
        "mean",
        "bit depth",
        "channels",
        "jpeg quantisation",
        "monochrome1",
        "view PA",
        "view AP",
        "view lateral",
        "device 1",
        "device 2",
        "device 3",
        "device 4",
        "device 5",
        "device 6",
        "device 7",
        "device 8",
    ];

    /// As numbers for a classifier; sizes as logarithms, so that only ratios matter.
    #[must_use]
    pub fn values(&self) -> [f64; 7 + N_DICOM] {
        let (width, height) =
            (libm::log(f64::from(self.width.max(1))), libm::log(f64::from(self.height.max(1))));
        let files = [
            width,
            height,
            width - height,
            f64::from(self.mean),
            f64::from(self.bit_depth),
            f64::from(self.channels),
            f64::from(self.jpeg_quantisation),
        ];
        let views = [ViewPosition::Pa, ViewPosition::Ap, ViewPosition::Lateral].map(|view| self.view == view);
        let devices = (1..=N_DEVICES as u32).map(|device| self.device == device);
        let dicom = std::iter::once(self.is_monochrome1)
            .chain(views)
            .chain(devices)
            .map(|holds| f64::from(u8::from(holds)));
        let mut values = [0.0; 7 + N_DICOM];
        values.iter_mut().zip(files.into_iter().chain(dicom)).for_each(|(value, fact)| *value = fact);
        values
    }

    /// The facts that need the bytes and the header; `mean` and `colour` need the pixels and are set later.
    pub(crate) fn of_file(bytes: &[u8], format: ImageFormat, stored: ColorType, size: (u32, u32)) -> Self {
        let jpeg_quantisation = match format {
            ImageFormat::Jpeg => first_quantisation_table(bytes).unwrap_or(0.0),
            _ => 0.0,
        };
        let channels = stored.channel_count();
        let bit_depth = (stored.bits_per_pixel() / u16::from(channels)) as u8;
        Self { width: size.0, height: size.1, bit_depth, channels, jpeg_quantisation, ..Self::default() }
    }
}

/// Mean entry of the first table of the first DQT segment (ITU-T T.81, section B.2.4.1).
fn first_quantisation_table(bytes: &[u8]) -> Option<f32> {
    let mut before_scan = segments(bytes).take_while(|segment| segment.marker != START_OF_SCAN);
    let (&precision_and_slot, entries) =
        before_scan.find(|segment| segment.marker == QUANTISATION_TABLES)?.body.split_first()?;
    // The precision: entries of one byte, or of two.
    let sum: u32 = match precision_and_slot >> 4 {
        0 => entries.get(..64)?.iter().map(|&entry| u32::from(entry)).sum(),
        _ => entries.get(..128)?.as_chunks().0.iter().map(|&e| u32::from(u16::from_be_bytes(e))).sum(),
    };
    Some(sum as f32 / 64.0)
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use image::{DynamicImage, GrayImage};

    use super::*;

    fn quantisation(quality: u8) -> Option<f32> {
        let mut bytes = Vec::new();
        let image = DynamicImage::ImageLuma8(GrayImage::new(16, 16));
        image
            .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality))
            .expect("an encoded image");
        first_quantisation_table(&bytes)
    }

    #[test]
    fn a_coarser_jpeg_has_a_larger_quantisation() {
        // Annex K's luminance table has the mean 57.6; quality 50 is that table, 100 is all ones.
        let found = [100, 90, 50].map(|quality| quantisation(quality).expect("a table"));
        assert!(found[0] == 1.0 && found[1] > 5.0 && (found[2] - 57.6).abs() < 0.1, "{found:?}");
    }

    #[test]
    fn a_truncated_file_has_no_table() {
        for length in 0..30 {
            assert_eq!(first_quantisation_table(&[0xFF; 30][..length]), None);
        }
    }
}
