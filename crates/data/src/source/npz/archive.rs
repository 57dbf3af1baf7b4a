//! An `.npz` file as arrays by key: a zip archive of files in NumPy's format (NumPy enhancement proposal 1).
//!
//! The headers state the size of each array, so the decompressed size is known before anything is decompressed.

use std::collections::BTreeSet;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use npyz::{DType, NpyHeader, Order, TypeChar};
use zip::{CompressionMethod, ZipArchive};

use super::header;
use crate::disk::InputFile;
use crate::options::SizeLimits;

/// [`MOST_GROWTH`] applies when all arrays together have more bytes than this.
const SMALL: u64 = 16 << 20;
/// Largest compression ratio: films are compressed to two thirds, drawings to a fiftieth, zeros to a thousandth.
const MOST_GROWTH: u64 = 200;
/// Most keys in an error or a note.
const SHOWN: usize = 12;

/// An array that can be read: in C order, little endian, of plain numbers.
pub(super) struct Array {
    /// Its entry in the archive, and the bytes of the entry before the data.
    entry: String,
    of_header: u64,
    pub(super) key: String,
    pub(super) shape: Vec<u64>,
    pub(super) kind: TypeChar,
    /// Bytes of an element.
    pub(super) width: usize,
    n_bytes: usize,
}

/// An open file.
pub(super) struct Archive {
    zip: ZipArchive<BufReader<InputFile>>,
    keys: BTreeSet<String>,
    used: BTreeSet<String>,
    /// Of the file, and of all arrays whose headers were read.
    file_bytes: u64,
    array_bytes: u64,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let not_an_archive = |error: &dyn std::fmt::Display| {
            format!("it is not a .npz file, or it is damaged ({error}); save or download it again")
        };
        let mut file =
            BufReader::new(InputFile::open(path).map_err(|error| format!("it cannot be read ({error})"))?);
        let file_bytes = file.seek(SeekFrom::End(0)).map_err(|error| not_an_archive(&error))?;
        if file_bytes == 0 {
            return Err("it is empty (0 bytes); save or download it again".to_owned());
        }
        let n_stored = entries_stored(&mut file).map_err(|error| not_an_archive(&error))?;
        let zip = ZipArchive::new(file).map_err(|error| not_an_archive(&error))?;
        let names: Result<Vec<_>, _> = zip.file_names().collect();
        let names = names.map_err(|error| not_an_archive(&error))?;
        let n_named = names.len();
        let keys: BTreeSet<String> =
            names.iter().map(|name| name.strip_suffix(".npy").unwrap_or(name).to_owned()).collect();
        // The archive is read by name, so one of two arrays with the same name would be read twice.
        if keys.len() != n_named || n_stored.is_some_and(|stored| stored != n_named) {
            return Err("two of its arrays have the same key; save it again with unique keys".to_owned());
        }
        Ok(Self { zip, keys, used: BTreeSet::new(), file_bytes, array_bytes: 0 })
    }

    /// Its bytes.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// Reads the header of an array without decompressing more than that; `check` may reject it.
    pub(super) fn array(
        &mut self,
        key: &str,
        limits: &SizeLimits,
        check: impl FnOnce(&NpyHeader) -> Result<(), String>,
    ) -> Result<Array, String> {
        self.used.insert(key.to_owned());
        let of_key = |reason: String| format!("`{key}` {reason}");
        let entry = format!("{key}.npy");
        let entry = if self.zip.index_for_name(&entry).is_some() { entry } else { key.to_owned() };
        let mut file = self.zip.by_name(&entry).map_err(|error| damaged(key, &error))?;
        if !matches!(file.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            let method = file.compression().to_string().to_lowercase();
            return Err(of_key(format!(
                "is compressed by {method}, which is not supported; save it again with np.savez_compressed"
            )));
        }
        let (of_header, header) = header::read(&mut file).map_err(|reason| damaged(key, &reason))?;
        if header.dtype().uses_pickled_array() {
            return Err(of_key(
                "holds pickled Python objects, which are never loaded; save it as a plain array of numbers"
                    .to_owned(),
            ));
        }
        check(&header).map_err(of_key)?;
        if header.order() == Order::Fortran && header.shape().iter().filter(|&&side| side > 1).count() > 1 {
            return Err(of_key("is in Fortran order; save it again after np.ascontiguousarray".to_owned()));
        }
        let (kind, width) = type_of(&header).expect("`check` accepts plain types only");
        if width > 1 && is_big_endian(&header) {
            return Err(of_key("is big-endian; convert it with .astype to a native type".to_owned()));
        }
        let shape = header.shape().to_vec();
        let n_bytes = shape.iter().try_fold(width as u64, |product, &side| product.checked_mul(side));
        let together = n_bytes.and_then(|bytes| self.array_bytes.checked_add(bytes));
        let (Some(n_bytes), Some(together)) = (n_bytes, together.filter(|all| *all <= limits.array_bytes))
        else {
            return Err(of_key(format!(
                "has the shape {shape:?}: all arrays together exceed the limit of {} MiB; use a version with smaller \
                 images, or fewer images",
                limits.array_bytes >> 20
            )));
        };
        if together > SMALL && together / MOST_GROWTH > self.file_bytes {
            return Err(of_key(format!(
                "has the shape {shape:?}: a file of {} KiB would be decompressed to {} MiB, which no images need; save it \
                 again with np.savez, which does not compress",
                self.file_bytes >> 10,
                together >> 20
            )));
        }
        self.array_bytes = together;
        if file.size().checked_sub(of_header) != Some(n_bytes) {
            return Err(damaged(key, &format!("the shape {shape:?} needs {n_bytes} bytes of data")));
        }
        let n_bytes =
            usize::try_from(n_bytes).map_err(|_| of_key("is too large for this machine".to_owned()))?;
        drop(file);
        Ok(Array { entry, of_header, key: key.to_owned(), shape, kind, width, n_bytes })
    }

    /// The elements of an array.
    pub(super) fn bytes(&mut self, array: &Array) -> Result<Vec<u8>, String> {
        let Array { entry, of_header, key, n_bytes, .. } = array;
        let mut file = self.zip.by_name(entry).map_err(|error| damaged(key, &error))?;
        let damaged = |error: std::io::Error| damaged(key, &error);
        std::io::copy(&mut file.by_ref().take(*of_header), &mut std::io::sink()).map_err(damaged)?;
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(*n_bytes).is_err() {
            let mib = n_bytes >> 20;
            return Err(format!(
                "`{key}` needs {mib} MiB of memory, more than is free; use a version with smaller images"
            ));
        }
        // One byte more than expected: the checksum is only compared at the end of the entry, and a longer entry is an
        // error.
        file.take(*n_bytes as u64 + 1).read_to_end(&mut bytes).map_err(damaged)?;
        if bytes.len() != *n_bytes {
            return Err(self::damaged(key, &format!("{} of {n_bytes} bytes", bytes.len())));
        }
        Ok(bytes)
    }

    /// The keys, or the first of them, as text.
    pub(super) fn keys(&self) -> String {
        if self.keys.is_empty() { "no arrays".to_owned() } else { listed(self.keys.iter()) }
    }

    /// A note on arrays that are not used.
    pub(super) fn note(&self) -> Option<String> {
        let others: Vec<&String> = self.keys.difference(&self.used).collect();
        (!others.is_empty()).then(|| format!("ignored other arrays: {}", listed(others.into_iter())))
    }
}

