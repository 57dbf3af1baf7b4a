//! The first directory of a TIFF file, or of an EXIF block, which is one (TIFF 6.0, section 2).

use image::ImageFormat;
use image::metadata::Orientation;

const COMPRESSION: u32 = 0x103;
const PHOTOMETRIC_INTERPRETATION: u32 = 0x106;
const ORIENTATION: u32 = 0x112;
const EXTRA_SAMPLES: u32 = 0x152;
const SAMPLE_FORMAT: u32 = 0x153;

/// Bytes of an entry: tag, type, number of values, and the values or where they are.
const ENTRY: usize = 12;

pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    is_little_endian: bool,
    /// Where its entries begin.
    at: usize,
    n_entries: usize,
}

impl<'a> Directory<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let is_little_endian = match bytes.get(..4)? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        };
        let header = Self { bytes, is_little_endian, at: 0, n_entries: 0 };
        let at = header.number(4, 4)? as usize;
        Some(Self { at: at + 2, n_entries: header.number(at, 2)? as usize, ..header })
    }

    /// That of a TIFF file; `None` for other formats.
    pub(super) fn of_tiff(bytes: &'a [u8], format: ImageFormat) -> Option<Self> {
        if format == ImageFormat::Tiff { Self::of(bytes) } else { None }
    }

    fn number(&self, at: usize, n_bytes: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at + n_bytes)?;
        let append = |number, &byte: &u8| number << 8 | u32::from(byte);
        Some(match self.is_little_endian {
            true => bytes.iter().rev().fold(0, append),
            false => bytes.iter().fold(0, append),
        })
    }

    /// Where the entries of a tag are: one, unless the file is damaged or hostile.
    fn entries(&self, tag: u32) -> impl Iterator<Item = usize> {
        let entries = (0..self.n_entries).map(move |entry| self.at + ENTRY * entry);
        entries.filter(move |&at| self.number(at, 2) == Some(tag))
    }

    /// The first value of a tag, if it is a whole number of two or four bytes.
    fn value(&self, tag: u32) -> Option<u32> {
        self.value_of(self.entries(tag).next()?)
    }

    /// The first value of an entry, if it is a whole number of two or four bytes.
    fn value_of(&self, entry: usize) -> Option<u32> {
        let n_bytes = match self.number(entry + 2, 2)? {
            3 => 2,
            4 => 4,
            _ => return None,
        };
        // Values of more than four bytes together are elsewhere.
        let is_here = self.number(entry + 4, 4)? as usize <= 4 / n_bytes;
        let at = if is_here { entry + 8 } else { self.number(entry + 8, 4)? as usize };
        self.number(at, n_bytes)
    }

    /// Whether its pixels are JPEG streams, also where only one of several entries says that, or the number is of a type that
    /// the decoder reads and this does not.
    pub(super) fn is_jpeg(&self) -> bool {
        let is_jpeg = |entry| self.value_of(entry).is_none_or(|compression| matches!(compression, 6 | 7));
        self.entries(COMPRESSION).any(is_jpeg)
    }

    /// How the image has to be rotated or mirrored.
    pub(super) fn orientation(&self) -> Option<Orientation> {
        Orientation::from_exif(u8::try_from(self.value(ORIENTATION)?).ok()?)
    }

    /// What the samples are, if they are other than whole numbers from 0 on.
    pub(super) fn unusual_samples(&self) -> Option<&'static str> {
        match self.value(SAMPLE_FORMAT)? {
            2 => Some("signed whole numbers"),
            3 => Some("floating-point numbers"),
            _ => None,
        }
    }

    /// Whether the smallest sample of a grey image is white.
    pub(super) fn is_white_zero(&self) -> bool {
        self.value(PHOTOMETRIC_INTERPRETATION) == Some(0)
    }

    /// Whether the colours are multiplied by the opacity already: they lie on black.
    pub(super) fn is_premultiplied(&self) -> bool {
        self.value(EXTRA_SAMPLES) == Some(1)
    }

    /// Whether another directory follows: of another image.
    pub(super) fn has_next(&self) -> bool {
        self.number(self.at + ENTRY * self.n_entries, 4).is_some_and(|next| next > 0)
    }
}
