//! Inspections of images to train on, one at a time beside the server, each on the same functions as `roentgen inspect`.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use axum::http::StatusCode;
use rayon::ThreadPoolBuilder;
use roentgen_data::{Progress, Stage};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::inspection_findings::{InspectionFindings, inspect_for_page};
use super::thumbnail::Picture;
use crate::config::TrainConfig;
use crate::serve::problem::Problem;

/// Inspections that are kept.
const MAX_JOBS: usize = 24;
/// Inspections that wait.
const MAX_WAITING: usize = 8;

/// See the module.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Inspections {
    n_threads: usize,
    jobs: Arc<Mutex<Jobs>>,
}

#[derive(Debug, Default)]
struct Jobs {
    /// The one that was asked for last is the last.
    all: VecDeque<Arc<Job>>,
    n_made: u64,
    is_working: bool,
}

/// The images to inspect, as they are now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct InspectionRequest {
    /// As requests name it.
    pub(super) data: String,
    pub(super) config: TrainConfig,
    /// A digest of its files; another one if they change.
    pub(super) state: blake3::Hash,
}

/// One inspection.
#[derive(Debug)]
pub(super) struct Job {
    id: u64,
    request: InspectionRequest,
    is_cancelled: AtomicBool,
    stage: Mutex<Option<Stage>>,
    n_done: AtomicUsize,
    n_in_all: AtomicUsize,
    outcome: Mutex<Outcome>,
}

#[derive(Debug)]
enum Outcome {
    Waiting,
    Working,
    /// With the findings as JSON.
    Done(Value, Vec<Picture>),
    Stopped,
}

/// How far an inspection is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InspectionStatus)]
pub(super) struct Status {
    id: u64,
    data: String,
    /// `waiting`, `working`, `done` or `stopped`.
    state: &'static str,
    /// What is being done.
    doing: &'static str,
    done: usize,
    total: usize,
    /// What was found, once it is done.
    #[schema(value_type = Option<InspectionFindings>)]
    findings: Option<Value>,
}

impl Inspections {
    /// With this number of threads for an inspection.
    pub(in crate::serve) fn new(n_threads: usize) -> Self {
        Self { n_threads, jobs: Arc::default() }
    }

    /// The inspection of these images: that of before if they have not changed, else a new one, and an older one stops.
    pub(super) fn inspect(&self, request: InspectionRequest) -> Result<Status, Problem> {
        let mut jobs = self.lock();
        let same = |job: &Arc<Job>| job.request == request && !job.is_stopped();
        if let Some(job) = jobs.all.iter().rposition(same).and_then(|at| jobs.all.remove(at)) {
            let status = job.status();
            jobs.all.push_back(job);
            return Ok(status);
        }
        for older in jobs.all.iter().filter(|job| job.request.data == request.data) {
            older.is_cancelled.store(true, Ordering::Relaxed);
        }
        if jobs.all.iter().filter(|job| job.is_waiting()).count() >= MAX_WAITING {
            let text = "many inspections wait; try again in a minute".to_owned();
            return Err(Problem::Refused(StatusCode::SERVICE_UNAVAILABLE, text));
        }
        jobs.n_made += 1;
        let job = Arc::new(Job::new(jobs.n_made, request));
        jobs.all.push_back(Arc::clone(&job));
        while jobs.all.len() > MAX_JOBS {
            jobs.all.pop_front();
        }
        if !jobs.is_working {
            let inspections = self.clone();
            let started =
                thread::Builder::new().name("inspections".to_owned()).spawn(move || inspections.work());
            jobs.is_working = started.is_ok();
            started.map_err(|_| Problem::Failed)?;
        }
        Ok(job.status())
    }

    /// The images whose inspection was asked for last, as requests name them.
    pub(in crate::serve) fn latest(&self) -> Option<String> {
        self.lock().all.back().map(|job| job.request.data.clone())
    }

    /// Whether the last inspection of these images found what has to be fixed before a training.
    pub(in crate::serve) fn blocks(&self, data: &str) -> bool {
        let jobs = self.lock();
        let latest = jobs.all.iter().rev().find(|job| job.request.data == data);
        latest.is_some_and(|job| match &*job.outcome() {
            Outcome::Done(findings, _) => {
                findings["blocks"].as_array().is_some_and(|blocks| !blocks.is_empty())
            }
            _ => false,
        })
    }

