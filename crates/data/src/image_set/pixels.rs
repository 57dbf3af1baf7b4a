//! The pixels of the images of a set: in memory, or in a file.

use std::borrow::Cow;
use std::sync::Arc;

use super::ImageView;
use crate::colour;
use crate::pixel_file::{PixelFile, StoredImage};
use crate::small_image::SmallImage;

/// Of all images of a set.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pixels {
    /// One image after the other, all with the channels of the set.
    Memory { bytes: Vec<u8>, blocks: Vec<Block> },
    /// Where each image is in the file, with the channels that it was decoded to.
    File { file: Arc<PixelFile>, images: Vec<StoredImage> },
}

/// An image in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    start: usize,
    height: u32,
    width: u32,
}

impl Default for Pixels {
    fn default() -> Self {
        Self::Memory { bytes: Vec::new(), blocks: Vec::new() }
    }
}

/// Pixels of 1 or 3 channels with `to` channels.
fn converted(pixels: Vec<u8>, from: usize, to: usize) -> Vec<u8> {
    match (from, to) {
        (3, 1) => colour::to_grey(&pixels),
        (1, 3) => colour::to_rgb(&pixels),
        _ => pixels,
    }
}

impl Pixels {
    /// Without images, but in the same file if this is in one.
    pub(super) fn empty_like(&self) -> Self {
        match self {
            Self::Memory { .. } => Self::default(),
            Self::File { file, .. } => Self::File { file: Arc::clone(file), images: Vec::new() },
        }
    }

    /// None yet, for `n` images: those of `file`, or else in memory.
    pub(super) fn with_capacity(n: usize, file: Option<&Arc<PixelFile>>) -> Self {
        match file {
            Some(file) => Self::File { file: Arc::clone(file), images: Vec::with_capacity(n) },
            None => Self::Memory { bytes: Vec::new(), blocks: Vec::with_capacity(n) },
        }
    }

    /// Adds an image: that in the file, or else with `channels` in memory.
    pub(super) fn push_image(&mut self, image: SmallImage, channels: usize) {
        let SmallImage { width, height, channels: of_image, pixels, place, .. } = image;
        match self {
            Self::File { images, .. } => {
                images.push(StoredImage { place, height, width, channels: of_image as u8 });
            }
            Self::Memory { .. } => {
                self.push(height as usize, width as usize, &converted(pixels, of_image, channels));
            }
        }
    }

    /// Adds an image in memory.
    ///
    /// # Panics
    /// If the others are in a file.
    pub(super) fn push(&mut self, height: usize, width: usize, pixels: &[u8]) {
        let Self::Memory { bytes, blocks } = self else { panic!("Pixels::push: the images are in a file") };
        blocks.push(Block { start: bytes.len(), height: height as u32, width: width as u32 });
        bytes.extend(pixels);
    }

    /// Height and width of an image.
    pub(super) fn size(&self, index: usize) -> (usize, usize) {
        let (height, width) = match self {
            Self::Memory { blocks, .. } => (blocks[index].height, blocks[index].width),
            Self::File { images, .. } => (images[index].height, images[index].width),
        };
        (height as usize, width as usize)
    }

    /// An image, with `channels`. Unwinds to [`catch_unreadable`](crate::catch_unreadable) if it cannot be read.
    pub(super) fn image(&self, index: usize, channels: usize) -> ImageView<'_> {
        let (height, width) = self.size(index);
        let pixels = match self {
            Self::Memory { bytes, blocks } => {
                Cow::Borrowed(&bytes[blocks[index].start..][..height * width * channels])
            }
            Self::File { file, images } => {
                let image = &images[index];
                Cow::Owned(converted(file.read(image), image.channels.into(), channels))
            }
        };
        ImageView { height, width, pixels }
    }

    /// Adds the images at `indices` of `other`, which have `channels`. Those of the same file stay in it.
    pub(super) fn extend(&mut self, other: &Self, indices: impl Iterator<Item = usize>, channels: usize) {
        match (&mut *self, other) {
            (Self::File { file, images }, Self::File { file: of_other, images: others })
                if file == of_other =>
            {
                images.extend(indices.map(|index| others[index]));
            }
            (Self::File { .. }, _) => {
                let mut in_memory = Self::default();
                in_memory.extend(self, 0..self.len(), channels);
                in_memory.extend(other, indices, channels);
                *self = in_memory;
            }
            (Self::Memory { .. }, _) => {
                for index in indices {
                    let ImageView { height, width, pixels } = other.image(index, channels);
                    self.push(height, width, &pixels);
                }
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Memory { blocks, .. } => blocks.len(),
            Self::File { images, .. } => images.len(),
        }
    }

    /// Bytes of memory.
    pub(super) fn n_bytes(&self) -> usize {
        match self {
            Self::Memory { bytes, blocks } => bytes.len() + size_of_val(&**blocks),
            Self::File { images, .. } => size_of_val(&**images),
        }
    }
}
