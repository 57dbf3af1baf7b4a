//! The structure of a DICOM file, checked before a parser sees it: where the data set begins, how it is encoded, and that
//! every length stays within the file (PS3.5 section 7, PS3.10 section 7). A parser believes a length of four gigabytes
//! and reserves the memory first.

use dicom_core::dictionary::{DataDictionary as _, DataDictionaryEntry as _};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::StandardDataDictionary;

/// Bytes before the magic number.
const PREAMBLE: usize = 128;
const MAGIC: &[u8] = b"DICM";
/// Deepest nesting of sequences; radiographs have three.
const MAX_DEPTH: usize = 16;
/// Most bytes of all elements before the pixels: an element takes many times its bytes in memory.
const MAX_HEADER: usize = 16 << 20;
/// Most items of sequences, and fragments, up to the pixels: an item takes a kilobyte in memory, also an empty one. Radiographs have
/// a few hundred at most, images of many frames several ten thousand.
const MAX_ITEMS: usize = 100_000;
const UNDEFINED: u32 = u32::MAX;

const TRANSFER_SYNTAX_UID: Tag = Tag(0x0002, 0x0010);
const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);

/// Explicit VR little endian, which most transfer syntaxes encode the data set in.
pub(super) const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";
const IMPLICIT_LITTLE: &str = "1.2.840.10008.1.2";
const EXPLICIT_BIG: &str = "1.2.840.10008.1.2.2";
/// Explicit VR little endian, and the whole data set deflated.
pub(super) const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

/// Where the data set of a file begins, and its transfer syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Structure {
    pub(super) transfer_syntax: String,
    pub(super) data_set: usize,
}

/// Whether the content is a DICOM file, with or without preamble and meta header.
pub(crate) fn is_dicom(bytes: &[u8]) -> bool {
    has_magic(bytes) || begins_with_element(bytes)
}

fn has_magic(bytes: &[u8]) -> bool {
    bytes.get(PREAMBLE..PREAMBLE + 4) == Some(MAGIC) || bytes.starts_with(MAGIC)
}

/// Whether a file without magic number begins like a data set: with an element of group 2 or 8, of a length that fits.
fn begins_with_element(bytes: &[u8]) -> bool {
    let encoding = Encoding { explicit: bytes.get(4..6).is_some_and(is_vr), big_endian: false };
    Cursor::new(bytes, encoding).header().is_ok_and(|header| {
        matches!(header.tag, Tag(0x0002 | 0x0008, 0x0000..=0x0020)) && header.length < 1024
    })
}

fn is_vr(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_uppercase) && VR::from_binary([bytes[0], bytes[1]]).is_some()
}

/// Finds the data set of a file for which [`is_dicom`] holds.
///
/// # Errors
/// What is wrong, in words for the user.
pub(super) fn structure_of(bytes: &[u8]) -> Result<Structure, String> {
    let start = match bytes {
        _ if bytes.get(PREAMBLE..PREAMBLE + 4) == Some(MAGIC) => PREAMBLE + 4,
        _ if bytes.starts_with(MAGIC) => 4,
        _ => 0,
    };
    let meta_encoding = Encoding { explicit: true, big_endian: false };
    let mut cursor = Cursor { at: start, ..Cursor::new(bytes, meta_encoding) };
    let mut transfer_syntax = None;
    while cursor.bytes.get(cursor.at..cursor.at + 2) == Some(&[0x02, 0x00]) {
        let header = cursor.header()?;
        let value = cursor.value(header.length)?;
        if header.tag == TRANSFER_SYNTAX_UID {
            let uid = String::from_utf8_lossy(value);
            transfer_syntax = Some(uid.trim_end_matches(['\0', ' ']).to_owned());
        }
    }
    let first_vr = bytes.get(cursor.at + 4..cursor.at + 6);
    let guessed = if first_vr.is_some_and(is_vr) { EXPLICIT_LITTLE } else { IMPLICIT_LITTLE };
    let transfer_syntax = transfer_syntax.unwrap_or_else(|| guessed.to_owned());
    Ok(Structure { transfer_syntax, data_set: cursor.at })
}

/// Checks that every element of a data set lies within it, and returns where the part ends that is used: nothing after the
/// pixels is, so it need not be parsed.
///
/// # Errors
/// What is wrong, in words for the user.
pub(super) fn check_lengths(data_set: &[u8], transfer_syntax: &str) -> Result<usize, String> {
    let encoding = Encoding {
        explicit: transfer_syntax != IMPLICIT_LITTLE,
        big_endian: transfer_syntax == EXPLICIT_BIG,
    };
    let mut cursor = Cursor::new(data_set, encoding);
    cursor.elements(data_set.len(), 0)?;
    Ok(cursor.used)
}

#[derive(Clone, Copy)]
struct Encoding {
    /// Whether the value representation is written.
    explicit: bool,
    big_endian: bool,
}

