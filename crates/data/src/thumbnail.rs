//! What is stored of an image to find its duplicates.

use image::DynamicImage;

use crate::digest::ImageDigest;

mod detail;

pub(crate) use detail::{Detail, MIN_SIDE_WITH_DETAIL, SIDE, is_tiny};

/// A digest for equal images, and the local detail for similar ones.
#[derive(Clone, Debug)]
pub(crate) struct Thumbnail {
    /// Of the decoded pixels and their layout.
    pub(crate) digest: ImageDigest,
    /// `None` for a flat or a tiny image, which has no detail to compare.
    pub(crate) detail: Option<Box<Detail>>,
}

impl Thumbnail {
    /// Of an image before it is resized. If its samples have 16 bits, they use the lower `bits` of them.
    pub(crate) fn of(image: &DynamicImage, bits: u8) -> Self {
        Self { digest: ImageDigest::of(image), detail: detail::of(image, bits).map(Box::new) }
    }
}
