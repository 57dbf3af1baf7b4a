//! A file with everything that was made of the files of a data set, so that another run need not decode them again.
//!
//! ```text
//! pixels of the images, each where its record says     8 bit, as decoded: 1 or 3 channels
//! records: key, number of items, what the training images decide together,
//!          for each item its identity and its image, or its error; duplicates
//! where the records begin (8 bytes), BLAKE3 of the records (32), MAGIC (16)
//! ```
//!
//! It is written under a temporary name, forced onto the disk and renamed: of two runs that make it at once, each writes its
//! own, and the last one stays. A file is used only if
//! - it ends as it should, and the digests of its records and of the pixels of each image are right;
//! - its key is that of the program, the options and the list of files (`key`);
//! - every file of the data is what it was (`file_identity`). What could not be read then has to fail in the same way now.
//!
//! Otherwise the run goes on as without it, and writes a new one in its place. Nothing in it depends on labels, names, patients
//! or splits; those are found anew by every run.
//!
//! While it is written, and when it is used, pixels are not in memory: they are written as soon as an image is decoded, read
//! again by the passes that need those of all images, and stay in the file for the sets ([`PixelFile`]).

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::decode::{Decoded, FileTraits, Unusable};
use crate::digest::ImageDigest;
use crate::disk::{self, InputFile, PositionedFile};
use crate::duplicates::DuplicatePair;
use crate::error::DataError;
use crate::file_facts::{FileFacts, Origin};
use crate::file_identity::FileIdentity;
use crate::negatives::BrightnessPattern;
use crate::options::LoadOptions;
use crate::parts::Parts;
use crate::pixel_file::{PixelFile, StoredImage};
use crate::progress::{Progress, Stage};
use crate::record::{Record, fields};
use crate::small_image::SmallImage;
use crate::source::Item;
use crate::thumbnail::Thumbnail;

use self::key::Key;
pub(crate) use self::writer::CacheWriter;

mod key;
mod writer;

/// The last bytes of a cache file.
const MAGIC: [u8; 16] = *b"\x89roentgen cache\n";
/// Bytes after the records.
const TRAILER: u64 = 8 + 32 + MAGIC.len() as u64;
/// Items whose files are compared together.
const CHUNK: usize = 4096;
/// Bytes that are read or written at once.
const BUFFER: usize = 1 << 20;
/// Longest side of an image.
const MAX_SIDE: u32 = 1 << 16;

/// The cache file of a data set, which may exist.
#[derive(Debug)]
pub(crate) struct CacheFile {
    path: PathBuf,
    key: Key,
}

/// What the images decide together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shared {
    /// How many bits of samples of 16 bits are used.
    pub(crate) sample_bits: Option<u8>,
    pub(crate) pattern: Option<BrightnessPattern>,
    /// Notes on the range of samples.
    pub(crate) notes: Vec<String>,
}

/// What became of the items, in their order.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    /// The images of the items that gave one.
    pub(crate) images: Parts<Decoded>,
    /// The items without an image, by their indices.
    pub(crate) failures: Vec<(usize, Unusable)>,
    n_items: usize,
}

impl Outcomes {
    /// Adds what became of the next item.
    pub(crate) fn push(&mut self, outcome: Result<Decoded, Unusable>) {
        match outcome {
            Ok(decoded) => self.images.push(decoded),
            Err(unusable) => self.failures.push((self.n_items, unusable)),
        }
        self.n_items += 1;
    }
}

/// What a cache file holds.
#[derive(Debug)]
pub(crate) struct Cached {
    /// Thumbnails have no detail: duplicates are known. The pixels are in `file`.
    pub(crate) outcomes: Outcomes,
    pub(crate) file: PixelFile,
    pub(crate) shared: Shared,
    pub(crate) duplicates: Vec<DuplicatePair>,
}

/// An image in a cache file.
#[derive(Debug)]
struct CachedImage {
    pixels: StoredImage,
    content: (u32, u32),
    is_coloured: bool,
    is_small: bool,
    digest: ImageDigest,
    facts: FileFacts,
    origin: Option<Box<Origin>>,
    traits: FileTraits,
}

fields! { CachedImage { pixels, content, is_coloured, is_small, digest, facts, origin, traits } }

/// What the records have for an item: the identity of its content, and what was made of it.
type ItemRecord = (Option<FileIdentity>, Result<CachedImage, Unusable>);

impl CacheFile {
    /// The path of the cache file in `folder` of the data at `data`.
    ///
    /// # Errors
    /// [`DataError::CacheInData`].
    pub(crate) fn path_of(folder: &Path, data: &Path, options: &LoadOptions) -> Result<PathBuf, DataError> {
        for data in [Some(data), options.test_dir.as_deref()].into_iter().flatten() {
            key::check_outside(folder, data)?;
        }
        Ok(key::path_of(folder, data, options))
    }

    /// The cache file at `path` of these items.
    pub(crate) fn new(path: &Path, items: &[Item], options: &LoadOptions) -> Self {
        Self { path: path.into(), key: key::key_of(items, options) }
    }

    /// What it holds; `None` if there is no such file, if it is damaged, or if it was not made of these items.
    pub(crate) fn read(
        &self,
        items: &[Item],
        options: &LoadOptions,
        progress: &dyn Progress,
    ) -> Option<Cached> {
        self.try_read(items, options, progress).ok()
    }