struct Header {
    tag: Tag,
    vr: VR,
    length: u32,
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    encoding: Encoding,
    /// Items and fragments so far.
    n_items: usize,
    /// Where the last element of the data set ends that is used.
    used: usize,
}

impl<'a> Cursor<'a> {
    fn new(bytes: &'a [u8], encoding: Encoding) -> Self {
        Self { bytes, at: 0, encoding, n_items: 0, used: 0 }
    }

    /// Elements up to `end`, or up to the end of an item of undefined length.
    fn elements(&mut self, end: usize, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err("damaged DICOM file: sequences are nested too deeply".to_owned());
        }
        while self.at < end {
            let header = self.header()?;
            if header.tag == ITEM_END {
                return Ok(());
            }
            if header.tag == PIXEL_DATA {
                self.pixel_data(header.length)?;
            } else if header.vr == VR::SQ || header.length == UNDEFINED {
                // A sequence in an element of unknown representation is implicitly encoded (PS3.5 section 6.2.2).
                let outer = self.encoding;
                self.encoding.explicit &= header.vr != VR::UN;
                self.sequence(header.length, depth)?;
                self.encoding = outer;
            } else {
                self.value(header.length)?;
            }
            if depth == 0 && header.tag <= PIXEL_DATA {
                if header.tag < PIXEL_DATA && self.at > MAX_HEADER {
                    return Err(format!("too large: its header has more than {} MiB", MAX_HEADER >> 20));
                }
                if self.n_items > MAX_ITEMS {
                    return Err(format!("too large: its sequences have more than {MAX_ITEMS} items"));
                }
                self.used = self.at;
            }
        }
        Ok(())
    }

    /// The items of a sequence.
    fn sequence(&mut self, length: u32, depth: usize) -> Result<(), String> {
        let end = self.end_of(length)?;
        while self.at < end {
            let header = self.header()?;
            match header.tag {
                SEQUENCE_END => return Ok(()),
                ITEM => {
                    let end = self.end_of(header.length)?;
                    self.elements(end, depth + 1)?;
                }
                _ => return Err(damaged()),
            }
        }
        Ok(())
    }

    /// Plain values, or the fragments of compressed frames.
    fn pixel_data(&mut self, length: u32) -> Result<(), String> {
        if length != UNDEFINED {
            return self.value(length).map(drop);
        }
        // Some writers leave out the end of the sequence at the end of the file.
        while self.at < self.bytes.len() {
            let header = self.header()?;
            match header.tag {
                SEQUENCE_END => return Ok(()),
                ITEM => self.value(header.length).map(drop)?,
                _ => return Err(damaged()),
            }
        }
        Ok(())
    }

    /// Where a value of `length` ends; one of undefined length may reach to the end.
    fn end_of(&self, length: u32) -> Result<usize, String> {
        match length {
            UNDEFINED => Ok(self.bytes.len()),
            _ if length as usize > self.bytes.len() - self.at => Err(truncated()),
            _ => Ok(self.at + length as usize),
        }
    }

    fn value(&mut self, length: u32) -> Result<&'a [u8], String> {
        if length == UNDEFINED {
            return Err(damaged());
        }
        let end = self.end_of(length)?;
        let value = &self.bytes[self.at..end];
        self.at = end;
        Ok(value)
    }

    /// Tag, representation and length of the next element.
    fn header(&mut self) -> Result<Header, String> {
        let tag = Tag(self.u16()?, self.u16()?);
        self.n_items += usize::from(tag == ITEM);
        if tag.0 == 0xFFFE {
            // Items have no representation.
            return Ok(Header { tag, vr: VR::UN, length: self.u32()? });
        }
        if !self.encoding.explicit {
            let vr = StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed());
            return Ok(Header { tag, vr, length: self.u32()? });
        }
        let code = self.take(2)?;
        let vr = VR::from_binary([code[0], code[1]]).unwrap_or(VR::UN);
        let is_long = matches!(
            vr,
            VR::OB
                | VR::OD
                | VR::OF
                | VR::OL
                | VR::OV
                | VR::OW
                | VR::SQ
                | VR::SV
                | VR::UC
                | VR::UN
                | VR::UR
                | VR::UT
                | VR::UV
        );
        if is_long {
            self.take(2)?;
            return Ok(Header { tag, vr, length: self.u32()? });
        }
        Ok(Header { tag, vr, length: u32::from(self.u16()?) })
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.get(..n)).ok_or_else(truncated)?;
        self.at += n;
        Ok(bytes)
    }

    fn u16(&mut self) -> Result<u16, String> {
        let bytes = [self.take(1)?[0], self.take(1)?[0]];
        Ok(if self.encoding.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&mut self) -> Result<u32, String> {
        let (first, second) = (u32::from(self.u16()?), u32::from(self.u16()?));
        Ok(if self.encoding.big_endian { first << 16 | second } else { second << 16 | first })
    }
}

fn truncated() -> String {
    "truncated: the DICOM file ends too early".to_owned()
}

fn damaged() -> String {
    "damaged DICOM file: a sequence is not closed".to_owned()
}
