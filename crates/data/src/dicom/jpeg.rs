//! JPEG and JPEG-LS frames of DICOM files: the frame header is checked first, because a decoder reserves the memory that
//! it asks for.

use jpeg_decoder::{ColorTransform, PixelFormat};

use super::header::{Decompressed, Photometric, PixelLayout};
use crate::jpeg_header::{JpegHeader, JpegProcess};
use crate::jpeg_scans::have_every_block;

/// Decodes a JPEG stream: baseline, extended with 8 bits, or lossless.
///
/// # Errors
/// In words for the user.
pub(super) fn decode_jpeg(stream: &[u8], layout: &PixelLayout) -> Result<Decompressed, String> {
    let found = JpegHeader::of(stream).ok_or("damaged pixels in a DICOM file: no JPEG frame")?;
    if found.bits > 8 && found.process != JpegProcess::Lossless {
        return Err(
            "DICOM file of 12-bit JPEG, which is not read; convert it with `dcmdjpeg IN OUT`".to_owned()
        );
    }
    check_header(&found, layout)?;
    let mut decoder = jpeg_decoder::Decoder::new(stream);
    if layout.samples == 3 && !found.names_transform {
        let is_rgb = layout.photometric == Photometric::Rgb;
        decoder.set_color_transform(if is_rgb { ColorTransform::None } else { ColorTransform::YCbCr });
    }
    let bytes = decoder.decode().map_err(|error| format!("damaged pixels in a DICOM file: {error}"))?;
    // The decoder transforms the colours of lossy streams only.
    let is_transformed = found.process != JpegProcess::Lossless;
    if is_transformed && !have_every_block(stream, &found) {
        return Err("truncated: parts of the JPEG in a DICOM file are missing or damaged".to_owned());
    }
    let is_wide = decoder.info().is_some_and(|info| info.pixel_format == PixelFormat::L16);
    let bytes = match (is_wide, layout.bits_allocated) {
        // The decoder's samples of 16 bits are in the byte order of the machine.
        (true, _) => {
            bytes.as_chunks::<2>().0.iter().flat_map(|&pair| u16::from_ne_bytes(pair).to_le_bytes()).collect()
        }
        (false, 16) => bytes.iter().flat_map(|&byte| [byte, 0]).collect(),
        (false, _) => bytes,
    };
    Ok(Decompressed { bytes, is_transformed })
}

/// Decodes a JPEG-LS stream of grey values.
///
/// # Errors
/// In words for the user.
pub(super) fn decode_jpeg_ls(stream: &[u8], layout: &PixelLayout) -> Result<Vec<u8>, String> {
    let found = JpegHeader::of(stream).filter(|found| found.process == JpegProcess::JpegLs);
    let found = found.ok_or("damaged pixels in a DICOM file: no JPEG-LS frame")?;
    if found.sampling.len() != 1 {
        return Err(
            "DICOM file of colour JPEG-LS, which is not read; convert it with `gdcmconv --raw IN OUT`"
                .to_owned(),
        );
    }
    check_header(&found, layout)?;
    let (samples, ..) = jpegls::decode(stream, layout.columns as u32, layout.rows as u32)
        .map_err(|error| format!("damaged pixels in a DICOM file: {error}"))?;
    Ok(match layout.bits_allocated {
        8 => samples.iter().map(|&sample| sample as u8).collect(),
        _ => samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
    })
}

fn check_header(found: &JpegHeader, layout: &PixelLayout) -> Result<(), String> {
    let expected = (layout.rows, layout.columns, layout.samples);
    if (found.rows, found.columns, found.sampling.len()) == expected
        && u32::from(found.bits) <= layout.bits_allocated
    {
        return Ok(());
    }
    Err(format!(
        "damaged DICOM file: its compressed pixels are {}x{}x{} of {} bits, its header says {}x{}x{}",
        found.columns,
        found.rows,
        found.sampling.len(),
        found.bits,
        layout.columns,
        layout.rows,
        layout.samples
    ))
}