    /// # Errors
    /// For any reason not to use the file.
    fn try_read(&self, items: &[Item], options: &LoadOptions, progress: &dyn Progress) -> io::Result<Cached> {
        let Records { mut records, records_at } = self.open()?;
        // The same file, unless it was replaced a moment ago: then the pixels have other digests.
        let file = PixelFile::new(PositionedFile::open(&self.path)?, &self.path);
        if Key::read(&mut records)? != self.key || usize::read(&mut records)? != items.len() {
            return Err(unusable());
        }
        let shared = read_shared(&mut records)?;
        let (mut outcomes, mut n_done) = (Outcomes::default(), 0);
        for chunk in items.chunks(CHUNK) {
            let read = (0..chunk.len()).map(|_| ItemRecord::read(&mut records));
            let read = read.collect::<io::Result<Vec<ItemRecord>>>()?;
            let is_usable = |(item, record): (&Item, &ItemRecord)| {
                is_whole(record, &file, records_at) && is_still(item, record, options)
            };
            if !chunk.par_iter().zip(&read).all(is_usable) {
                return Err(unusable());
            }
            read.into_iter().for_each(|(_, outcome)| outcomes.push(outcome.map(CachedImage::decoded)));
            n_done += chunk.len();
            progress.report(Stage::Decoding, n_done, items.len());
        }
        Ok(Cached { outcomes, file, shared, duplicates: Record::read(&mut records)? })
    }

    /// Opens the file at its records, whose digest is right.
    fn open(&self) -> io::Result<Records> {
        if !self.path.metadata()?.is_file() {
            return Err(unusable());
        }
        let mut file = InputFile::open(&self.path)?;
        let trailer_at = file.n_bytes()?.checked_sub(TRAILER).ok_or_else(unusable)?;
        file.seek(SeekFrom::Start(trailer_at))?;
        let records_at = u64::read(&mut file)?;
        let (digest, magic) = <([u8; 32], [u8; 16])>::read(&mut file)?;
        if magic != MAGIC || records_at > trailer_at {
            return Err(unusable());
        }
        file.seek(SeekFrom::Start(records_at))?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; BUFFER];
        let mut rest = file.take(trailer_at - records_at);
        loop {
            match rest.read(&mut buffer)? {
                0 => break,
                n => drop(hasher.update(&buffer[..n])),
            }
        }
        if *hasher.finalize().as_bytes() != digest {
            return Err(unusable());
        }
        let mut file = rest.into_inner();
        file.seek(SeekFrom::Start(records_at))?;
        let records = BufReader::with_capacity(BUFFER, file).take(trailer_at - records_at);
        Ok(Records { records, records_at })
    }

    /// Makes the folder, and begins a new file in it.
    ///
    /// # Errors
    /// [`DataError::Write`].
    pub(crate) fn create(self) -> Result<CacheWriter, DataError> {
        let folder = disk::folder_of(&self.path);
        let made = disk::create_folders(folder).and_then(|()| CacheWriter::create(&self.path, self.key));
        made.map_err(|source| DataError::Write { path: folder.into(), source })
    }
}

/// The records of a file.
struct Records {
    records: io::Take<BufReader<InputFile>>,
    /// Where they begin, and the pixels end.
    records_at: u64,
}

/// Any reason not to use a file.
fn unusable() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn read_shared(records: &mut impl Read) -> io::Result<Shared> {
    let (sample_bits, pattern) = <(Option<u8>, Option<Vec<i8>>)>::read(records)?;
    let pattern = pattern.map(BrightnessPattern::try_from).transpose().map_err(|_| unusable())?;
    Ok(Shared { sample_bits, pattern, notes: Record::read(records)? })
}

/// Whether an item would become what the record has.
fn is_still(item: &Item, (identity, outcome): &ItemRecord, options: &LoadOptions) -> bool {
    match (identity, outcome) {
        (Some(identity), _) => item.is_still(identity, options),
        // It could not be read: whether it can be read now has to be tried.
        (None, Err(unusable)) => item.decode(options).is_err_and(|error| error == *unusable),
        (None, Ok(_)) => false,
    }
}

/// Whether the pixels of an image are there, and are those that were written.
fn is_whole((_, outcome): &ItemRecord, file: &PixelFile, records_at: u64) -> bool {
    let Ok(CachedImage { pixels, content, .. }) = outcome else { return true };
    let StoredImage { place, height, width, channels } = *pixels;
    let is_size = (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height);
    let is_inside = content.0 <= width && content.1 <= height;
    if !is_size || !is_inside || !matches!(channels, 1 | 3) {
        return false;
    }
    let end = place.start.checked_add(pixels.n_bytes());
    end.is_some_and(|end| end <= records_at) && file.try_read(pixels).is_ok()
}

impl CachedImage {
    /// The image, without its pixels.
    fn decoded(self) -> Decoded {
        let Self { pixels, content, is_coloured, is_small, digest, facts, origin, traits } = self;
        let StoredImage { place, height, width, channels } = pixels;
        let image = SmallImage {
            width,
            height,
            channels: channels.into(),
            pixels: Vec::new(),
            coloured: is_coloured,
            small: is_small,
            content,
            wide: None,
            place,
        };
        Decoded { image, thumbnail: Thumbnail { digest, detail: None }, facts, origin, traits }
    }
}
