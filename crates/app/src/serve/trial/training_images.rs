//! The training images of a run, and those that look to its model most like an image.
//!
//! A run folder has no images: they are read again from where its configuration says, in the background, with the first request.
//! Those whose digests the model does not have are left out. One run is kept at a time, and one is read at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use image::RgbImage;
use roentgen_data::{ImageSet, ImageSource, LoadedFiles, Stage};
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::ConfigFile;
use crate::data_loading::load;
use crate::model::neighbours::Neighbours;
use crate::report::thumbnail;
use crate::serve::loaded_model::LoadedModel;
use crate::serve::runs::RunEntry;
use crate::terminal::foreign_text::error_line;
use crate::terminal::screen::{by_number, counted};

/// Most training images of a model.
const MAX_IMAGES: usize = 50_000;
/// Images that are shown.
const SHOWN: usize = 5;
/// How long a page keeps others waiting after its last request; it asks more often while it is open.
const WANTED_FOR: Duration = Duration::from_secs(5);

/// The training images of a run.
pub(super) struct TrainingImages {
    loaded: Arc<LoadedModel>,
    set: ImageSet,
    class_names: Vec<String>,
    neighbours: Neighbours,
    /// Why some are left out.
    pub(super) note: Option<String>,
}

/// How far they are.
#[derive(Clone)]
pub(super) enum Progress {
    /// Still being read or compared.
    Working(Arc<Counts>),
    Ready(Arc<TrainingImages>),
    /// Nothing is read before the images of the run with this name, which another page waits for.
    Waiting(String),
    /// Why they cannot be compared.
    Unavailable(String),
}

/// Images that have been compared, and all of them; none while they are read.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) n_done: AtomicUsize,
    pub(super) n_all: AtomicUsize,
}

/// The training images of the run that was asked for last.
#[derive(Clone, Default)]
pub(in crate::serve) struct TrainingCache {
    kept: Arc<Mutex<Option<Kept>>>,
    /// Held by the thread that reads images: the next one waits until it has ended.
    reading: Arc<Mutex<()>>,
}

/// Ends the reading of images that are no longer asked for.
struct WhileWanted<'a> {
    cache: &'a TrainingCache,
    counts: &'a Arc<Counts>,
}

impl roentgen_data::Progress for WhileWanted<'_> {
    fn report(&self, _stage: Stage, _done: usize, _total: usize) {}

    fn is_cancelled(&self) -> bool {
        !self.cache.is_wanted(self.counts)
    }
}

struct Kept {
    run: RunEntry,
    loaded: Arc<LoadedModel>,
    /// When it was asked for last.
    asked: Instant,
    progress: Progress,
}

impl TrainingCache {
    /// How far the training images of a run are; begins with them if they were not asked for, and no page waits for those of another
    /// run.
    pub(super) fn progress(&self, run: &RunEntry, loaded: &Arc<LoadedModel>) -> Progress {
        let mut kept = self.lock();
        if let Some(kept) = kept.as_mut().filter(|kept| kept.is_of(run, loaded)) {
            kept.asked = Instant::now();
            return kept.progress.clone();
        }
        if let Some(other) = kept.as_ref().filter(|kept| kept.run.path != run.path && kept.is_awaited()) {
            return Progress::Waiting(other.run.name.clone());
        }
        let counts = Arc::new(Counts::default());
        let progress = Progress::Working(Arc::clone(&counts));
        let (cache, run, loaded) = (self.clone(), run.clone(), Arc::clone(loaded));
        *kept = Some(Kept {
            run: run.clone(),
            loaded: Arc::clone(&loaded),
            asked: Instant::now(),
            progress: progress.clone(),
        });
        thread::spawn(move || {
            let _alone = cache.reading.lock().unwrap_or_else(PoisonError::into_inner);
            if !cache.is_wanted(&counts) {
                return;
            }
            let prepared = catch_unwind(AssertUnwindSafe(|| cache.prepare(&run, &loaded, &counts)));
            let progress = match prepared {
                Ok(Ok(images)) => Progress::Ready(Arc::new(images)),
                Ok(Err(reason)) => Progress::Unavailable(reason),
                Err(_) => Progress::Unavailable("A fault of the program.".to_owned()),
            };
            cache.set(&counts, progress);
        });
        progress
    }

