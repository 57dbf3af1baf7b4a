//! Writing a cache file.

use std::io;
use std::path::{Path, PathBuf};

use super::key::Key;
use super::{BUFFER, CachedImage, MAGIC, Shared};
use crate::decode::{Decoded, Unusable};
use crate::disk::{self, PositionedFile, TemporaryFile};
use crate::duplicates::DuplicatePair;
use crate::error::DataError;
use crate::file_identity::FileIdentity;
use crate::pixel_file::{PixelFile, StoredImage, check_of};
use crate::record::Record;
use crate::small_image::SmallImage;

/// A cache file that is being written under a temporary name; removed if it is not finished.
#[derive(Debug)]
pub(crate) struct CacheWriter {
    file: TemporaryFile,
    /// The same file.
    pixels: PositionedFile,
    path: PathBuf,
    key: Key,
    /// Of each item.
    identities: Vec<Option<FileIdentity>>,
    /// The items without an image, by their indices.
    failures: Vec<(usize, Unusable)>,
    /// What is not in the file yet.
    buffer: Vec<u8>,
    n_written: u64,
    /// Of the records.
    hasher: blake3::Hasher,
}

impl CacheWriter {
    pub(super) fn create(path: &Path, key: Key) -> io::Result<Self> {
        let mut file = TemporaryFile::create(disk::folder_of(path))?;
        Ok(Self {
            pixels: file.positioned()?,
            file,
            path: path.into(),
            key,
            identities: Vec::new(),
            failures: Vec::new(),
            buffer: Vec::new(),
            n_written: 0,
            hasher: blake3::Hasher::new(),
        })
    }

    /// Takes what became of the next item. The pixels of its image go to the file.
    ///
    /// # Errors
    /// [`DataError::Write`].
    pub(crate) fn add(
        &mut self,
        outcome: &mut Result<Decoded, Unusable>,
        identity: Option<FileIdentity>,
    ) -> Result<(), DataError> {
        match outcome {
            Ok(decoded) => {
                let image = &mut decoded.image;
                let is_final = image.wide.is_none();
                let samples = image.take_samples();
                image.place.start = self.n_written + self.buffer.len() as u64;
                // Of samples of 16 bits, it is not known yet which pixels they become.
                image.place.check = if is_final { check_of(&samples) } else { 0 };
                self.buffer.extend(samples);
                self.flush_if_full().map_err(|source| self.write_error(source))?;
            }
            Err(unusable) => self.failures.push((self.identities.len(), unusable.clone())),
        }
        self.identities.push(identity);
        Ok(())
    }

    /// The pixels, or samples, of an image as they are in the file.
    ///
    /// # Errors
    /// [`DataError::Write`].
    pub(crate) fn load(&mut self, image: &mut SmallImage) -> Result<(), DataError> {
        let mut samples = vec![0; image.n_sample_bytes()];
        let loaded = self.flush().and_then(|()| self.pixels.read_exact_at(&mut samples, image.place.start));
        loaded.map_err(|source| self.write_error(source))?;
        image.put_samples(samples);
        Ok(())
    }

    /// Takes the pixels of an image out of memory again, and writes them where they have changed.
    ///
    /// # Errors
    /// [`DataError::Write`].
    pub(crate) fn store(&mut self, image: &mut SmallImage) -> Result<(), DataError> {
        let is_final = image.wide.is_none();
        let pixels = image.take_samples();
        let check = check_of(&pixels);
        if is_final && check != image.place.check {
            image.place.check = check;
            let written = self.pixels.write_all_at(&pixels, image.place.start);
            written.map_err(|source| self.write_error(source))?;
        }
        Ok(())
    }

    /// Writes everything else, and gives the file its name. `images` are those of the items that gave one.
    ///
    /// # Errors
    /// [`DataError::Write`].
    pub(crate) fn finish<'a>(
        mut self,
        images: impl Iterator<Item = &'a Decoded>,
        shared: &Shared,
        duplicates: &Vec<DuplicatePair>,
    ) -> Result<PixelFile, DataError> {
        let written = self.write_records(images, shared, duplicates);
        written.map_err(|source| self.write_error(source))?;
        let Self { file, pixels, path, .. } = self;
        match file.publish(&path) {
            Ok(()) => Ok(PixelFile::new(pixels, &path)),
            Err(source) => Err(DataError::Write { path, source }),
        }
    }

    fn write_error(&self, source: io::Error) -> DataError {
        DataError::Write { path: self.path.clone(), source }
    }

    fn write_records<'a>(
        &mut self,
        mut images: impl Iterator<Item = &'a Decoded>,
        Shared { sample_bits, pattern, notes }: &Shared,
        duplicates: &Vec<DuplicatePair>,
    ) -> io::Result<()> {
        self.flush()?;
        let records_at = self.n_written;
        self.key.write(&mut self.buffer);
        self.identities.len().write(&mut self.buffer);
        sample_bits.write(&mut self.buffer);
        pattern.as_ref().map(|pattern| pattern.values().to_vec()).write(&mut self.buffer);
        notes.write(&mut self.buffer);
        let mut failures = std::mem::take(&mut self.failures).into_iter().peekable();
        for (index, identity) in std::mem::take(&mut self.identities).into_iter().enumerate() {
            let outcome = match failures.next_if(|(failed, _)| *failed == index) {
                Some((_, unusable)) => Err(unusable),
                None => Ok(CachedImage::of(images.next().expect("an image of every other item"))),
            };
            (identity, outcome).write(&mut self.buffer);
            if self.buffer.len() >= BUFFER {
                self.hasher.update(&self.buffer);
                self.flush()?;
            }
        }
        duplicates.write(&mut self.buffer);
        self.hasher.update(&self.buffer);
        records_at.write(&mut self.buffer);
        self.hasher.finalize().as_bytes().write(&mut self.buffer);
        MAGIC.write(&mut self.buffer);
        self.flush()
    }

    fn flush_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.pixels.write_all_at(&self.buffer, self.n_written)?;
            self.n_written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl CachedImage {
    /// The record of an image whose pixels are in the file.
    fn of(Decoded { image, thumbnail, facts, origin, traits }: &Decoded) -> Self {
        let &SmallImage { place, height, width, channels, .. } = image;
        Self {
            pixels: StoredImage { place, height, width, channels: channels as u8 },
            content: image.content,
            is_coloured: image.coloured,
            is_small: image.small,
            digest: thumbnail.digest,
            facts: *facts,
            origin: origin.clone(),
            traits: *traits,
        }
    }
}
