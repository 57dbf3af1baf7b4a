//! Whether the scans of a JPEG hold every block of the image (ITU-T T.81: sections F.2.2 and G.1.2, figures F.12 to G.6).
//!
//! Decoders fill what is missing with grey, and where a tool appended the end mark to half a file, no marker is missing.
//! So the Huffman codes are read here once more, without decoding pixels: a restart interval that ends before its last block,
//! meets an invalid code, or leaves many bytes unread, is damaged.

use crate::jpeg_header::{JpegHeader, JpegProcess, START_OF_SCAN, segments};

const HUFFMAN_TABLES: u8 = 0xC4;
const RESTART_INTERVAL: u8 = 0xDD;
/// Bytes that may follow the last block: some encoders pad.
const MOST_PADDING: usize = 32;

/// Reads the codes of all scans. True also where the headers cannot be understood: the decoder says more about these.
pub(crate) fn have_every_block(stream: &[u8], header: &JpegHeader) -> bool {
    let mut tables = HuffmanTables::default();
    let mut restart_interval = 0;
    let mut nonzero = vec![Vec::new(); header.sampling.len()];
    let mut missing_bits = vec![[u8::MAX; 64]; header.sampling.len()];
    for segment in segments(stream) {
        match (segment.marker, segment.body) {
            (HUFFMAN_TABLES, body) => tables.define(body),
            (RESTART_INTERVAL, &[high, low]) => {
                restart_interval = usize::from(u16::from_be_bytes([high, low]))
            }
            (START_OF_SCAN, body) => {
                let Some(scan) = Scan::new(header, body, &tables) else { return true };
                if !scan.is_whole(segment.coded, restart_interval, &mut nonzero) {
                    return false;
                }
                for part in &scan.parts {
                    missing_bits[part.component][scan.first as usize..=scan.last as usize]
                        .fill(scan.missing_bits);
                }
            }
            _ => {}
        }
    }
    // Every coefficient has had its last bit.
    missing_bits.iter().flatten().all(|&bits| bits == 0)
}

/// The Huffman tables that are defined so far: four for DC coefficients, four for AC coefficients.
#[derive(Default)]
struct HuffmanTables {
    dc: [Option<HuffmanTable>; 4],
    ac: [Option<HuffmanTable>; 4],
}

impl HuffmanTables {
    /// Reads a segment DHT (section B.2.4.2), as far as it is valid.
    fn define(&mut self, mut body: &[u8]) {
        while let Some((&[class_and_slot], rest)) = body.split_first_chunk()
            && let Some((lengths, rest)) = rest.split_first_chunk::<16>()
        {
            let n_codes = lengths.iter().map(|&n| usize::from(n)).sum();
            let Some((values, rest)) = rest.split_at_checked(n_codes) else { return };
            let slots = if class_and_slot >> 4 == 0 { &mut self.dc } else { &mut self.ac };
            if let Some(slot) = slots.get_mut(usize::from(class_and_slot & 0xF)) {
                *slot = Some(HuffmanTable::new(lengths, values));
            }
            body = rest;
        }
    }
}

/// Codes of each length in ascending order, so that the code at the front of the bits is found by comparing (figure F.16).
#[derive(Clone)]
struct HuffmanTable {
    /// For each length, one more than its largest code; and what to add to a code for its place in `values`.
    ranges: [(i32, i32); 16],
    values: Vec<u8>,
}

impl HuffmanTable {
    fn new(lengths: &[u8; 16], values: &[u8]) -> Self {
        let (mut code, mut n_before) = (0, 0);
        let ranges = lengths.map(|n| {
            let n = i32::from(n);
            let range = (code + n, n_before - code);
            n_before += n;
            code = (code + n) << 1;
            range
        });
        Self { ranges, values: values.to_vec() }
    }
}

/// Bits of a restart interval, from the highest of each byte on. A byte FF is followed by a 00 that does not count.
struct Bits<'a> {
    bytes: &'a [u8],
    /// The next bits, the first of them the highest.
    ahead: u64,
    n_ahead: u32,
}

