//! MedMNIST's format: one `.npz` file with `{train,val,test}_images` and `{train,val,test}_labels`.
//!
//! Images are `uint8` of the shape `(n, height, width)` or `(n, height, width, 3)`, labels integers of `(n, 1)` or
//! `(n,)`. The file is a zip archive of arrays in NumPy's format (NumPy enhancement proposal 1), which says its sizes
//! twice; what does not agree is refused before anything is inflated.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use npyz::{DType, NpyHeader, Order, TypeChar};
use zip::ZipArchive;

use super::rows::{self, Row};
use super::{Content, Listing, Packed, Purpose, Source};
use crate::{DataError, Part, SizeLimits};

mod header;
mod medmnist;

/// Most classes that labels can tell; beyond them they are something else.
const MOST_CLASSES: usize = 1000;
/// Most bytes of the labels of a part.
const LABEL_BYTES: u64 = 256 << 20;

/// See the module.
pub(super) struct Npz;

impl Source for Npz {
    fn description(&self) -> &'static str {
        "a MedMNIST .npz file"
    }

    fn recognises(&self, path: &Path) -> bool {
        path.is_file() && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz"))
    }

    fn list(&self, path: &Path, purpose: Purpose<'_>, limits: &SizeLimits) -> Result<Listing, DataError> {
        let read = || {
            let mut archive = Archive::open(path)?;
            let parts = Part::ALL.map(|part| archive.part(part, limits));
            let [train, val, test] = parts;
            Ok(([train?, val?, test?], archive.note()))
        };
        let (parts, note) =
            read().map_err(|reason: String| DataError::Unusable { path: path.into(), reason })?;
        let all: BTreeSet<u64> =
            parts.iter().flatten().flat_map(|part| part.labels.iter().copied()).collect();
        if all.len() > MOST_CLASSES {
            let reason = format!(
                "its labels have {} values, at most {MOST_CLASSES} classes are told apart",
                all.len()
            );
            return Err(DataError::Unusable { path: path.into(), reason });
        }
        let known = medmnist::class_names(path).filter(|names| all.iter().all(|&at| at < names.len() as u64));
        let name = |&label: &u64| match known {
            Some(names) => names[label as usize].to_owned(),
            None => label.to_string(),
        };
        let class_names = all.iter().map(name).collect();
        let class_of: BTreeMap<u64, usize> = all.iter().enumerate().map(|(at, &label)| (label, at)).collect();
        let mut listed = Vec::new();
        for (part, pictures) in Part::ALL.into_iter().zip(parts) {
            let Some(Pictures { pixels, labels }) = pictures else { continue };
            listed.extend(labels.iter().enumerate().map(|(index, label)| Row {
                part: Some(part),
                class: class_of[label],
                name: format!("{part}_images[{index:06}]"),
                patient: None,
                content: Content::Packed { file: path.into(), pixels: Arc::clone(&pixels), index },
            }));
        }
        let mut listing = rows::listing(path, class_names, listed, purpose)?;
        listing.notes.extend(note);
        Ok(listing)
    }
}

/// The pictures of a part.
struct Pictures {
    pixels: Arc<Packed>,
    labels: Vec<u64>,
}

/// One of the arrays, in C order and little endian.
struct Array {
    shape: Vec<u64>,
    kind: TypeChar,
    /// Bytes of an element.
    width: usize,
    bytes: Vec<u8>,
}

/// An open `.npz` file.
struct Archive {
    zip: ZipArchive<BufReader<File>>,
    /// Arrays by key.
    keys: BTreeSet<String>,
    used: BTreeSet<String>,
}

