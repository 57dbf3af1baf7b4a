//! Writing a cache file.

use std::io;
use std::path::{Path, PathBuf};

use super::key::Key;
use super::record::Record;
use super::{BUFFER, CachedImage, MAGIC, Shared, check_of};
use crate::decode::{Decoded, Unusable};
use crate::disk::{self, TemporaryFile};
use crate::duplicates::DuplicatePair;
use crate::error::DataError;
use crate::file_identity::FileIdentity;

/// A cache file that is being written under a temporary name; removed if it is not finished.
#[derive(Debug)]
pub(crate) struct CacheWriter {
    file: TemporaryFile,
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
        Ok(Self {
            file: TemporaryFile::create(disk::folder_of(path))?,
            path: path.into(),
            key,
            identities: Vec::new(),
            failures: Vec::new(),
            buffer: Vec::new(),
            n_written: 0,
            hasher: blake3::Hasher::new(),
        })
    }

    /// Remembers the contents of all items, and which of them gave no image.
    pub(crate) fn remember<T>(
        &mut self,
        identities: Vec<Option<FileIdentity>>,
        outcomes: &[Result<T, Unusable>],
    ) {
        let failure = |(index, outcome): (usize, &Result<T, Unusable>)| match outcome {
            Ok(_) => None,
            Err(unusable) => Some((index, unusable.clone())),
        };
        self.failures = outcomes.iter().enumerate().filter_map(failure).collect();
        self.identities = identities;
    }

    /// Writes everything, and gives the file its name. `images` are those of the items that gave one.
    ///
    /// # Errors
    /// [`DataError::Write`].
    pub(crate) fn finish<'a>(
        mut self,
        images: impl Iterator<Item = &'a Decoded> + Clone,
        shared: &Shared,
        duplicates: &Vec<DuplicatePair>,
    ) -> Result<(), DataError> {
        let path = self.path.clone();
        let written = self.write(images, shared, duplicates).and_then(|()| self.file.publish(&path));
        written.map_err(|source| DataError::Write { path, source })
    }

    fn write<'a>(
        &mut self,
        images: impl Iterator<Item = &'a Decoded> + Clone,
        shared: &Shared,
        duplicates: &Vec<DuplicatePair>,
    ) -> io::Result<()> {
        for decoded in images.clone() {
            self.buffer.extend(&decoded.image.pixels);
            self.flush_if_full()?;
        }
        self.flush()?;
        let records_at = self.n_written;
        self.write_records(images, shared, duplicates)?;
        records_at.write(&mut self.buffer);
        self.hasher.finalize().as_bytes().write(&mut self.buffer);
        MAGIC.write(&mut self.buffer);
        self.flush()
    }

    fn write_records<'a>(
        &mut self,
        mut images: impl Iterator<Item = &'a Decoded>,
        Shared { sample_bits, pattern, notes }: &Shared,
        duplicates: &Vec<DuplicatePair>,
    ) -> io::Result<()> {
        self.key.write(&mut self.buffer);
        self.identities.len().write(&mut self.buffer);
        sample_bits.write(&mut self.buffer);
        pattern.as_ref().map(|pattern| pattern.values().to_vec()).write(&mut self.buffer);
        notes.write(&mut self.buffer);
        let (mut start, mut failures) = (0, std::mem::take(&mut self.failures).into_iter().peekable());
        for (index, identity) in std::mem::take(&mut self.identities).into_iter().enumerate() {
            let outcome = match failures.next_if(|(failed, _)| *failed == index) {
                Some((_, unusable)) => Err(unusable),
                None => Ok(CachedImage::of(images.next().expect("an image of every other item"), &mut start)),
            };
            (identity, outcome).write(&mut self.buffer);
            self.hash_if_full()?;
        }
        duplicates.write(&mut self.buffer);
        self.hasher.update(&self.buffer);
        self.flush()
    }

    fn hash_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= BUFFER {
            self.hasher.update(&self.buffer);
            self.flush()?;
        }
        Ok(())
    }

    fn flush_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.append(&self.buffer)?;
        self.n_written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl CachedImage {
    /// The record of an image whose pixels begin at `start`, which becomes their end.
    fn of(Decoded { image, thumbnail, facts, origin, traits }: &Decoded, start: &mut u64) -> Self {
        let record = Self {
            start: *start,
            check: check_of(&image.pixels),
            size: (image.width, image.height),
            content: image.content,
            channels: image.channels as u8,
            is_coloured: image.coloured,
            is_small: image.small,
            digest: thumbnail.digest,
            facts: *facts,
            origin: *origin,
            traits: *traits,
        };
        *start += image.pixels.len() as u64;
        record
    }
}
