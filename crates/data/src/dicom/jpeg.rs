//! JPEG and JPEG-LS frames of DICOM files: the frame header is checked first, because a decoder reserves the memory that
//! it asks for.

use jpeg_decoder::{ColorTransform, PixelFormat};

use super::header::{Decompressed, Photometric, PixelLayout};
use crate::jpeg_header::{JpegHeader, JpegProcess, MAX_SCANS, has_too_many_scans};
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
    if has_too_many_scans(stream) {
        return Err(format!(
            "DICOM file of JPEG with more than {MAX_SCANS} scans, which is not read; convert it with `dcmdjpeg IN OUT`"
        ));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A grey progressive stream of one block: a scan of the DC coefficient, and `n` times the same scan of the others, all zero.
    fn progressive(n: usize) -> Vec<u8> {
        let dc_scan = [0xFFu8, 0xDA, 0, 8, 1, 1, 0, 0, 0, 0, 0x7F];
        let ac_scan = [0xFFu8, 0xDA, 0, 8, 1, 1, 0, 1, 63, 0, 0x7F];
        // One code, the bit 0, for a difference of zero and for the end of the block.
        let table = |class: u8| [&[0xFF, 0xC4, 0, 20, class, 1][..], &[0; 16]].concat();
        [
            &[0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0][..],
            &[1; 64],
            &[0xFF, 0xC2, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0],
            &table(0x00),
            &table(0x10),
            &dc_scan,
            &ac_scan.repeat(n),
            &[0xFF, 0xD9],
        ]
        .concat()
    }

    #[test]
    fn a_stream_of_many_scans_is_not_decoded() {
        let layout = PixelLayout::grey([8, 8], 8);
        let pixels = |n| decode_jpeg(&progressive(n), &layout).map(|decompressed| decompressed.bytes);
        assert_eq!(pixels(MAX_SCANS - 1), Ok(vec![128; 64]));
        assert!(pixels(MAX_SCANS).is_err_and(|error| error.contains("more than 100 scans")));
    }
}
