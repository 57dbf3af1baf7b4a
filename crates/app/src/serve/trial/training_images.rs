//! The training images of a run, and those that look to its model most like an image.
//!
//! A run folder has no images: they are read again from where its configuration says, in the background, with the first request.
//! Those whose digests the model does not have are left out. One run is kept at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use image::RgbImage;
use roentgen_data::{ImageSet, ImageSource, LoadedFiles, load_files, silent};
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::ConfigFile;
use crate::data_loading::load;
use crate::model::neighbours::Neighbours;
use crate::report::thumbnail;
use crate::serve::loaded_model::LoadedModel;
use crate::serve::runs::RunEntry;
use crate::terminal::foreign_text::error_line;
use crate::terminal::screen::counted;

/// Most training images of a model.
const MAX_IMAGES: usize = 50_000;
/// Images that are shown.
const SHOWN: usize = 5;

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
pub(in crate::serve) struct TrainingCache(Arc<Mutex<Option<Kept>>>);

struct Kept {
    run: PathBuf,
    loaded: Arc<LoadedModel>,
    progress: Progress,
}

impl TrainingCache {
    /// How far the training images of a run are; begins with them if they were not asked for.
    pub(super) fn progress(&self, run: &RunEntry, loaded: &Arc<LoadedModel>) -> Progress {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_of(run, loaded)) {
            return kept.progress.clone();
        }
        let counts = Arc::new(Counts::default());
        let progress = Progress::Working(Arc::clone(&counts));
        *kept = Some(Kept { run: run.path.clone(), loaded: Arc::clone(loaded), progress: progress.clone() });
        let (cache, run, loaded) = (self.clone(), run.clone(), Arc::clone(loaded));
        thread::spawn(move || {
            let prepared = catch_unwind(AssertUnwindSafe(|| cache.prepare(&run, &loaded, &counts)));
            let progress = match prepared {
                Ok(Ok(images)) => Progress::Ready(Arc::new(images)),
                Ok(Err(reason)) => Progress::Unavailable(reason),
                Err(_) => Progress::Unavailable("A fault of the program.".to_owned()),
            };
            cache.set(&run, &loaded, progress);
        });
        progress
    }

    /// The training images of a run, if they are ready.
    pub(super) fn ready(&self, run: &RunEntry, loaded: &Arc<LoadedModel>) -> Option<Arc<TrainingImages>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &kept.as_ref().filter(|kept| kept.is_of(run, loaded))?.progress {
            Progress::Ready(images) => Some(Arc::clone(images)),
            _ => None,
        }
    }

    /// The result of the work for a run, if no other was asked for since.
    fn set(&self, run: &RunEntry, loaded: &Arc<LoadedModel>, progress: Progress) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_mut().filter(|kept| kept.is_of(run, loaded)) {
            kept.progress = progress;
        }
    }

    fn is_wanted(&self, run: &RunEntry, loaded: &Arc<LoadedModel>) -> bool {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().is_some_and(|kept| kept.is_of(run, loaded))
    }

    /// Forgets why there are no training images, so that the next request tries again.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Reads the training images of a run, and computes their features.
    fn prepare(
        &self,
        run: &RunEntry,
        loaded: &Arc<LoadedModel>,
        counts: &Counts,
    ) -> Result<TrainingImages, String> {
        let LoadedModel { model, card, .. } = &**loaded;
        let n_train = card.trained_on.as_ref().map_or(0, |trained_on| trained_on.n_train);
        if n_train > MAX_IMAGES {
            return Err(format!("The training set has {n_train} images; up to {MAX_IMAGES} are compared."));
        }
        let digests = card.training_digests.as_ref();
        let digests =
            digests.ok_or("The file of this model does not have the digests of its training images.")?;
        let unreadable =
            |error: String| format!("The training images cannot be read any more: {}.", error_line(&error));
        let config = ConfigFile::read(&run.path).map_err(|error| unreadable(error.to_string()))?.complete;
        // A lower priority than predictions: half of the processors.
        let n_threads = thread::available_parallelism().map_or(1, usize::from).div_ceil(2);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build();
        let pool = pool.map_err(|error| unreadable(error.to_string()))?;
        pool.install(|| {
            let (mut data, _) =
                load::read(&config, &silent).map_err(|error| unreadable(error.to_string()))?;
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
            let neighbours = Neighbours::new(model, card, &set, |image| {
                counts.n_done.store(image + 1, Ordering::Relaxed);
                image % 100 != 0 || self.is_wanted(run, loaded)
            });
            let note = (n_others > 0).then(|| {
                let images = counted(n_others, "image");
                format!(
                    "{images} in the folder of the training are new or have changed since, and are left out."
                )
            });
            let (loaded, class_names) = (Arc::clone(loaded), data.class_names);
            Ok(TrainingImages { loaded, set, class_names, neighbours, note })
        })
    }
}

impl Kept {
    fn is_of(&self, run: &RunEntry, loaded: &Arc<LoadedModel>) -> bool {
        self.run == run.path && Arc::ptr_eq(&self.loaded, loaded)
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
        let LoadedModel { model, card, .. } = &*self.loaded;
        let LoadedFiles { images, mut by_source, .. } =
            load_files(&[source], card.channels, &card.image_options(), &roentgen_data::silent);
        by_source.remove(0)?;
        let nearest = self.neighbours.nearest(model, card, &images, SHOWN);
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
        is_there.then(|| thumbnail(&self.set, image, &self.loaded.card.image_options()))
    }
}
