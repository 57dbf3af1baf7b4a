//! Images of one size, one after the other: an array of a file, or of the calling program.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use image::{DynamicImage, GrayImage, RgbImage};

use crate::decode::{Decoded, Unusable};
use crate::file_facts::FileFacts;
use crate::file_identity::{ContentDigest, FileIdentity, Stamp};
use crate::options::LoadOptions;

/// Images of 8 bit, rows from the top, channels together. They are read when one of them is needed: a run that has all of them
/// from a cache reads none.
pub(crate) struct Packed {
    /// The file that they come from.
    file: PathBuf,
    /// Of the file when it was listed, if it did not change meanwhile.
    stamp: Option<Stamp>,
    size: Size,
    read: Box<dyn Fn() -> Result<Vec<u8>, String> + Send + Sync>,
    loaded: OnceLock<Result<Vec<u8>, String>>,
}

/// The size of each image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// 1 or 3.
    pub(crate) channels: usize,
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packed").field("file", &self.file).field("size", &self.size).finish_non_exhaustive()
    }
}

impl Packed {
    /// Images in memory, which error messages call `file`.
    pub(super) fn in_memory(file: &Path, size: Size, bytes: Vec<u8>) -> Self {
        let loaded = OnceLock::from(Ok(bytes));
        Self { file: file.into(), stamp: None, size, read: Box::new(|| Ok(Vec::new())), loaded }
    }

    /// Images that `read` reads from `file`, whose stamp is `stamp`.
    pub(super) fn in_file(
        file: &Path,
        stamp: Option<Stamp>,
        size: Size,
        read: impl Fn() -> Result<Vec<u8>, String> + Send + Sync + 'static,
    ) -> Self {
        Self { file: file.into(), stamp, size, read: Box::new(read), loaded: OnceLock::new() }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Reads the images, if that has not been done.
    ///
    /// # Errors
    /// The reason why the file cannot be used.
    pub(super) fn load(&self) -> Result<(), String> {
        self.loaded().map(|_| ())
    }

    fn loaded(&self) -> Result<&[u8], String> {
        let load = || {
            let bytes = (self.read)()?;
            // The labels are those of the file that was listed.
            if self.stamp.is_some() && self.stamp != Stamp::of(&self.file) {
                return Err(
                    "it has changed since its labels were read; start again once it is complete".to_owned()
                );
            }
            Ok(bytes)
        };
        self.loaded.get_or_init(load).as_deref().map_err(String::clone)
    }

    fn digest(&self, bytes: &[u8]) -> ContentDigest {
        let Size { width, height, channels } = self.size;
        ContentDigest::of(&[&[width, height, channels].map(usize::to_le_bytes).concat(), bytes])
    }

    /// What identifies an image.
    pub(super) fn identity(&self, index: usize) -> Option<FileIdentity> {
        let image = self.size.image(self.loaded().ok()?, index);
        Some(FileIdentity { digest: self.digest(image), stamp: self.stamp })
    }

    /// Whether an image is what `identity` was made of. The file is read if its stamp does not prove it.
    pub(super) fn is_still(&self, index: usize, identity: &FileIdentity) -> bool {
        if identity.stamp.is_some() && identity.stamp == self.stamp {
            return true;
        }
        let loaded = self.loaded();
        loaded.is_ok_and(|bytes| self.digest(self.size.image(bytes, index)) == identity.digest)
    }

    pub(super) fn decode(&self, index: usize, options: &LoadOptions) -> Result<Decoded, Unusable> {
        let (width, height) = (self.size.width as u32, self.size.height as u32);
        let bytes = self.size.image(self.loaded()?, index).to_vec();
        let channels = self.size.channels as u8;
        let image = if channels == 1 {
            GrayImage::from_raw(width, height, bytes).map(DynamicImage::ImageLuma8)
        } else {
            RgbImage::from_raw(width, height, bytes).map(DynamicImage::ImageRgb8)
        };
        let facts = FileFacts { width, height, bit_depth: 8, channels, ..FileFacts::default() };
        Ok(Decoded::new(&image.expect("as many bytes as pixels"), facts, options))
    }
}

impl Size {
    /// The bytes of an image.
    fn image(self, bytes: &[u8], index: usize) -> &[u8] {
        let n_bytes = self.width * self.height * self.channels;
        &bytes[index * n_bytes..][..n_bytes]
    }
}
