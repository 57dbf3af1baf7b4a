//! The training that the server started: this program again, as a process of its own, so that neither can disturb or end the
//! other. It stops when its standard input ends, with a checkpoint. That is what the server closes to stop it, and what the
//! system closes when the server is killed.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::super::page_words::without_flags;
use super::super::problem::Problem;
use crate::config::ConfigFile;
use crate::run_dir::error::resume_command;
use crate::run_dir::file_names::CONFIG;
use crate::terminal::progress_lines::BarState;
use crate::terminal::screen::Screen;

#[cfg(test)]
mod tests;

/// Lines of a training that are kept.
const MAX_LINES: usize = 200;
/// Pages that are shown trainings as they go on.
const MAX_VIEWERS: usize = 64;
/// Exit codes of a training that was stopped.
const STOPPED: [i32; 2] = [130, 143];
/// How the error of a run that cannot be resumed begins.
const NOT_RESUMABLE: &str = "cannot resume ";

/// How a training ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As it should.
    Done,
    /// It was asked to stop.
    Stopped,
    /// With an error. Where the folder or the images are not those that the run had, it cannot be resumed.
    Failed { reason: String, is_resumable: bool, at: SystemTime },
}

/// What is known of a training that this server started.
#[derive(Clone, Debug)]
pub(super) struct TrainingStatus {
    /// Whether its images are read.
    pub(super) has_begun: bool,
    pub(super) is_stopping: bool,
    /// How far it is with its images, or its steps.
    pub(super) bar: Option<Bar>,
    /// `None` while it is at work.
    pub(super) end: Option<End>,
}

/// A bar of a training, and how fast it moves.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) state: BarState,
    /// Where it was first, and when.
    begin: (u64, Instant),
}

impl Bar {
    /// The state after that of `before`.
    pub(super) fn new(state: BarState, before: Option<Self>) -> Self {
        let same = before.filter(|bar| bar.state.total == state.total && bar.state.done <= state.done);
        let begin = same.map_or_else(|| (state.done, Instant::now()), |bar| bar.begin);
        Self { state, begin }
    }

    /// Seconds for one of what is counted; none before it has moved.
    pub(super) fn seconds_each(&self) -> Option<f64> {
        let n = self.state.done - self.begin.0;
        (n > 0).then(|| self.begin.1.elapsed().as_secs_f64() / n as f64)
    }
}

struct Started {
    name: String,
    folder: PathBuf,
    /// What it is trained on, if that is a folder or file.
    images: Option<PathBuf>,
    /// Closed to stop it.
    input: Option<ChildStdin>,
    output: VecDeque<String>,
    errors: VecDeque<String>,
    bar: Option<Bar>,
    end: Option<End>,
}

impl Started {
    fn is_on(&self, images: &Path) -> bool {
        let is_there = |own: &PathBuf| own.canonicalize().ok() == images.canonicalize().ok();
        self.images.as_ref().is_some_and(is_there)
    }

    /// The first line is printed when the images are there.
    fn has_begun(&self) -> bool {
        !self.output.is_empty()
    }
}

/// What a training in `folder` reads: the value of `--data`, or what the settings of the run have.
fn images_of(folder: &Path, arguments: &[OsString]) -> Option<PathBuf> {
    let given = arguments.iter().skip_while(|argument| *argument != "--data").nth(1);
    let of_run = || ConfigFile::read(folder).ok().map(|file| file.complete.data);
    given.map(PathBuf::from).or_else(of_run)
}

#[derive(Default)]
struct Latest {
    is_closing: bool,
    /// The training that was started last.
    training: Option<Started>,
}

impl Latest {
    fn named(&self, name: &str) -> Option<&Started> {
        self.training.as_ref().filter(|training| training.name == name)
    }

    fn at_work(&self) -> Option<&Started> {
        self.training.as_ref().filter(|training| training.end.is_none())
    }
}

struct Shared {
    program: PathBuf,
    latest: Mutex<Latest>,
    has_ended: Condvar,
    closing: watch::Sender<bool>,
    viewers: Arc<Semaphore>,
}

/// The trainings of a server: one at a time.
#[derive(Clone)]
pub(in crate::serve) struct Trainings(Arc<Shared>);

