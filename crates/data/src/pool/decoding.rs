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
use crate::file_identity::FileIdentity;
use crate::options::LoadOptions;
use crate::parts::Parts;
use crate::pixel_file::PixelFile;
use crate::progress::{Progress, Stage};
use crate::record::Record as _;
use crate::source::Item;
use crate::subset::Subset;
use crate::team::{self, Team};

/// What became of the items of a listing.
pub(super) struct AllDecoded {
    /// Those that gave an image.
    pub(super) items: Vec<Item>,
    /// The image of each of them.
    pub(super) images: Parts<Decoded>,
    /// Sorted by path.
    pub(super) bad: Vec<BadFile>,
    /// How many DICOM files are left out for each reason: kinds that are no radiographs, and views.
    pub(super) other_kinds: BTreeMap<String, usize>,
    /// The first file without an image of each class in each set, bad or left out.
    pub(super) unused: BTreeMap<(Subset, u32), BadFile>,
    /// What the cache has besides images, and the file with their pixels; `None` if they were decoded now.
    pub(super) cached: Option<(Shared, Vec<DuplicatePair>, PixelFile)>,
    /// The cache that is being written, with the pixels of all images.
    pub(super) writer: Option<CacheWriter>,
}

impl AllDecoded {
    /// Takes the images of `items` from the cache file at `cache` if every process of a team has a usable one; else they decode
    /// them together.
    ///
    /// # Errors
    /// [`DataError::Unusable`] for a file of many images. [`DataError::TooManyOpenFiles`]: this is no fault of a file, so no file is
    /// skipped for it. [`DataError::Write`] if no cache file can be made. As [`team::exchange`].
    pub(super) fn of(
        items: Vec<Item>,
        cache: Option<&Path>,
        options: &LoadOptions,
        team: &dyn Team,
        progress: &dyn Progress,
    ) -> Result<Self, DataError> {
        let cache = cache.map(|path| CacheFile::new(path, &items, options));
        let cached = cache.as_ref().and_then(|cache| cache.read(&items, options, progress));
        let (cached, has_cache) =
            team::exchange(team, Ok(cached), |cached| vec![u8::from(cached.is_some())])?;
        let is_cached = has_cache.iter().all(|has| *has == [1]);
        if let Some(Cached { outcomes, file, shared, duplicates }) = cached.filter(|_| is_cached) {
            return Ok(Self { cached: Some((shared, duplicates, file)), ..Self::sorted(items, outcomes)? });
        }
        let ready = items.iter().try_for_each(Item::load_packed);
        let writer = ready.and_then(|()| cache.map(CacheFile::create).transpose());
        let (outcomes, writer) = decode_all(&items, writer, options, team, progress)?;
        Ok(Self { writer, ..Self::sorted(items, outcomes)? })
    }

    /// Good and bad items apart.
    fn sorted(mut items: Vec<Item>, outcomes: Outcomes) -> Result<Self, DataError> {
        let Outcomes { images, failures, .. } = outcomes;
        let (mut bad, mut other_kinds, mut unused) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let (mut indices, mut index) = (failures.iter().map(|(index, _)| *index).peekable(), 0);
        let has_failed = |_: &mut Item| {
            index += 1;
            indices.next_if_eq(&(index - 1)).is_some()
        };
        let failed: Vec<Item> = items.extract_if(.., has_failed).collect();
        for (item, (_, Unusable { reason, cause })) in failed.into_iter().zip(failures) {
            let file = BadFile { path: item.shown_path(), reason };
            unused.entry((item.subset, item.label)).or_insert_with(|| file.clone());
            match cause {
                Cause::OtherKind => *other_kinds.entry(file.reason).or_default() += 1,
                Cause::BadFile => bad.push(file),
                Cause::OpenFiles => return Err(DataError::TooManyOpenFiles { path: file.path }),
            }
        }
        bad.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { items, images, bad, other_kinds, unused, cached: None, writer: None })
    }
}

/// What became of an item, and, for a cache, what its file is.
type Outcome = (Result<Decoded, Unusable>, Option<FileIdentity>);

/// Decodes all items: in rounds, in each of which every process of a team decodes as many. The pixels go to `writer`, if there is one.
/// If that has failed, or fails later, so does every process.
fn decode_all(
    items: &[Item],
    writer: Result<Option<CacheWriter>, DataError>,
    options: &LoadOptions,
    team: &dyn Team,
    progress: &dyn Progress,
) -> Result<(Outcomes, Option<CacheWriter>), DataError> {
    let (mut writer, mut written) = match writer {
        Ok(writer) => (writer, Ok(())),
        Err(error) => (None, Err(error)),
    };
    let identifies = options.cache.is_some();
    let decode = |item: &Item| match identifies {
        true => item.decode_and_identify(options),
        false => (item.decode(options), None),
    };
    let is_one_round = team.size() == 1 && writer.is_none();
    let n_round = if is_one_round { items.len().max(1) } else { CHUNK * team.size() };
    let counter = Counter { n_done: AtomicUsize::new(0), step: team.size(), total: items.len(), progress };
    let mut outcomes = Outcomes::default();
    for round in items.chunks(n_round) {
        let n_share = round.len().div_ceil(team.size());
        let share = round.chunks(n_share).nth(team.rank()).unwrap_or_default();
        let own = written.and_then(|()| counter.decode_all(share, decode));
        written = gathered(team, own)?.into_iter().try_for_each(|(outcome, identity)| {
            let mut outcome = needed(outcome, items.len());
            if let Some(writer) = &mut writer {
                writer.add(&mut outcome, identity)?;
            }
            outcomes.push(outcome);
            Ok(())
        });
    }
    written.map(|()| (outcomes, writer))
}

/// What all processes of a team have decoded, in their order.
///
/// # Errors
/// As [`team::exchange`].
fn gathered(team: &dyn Team, own: Result<Vec<Outcome>, DataError>) -> Result<Vec<Outcome>, DataError> {
    if team.size() == 1 {
        return own;
    }
    let (_, gathered) = team::exchange(team, own, |outcomes| {
        let mut bytes = Vec::new();
        outcomes.write(&mut bytes);
        bytes
    })?;
    let mut all = Vec::new();
    for bytes in gathered {
        let outcomes = Vec::<Outcome>::read(&mut bytes.as_slice());
        all.extend(outcomes.map_err(|source| DataError::NotExchanged { source })?);
    }
    Ok(all)
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

/// Counts the items that are decoded, as if each process of a team were equally fast.
struct Counter<'a> {
    n_done: AtomicUsize,
    /// How many processes there are.
    step: usize,
    total: usize,
    progress: &'a dyn Progress,
}

impl Counter<'_> {
    /// Decodes in parallel, each item with `decode`.
    ///
    /// # Errors
    /// [`DataError::Cancelled`].
    fn decode_all<T: Send>(
        &self,
        items: &[Item],
        decode: impl Fn(&Item) -> T + Sync,
    ) -> Result<Vec<T>, DataError> {
        let decode = |item: &Item| {
            if self.progress.is_cancelled() {
                return Err(DataError::Cancelled);
            }
            let decoded = decode(item);
            let n_done = self.n_done.fetch_add(self.step, Ordering::Relaxed) + self.step;
            self.progress.report(Stage::Decoding, n_done.min(self.total), self.total);
            Ok(decoded)
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
