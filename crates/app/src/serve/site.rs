//! What all requests share: the folder of runs, the models that are loaded, and the turns of predictions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rayon::{ThreadPool, ThreadPoolBuilder};
use roentgen_layers::ResNet9;
use tokio::sync::Semaphore;

use super::runs::{self, RunEntry};
use crate::error::serve::ServeError;
use crate::model::model_card::ModelCard;
use crate::model::model_file;
use crate::run_dir::file_names::MODEL;

/// Models that are kept.
const MAX_MODELS: usize = 8;
/// Requests that wait for a prediction; each waits before its image is read.
const QUEUE: usize = 256;
/// Images in memory at the same time.
const IN_WORK: usize = 4;

/// Why a request has no other answer.
#[derive(Debug)]
pub(super) enum Problem {
    /// There is no such run.
    NoRun,
    /// The folder of runs, a model or a report cannot be read; the text says why.
    Unreadable(String),
    /// The image has more bytes than allowed, or did not arrive.
    BadBody(StatusCode, String),
    /// Too many requests wait.
    Busy,
    /// A fault of the program.
    Failed,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        match self {
            Self::NoRun => (StatusCode::NOT_FOUND, "there is no such run").into_response(),
            Self::Unreadable(reason) => (StatusCode::INTERNAL_SERVER_ERROR, reason).into_response(),
            Self::BadBody(status, reason) => (status, reason).into_response(),
            Self::Busy => {
                let text = "too many images wait; send it again in a second";
                (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], text).into_response()
            }
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, "a fault of the program").into_response(),
        }
    }
}

/// A model, ready to predict.
pub(super) struct LoadedModel {
    pub(super) model: ResNet9,
    pub(super) card: ModelCard,
}

struct Kept {
    written: Option<SystemTime>,
    model: Arc<LoadedModel>,
}

struct Shared {
    runs: PathBuf,
    models: Mutex<BTreeMap<PathBuf, Kept>>,
    queue: Semaphore,
    in_work: Semaphore,
    pool: ThreadPool,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Site(Arc<Shared>);

impl Site {
    /// For the runs in a folder, with a pool of threads for all predictions.
    ///
    /// # Errors
    /// If threads cannot be started.
    pub(super) fn new(runs: &Path, n_threads: usize) -> Result<Self, ServeError> {
        let pool = ThreadPoolBuilder::new().num_threads(n_threads).build();
        let pool = pool.map_err(|error| ServeError::NoThreads { reason: error.to_string() })?;
        Ok(Self(Arc::new(Shared {
            runs: runs.to_owned(),
            models: Mutex::default(),
            queue: Semaphore::new(QUEUE),
            in_work: Semaphore::new(IN_WORK),
            pool,
        })))
    }

    /// All runs.
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
        if let Some(kept) = models.get(&path).filter(|kept| kept.written == written) {
            return Ok(Arc::clone(&kept.model));
        }
        let (model, card) =
            model_file::read(&path).map_err(|error| Problem::Unreadable(error.to_string()))?;
        let model = Arc::new(LoadedModel { model, card });
        while models.len() >= MAX_MODELS {
            models.pop_first();
        }
        models.insert(path, Kept { written, model: Arc::clone(&model) });
        Ok(model)
    }

    /// A place in the queue, if there is one.
    pub(super) fn place(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Problem> {
        self.0.queue.try_acquire().map_err(|_| Problem::Busy)
    }

    /// The turn of a request that waits.
    pub(super) async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, Problem> {
        self.0.in_work.acquire().await.map_err(|_| Problem::Failed)
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