/// The end of the data, or an invalid code.
struct Damaged;

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, ahead: 0, n_ahead: 0 }
    }

    /// Fetches bytes until 57 bits or more are ahead, or the data end.
    fn fetch(&mut self) {
        while self.n_ahead <= 56
            && let Some((&byte, rest)) = self.bytes.split_first()
        {
            self.bytes = if byte == 0xFF && rest.first() == Some(&0) { &rest[1..] } else { rest };
            self.ahead |= u64::from(byte) << (56 - self.n_ahead);
            self.n_ahead += 8;
        }
    }

    /// The next `n` bits as a number; `n` is at most 16.
    fn take(&mut self, n: u32) -> Result<u32, Damaged> {
        if n == 0 {
            return Ok(0);
        }
        if self.n_ahead < n {
            self.fetch();
        }
        if self.n_ahead < n {
            return Err(Damaged);
        }
        let bits = self.ahead >> (64 - n);
        self.ahead <<= n;
        self.n_ahead -= n;
        Ok(bits as u32)
    }

    /// The value of the next code.
    fn decode(&mut self, table: &HuffmanTable) -> Result<u8, Damaged> {
        if self.n_ahead < 16 {
            self.fetch();
        }
        for (length, (end, offset)) in (1..).zip(table.ranges) {
            let code = (self.ahead >> (64 - length)) as i32;
            if code < end && length <= self.n_ahead {
                self.take(length)?;
                return table.values.get((code + offset) as usize).copied().ok_or(Damaged);
            }
        }
        Err(Damaged)
    }

    /// Bytes that were not read.
    fn n_left(&self) -> usize {
        self.bytes.len() + self.n_ahead as usize / 8
    }
}

/// A component in a scan.
struct ScanPart {
    /// Its place in the header.
    component: usize,
    /// Blocks in one unit of the scan (minimum coded unit).
    n_blocks: usize,
    dc: Option<HuffmanTable>,
    ac: Option<HuffmanTable>,
}

/// The header of a scan (section B.2.3).
struct Scan {
    process: JpegProcess,
    parts: Vec<ScanPart>,
    n_units: usize,
    /// The first and the last coefficient of a block, in zigzag order.
    first: u32,
    last: u32,
    /// Whether the scan adds one bit to coefficients of scans before it.
    is_refinement: bool,
    /// The low bits of the coefficients that scans after it add.
    missing_bits: u8,
}

impl Scan {
    fn new(header: &JpegHeader, body: &[u8], tables: &HuffmanTables) -> Option<Self> {
        let (&n, rest) = body.split_first()?;
        let (selectors, rest) = rest.split_at_checked(2 * usize::from(n))?;
        let &[first, last, approximation] = rest else { return None };
        let is_single = n == 1;
        let mut parts = Vec::new();
        for &[id, slots] in selectors.as_chunks::<2>().0 {
            let component = header.component_ids.iter().position(|&other| other == id)?;
            let [h, v] = header.sampling[component];
            parts.push(ScanPart {
                component,
                n_blocks: if is_single { 1 } else { usize::from(h) * usize::from(v) },
                dc: tables.dc.get(usize::from(slots >> 4))?.clone(),
                ac: tables.ac.get(usize::from(slots & 0xF))?.clone(),
            });
        }
        let n_units = header.n_units(is_single.then(|| parts[0].component))?;
        let (first, last) = match header.process {
            JpegProcess::Progressive if first <= last && last < 64 => (u32::from(first), u32::from(last)),
            JpegProcess::Progressive => return None,
            _ => (0, 63),
        };
        let scan = Self {
            process: header.process,
            parts,
            n_units,
            first,
            last,
            is_refinement: approximation >> 4 > 0,
            missing_bits: if header.process == JpegProcess::Progressive { approximation & 0xF } else { 0 },
        };
        // Streams of some cameras define no tables, for a decoder to take the usual ones.
        let has_tables = scan.parts.iter().all(|part| {
            let needs_dc = scan.first == 0 && !(scan.is_progressive() && scan.is_refinement);
            let needs_ac = scan.last > 0;
            (part.dc.is_some() || !needs_dc) && (part.ac.is_some() || !needs_ac)
        });
        has_tables.then_some(scan)
    }

