//! JPEG 2000 frames of DICOM files (ITU-T T.800). The decoder reserves memory for whatever the headers ask for, so what they
//! ask for is checked first: the size, the number of tiles, and how finely they are divided.

use hayro_jpeg2000::{DecodeSettings, DecoderContext, Image};

use super::header::{Decompressed, PixelLayout};

const SIZ: u16 = 0xFF51;
const COD: u16 = 0xFF52;
const COC: u16 = 0xFF53;
const TLM: u16 = 0xFF55;
const PLT: u16 = 0xFF58;
const QCD: u16 = 0xFF5C;
const QCC: u16 = 0xFF5D;
const RGN: u16 = 0xFF5E;
const CRG: u16 = 0xFF63;
const COM: u16 = 0xFF64;
const START_OF_TILE: u16 = 0xFF90;
const START_OF_DATA: u16 = 0xFF93;
/// Most tiles of an image; scanners write one, or tiles of 512 and more.
const MAX_TILES: u32 = 1_024;
/// Most quality layers, and most levels of the wavelet transform.
const MAX_LAYERS: u16 = 64;
const MAX_LEVELS: u8 = 10;
/// Smallest precinct that is allowed, as an exponent of two.
const MIN_PRECINCT: u8 = 6;
/// Most layers of all code blocks: the decoder reserves 24 bytes for each.
const MAX_BLOCK_LAYERS: u64 = 1 << 22;

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