impl Trainings {
    /// None yet.
    ///
    /// # Errors
    /// If the system does not say where this program is.
    pub(in crate::serve) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Shared {
            program: std::env::current_exe()?,
            latest: Mutex::default(),
            has_ended: Condvar::new(),
            closing: watch::Sender::new(false),
            viewers: Arc::new(Semaphore::new(MAX_VIEWERS)),
        })))
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.0.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts `roentgen train` with `arguments`, for a run with this name and folder.
    ///
    /// # Errors
    /// [`Problem::Refused`] if a training is at work, the server ends, or the system starts no process.
    pub(super) fn start(&self, name: &str, folder: &Path, arguments: &[OsString]) -> Result<(), Problem> {
        let mut latest = self.latest();
        if latest.is_closing {
            return Err(Problem::Refused(StatusCode::SERVICE_UNAVAILABLE, "the server ends".to_owned()));
        }
        if let Some(Started { name, .. }) = latest.at_work() {
            let reason = format!(
                "{name} is in training, and one training runs at a time; wait until it ends, or stop it"
            );
            return Err(Problem::Refused(StatusCode::CONFLICT, reason));
        }
        let mut command = Command::new(&self.0.program);
        command.args(["train", "--stop-with-input", "--progress-json"]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        away_from_the_terminal(&mut command);
        let mut child = command.spawn().map_err(|error| {
            Problem::Refused(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot start a training: {error}"))
        })?;
        latest.training = Some(Started {
            name: name.to_owned(),
            folder: folder.to_owned(),
            images: images_of(folder, arguments),
            input: child.stdin.take(),
            output: VecDeque::new(),
            errors: VecDeque::new(),
            bar: None,
            end: None,
        });
        drop(latest);
        let trainings = self.clone();
        thread::spawn(move || trainings.follow(child));
        Ok(())
    }

    /// Keeps what the process prints, until it ends.
    fn follow(&self, mut child: Child) {
        thread::scope(|scope| {
            if let Some(errors) = child.stderr.take() {
                scope.spawn(move || self.keep_lines(errors, |training| &mut training.errors));
            }
            if let Some(output) = child.stdout.take() {
                self.keep_lines(output, |training| &mut training.output);
            }
        });
        let status = child.wait();
        if let Some(training) = &mut self.latest().training {
            training.input = None;
            let errors: Vec<&str> = training.errors.iter().map(String::as_str).collect();
            training.end = Some(end_of(status, &errors));
        }
        self.0.has_ended.notify_all();
    }

    fn keep_lines(&self, output: impl Read, list: fn(&mut Started) -> &mut VecDeque<String>) {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if let Some(training) = &mut self.latest().training {
                if let Some(state) = BarState::of_line(&line) {
                    training.bar = Some(Bar::new(state, training.bar.take()));
                    continue;
                }
                let lines = list(training);
                if lines.len() == MAX_LINES {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
        }
    }

    /// Stops a training that this server started.
    ///
    /// # Errors
    /// [`Problem::Refused`] if it does not run, or was started elsewhere.
    pub(super) fn stop(&self, name: &str) -> Result<(), Problem> {
        let mut latest = self.latest();
        if latest.at_work().is_none_or(|training| training.name != name) {
            let reason =
                format!("{name} is no training that this page started; stop it where it was started");
            return Err(Problem::Refused(StatusCode::CONFLICT, reason));
        }
        if let Some(training) = &mut latest.training {
            training.input = None;
        }
        Ok(())
    }

    /// The name of the training that is at work.
    pub(in crate::serve) fn at_work(&self) -> Option<String> {
        self.latest().at_work().map(|training| training.name.clone())
    }

    /// The name of the training that is at work on the images in the folder `path`.
    pub(in crate::serve) fn at_work_on(&self, path: &Path) -> Option<String> {
        self.latest().at_work().filter(|training| training.is_on(path)).map(|training| training.name.clone())
    }

    /// Fails while a training reads the images in the folder `path`.
    ///
    /// # Errors
    /// [`Problem::Refused`].
    pub(in crate::serve) fn check_unread(&self, path: &Path) -> Result<(), Problem> {
        let reads = |training: &&Started| !training.has_begun() && training.is_on(path);
        let latest = self.latest();
        let Some(Started { name, .. }) = latest.at_work().filter(reads) else { return Ok(()) };
        let reason = format!("{name} is reading these images; wait until its training has begun, or stop it");
        Err(Problem::Refused(StatusCode::CONFLICT, reason))
    }

    /// The name and the folder of the training that was started last, if it is at work or has failed.
    pub(super) fn unfinished(&self) -> Option<(String, PathBuf)> {
        let latest = self.latest();
        let training = latest.training.as_ref();
        let training = training.filter(|training| matches!(training.end, None | Some(End::Failed { .. })))?;
        Some((training.name.clone(), training.folder.clone()))
    }

    /// The folder of the training that was started last, which is made when its images are read.
    pub(in crate::serve) fn folder_of(&self, name: &str) -> Option<PathBuf> {
        self.latest().named(name).map(|training| training.folder.clone())
    }

    /// A run has another name, and another folder with it.
    pub(in crate::serve) fn renamed(&self, from: &str, to: &str, folder: &Path) {
        // A training that ended before it had a folder may have had that name.
        self.removed(to);
        if let Some(training) = self.latest().training.as_mut().filter(|training| training.name == from) {
            to.clone_into(&mut training.name);
            folder.clone_into(&mut training.folder);
        }
    }

    /// No run has this name any more.
    pub(in crate::serve) fn removed(&self, name: &str) {
        self.latest().training.take_if(|training| training.name == name && training.end.is_some());
    }

    /// What this server knows of a training.
    pub(super) fn status(&self, name: &str) -> Option<TrainingStatus> {
        self.latest().named(name).map(|training| TrainingStatus {
            has_begun: training.has_begun(),
            is_stopping: training.input.is_none() && training.end.is_none(),
            bar: training.bar.clone(),
            end: training.end.clone(),
        })
    }

    /// The last lines that a training printed.
    pub(super) fn output(&self, name: &str) -> Vec<String> {
        let latest = self.latest();
        let output = latest.named(name).map(|training| training.output.iter());
        output.into_iter().flatten().map(|line| without_flags(line)).collect()
    }

    /// A place for a page that is shown a training as it goes on, and how it learns that the server ends.
    ///
    /// # Errors
    /// [`Problem::Busy`] if there are too many.
    pub(super) fn viewer(&self) -> Result<(watch::Receiver<bool>, OwnedSemaphorePermit), Problem> {
        let place = Arc::clone(&self.0.viewers).try_acquire_owned().map_err(|_| Problem::Busy)?;
        Ok((self.0.closing.subscribe(), place))
    }

    /// Stops the training that is at work, and shows no page any more how it goes on.
    pub(in crate::serve) fn close(&self) {
        let mut latest = self.latest();
        latest.is_closing = true;
        if let Some(training) = &mut latest.training {
            training.input = None;
        }
        self.0.closing.send_replace(true);
    }

    /// Waits until the training that was at work has written its checkpoint, and shows how to go on with it, or why it failed.
    pub(in crate::serve) fn wait(&self, screen: &Screen) {
        let mut latest = self.latest();
        let Some(Started { folder, .. }) = latest.at_work() else { return };
        let folder = folder.clone();
        let how = if latest.at_work().is_some_and(Started::has_begun) { " with a checkpoint" } else { "" };
        screen.field("training", &format!("{} stops{how}", folder.display()));
        while latest.at_work().is_some() {
            latest = self.0.has_ended.wait(latest).unwrap_or_else(PoisonError::into_inner);
        }
        let end = latest.training.as_ref().and_then(|training| training.end.as_ref());
        let text = end.and_then(|end| after(end, &folder)).unwrap_or_default();
        text.lines().for_each(|line| screen.field("", line));
    }
}

/// What to know of a training in `folder` that has ended while the server waited for it.
fn after(end: &End, folder: &Path) -> Option<String> {
    match end {
        End::Stopped if folder.join(CONFIG).is_file() => {
            Some(format!("continue on its page, or with: {}", resume_command(folder)))
        }
        End::Stopped => Some("it stopped before it began; start it again".to_owned()),
        End::Failed { reason, .. } => Some(format!("it failed: {reason}")),
        End::Done => None,
    }
}

/// Ctrl-C in the terminal of the server is meant for the server alone, which stops the training.
fn away_from_the_terminal(command: &mut Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    #[cfg(windows)]
    {
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
        std::os::windows::process::CommandExt::creation_flags(command, CREATE_NEW_PROCESS_GROUP);
    }
}

fn end_of(status: io::Result<ExitStatus>, errors: &[&str]) -> End {
    let reason = match status {
        Ok(status) if status.success() => return End::Done,
        Ok(status) if status.code().is_some_and(|code| STOPPED.contains(&code)) => return End::Stopped,
        Ok(_) if !errors.is_empty() => {
            let text = errors.join("\n");
            text.strip_prefix("error: ").unwrap_or(&text).to_owned()
        }
        Ok(status) => format!("the system ended it ({status}); is there enough memory?"),
        Err(error) => error.to_string(),
    };
    let is_resumable = !reason.starts_with(NOT_RESUMABLE);
    End::Failed { reason, is_resumable, at: SystemTime::now() }
}
