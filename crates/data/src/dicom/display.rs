//! From stored values to what a radiologist sees, in the order of the standard (PS3.3 C.11, PS3.4 N.2):
//!
//! 1. stored bits and sign: the bits up to the high bit; the padding value is left out of every statistic;
//! 2. modality: a look-up table, or slope and intercept;
//! 3. values of interest: a look-up table, else the first window, else for 8 bits all values, else a robust range;
//! 4. MONOCHROME1 and the presentation shape INVERSE are inverted last. Both name one inversion: the standard asks for INVERSE
//!    where an image is MONOCHROME1.
//!
//! Overlays are left out. A sample has at most 16 bits, so that all of it becomes one table with an entry for every
//! possible sample. Values of the display are 0 (black) to 65,535 (white); padding is black.

use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::header::{Photometric, PixelLayout, integer, items, number, text};

/// Share of the pixels on each side that may lie outside the displayed range where the file names none.
const TAIL: f64 = 0.005;

/// The grey values of a frame of `layout.rows * layout.columns` samples.
pub(super) fn grey_values(object: &InMemDicomObject, layout: &PixelLayout, frame: &[u8]) -> Vec<u16> {
    match layout.bits_allocated {
        8 => mapped(object, layout, || frame.iter().map(|&sample| usize::from(sample))),
        _ => {
            let samples = frame.as_chunks::<2>().0;
            mapped(object, layout, || samples.iter().map(|&pair| usize::from(u16::from_le_bytes(pair))))
        }
    }
}

/// Maps every sample by the table of its frame.
fn mapped<S: Iterator<Item = usize>>(
    object: &InMemDicomObject,
    layout: &PixelLayout,
    samples: impl Fn() -> S,
) -> Vec<u16> {
    let counts = || {
        let mut counts = vec![0u32; 1 << layout.bits_allocated];
        samples().for_each(|sample| counts[sample] += 1);
        counts
    };
    let table = display_table(object, layout, counts);
    samples().map(|sample| table[sample]).collect()
}

/// The grey value of every possible sample; `counts` says how often each occurs, for the range of a file that names none.
fn display_table(
    object: &InMemDicomObject,
    layout: &PixelLayout,
    counts: impl FnOnce() -> Vec<u32>,
) -> Vec<u16> {
    let padding = Padding::of(object, layout);
    let modality = Modality::of(object, layout);
    let stored = |sample: usize| stored_value(sample, layout);
    let values: Vec<f64> =
        (0..1 << layout.bits_allocated).map(|sample| modality.apply(stored(sample))).collect();
    let range = || match layout.bits_stored {
        // Eight bits are what a screen shows.
        ..=8 => {
            let ends = [0, (1 << layout.bits_stored) - 1];
            let [first, last] = ends.map(|above| modality.apply(stored_min(layout) + above));
            // With a negative slope the largest sample is the darkest.
            (first.min(last), first.max(last))
        }
        _ => robust_range(&values, &counts(), |sample| padding.contains(stored(sample))),
    };
    let interest = Interest::of(object, modality.is_signed(layout), range);
    let is_inverse = text(object, tags::PRESENTATION_LUT_SHAPE).as_deref() == Some("INVERSE");
    let is_inverted = is_inverse || layout.photometric == Photometric::Monochrome1;
    let shade = |(sample, &value): (usize, &f64)| {
        let grey = interest.apply(value);
        let grey = if is_inverted { 1.0 - grey } else { grey };
        if padding.contains(stored(sample)) { 0 } else { (grey * 65_535.0).round_ties_even() as u16 }
    };
    values.iter().enumerate().map(shade).collect()
}

/// The value in the stored bits of a sample.
fn stored_value(sample: usize, layout: &PixelLayout) -> i64 {
    let bits = layout.bits_stored;
    let value = (sample as i64 >> (layout.high_bit + 1 - bits)) & ((1 << bits) - 1);
    if layout.is_signed && value >> (bits - 1) == 1 { value - (1 << bits) } else { value }
}