    fn is_progressive(&self) -> bool {
        self.process == JpegProcess::Progressive
    }

    /// Reads `coded`, the bytes that follow the header. `nonzero` has, for each component and block, a bit for each AC
    /// coefficient that a scan before has set.
    fn is_whole(&self, coded: &[u8], restart_interval: usize, nonzero: &mut [Vec<u64>]) -> bool {
        let per_interval = if restart_interval == 0 { self.n_units } else { restart_interval };
        let mut intervals = intervals(coded);
        let mut done = 0;
        while done < self.n_units {
            let Some(interval) = intervals.next() else { return false };
            let units = done..self.n_units.min(done + per_interval);
            done = units.end;
            let mut bits = Bits::new(interval);
            let is_read = self.read_units(units, &mut bits, nonzero).is_ok();
            if !is_read || bits.n_left() > MOST_PADDING {
                return false;
            }
        }
        true
    }

    fn read_units(
        &self,
        units: std::ops::Range<usize>,
        bits: &mut Bits<'_>,
        nonzero: &mut [Vec<u64>],
    ) -> Result<(), Damaged> {
        let mut n_empty = 0;
        for unit in units {
            for part in &self.parts {
                if self.is_progressive() && self.first > 0 {
                    let nonzero = &mut nonzero[part.component];
                    nonzero.resize(self.n_units, 0);
                    let ac = part.ac.as_ref().ok_or(Damaged)?;
                    self.read_band(bits, ac, &mut nonzero[unit], &mut n_empty)?;
                    continue;
                }
                for _ in 0..part.n_blocks {
                    self.read_block(part, bits)?;
                }
            }
        }
        Ok(())
    }

    /// A block of a sequential stream, or the DC coefficient of a progressive one.
    fn read_block(&self, part: &ScanPart, bits: &mut Bits<'_>) -> Result<(), Damaged> {
        if self.is_progressive() && self.is_refinement {
            bits.take(1)?;
            return Ok(());
        }
        let n = bits.decode(part.dc.as_ref().ok_or(Damaged)?)?;
        bits.take(bits_of(n)?)?;
        let Some(ac) = part.ac.as_ref().filter(|_| self.last > 0) else { return Ok(()) };
        let (mut at, mut n_lowest) = (1, 0);
        while at <= 63 {
            let (run, n) = run_and_bits(bits.decode(ac)?);
            match (run, n) {
                (0, 0) => return Ok(()),
                (_, 0) => at += 16,
                _ => {
                    at += run + 1;
                    n_lowest += u32::from(bits.take(n)? == 0);
                }
            }
        }
        // Bytes of zeros in the place of data read as blocks of 63 times the same coefficient, the lowest of its size.
        if at == 64 && n_lowest < 63 { Ok(()) } else { Err(Damaged) }
    }

    /// The AC coefficients of a block in a progressive scan (figures G.3 and G.7). After a code for the end of the band,
    /// `n_empty` more blocks have no new coefficients.
    fn read_band(
        &self,
        bits: &mut Bits<'_>,
        ac: &HuffmanTable,
        nonzero: &mut u64,
        n_empty: &mut u32,
    ) -> Result<(), Damaged> {
        let mut at = self.first;
        if *n_empty == 0 {
            while at <= self.last {
                let (run, n) = run_and_bits(bits.decode(ac)?);
                if n == 0 && run < 15 {
                    *n_empty = (1 << run) + bits.take(run)?;
                    break;
                }
                bits.take(n)?;
                at = self.skip_zeros(bits, *nonzero, at, run)?;
                if n > 0 {
                    *nonzero |= 1_u64.checked_shl(at).filter(|_| at <= self.last).ok_or(Damaged)?;
                }
                at += 1;
            }
        }
        if *n_empty > 0 {
            *n_empty -= 1;
            self.skip_zeros(bits, *nonzero, at, 64)?;
        }
        Ok(())
    }