    /// The training images of a run, if they are ready.
    pub(super) fn ready(&self, run: &RunEntry, loaded: &Arc<LoadedModel>) -> Option<Arc<TrainingImages>> {
        let mut kept = self.lock();
        let kept = kept.as_mut().filter(|kept| kept.is_of(run, loaded))?;
        kept.asked = Instant::now();
        match &kept.progress {
            Progress::Ready(images) => Some(Arc::clone(images)),
            _ => None,
        }
    }

    /// The result of the work with these counts, if nothing else was asked for since.
    fn set(&self, counts: &Arc<Counts>, progress: Progress) {
        if let Some(kept) = self.lock().as_mut().filter(|kept| kept.is_worked_on(counts)) {
            kept.progress = progress;
        }
    }

    fn is_wanted(&self, counts: &Arc<Counts>) -> bool {
        self.lock().as_ref().is_some_and(|kept| kept.is_worked_on(counts))
    }

    /// Forgets why there are no training images of this run, so that the next request tries again.
    pub(super) fn forget(&self, run: &RunEntry, loaded: &Arc<LoadedModel>) {
        self.lock().take_if(|kept| kept.is_of(run, loaded));
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the training images of a run, and computes their features.
    fn prepare(
        &self,
        run: &RunEntry,
        loaded: &Arc<LoadedModel>,
        counts: &Arc<Counts>,
    ) -> Result<TrainingImages, String> {
        let card = &loaded.model.card;
        let n_train = card.trained_on.as_ref().map_or(0, |trained_on| trained_on.n_train);
        if n_train > MAX_IMAGES {
            return Err(format!("The training set has {n_train} images; up to {MAX_IMAGES} are compared."));
        }
        let digests = &card.training_digests;
        let unreadable =
            |error: String| format!("The training images cannot be read any more: {}.", error_line(&error));
        let config = ConfigFile::read(&run.path).map_err(|error| unreadable(error.to_string()))?.complete;
        // A lower priority than predictions: half of the processors.
        let n_threads = thread::available_parallelism().map_or(1, usize::from).div_ceil(2);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build();
        let pool = pool.map_err(|error| unreadable(error.to_string()))?;
        let progress = WhileWanted { cache: self, counts };
        pool.install(|| {
            let (mut data, _) =
                load::read(&config, &progress).map_err(|error| unreadable(error.to_string()))?;
            if config.pseudonyms {
                data.pseudonymise();
            }
            let known: Vec<usize> =
                (0..data.train.len()).filter(|&image| digests.has(&data.train, image)).collect();
            let n_others = data.train.len() - known.len();
            if known.is_empty() {
                return Err("The images where the training images were are other ones now.".to_owned());
            }
            let set = if n_others == 0 { data.train } else { data.train.select(&known) };
            counts.n_all.store(set.len(), Ordering::Relaxed);
            let neighbours = Neighbours::new(&loaded.model, &set, |image| {
                counts.n_done.store(image + 1, Ordering::Relaxed);
                image % 100 != 0 || self.is_wanted(counts)
            });
            let note = (n_others > 0).then(|| {
                let images = counted(n_others, "image");
                let are = by_number(
                    n_others,
                    "is new or has changed since, and is left out",
                    "are new or have changed since, and are left out",
                );
                format!("{images} in the folder of the training {are}.")
            });
            let (loaded, class_names) = (Arc::clone(loaded), data.class_names);
            Ok(TrainingImages { loaded, set, class_names, neighbours, note })
        })
    }
}

impl Kept {
    fn is_of(&self, run: &RunEntry, loaded: &Arc<LoadedModel>) -> bool {
        self.run.path == run.path && Arc::ptr_eq(&self.loaded, loaded)
    }

