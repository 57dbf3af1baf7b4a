//! Every file to an image, or to the reason why there is none: decoded, or taken from a cache.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::shared::CHUNK;
use crate::cache::{CacheFile, CacheWriter, Cached, Shared};
use crate::decode::{Cause, Decoded, Unusable};
use crate::duplicates::DuplicatePair;
use crate::error::{BadFile, DataError};
use crate::options::LoadOptions;
use crate::pixel_file::PixelFile;
use crate::progress::{Progress, Stage};
use crate::source::Item;

/// What became of the items of a listing.
pub(super) struct AllDecoded {
    pub(super) good: Vec<(Item, Decoded)>,
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
    /// [`DataError::TooManyOpenFiles`]: this is no fault of a file, so no file is skipped for it. [`DataError::Write`] if no
    /// cache file can be made.
    pub(super) fn of(
        items: Vec<Item>,
        cache: Option<&Path>,
        options: &LoadOptions,
        progress: &dyn Progress,
    ) -> Result<Self, DataError> {
        let Some(cache) = cache.map(|path| CacheFile::new(path, &items, options)) else {
            let outcomes =
                Counter::new(items.len(), progress).decode_all(&items, |item| item.decode(options));
            return Self::sorted(items, outcomes);
        };
        if let Some(Cached { outcomes, file, shared, duplicates }) = cache.read(&items, options, progress) {
            return Ok(Self { cached: Some((shared, duplicates, file)), ..Self::sorted(items, outcomes)? });
        }
        let (mut writer, mut outcomes) = (cache.create()?, Vec::with_capacity(items.len()));
        let counter = Counter::new(items.len(), progress);
        for chunk in items.chunks(CHUNK) {
            let decoded = counter.decode_all(chunk, |item| item.decode_and_identify(options));
            for (mut outcome, identity) in decoded {
                writer.add(&mut outcome, identity)?;
                outcomes.push(outcome);
            }
        }
        Ok(Self { writer: Some(writer), ..Self::sorted(items, outcomes)? })
    }

    /// Good and bad items apart.
    fn sorted(items: Vec<Item>, outcomes: Vec<Result<Decoded, Unusable>>) -> Result<Self, DataError> {
        let mut all = Self {
            good: Vec::with_capacity(items.len()),
            bad: Vec::new(),
            other_kinds: BTreeMap::new(),
            cached: None,
            writer: None,
        };
        for (item, outcome) in items.into_iter().zip(outcomes) {
            match outcome {
                Ok(decoded) => all.good.push((item, decoded)),
                Err(Unusable { reason, cause: Cause::OtherKind }) => {
                    *all.other_kinds.entry(reason).or_default() += 1;
                }
                Err(Unusable { reason, cause: Cause::BadFile }) => {
                    all.bad.push(BadFile { path: item.shown_path(), reason });
                }
                Err(Unusable { cause: Cause::OpenFiles, .. }) => {
                    return Err(DataError::TooManyOpenFiles { path: item.shown_path() });
                }
            }
        }
        all.bad.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }
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
