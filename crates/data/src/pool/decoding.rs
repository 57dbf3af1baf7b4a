//! Every file to an image, or to the reason why there is none: decoded, or taken from a cache.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::cache::{CacheFile, CacheWriter, Cached, Shared};
use crate::decode::{Cause, Decoded, Unusable};
use crate::duplicates::DuplicatePair;
use crate::error::{BadFile, DataError};
use crate::options::LoadOptions;
use crate::progress::{Progress, Stage};
use crate::source::Item;

/// What became of the items of a listing.
pub(super) struct AllDecoded {
    pub(super) good: Vec<(Item, Decoded)>,
    /// Sorted by path.
    pub(super) bad: Vec<BadFile>,
    /// How many DICOM files of each kind are no radiographs.
    pub(super) other_kinds: BTreeMap<String, usize>,
    /// What the cache has besides images; `None` if they were decoded now.
    pub(super) cached: Option<(Shared, Vec<DuplicatePair>)>,
    /// The cache that is to be written.
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
            let outcomes = decode_all(&items, progress, |item| item.decode(options));
            return Self::sorted(items, outcomes);
        };
        if let Some(Cached { outcomes, shared, duplicates }) = cache.read(&items, options, progress) {
            return Ok(Self { cached: Some((shared, duplicates)), ..Self::sorted(items, outcomes)? });
        }
        let mut writer = cache.create()?;
        let decoded = decode_all(&items, progress, |item| item.decode_and_identify(options));
        let (outcomes, identities): (Vec<_>, Vec<_>) = decoded.into_iter().unzip();
        writer.remember(identities, &outcomes);
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

/// Decodes in parallel, each item with `decode`.
fn decode_all<T: Send>(
    items: &[Item],
    progress: &dyn Progress,
    decode: impl Fn(&Item) -> T + Sync,
) -> Vec<T> {
    let n_done = AtomicUsize::new(0);
    let decode = |item: &Item| {
        let decoded = decode(item);
        progress.report(Stage::Decoding, n_done.fetch_add(1, Ordering::Relaxed) + 1, items.len());
        decoded
    };
    items.par_iter().map(decode).collect()
}