fn stored_min(layout: &PixelLayout) -> i64 {
    if layout.is_signed { -(1 << (layout.bits_stored - 1)) } else { 0 }
}

/// Values that stand for no measurement (PS3.3 section C.7.5.1.1.2).
struct Padding(Option<(i64, i64)>);

impl Padding {
    fn of(object: &InMemDicomObject, layout: &PixelLayout) -> Self {
        let lowest = stored_min(layout);
        let highest = lowest + (1 << layout.bits_stored) - 1;
        let value_of = |tag| {
            let written = integer(object, tag)?;
            let n_samples = 1i64 << layout.bits_allocated;
            // The representation of the padding value may be written as the wrong one of signed and unsigned.
            let value = match layout.is_signed {
                true if written >= n_samples / 2 => written - n_samples,
                false if written < 0 => written + n_samples,
                _ => written,
            };
            // Such as 65535 where 12 bits are stored: its lowest 12 bits are those of white.
            (lowest..=highest).contains(&value).then_some(value)
        };
        let value = value_of(tags::PIXEL_PADDING_VALUE);
        let limit = value_of(tags::PIXEL_PADDING_RANGE_LIMIT).or(value);
        Self(value.zip(limit).map(|(value, limit)| (value.min(limit), value.max(limit))))
    }

    fn contains(&self, stored: i64) -> bool {
        self.0.is_some_and(|(low, high)| (low..=high).contains(&stored))
    }
}

/// From stored values to those of the device (PS3.3 section C.11.1).
enum Modality {
    Table(Table),
    Line { slope: f64, intercept: f64 },
}

impl Modality {
    fn of(object: &InMemDicomObject, layout: &PixelLayout) -> Self {
        let table = items(object, tags::MODALITY_LUT_SEQUENCE)
            .first()
            .and_then(|item| Table::of(item, layout.is_signed));
        let slope = number(object, tags::RESCALE_SLOPE).filter(|&slope| slope != 0.0).unwrap_or(1.0);
        let intercept = number(object, tags::RESCALE_INTERCEPT).unwrap_or(0.0);
        table.map_or(Self::Line { slope, intercept }, Self::Table)
    }

    fn apply(&self, stored: i64) -> f64 {
        match self {
            Self::Table(table) => table.entry(stored as f64),
            Self::Line { slope, intercept } => stored as f64 * slope + intercept,
        }
    }

    /// Whether its values can be negative, which decides how the first value of a later table is read.
    fn is_signed(&self, layout: &PixelLayout) -> bool {
        match self {
            Self::Table(_) => false,
            Self::Line { .. } => layout.is_signed || self.apply(0) < 0.0,
        }
    }
}

/// From the values of the device to grey, 0 to 1 (PS3.3 section C.11.2).
enum Interest {
    Table(Table),
    Window { function: WindowFunction, centre: f64, width: f64 },
    Range { low: f64, high: f64 },
}

#[derive(Clone, Copy)]
enum WindowFunction {
    Linear,
    LinearExact,
    Sigmoid,
}

impl Interest {
    /// `is_signed` is how the first value of a table is read; `range` is called where the file names neither table nor window.
    fn of(object: &InMemDicomObject, is_signed: bool, range: impl FnOnce() -> (f64, f64)) -> Self {
        if let Some(table) =
            items(object, tags::VOILUT_SEQUENCE).first().and_then(|item| Table::of(item, is_signed))
        {
            return Self::Table(table);
        }
        let function = match text(object, tags::VOILUT_FUNCTION).as_deref() {
            Some("LINEAR_EXACT") => WindowFunction::LinearExact,
            Some("SIGMOID") => WindowFunction::Sigmoid,
            _ => WindowFunction::Linear,
        };
        let min_width = if matches!(function, WindowFunction::Linear) { 1.0 } else { f64::MIN_POSITIVE };
        let window = number(object, tags::WINDOW_CENTER).zip(number(object, tags::WINDOW_WIDTH));
        if let Some((centre, width)) = window.filter(|&(_, width)| width >= min_width) {
            return Self::Window { function, centre, width };
        }
        let (low, high) = range();
        Self::Range { low, high }
    }