impl Archive {
    fn open(path: &Path) -> Result<Self, String> {
        let no_archive = |error: &dyn std::fmt::Display| {
            format!("it is no .npz file, or a damaged one ({error}); save it again, or fetch it again")
        };
        let mut file = BufReader::new(File::open(path).map_err(|error| no_archive(&error))?);
        let n_stored = entries_stored(&mut file).map_err(|error| no_archive(&error))?;
        let zip = ZipArchive::new(file).map_err(|error| no_archive(&error))?;
        let names: Result<Vec<_>, _> = zip.file_names().collect();
        let names = names.map_err(|error| no_archive(&error))?;
        let n_named = names.len();
        let keys: BTreeSet<String> =
            names.iter().map(|name| name.strip_suffix(".npy").unwrap_or(name).to_owned()).collect();
        // The archive is read by name, which would take one of two for the other.
        if keys.len() != n_named || n_stored.is_some_and(|stored| stored != n_named) {
            return Err("two of its arrays have the same key; save it again with each key once".to_owned());
        }
        Ok(Self { zip, keys, used: BTreeSet::new() })
    }

    /// The pictures and labels of a part, if it has any.
    fn part(&mut self, part: Part, limits: &SizeLimits) -> Result<Option<Pictures>, String> {
        let (images, labels) = (format!("{part}_images"), format!("{part}_labels"));
        match (self.keys.contains(&images), self.keys.contains(&labels)) {
            (false, false) => return Ok(None),
            (true, true) => {}
            (has_images, _) => {
                let (there, missing) = if has_images { (images, labels) } else { (labels, images) };
                return Err(format!("it has `{there}`, but no `{missing}`; save both"));
            }
        }
        let pixels = self.images(&images, limits)?;
        let n = pixels.bytes.len() / pixels.bytes_each();
        let labels = self.labels(&labels, n)?;
        Ok(Some(Pictures { pixels: Arc::new(pixels), labels }))
    }

    fn images(&mut self, key: &str, limits: &SizeLimits) -> Result<Packed, String> {
        let Array { shape, bytes, .. } = self.array(key, limits.array_bytes, |header| {
            let shape = header.shape();
            if type_of(header) != Some((TypeChar::Uint, 1)) {
                let found = header.dtype().descr();
                return Err(format!("has the type {found}, expected uint8: scale to 0..255 and convert"));
            }
            match shape {
                [_, _, _] | [_, _, _, 1 | 3] => {}
                [_, _, _, _] => {
                    return Err(format!(
                        "has the shape {shape:?}, expected (n, height, width) or (n, height, width, 3): volumes \
                         and other 3-D data cannot be used"
                    ));
                }
                _ => {
                    return Err(format!(
                        "has the shape {shape:?}, expected (n, height, width) or (n, height, width, 3)"
                    ));
                }
            }
            if shape.contains(&0) {
                return Err(format!("has the shape {shape:?}: no pixel"));
            }
            let side = u64::max(shape[1], shape[2]);
            if side > u64::from(limits.side) {
                return Err(format!("has pictures of {side} pixels a side, at most {} are read", limits.side));
            }
            Ok(())
        })?;
        let channels = shape.get(3).map_or(1, |&channels| channels as usize);
        Ok(Packed { width: shape[2] as usize, height: shape[1] as usize, channels, bytes })
    }

    fn labels(&mut self, key: &str, n: usize) -> Result<Vec<u64>, String> {
        let Array { kind, width, bytes, .. } = self.array(key, LABEL_BYTES, |header| {
            if !matches!(type_of(header), Some((TypeChar::Uint | TypeChar::Int, 1 | 2 | 4 | 8))) {
                let found = header.dtype().descr();
                return Err(format!("has the type {found}, expected integers: the number of each class"));
            }
            match header.shape() {
                &[count] | &[count, 1] if count == n as u64 => Ok(()),
                &[count] | &[count, 1] => Err(format!("has {count} labels for {n} pictures")),
                &[_, several] => Err(format!(
                    "has {several} labels for each picture: data of several labels cannot be used; keep the pictures \
                     of one label, or make a file for one of the questions"
                )),
                shape => Err(format!("has the shape {shape:?}, expected (n,) or (n, 1)")),
            }
        })?;
        // Little endian: `array` has seen to that.
        let value = |bytes: &[u8]| {
            let mut wide = [0; 8];
            wide[..width].copy_from_slice(bytes);
            let is_negative = kind == TypeChar::Int && bytes[width - 1] >= 128;
            (!is_negative).then(|| u64::from_le_bytes(wide))
        };
        let labels: Option<Vec<u64>> = bytes.chunks_exact(width).map(value).collect();
        labels.ok_or_else(|| format!("`{key}` has negative labels; number the classes from 0"))
    }

