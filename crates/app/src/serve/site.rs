//! What all requests share: the folder of runs, the models that are loaded, and the turns of predictions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use axum::http::StatusCode;
use rayon::{ThreadPool, ThreadPoolBuilder};
use roentgen_data::disk;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::bodies::BodyMemory;
use super::counters::Counters;
use super::data::contents::remove_begun;
use super::data::inspections::Inspections;
use super::data::sets::Sets;
pub(super) use super::loaded_model::{LoadedModel, WaitingImage};
use super::problem::Problem;
use super::runs::{self, RunEntry};
use super::training::process::Trainings;
use super::trial::training_images::TrainingCache;
use crate::error::serve::ServeError;
use crate::model::model_file;
use crate::run_dir::file_names::MODEL;

/// The folder, in that of the runs, of the sets that are put together in the browser.
pub(super) const SETS: &str = ".sets";
/// Models that are kept.
pub(super) const MAX_MODELS: usize = 8;
/// Requests that wait for a prediction; each waits before its image is read.
const QUEUE: usize = 256;
/// Images that are read at the same time.
const IN_WORK: usize = 4;
/// Images for sets that have arrived and are written at the same time.
const UPLOADS: usize = 4;

struct Kept {
    written: Option<SystemTime>,
    last_used: Instant,
    model: Arc<LoadedModel>,
}

struct Shared {
    runs: PathBuf,
    root: PathBuf,
    trainings: Trainings,
    counters: Counters,
    models: Mutex<BTreeMap<PathBuf, Kept>>,
    queue: Arc<Semaphore>,
    bodies: BodyMemory,
    in_work: Arc<Semaphore>,
    uploads: Semaphore,
    upload_bodies: BodyMemory,
    collection: Sets,
    training_images: TrainingCache,
    inspections: Inspections,
    pool: ThreadPool,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Site(Arc<Shared>);

impl Site {
    /// For the runs in a folder and images below `root`, with a pool of threads for all predictions.
    ///
    /// # Errors
    /// If threads cannot be started.
    pub(super) fn new(runs: &Path, root: &Path, n_threads: usize) -> Result<Self, ServeError> {
        let pool = ThreadPoolBuilder::new().num_threads(n_threads).build();
        let pool = pool.map_err(|error| ServeError::NoThreads { reason: error.to_string() })?;
        // Runs that a server was deleting when it was killed. Other temporary files there may be those of any program.
        drop(remove_begun(runs, disk::REMOVED_PREFIX));
        Ok(Self(Arc::new(Shared {
            runs: runs.to_owned(),
            root: root.to_owned(),
            trainings: Trainings::new().map_err(|source| ServeError::NotStarted { source })?,
            counters: Counters::default(),
            models: Mutex::default(),
            queue: Arc::new(Semaphore::new(QUEUE)),
            bodies: BodyMemory::default(),
            in_work: Arc::new(Semaphore::new(IN_WORK)),
            uploads: Semaphore::new(UPLOADS),
            upload_bodies: BodyMemory::default(),
            collection: Sets::new(sets_of(runs)),
            training_images: TrainingCache::default(),
            inspections: Inspections::new(n_threads),
            pool,
        })))
    }

    /// The folder below which images may be.
    pub(super) fn root(&self) -> &Path {
        &self.0.root
    }

    /// The folder of the runs, or the only run.
    pub(super) fn runs_path(&self) -> &Path {
        &self.0.runs
    }

    /// The folder of the sets that are put together in the browser.
    pub(super) fn sets(&self) -> &Path {
        self.0.collection.folder()
    }

    /// The training that this server started.
    pub(super) fn trainings(&self) -> &Trainings {
        &self.0.trainings
    }

    /// The requests that were answered.
    pub(super) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Requests in the queue of predictions.
    pub(super) fn n_waiting(&self) -> usize {
        QUEUE - self.0.queue.available_permits()
    }

    /// Whether it has a single run, beside which there is no place for another one.
    pub(super) fn has_single_run(&self) -> bool {
        runs::is_single(&self.0.runs)
    }

    /// The folder that new runs go to.
    pub(super) fn runs_folder(&self) -> Result<&Path, Problem> {
        if !self.has_single_run() {
            return Ok(&self.0.runs);
        }
        let reason = "roentgen serve shows a single run; start it with a folder of runs to train another one";
        Err(Problem::Refused(StatusCode::CONFLICT, reason.to_owned()))
    }