    /// An inspection that was begun.
    pub(super) fn job(&self, id: u64) -> Result<Arc<Job>, Problem> {
        self.lock().all.iter().find(|job| job.id == id).cloned().ok_or(Problem::NoData)
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until no inspection waits.
    fn work(&self) {
        loop {
            let next = {
                let mut jobs = self.lock();
                let next = jobs.all.iter().find(|job| job.is_waiting()).cloned();
                jobs.is_working = next.is_some();
                next
            };
            let Some(job) = next else { return };
            job.set(Outcome::Working);
            let pool = ThreadPoolBuilder::new().num_threads(self.n_threads).build();
            let worked =
                || pool.ok().map(|pool| pool.install(|| inspect_for_page(&job.request.config, &*job)));
            let inspected = catch_unwind(AssertUnwindSafe(worked)).ok().flatten();
            let is_cancelled = job.is_cancelled.load(Ordering::Relaxed);
            job.set(match inspected {
                Some((findings, pictures)) if !is_cancelled => {
                    Outcome::Done(serde_json::to_value(findings).unwrap_or_default(), pictures)
                }
                _ => Outcome::Stopped,
            });
        }
    }
}

impl Job {
    fn new(id: u64, request: InspectionRequest) -> Self {
        Self {
            id,
            request,
            is_cancelled: AtomicBool::new(false),
            stage: Mutex::default(),
            n_done: AtomicUsize::new(0),
            n_in_all: AtomicUsize::new(0),
            outcome: Mutex::new(Outcome::Waiting),
        }
    }

    /// Stops it as soon as it can be.
    pub(super) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    pub(super) fn status(&self) -> Status {
        let outcome = self.outcome();
        let (state, findings) = match &*outcome {
            Outcome::Done(findings, _) => ("done", Some(findings.clone())),
            Outcome::Waiting if !self.is_cancelled.load(Ordering::Relaxed) => ("waiting", None),
            Outcome::Working if !self.is_cancelled.load(Ordering::Relaxed) => ("working", None),
            _ => ("stopped", None),
        };
        let (mut done, mut total) =
            (self.n_done.load(Ordering::Relaxed), self.n_in_all.load(Ordering::Relaxed));
        let doing = match *self.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Stage::Decoding) => "reading the images",
            Some(Stage::Comparing) if done == total => {
                (done, total) = (0, 0);
                "comparing similar images closely, and measuring how long a training takes"
            }
            Some(Stage::Comparing) => "comparing the images with each other",
            Some(Stage::Drawing | Stage::Writing) => "drawing the films",
            None => "listing the files",
        };
        Status { id: self.id, data: self.request.data.clone(), state, doing, done, total, findings }
    }

    /// One of its pictures.
    pub(super) fn picture(&self, index: usize) -> Option<Picture> {
        match &*self.outcome() {
            Outcome::Done(_, pictures) => pictures.get(index).cloned(),
            _ => None,
        }
    }

    /// Whether it was stopped, or ended by a fault of the program.
    fn is_stopped(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed) || matches!(*self.outcome(), Outcome::Stopped)
    }

    fn is_waiting(&self) -> bool {
        matches!(*self.outcome(), Outcome::Waiting)
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, outcome: Outcome) {
        *self.outcome() = outcome;
    }
}

impl Progress for Job {
    fn report(&self, stage: Stage, done: usize, total: usize) {
        let mut now = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != Some(stage) {
            *now = Some(stage);
            self.n_done.store(0, Ordering::Relaxed);
        }
        self.n_in_all.store(total, Ordering::Relaxed);
        // Threads report out of order.
        self.n_done.fetch_max(done, Ordering::Relaxed);
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_images_are_those_that_were_asked_for_last() {
        let inspections = Inspections::new(1);
        inspections.lock().is_working = true;
        for data in ["folder:a", "folder:b", "folder:a"] {
            let (data, config) = (data.to_owned(), TrainConfig::default());
            let request = InspectionRequest { data, config, state: blake3::hash(&[]) };
            inspections.inspect(request).expect("few inspections");
        }
        assert_eq!(inspections.latest().as_deref(), Some("folder:a"));
        assert_eq!(inspections.lock().all.len(), 2, "it is not inspected again");
    }

    #[test]
    fn images_whose_inspection_failed_are_inspected_again() {
        let inspections = Inspections::new(1);
        // No thread is started: the test ends the inspections.
        inspections.lock().is_working = true;
        let request = InspectionRequest {
            data: "phantoms".to_owned(),
            config: TrainConfig::default(),
            state: blake3::hash(&[]),
        };
        let inspect = || inspections.inspect(request.clone()).expect("few inspections").id;
        let first = inspect();
        assert_eq!(inspect(), first, "it is not done yet");
        inspections.job(first).expect("it was begun").set(Outcome::Stopped);
        assert_ne!(inspect(), first);
    }
}