    /// An array that `check` accepts by its header.
    fn array(
        &mut self,
        key: &str,
        most_bytes: u64,
        check: impl FnOnce(&NpyHeader) -> Result<(), String>,
    ) -> Result<Array, String> {
        self.used.insert(key.to_owned());
        let damaged =
            |error: &dyn std::fmt::Display| format!("`{key}` is damaged ({error}); fetch the file again");
        let of_key = |reason: String| format!("`{key}` {reason}");
        let name = format!("{key}.npy");
        let name = if self.zip.index_for_name(&name).is_some() { name } else { key.to_owned() };
        let mut entry = self.zip.by_name(&name).map_err(|error| damaged(&error))?;
        let stored = entry.size();
        let (of_header, header) = header::read(&mut entry).map_err(|reason| damaged(&reason))?;
        if header.dtype().uses_pickled_array() {
            return Err(of_key(
                "holds pickled Python objects, which are never loaded; save it as a plain array of numbers"
                    .to_owned(),
            ));
        }
        check(&header).map_err(of_key)?;
        if header.order() == Order::Fortran && header.shape().iter().filter(|&&side| side > 1).count() > 1 {
            return Err(of_key("is in Fortran order; save np.ascontiguousarray of it".to_owned()));
        }
        let (kind, width) = type_of(&header).expect("`check` takes plain types alone");
        if width > 1 && is_big_endian(&header) {
            return Err(of_key("is big endian; convert it with .astype to a native type".to_owned()));
        }
        let shape = header.shape().to_vec();
        let bytes = shape.iter().try_fold(width as u64, |product, &side| product.checked_mul(side));
        let bytes = bytes.filter(|&bytes| bytes <= most_bytes).ok_or_else(|| {
            of_key(format!("has the shape {shape:?}, more than the {} MiB that are read", most_bytes >> 20))
        })?;
        if stored.checked_sub(of_header) != Some(bytes) {
            return Err(damaged(&format!("the shape {shape:?} asks for {bytes} bytes of data")));
        }
        // One byte beyond: the checksum is compared at the end of the entry, and an entry that goes on is none of ours.
        let mut read = Vec::new();
        entry.take(bytes + 1).read_to_end(&mut read).map_err(|error| damaged(&error))?;
        if read.len() as u64 != bytes {
            return Err(damaged(&format!("{} of {bytes} bytes", read.len())));
        }
        Ok(Array { shape, kind, width, bytes: read })
    }

    /// What else the file has.
    fn note(&self) -> Option<String> {
        let others: Vec<&str> = self.keys.difference(&self.used).map(String::as_str).collect();
        (!others.is_empty()).then(|| format!("ignored other arrays: {}", others.join(", ")))
    }
}

/// Kind and bytes of the elements, if they are plain numbers.
fn type_of(header: &NpyHeader) -> Option<(TypeChar, usize)> {
    match header.dtype() {
        DType::Plain(plain) => Some((plain.type_char(), plain.num_bytes()?)),
        _ => None,
    }
}

fn is_big_endian(header: &NpyHeader) -> bool {
    matches!(header.dtype(), DType::Plain(plain) if plain.endianness() == npyz::Endianness::Big)
}

/// The number of entries by the archive's own end record (PKWARE's APPNOTE, 4.3.16), which counts entries of the same
/// name; `None` where it leaves that to a larger record.
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