/// Checks every header of the codestream: the main one, and those of all tile-parts, which may change how a tile is coded. Each
/// segment must have the length that the decoder reads, which would else go on at another place than this check.
fn check(stream: &[u8], layout: &PixelLayout) -> Option<Samples> {
    let (mut at, mut samples) = (2, None);
    let (mut end_of_part, mut is_transformed): (Option<usize>, Option<bool>) = (None, None);
    let (mut most_layers, mut smallest_block) = (0u16, u64::MAX);
    loop {
        let marker = u16_at(stream, at)?;
        if marker == START_OF_DATA {
            at = end_of_part.filter(|&end| end >= at + 2)?;
            if u16_at(stream, at) == Some(START_OF_TILE) {
                continue;
            }
            // The decoder reads no further headers.
            let n_samples = layout.rows as u64 * layout.columns as u64 * layout.samples as u64;
            let is_transformed = is_transformed?;
            return samples
                .filter(|_| n_samples / smallest_block * u64::from(most_layers) <= MAX_BLOCK_LAYERS)
                .map(|samples| Samples { is_transformed, ..samples });
        }
        let length = usize::from(u16_at(stream, at + 2)?);
        let body = stream.get(at + 4..(at + 2).checked_add(length)?)?;
        match marker {
            SIZ if samples.is_none() => samples = Some(check_size(body, layout)?),
            COD => {
                let (layers, transforms) = (u16_at(body, 2)?, *body.get(4)? == 1);
                // The decoder undoes the transform of the first tile in all of them.
                if layers > MAX_LAYERS || is_transformed.is_some_and(|other| other != transforms) {
                    return None;
                }
                is_transformed = Some(transforms);
                most_layers = most_layers.max(layers);
                smallest_block = smallest_block.min(check_coding(body.get(5..)?, body.first()? & 1 == 1)?);
            }
            COC => smallest_block = smallest_block.min(check_coding(body.get(2..)?, body.get(1)? & 1 == 1)?),
            QCD => check_quantisation(body)?,
            QCC => check_quantisation(body.get(1..)?)?,
            RGN if body.len() == 3 => {}
            START_OF_TILE if samples.is_some() && body.len() == 8 => {
                let part = u32::from_be_bytes(body[2..6].try_into().ok()?) as usize;
                end_of_part = if part == 0 { Some(stream.len()) } else { at.checked_add(part) };
            }
            TLM | PLT | CRG | COM => {}
            // Layers and precincts in another order by tile part, packed headers, markers without a length (FF30 to FF3F), an end
            // before the data: no scanner writes them.
            _ => return None,
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
    let fits = body.len() == 36 + 3 * n_components
        && (field(0)?, field(1)?, field(2)?, field(3)?, field(6)?, field(7)?) == (width, height, 0, 0, 0, 0)
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

/// The samples of a code block, after a check of levels, code blocks and precincts (ITU-T T.800 table A.15).
fn check_coding(body: &[u8], has_precincts: bool) -> Option<u64> {
    let &[levels, block_width, block_height, _, _, ref precincts @ ..] = body else { return None };
    let n_precincts = if has_precincts { usize::from(levels) + 1 } else { 0 };
    let is_fine = levels <= MAX_LEVELS
        && block_width <= 8
        && block_height <= 8
        && block_width + block_height <= 8
        && precincts.len() == n_precincts
        && precincts.iter().all(|&p| p & 0xF >= MIN_PRECINCT && p >> 4 >= MIN_PRECINCT);
    // Exponents are written less two. A block is at most half as wide and half as high as its precinct.
    let side = |exponent: u8| 1u64 << (exponent + 2).min(MIN_PRECINCT - 1);
    is_fine.then(|| side(block_width) * side(block_height))
}

/// Step sizes: a byte for each sub-band, two bytes for all, or two bytes for each (ITU-T T.800 table A.28).
fn check_quantisation(body: &[u8]) -> Option<()> {
    let (style, steps) = body.split_first()?;
    let is_fine = match style & 0x1F {
        0 => true,
        1 => steps.len() == 2,
        _ => steps.len().is_multiple_of(2),
    };
    is_fine.then_some(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(marker: u16, body: &[u8]) -> Vec<u8> {
        [&marker.to_be_bytes()[..], &(body.len() as u16 + 2).to_be_bytes(), body].concat()
    }

    /// A segment SIZ of a square of one component.
    fn size(side: u32) -> Vec<u8> {
        let numbers = [side, side, 0, 0, side, side, 0, 0].map(u32::to_be_bytes);
        segment(SIZ, &[&[0, 0][..], numbers.as_flattened(), &[0, 1, 7, 1, 1]].concat())
    }

    /// A segment COD of blocks whose sides have the exponent `block`, less two.
    fn coding(layers: u8, block: u8) -> Vec<u8> {
        segment(COD, &[0, 0, 0, layers, 0, 1, block, block, 0, 1])
    }

    /// A segment COD of precincts of one sample.
    fn finest() -> Vec<u8> {
        segment(COD, &[1, 0, 0, 1, 0, 1, 4, 4, 0, 1, 0, 0])
    }

    fn tile_part(header: &[u8]) -> Vec<u8> {
        let [high, low] = (12 + header.len() as u16 + 5).to_be_bytes();
        let start = segment(START_OF_TILE, &[0, 0, 0, 0, high, low, 0, 0]);
        [&start[..], header, &[0xFF, 0x93, 1, 2, 3]].concat()
    }

    fn is_accepted(side: u32, segments: &[&[u8]]) -> bool {
        let layout = PixelLayout::grey([side as usize; 2], 8);
        let steps = segment(QCD, &[0x40, 0x40, 0x48, 0x48, 0x50]);
        let stream = [&[0xFF, 0x4F][..], &size(side), &steps, &segments.concat(), &[0xFF, 0xD9]].concat();
        check(&stream, &layout).is_some()
    }

    #[test]
    fn headers_of_all_tile_parts_are_checked() {
        let (coding, plain, fine) = (coding(1, 4), tile_part(&[]), tile_part(&finest()));
        assert!(is_accepted(2, &[&coding, &plain, &plain, &plain]));
        assert!(!is_accepted(2, &[&coding, &fine]));
        assert!(!is_accepted(2, &[&coding, &plain, &plain, &fine]));
    }

    #[test]
    fn no_segment_hides_what_the_decoder_reads() {
        let (coding, plain) = (coding(1, 4), tile_part(&[]));
        // The decoder reads no length of the first marker, and lengths of its own of the others.
        let mut without_length = [&[0xFF, 0x30][..], &finest()].concat();
        without_length.resize(2 + usize::from(COD), 0);
        let longer = |marker, body: &[u8]| segment(marker, &[body, &finest()].concat());
        let hiding = [
            without_length,
            longer(COD, &[0, 0, 0, 1, 0, 1, 4, 4, 0, 1]),
            longer(COC, &[0, 0, 1, 4, 4, 0, 1]),
            longer(QCD, &[1, 0x40, 0x40]),
            longer(RGN, &[0, 0, 0]),
        ];
        for hiding in hiding {
            assert!(!is_accepted(2, &[&coding, &hiding, &plain]), "{:?}", &hiding[..2]);
        }
        let end = segment(0xFFD9, &[]);
        assert!(!is_accepted(2, &[&coding, &tile_part(&end), &plain]));
    }

    #[test]
    fn layers_and_blocks_are_limited_together() {
        let accepted = |side, layers, block| is_accepted(side, &[&coding(layers, block), &tile_part(&[])]);
        assert!(accepted(5_792, 32, 4) && accepted(5_792, 1, 0) && accepted(2, 32, 0));
        assert!(!accepted(5_792, 32, 0));
    }
}