    /// The place of the next coefficient after `run` that are zero so far. In a refinement, each nonzero one on the way has
    /// a bit.
    fn skip_zeros(
        &self,
        bits: &mut Bits<'_>,
        nonzero: u64,
        mut at: u32,
        mut run: u32,
    ) -> Result<u32, Damaged> {
        if !self.is_refinement {
            return Ok(at + run);
        }
        while at <= self.last {
            if nonzero >> at & 1 == 1 {
                bits.take(1)?;
            } else if run == 0 {
                break;
            } else {
                run -= 1;
            }
            at += 1;
        }
        Ok(at)
    }
}

/// The run of zeros and the number of bits of the coefficient after it, in the value of a code.
fn run_and_bits(value: u8) -> (u32, u32) {
    (u32::from(value >> 4), u32::from(value & 0xF))
}

/// The bits of a DC difference: at most 16 (table F.1 has 11, extended streams have more).
fn bits_of(value: u8) -> Result<u32, Damaged> {
    if value <= 16 { Ok(u32::from(value)) } else { Err(Damaged) }
}

/// The coded bytes between the restart markers.
fn intervals(coded: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(coded);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let end = bytes.array_windows().position(|&[a, b]| a == 0xFF && (0xD0..=0xD7).contains(&b));
        rest = end.map(|end| &bytes[end + 2..]);
        Some(end.map_or(bytes, |end| &bytes[..end]))
    })
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, RgbImage};

    use super::*;

    fn is_whole(stream: &[u8]) -> bool {
        have_every_block(stream, &JpegHeader::of(stream).expect("a header"))
    }

    /// Pictures with detail everywhere, of sides that blocks do not divide.
    fn streams() -> [Vec<u8>; 2] {
        let grey = GrayImage::from_fn(101, 67, |x, y| Luma([((x * x + y * 7) % 251) as u8]));
        let colour = RgbImage::from_fn(101, 67, |x, y| image::Rgb([x as u8, (x * y % 251) as u8, y as u8]));
        let (mut a, mut b) = (Vec::new(), Vec::new());
        image::codecs::jpeg::JpegEncoder::new(&mut a).encode_image(&grey).expect("memory");
        image::codecs::jpeg::JpegEncoder::new(&mut b).encode_image(&colour).expect("memory");
        [a, b]
    }

    #[test]
    fn a_stream_is_whole_until_a_part_is_cut_out() {
        for stream in streams() {
            assert!(is_whole(&stream));
            let header =
                stream.windows(2).position(|pair| pair == [0xFF, START_OF_SCAN]).expect("a scan") + 14;
            let n_coded = stream.len() - 2 - header;
            for percent in 1..99 {
                let kept = &stream[..header + n_coded * percent / 100];
                let zeros = vec![0; stream.len() - kept.len()];
                assert!(!is_whole(&[kept, &[0xFF, 0xD9]].concat()), "{percent} % kept");
                assert!(!is_whole(&[kept, &zeros, &[0xFF, 0xD9]].concat()), "{percent} % kept, then zeros");
            }
        }
    }

    #[test]
    fn padding_is_accepted_and_much_of_it_is_not() {
        let [mut stream, _] = streams();
        let end = stream.len() - 2;
        stream.splice(end..end, [0xFF, 0xFF, 0x00, 0x00]);
        assert!(is_whole(&stream), "padding");
        stream.splice(end..end, [0x11; 500]);
        assert!(!is_whole(&stream));
    }

    #[test]
    fn without_tables_or_with_an_unknown_component_the_decoder_decides() {
        let [mut stream, _] = streams();
        let scan = stream.windows(2).position(|pair| pair == [0xFF, START_OF_SCAN]).expect("a scan");
        stream[scan + 5] = 77;
        assert!(is_whole(&stream[..scan + 20]));
    }
}