    /// Whether a page waits for them, or is being shown them.
    fn is_awaited(&self) -> bool {
        !matches!(self.progress, Progress::Unavailable(_)) && self.asked.elapsed() < WANTED_FOR
    }

    fn is_worked_on(&self, counts: &Arc<Counts>) -> bool {
        matches!(&self.progress, Progress::Working(known) if Arc::ptr_eq(known, counts))
    }
}

/// A training image that is similar to another image.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NearImage {
    /// Its number, for its picture.
    image: usize,
    name: String,
    class: String,
    /// The cosine of the angle between the features of both images.
    similarity: f32,
}

impl TrainingImages {
    /// The images that are nearest to an image file.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub(super) fn nearest(&self, source: ImageSource) -> Result<Vec<NearImage>, String> {
        let model = &self.loaded.model;
        let LoadedFiles { images, mut by_source, .. } = model.card.read_images(&[source]);
        by_source.remove(0)?;
        let nearest = self.neighbours.nearest(model, &images, SHOWN);
        let of_each = nearest.into_iter().map(|neighbour| NearImage {
            image: neighbour.image,
            name: self.set.name(neighbour.image).to_owned(),
            class: self.class_names[self.set.labels()[neighbour.image] as usize].clone(),
            similarity: neighbour.similarity,
        });
        Ok(of_each.collect())
    }

    /// A small picture of one of them, if there are as many.
    pub(super) fn thumbnail(&self, image: usize) -> Option<RgbImage> {
        let is_there = image < self.set.len();
        is_there.then(|| thumbnail(&self.set, image, &self.loaded.model.card.image_options()))
    }
}

#[cfg(test)]
mod tests {
    use roentgen_data::Progress as _;

    use super::*;
    use crate::config::TrainConfig;
    use crate::serve::site::Site;
    use crate::serve::tests::train_in;

    #[test]
    fn images_are_read_for_one_run_at_a_time_and_only_while_they_are_asked_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        train_in(&folder, &TrainConfig { films: 24, size: 16, ..TrainConfig::default() });
        let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
        let run = crate::serve::runs::list(folder.path()).expect("a folder").remove(0);
        let loaded = site.model(&run).expect("a model");
        let gone = RunEntry { path: folder.path().join("gone"), ..run.clone() };
        let cache = TrainingCache::default();
        let working = |run: &RunEntry| match cache.progress(run, &loaded) {
            Progress::Working(counts) => counts,
            _ => panic!("it has just begun"),
        };
        // As if a third run were read.
        let alone = cache.reading.lock().expect("a lock");
        let first = working(&run);
        let waiting = cache.progress(&gone, &loaded);
        assert!(matches!(waiting, Progress::Waiting(name) if name == "my run"));
        assert!(Arc::ptr_eq(&working(&run), &first), "a second page does not end what a first one waits for");
        // As if the first page had been closed for a while.
        let long_ago = Instant::now().checked_sub(WANTED_FOR).expect("a machine that has run for longer");
        cache.lock().as_mut().expect("it was asked for").asked = long_ago;
        let second = working(&gone);
        let is_cancelled = |counts| WhileWanted { cache: &cache, counts }.is_cancelled();
        assert!(is_cancelled(&first) && !is_cancelled(&second));
        cache.set(&first, Progress::Unavailable("late".to_owned()));
        cache.forget(&run, &loaded);
        assert!(Arc::ptr_eq(&working(&gone), &second), "it goes on");
        drop(alone);
        let ended = || !matches!(cache.progress(&gone, &loaded), Progress::Working(_));
        assert!((0..600).any(|_| ended() || {
            thread::sleep(Duration::from_millis(20));
            false
        }));
        assert_eq!(first.n_all.load(Ordering::Relaxed), 0, "nothing was read for it");
    }
}