    /// All trainings, with the names of their folders.
    pub(super) fn all_trainings(&self) -> Result<Vec<(String, PathBuf)>, Problem> {
        runs::trainings(&self.0.runs)
            .map_err(|error| Problem::Unreadable(format!("cannot read the runs: {error}")))
    }

    /// The folder of a training by its name: one of those that are listed, or the one that this server started.
    pub(super) fn training_run(&self, name: &str) -> Result<PathBuf, Problem> {
        let own = || self.trainings().folder_of(name);
        let listed = self.all_trainings()?.into_iter().find(|(listed, _)| listed == name);
        listed.map(|(_, path)| path).or_else(own).ok_or(Problem::NoRun)
    }

    /// All runs with a model.
    pub(super) fn runs(&self) -> Result<Vec<RunEntry>, Problem> {
        runs::list(&self.0.runs)
            .map_err(|error| Problem::Unreadable(format!("cannot read the runs: {error}")))
    }

    /// A run by the name of its folder: one of those that are listed, so that no name leads elsewhere.
    pub(super) fn run(&self, name: &str) -> Result<RunEntry, Problem> {
        self.runs()?.into_iter().find(|run| run.name == name).ok_or(Problem::NoRun)
    }

    /// The model of a run; read again where its file is another one.
    pub(super) fn model(&self, run: &RunEntry) -> Result<Arc<LoadedModel>, Problem> {
        let path = run.path.join(MODEL);
        let written = path.metadata().and_then(|metadata| metadata.modified()).ok();
        let mut models = self.0.models.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = models.get_mut(&path).filter(|kept| kept.written == written) {
            kept.last_used = Instant::now();
            return Ok(Arc::clone(&kept.model));
        }
        let model = model_file::read(&path).map_err(|error| Problem::Unreadable(error.to_string()))?;
        let model = Arc::new(LoadedModel::new(model, written));
        models.insert(path, Kept { written, last_used: Instant::now(), model: Arc::clone(&model) });
        while models.len() > MAX_MODELS {
            let unused_longest =
                models.iter().min_by_key(|(_, kept)| kept.last_used).map(|(path, _)| path.clone());
            unused_longest.map(|path| models.remove(&path));
        }
        Ok(model)
    }

    /// The training images of the run that was asked for last.
    pub(super) fn training_images(&self) -> &TrainingCache {
        &self.0.training_images
    }

    /// A place in the queue, if there is one.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.0.queue).try_acquire_owned().map_err(|_| Problem::Busy)
    }

    /// Memory for bodies with an image to be predicted.
    pub(super) fn bodies(&self) -> &BodyMemory {
        &self.0.bodies
    }

    /// The same for images for sets, so that they keep no prediction waiting.
    pub(super) fn upload_bodies(&self) -> &BodyMemory {
        &self.0.upload_bodies
    }

    /// The turn of a request that waits.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.0.in_work).acquire_owned().await.map_err(|_| Problem::Failed)
    }

    /// The sets that are put together in the browser.
    pub(super) fn collection(&self) -> &Sets {
        &self.0.collection
    }

    /// The inspections of images to train on.
    pub(super) fn inspections(&self) -> &Inspections {
        &self.0.inspections
    }

    /// The turn of a request whose image for a set has arrived.
    pub(super) async fn upload_turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Problem> {
        self.0.uploads.acquire().await.map_err(|_| Problem::Failed)
    }

    /// Reads files beside the server, and not on the threads of predictions, which may be busy.
    pub(super) async fn beside<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let site = self.clone();
        tokio::task::spawn_blocking(move || read(&site)).await.map_err(|_| Problem::Failed)?
    }

    /// Computes on the threads of predictions, beside the server.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let shared = Arc::clone(&self.0);
        let result = tokio::task::spawn_blocking(move || shared.pool.install(work)).await;
        result.map_err(|_| Problem::Failed)
    }
}

/// The folder of the sets of a server of these runs. That of a single run is beside the run, so that deleting the run keeps the
/// sets.
fn sets_of(runs: &Path) -> PathBuf {
    let run = runs.canonicalize().ok().filter(|_| runs::is_single(runs));
    run.as_deref().and_then(Path::parent).unwrap_or(runs).join(SETS)
}
