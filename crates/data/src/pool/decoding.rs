//! Every file to an image, or to the reason why there is none: decoded, or taken from a cache.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::shared::CHUNK;
use crate::cache::{CacheFile, CacheWriter, Cached, Outcomes, Shared};
use crate::decode::{Cause, Decoded, Unusable};
use crate::duplicates::{DuplicatePair, MAX_FOR_DETAIL};
use crate::error::{BadFile, DataError};
use crate::options::LoadOptions;
use crate::parts::Parts;
use crate::pixel_file::PixelFile;
use crate::progress::{Progress, Stage};
use crate::source::Item;

/// What became of the items of a listing.
pub(super) struct AllDecoded {
    /// Those that gave an image.
    pub(super) items: Vec<Item>,
    /// The image of each of them.
    pub(super) images: Parts<Decoded>,
    /// Sorted by path.
    pub(super) bad: Vec<BadFile>,
    /// How many DICOM files of each kind are no radiographs.
    pub(super) other_kinds: BTreeMap<String, usize>,
    /// What the cache has besides images, and the file with their pixels; `None` if they were decoded now.
    pub(super) cached: Option<(Shared, Vec<DuplicatePair>, PixelFile)>,
    /// The cache that is being written, with the pixels of all images.
    pub(super) writer: Option<CacheWriter>,
}

impl AllDecoded {
    /// Takes the images of `items` from the cache file at `cache`, or decodes them if there is none that can be used.
    ///
    /// # Errors
    /// [`DataError::Unusable`] for a file of many images. [`DataError::TooManyOpenFiles`]: this is no fault of a file, so no file is skipped for it. [`DataError::Write`] if no
    /// cache file can be made.
    pub(super) fn of(
        items: Vec<Item>,
        cache: Option<&Path>,
        options: &LoadOptions,
        progress: &dyn Progress,
    ) -> Result<Self, DataError> {
        let n = items.len();
        let Some(cache) = cache.map(|path| CacheFile::new(path, &items, options)) else {
            items.iter().try_for_each(Item::load_packed)?;
            let mut outcomes = Outcomes::default();
            let decoded = Counter::new(items.len(), progress).decode_all(&items, |item| item.decode(options));
            decoded.into_iter().for_each(|outcome| outcomes.push(outcome));
            return Self::sorted(items, outcomes);
        };
        if let Some(Cached { outcomes, file, shared, duplicates }) = cache.read(&items, options, progress) {
            return Ok(Self { cached: Some((shared, duplicates, file)), ..Self::sorted(items, outcomes)? });
        }
        items.iter().try_for_each(Item::load_packed)?;
        let (mut writer, mut outcomes) = (cache.create()?, Outcomes::default());
        let counter = Counter::new(n, progress);
        for chunk in items.chunks(CHUNK) {
            let decoded = counter.decode_all(chunk, |item| item.decode_and_identify(options));
            for (outcome, identity) in decoded {
                let mut outcome = needed(outcome, n);
                writer.add(&mut outcome, identity)?;
                outcomes.push(outcome);
            }
        }
        Ok(Self { writer: Some(writer), ..Self::sorted(items, outcomes)? })
    }

    /// Good and bad items apart.
    fn sorted(mut items: Vec<Item>, outcomes: Outcomes) -> Result<Self, DataError> {
        let Outcomes { images, failures, .. } = outcomes;
        let (mut bad, mut other_kinds) = (Vec::new(), BTreeMap::new());
        let (mut indices, mut index) = (failures.iter().map(|(index, _)| *index).peekable(), 0);
        let has_failed = |_: &mut Item| {
            index += 1;
            indices.next_if_eq(&(index - 1)).is_some()
        };
        let failed: Vec<Item> = items.extract_if(.., has_failed).collect();
        for (item, (_, Unusable { reason, cause })) in failed.into_iter().zip(failures) {
            match cause {
                Cause::OtherKind => *other_kinds.entry(reason).or_default() += 1,
                Cause::BadFile => bad.push(BadFile { path: item.shown_path(), reason }),
                Cause::OpenFiles => return Err(DataError::TooManyOpenFiles { path: item.shown_path() }),
            }
        }
        bad.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { items, images, bad, other_kinds, cached: None, writer: None })
    }
}

/// What is needed of one of `n` items: no detail, if there are too many to compare it.
fn needed(mut outcome: Result<Decoded, Unusable>, n: usize) -> Result<Decoded, Unusable> {
    if let Ok(decoded) = &mut outcome
        && n > MAX_FOR_DETAIL
    {
        decoded.thumbnail.detail = None;
    }
    outcome
}

/// Counts the items that are decoded.
struct Counter<'a> {
    n_done: AtomicUsize,
    total: usize,
    progress: &'a dyn Progress,
}

impl<'a> Counter<'a> {
    fn new(total: usize, progress: &'a dyn Progress) -> Self {
        Self { n_done: AtomicUsize::new(0), total, progress }
    }

    /// Decodes in parallel, each item with `decode`.
    fn decode_all<T: Send>(&self, items: &[Item], decode: impl Fn(&Item) -> T + Sync) -> Vec<T> {
        let decode = |item: &Item| {
            let decoded = decode(item);
            let n_done = self.n_done.fetch_add(1, Ordering::Relaxed) + 1;
            self.progress.report(Stage::Decoding, n_done, self.total);
            decoded
        };
        items.par_iter().map(decode).collect()
    }
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, GrayImage, Luma};

    use super::*;
    use crate::file_facts::FileFacts;

    #[test]
    fn detail_that_is_not_compared_is_not_kept() {
        let image = GrayImage::from_fn(40, 40, |x, y| Luma([(x * y * 7 % 251) as u8]));
        let decoded = || {
            let image = DynamicImage::ImageLuma8(image.clone());
            Decoded::new(&image, FileFacts::default(), &LoadOptions::default())
        };
        let has_detail = |n: usize| needed(Ok(decoded()), n).is_ok_and(|one| one.thumbnail.detail.is_some());
        assert!(has_detail(MAX_FOR_DETAIL) && !has_detail(MAX_FOR_DETAIL + 1));
    }
}