fn listed<'a>(keys: impl ExactSizeIterator<Item = &'a String>) -> String {
    let more = if keys.len() > SHOWN { ", ..." } else { "" };
    keys.take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ") + more
}

fn damaged(key: &str, error: &dyn std::fmt::Display) -> String {
    format!("`{key}` is damaged ({error}); download the file again")
}

/// Kind and bytes of the elements, if they are plain numbers.
pub(super) fn type_of(header: &NpyHeader) -> Option<(TypeChar, usize)> {
    match header.dtype() {
        DType::Plain(plain) => Some((plain.type_char(), plain.num_bytes()?)),
        _ => None,
    }
}

fn is_big_endian(header: &NpyHeader) -> bool {
    matches!(header.dtype(), DType::Plain(plain) if plain.endianness() == npyz::Endianness::Big)
}

/// The number of entries in the archive's end record (PKWARE's APPNOTE, 4.3.16), which counts entries of the same name;
/// `None` if only a larger record has it.
fn entries_stored(file: &mut (impl Read + Seek)) -> std::io::Result<Option<usize>> {
    /// Bytes of the record, and the most that may follow it.
    const RECORD: u64 = 22;
    const COMMENT: u64 = 65_535;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(RECORD + COMMENT)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    file.seek(SeekFrom::Start(0))?;
    let record = tail.windows(RECORD as usize).rev().find(|window| window.starts_with(b"PK\x05\x06"));
    let count = record.map(|record| usize::from(u16::from_le_bytes([record[10], record[11]])));
    Ok(count.filter(|&count| count < usize::from(u16::MAX)))
}
