//! Images whose pixels stay in a file, and are read from there each time they are needed.
//!
//! What cannot be read while a model is trained or evaluated ends the work: [`PixelFile::read`] unwinds to [`catch_unreadable`],
//! which makes an error of it. The layers between, such as [`fill_batch`](crate::fill_batch) and a training step, have no errors
//! of their own, and nothing of a batch with a missing image can reach a weight, a metric or a file.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use crate::disk::PositionedFile;
use crate::error::DataError;

/// An open file of pixels.
#[derive(Debug)]
pub(crate) struct PixelFile {
    file: PositionedFile,
    path: PathBuf,
}

/// Where the pixels of an image are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) start: u64,
    /// [`check_of`] the pixels.
    pub(crate) check: u64,
}

/// An image of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredImage {
    pub(crate) place: Place,
    pub(crate) height: u32,
    pub(crate) width: u32,
    /// 1 or 3.
    pub(crate) channels: u8,
}

/// Two of the same open file are equal.
impl PartialEq for PixelFile {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

/// The first bytes of the digest of the pixels of an image.
pub(crate) fn check_of(pixels: &[u8]) -> u64 {
    u64::from_le_bytes(*blake3::hash(pixels).as_bytes().first_chunk().expect("a digest has 32 bytes"))
}

impl StoredImage {
    pub(crate) fn n_bytes(&self) -> u64 {
        u64::from(self.height) * u64::from(self.width) * u64::from(self.channels)
    }
}

impl PixelFile {
    /// The open file `file`, which errors call `path`.
    pub(crate) fn new(file: PositionedFile, path: &Path) -> Self {
        Self { file, path: path.into() }
    }

    /// The pixels of an image.
    ///
    /// # Errors
    /// That of the operating system; [`io::ErrorKind::InvalidData`] if they are not what was written.
    pub(crate) fn try_read(&self, image: &StoredImage) -> io::Result<Vec<u8>> {
        let mut pixels = vec![0; image.n_bytes() as usize];
        self.file.read_exact_at(&mut pixels, image.place.start)?;
        if check_of(&pixels) == image.place.check {
            Ok(pixels)
        } else {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    /// The pixels of an image; unwinds to [`catch_unreadable`] if they cannot be read.
    pub(crate) fn read(&self, image: &StoredImage) -> Vec<u8> {
        self.try_read(image)
            .unwrap_or_else(|source| resume_unwind(Box::new(Unreadable { path: self.path.clone(), source })))
    }
}

/// What unwinds.
struct Unreadable {
    path: PathBuf,
    source: io::Error,
}

impl Unreadable {
    fn reason(&self) -> String {
        match self.source.kind() {
            io::ErrorKind::UnexpectedEof => "it is shorter than it was".to_owned(),
            io::ErrorKind::InvalidData => "it has changed, or the disk is faulty".to_owned(),
            _ => self.source.to_string(),
        }
    }
}

/// Does work that may read images of a cache; what panics in it panics on.
///
/// # Errors
/// [`DataError::UnreadableCache`] if one of them cannot be read.
pub fn catch_unreadable<T>(work: impl FnOnce() -> T) -> Result<T, DataError> {
    // What the work had in its hands is dropped, and not seen again.
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| match payload.downcast::<Unreadable>() {
        Ok(unreadable) => DataError::UnreadableCache { reason: unreadable.reason(), path: unreadable.path },
        Err(other) => resume_unwind(other),
    })
}
