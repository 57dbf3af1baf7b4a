//! JPEG 2000 frames of DICOM files (ITU-T T.800). The decoder reserves memory for whatever the main header asks for, so what
//! it asks for is checked first: the size, the number of tiles, and how finely they are divided.

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use super::header::{Decompressed, PixelLayout};

const SIZ: u16 = 0xFF51;
const COD: u16 = 0xFF52;
const COC: u16 = 0xFF53;
const START_OF_TILE: u16 = 0xFF90;
const START_OF_DATA: u16 = 0xFF93;
/// Most tiles of an image; scanners write one, or tiles of 512 and more.
const MAX_TILES: u32 = 1_024;
/// Most quality layers, and most levels of the wavelet transform.
const MAX_LAYERS: u16 = 64;
const MAX_LEVELS: u8 = 10;
/// Smallest precinct that is allowed, as an exponent of two.
const MIN_PRECINCT: u8 = 6;

/// Decodes a codestream; signed samples as two's complement.
///
/// # Errors
/// In words for the user.
pub(super) fn decode(stream: &[u8], layout: &PixelLayout) -> Result<Decompressed, String> {
    let damaged = |what: &str| format!("damaged pixels in a DICOM file: {what}");
    let codestream = find(stream, &[0xFF, 0x4F, 0xFF, 0x51])
        .map(|at| &stream[at..])
        .ok_or_else(|| damaged("no JPEG 2000 codestream"))?;
    let Samples { max, sign_bit, is_transformed } =
        check(codestream, layout).ok_or_else(|| damaged("a JPEG 2000 header that does not fit"))?;
    let settings = DecodeSettings { strict: true, ..DecodeSettings::default() };
    let image = Image::new(codestream, &settings).map_err(|error| damaged(&error.to_string()))?;
    let mut context = DecoderContext::default();
    let image = image.decode(&mut context).map_err(|error| damaged(&error.to_string()))?;
    let planes = image.components();
    let n = layout.rows * layout.columns;
    if planes.len() != layout.samples || planes.iter().any(|plane| plane.samples().len() < n) {
        return Err(damaged("fewer pixels than it says"));
    }
    // Lossy samples may lie outside their range. The decoder adds half the range to signed ones.
    let value = |sample: f32| sample.round().clamp(0.0, max) as i32 - sign_bit;
    let bytes = match layout.bits_allocated {
        8 => (0..n)
            .flat_map(|pixel| planes.iter().map(move |plane| value(plane.samples()[pixel]) as u8))
            .collect(),
        _ => {
            planes[0].samples()[..n].iter().flat_map(|&sample| (value(sample) as u16).to_le_bytes()).collect()
        }
    };
    Ok(Decompressed { bytes, is_transformed })
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

/// The samples of a codestream.
struct Samples {
    /// The largest value.
    max: f32,
    /// Half the range of signed samples; 0 of unsigned ones.
    sign_bit: i32,
    /// Whether the codestream has a colour transform, which the decoder undoes (table A.17).
    is_transformed: bool,
}

/// Checks every header of the codestream up to the first data.
fn check(stream: &[u8], layout: &PixelLayout) -> Option<Samples> {
    let (mut at, mut samples, mut is_transformed) = (2, None, false);
    loop {
        let marker = u16_at(stream, at)?;
        if marker == START_OF_DATA {
            return samples.map(|samples| Samples { is_transformed, ..samples });
        }
        let length = usize::from(u16_at(stream, at + 2)?);
        let body = stream.get(at + 4..(at + 2).checked_add(length)?)?;
        match marker {
            SIZ if samples.is_none() => samples = Some(check_size(body, layout)?),
            SIZ => return None,
            COD => {
                let layers = u16_at(body, 2)?;
                let has_precincts = body.first()? & 1 == 1;
                (layers <= MAX_LAYERS).then_some(())?;
                is_transformed = *body.get(4)? == 1;
                check_coding(body.get(5..)?, has_precincts)?;
            }
            COC => check_coding(body.get(2..)?, body.get(1)? & 1 == 1)?,
            // Layers and precincts in another order by tile part, or packed headers: no scanner writes them.
            0xFF5F..=0xFF61 => return None,
            START_OF_TILE if samples.is_none() => return None,
            _ => {}
        }
        at += 2 + length;
    }
}

fn check_size(body: &[u8], layout: &PixelLayout) -> Option<Samples> {
    let field =
        |index: usize| Some(u32::from_be_bytes(body.get(2 + 4 * index..6 + 4 * index)?.try_into().ok()?));
    let (width, height) = (layout.columns as u32, layout.rows as u32);
    let (tile_width, tile_height) = (field(4)?, field(5)?);
    let n_tiles =
        u64::from(width.div_ceil(tile_width.max(1))) * u64::from(height.div_ceil(tile_height.max(1)));
    let n_components = usize::from(u16_at(body, 34)?);
    let components = body.get(36..36 + 3 * n_components)?.as_chunks::<3>().0;
    let fits = (field(0)?, field(1)?, field(2)?, field(3)?, field(6)?, field(7)?)
        == (width, height, 0, 0, 0, 0)
        && tile_width > 0
        && tile_height > 0
        && n_tiles <= u64::from(MAX_TILES)
        && n_components == layout.samples
        && components
            .iter()
            .all(|&[depth, dx, dy]| (depth & 0x7F) < layout.bits_allocated as u8 && dx == 1 && dy == 1);
    let [depth, ..] = components.first()?;
    let bits = (depth & 0x7F) + 1;
    let sign_bit = if depth >> 7 == 1 { 1 << (bits - 1) } else { 0 };
    let max = ((1u32 << bits) - 1) as f32;
    fits.then_some(Samples { max, sign_bit, is_transformed: false })
}

/// Levels, code blocks and precincts (ITU-T T.800 table A.15).
fn check_coding(body: &[u8], has_precincts: bool) -> Option<()> {
    let (levels, block_width, block_height) = (*body.first()?, *body.get(1)?, *body.get(2)?);
    let mut is_fine =
        levels <= MAX_LEVELS && block_width <= 8 && block_height <= 8 && block_width + block_height <= 8;
    if has_precincts {
        let precincts = body.get(5..6 + usize::from(levels))?;
        is_fine &= precincts.iter().all(|&p| p & 0xF >= MIN_PRECINCT && p >> 4 >= MIN_PRECINCT);
    }
    is_fine.then_some(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