    fn apply(&self, value: f64) -> f64 {
        match *self {
            Self::Table(ref table) => table.entry(value) / f64::from((1u32 << table.bits) - 1),
            Self::Window { function, centre, width } => function.apply(value, centre, width),
            Self::Range { low, high } => ((value - low) / (high - low)).clamp(0.0, 1.0),
        }
    }
}

impl WindowFunction {
    /// Grey of 0 to 1 (PS3.3 section C.11.2.1.2).
    fn apply(self, value: f64, centre: f64, width: f64) -> f64 {
        match self {
            Self::Linear => {
                let (centre, width) = (centre - 0.5, width - 1.0);
                if value <= centre - width / 2.0 {
                    0.0
                } else if value > centre + width / 2.0 {
                    1.0
                } else {
                    (value - centre) / width + 0.5
                }
            }
            Self::LinearExact => ((value - centre) / width + 0.5).clamp(0.0, 1.0),
            Self::Sigmoid => 1.0 / (1.0 + libm::exp(-4.0 * (value - centre) / width)),
        }
    }
}

/// A look-up table (PS3.3 sections C.11.1.1 and C.11.2.1.1).
struct Table {
    /// The input of the first entry; smaller inputs have this entry too.
    first: f64,
    /// Bits of an entry.
    bits: u32,
    entries: Vec<u16>,
}

impl Table {
    /// `is_signed` is how the first input is read.
    fn of(item: &InMemDicomObject, is_signed: bool) -> Option<Self> {
        let descriptor = item.get(tags::LUT_DESCRIPTOR)?.to_multi_int::<i64>().ok()?;
        let [n_entries, first, bits] = <[i64; 3]>::try_from(descriptor).ok()?;
        let n_entries = match n_entries & 0xFFFF {
            0 => 1 << 16,
            n => n as usize,
        };
        let first = if is_signed { i64::from(first as i16) } else { first & 0xFFFF };
        let bits = u32::try_from(bits).ok().filter(|bits| (1..=16).contains(bits))?;
        let data = item.get(tags::LUT_DATA)?;
        let bytes = data.to_bytes().ok()?;
        // Tables of 8 bits may be packed two to a word.
        let mut entries: Vec<u16> = if bits <= 8 && bytes.len() < 2 * n_entries {
            bytes.iter().map(|&byte| u16::from(byte)).collect()
        } else {
            bytes.as_chunks::<2>().0.iter().map(|&pair| u16::from_le_bytes(pair)).collect()
        };
        entries.truncate(n_entries);
        (!entries.is_empty()).then_some(Self { first: first as f64, bits, entries })
    }

    fn entry(&self, value: f64) -> f64 {
        let index = (value - self.first).max(0.0) as usize;
        f64::from(self.entries[index.min(self.entries.len() - 1)])
    }
}

/// The values between which all but the tails of the pixels lie; of at most 8 bits stored, all values.
fn robust_range(values: &[f64], counts: &[u32], is_padding: impl Fn(usize) -> bool) -> (f64, f64) {
    let mut present: Vec<(f64, u32)> = (0..values.len())
        .filter(|&sample| counts[sample] > 0 && !is_padding(sample))
        .map(|sample| (values[sample], counts[sample]))
        .collect();
    present.sort_by(|a, b| a.0.total_cmp(&b.0));
    let n: f64 = present.iter().map(|&(_, count)| f64::from(count)).sum();
    let tail = TAIL * n;
    let (low, high) = (quantile(present.iter(), tail), quantile(present.iter().rev(), tail));
    if low < high { (low, high) } else { (low, low + 1.0) }
}

/// The first value with more than `tail` pixels at it and before it.
fn quantile<'a>(mut sorted: impl Iterator<Item = &'a (f64, u32)>, tail: f64) -> f64 {
    let mut n_before = 0.0;
    let is_beyond = |&&(_, count): &&(f64, u32)| {
        n_before += f64::from(count);
        n_before > tail
    };
    sorted.find(is_beyond).map_or(0.0, |&(value, _)| value)
}
