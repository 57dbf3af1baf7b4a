//! What can go wrong with the files of a run, and with any other file that is written.

use std::io;
use std::path::{Path, PathBuf};

use roentgen_data::write_remedy;

use super::file_names::{METRICS, REPORT, SPACE, SWEEP, SWEEP_PAGE};
use crate::terminal::foreign_text::shell_word;

/// What to do with a run that cannot continue from its checkpoint: without one, it begins with its first epoch.
pub(crate) const START_AGAIN: &str = "delete checkpoint.bin and resume, which starts the run again";

/// A file or folder could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}; {}", path.display(), write_remedy(source))]
pub struct WriteError {
    /// The file or folder.
    pub path: PathBuf,
    /// The error of the operating system.
    pub source: io::Error,
}

/// Why a run folder cannot be made, continued or read.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// There are files already where the run folder is to be made.
    #[error("--out {} exists and is not an empty folder; give a new folder, or remove this one first", path.display())]
    OutNotEmpty {
        /// The folder that was given.
        path: PathBuf,
    },
    /// There is a run already where the run folder is to be made.
    #[error("--out {} is the folder of another run; give a new folder{}", path.display(), or_continue(path))]
    OutIsRun {
        /// The folder that was given.
        path: PathBuf,
    },
    /// The folder where the run folder is to be made cannot be read.
    #[error("cannot read --out {}: {source}; {}", path.display(), match source.kind() {
        io::ErrorKind::InvalidFilename => write_remedy(source),
        _ => "check its permissions",
    })]
    OutUnreadable {
        /// The folder that was given.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The run folder would be a folder of the images.
    #[error(
        "the run folder would lie inside the data, {}, and be taken for a class there; give a folder outside with --out",
        data.display()
    )]
    OutInData {
        /// The folder of the images.
        data: PathBuf,
    },
    /// Decoded images would be kept in the run folder.
    #[error(
        "the folder of --cache, {}, is that of --out, {}, or in it, and a new run folder has to be empty; give a --cache \
         outside, which other runs can use too",
        cache.display(),
        out.display()
    )]
    CacheInOut {
        /// The folder for decoded images.
        cache: PathBuf,
        /// The folder of the run.
        out: PathBuf,
    },
    /// An output file would replace something that must be kept.
    #[error("cannot write {}: {reason}", path.display())]
    OutputTaken {
        /// The file that was asked for.
        path: PathBuf,
        /// Why not, and what to do.
        reason: &'static str,
    },
    /// A file of a run that cannot be resumed yet could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file of a run that can be resumed could not be written.
    #[error(
        "cannot write {}: {source}; check the free space and the permissions, then continue with: {}",
        path.display(),
        resume_command(run)
    )]
    ResumableWrite {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
        /// The folder of the run.
        run: PathBuf,
    },
    /// The folder of a run was moved or removed while the run worked in it.
    #[error(
        "cannot write {}: the folder of the run was moved or removed; a run that was moved continues with --resume and its new \
         folder",
        path.display()
    )]
    Moved {
        /// The file or folder, where it would be.
        path: PathBuf,
    },
    /// The run folder cannot be locked, for its file system has no locks.
    #[error(
        "cannot lock {}: {source}; its file system has no locks of files (flock): mount it with them (Lustre: option flock), or \
         give --out on another one",
        path.display()
    )]
    NoLocks {
        /// The file that was to be locked.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The run cannot be continued.
    #[error("cannot resume {}: {reason}", path.display())]
    NotResumable {
        /// The folder of the run, or the file that is wrong.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// It has ended: there is nothing to continue, and nothing to collect.
    #[error(
        "{}: the run is finished, and its results are in {}; train another one with another --out",
        path.display(),
        results_of(path).display()
    )]
    Finished {
        /// The folder of the run.
        path: PathBuf,
    },
    /// `collect`: the folder is not that of a run.
    #[error("cannot collect {}: it is not the folder of a run; give the --out of the tasks", path.display())]
    NotOfTasks {
        /// The folder.
        path: PathBuf,
    },
    /// `collect`: the folder is not that of several trainings.
    #[error(
        "{} is the folder of a single training, which has nothing to collect; continue it with: {}",
        path.display(),
        resume_command(path)
    )]
    NothingToCollect {
        /// The folder of the run.
        path: PathBuf,
    },
    /// The folder that several processes are to work in has other settings.
    #[error("{} is the folder of other trainings: {name} differs; give another --out", path.display())]
    OtherTrainings {
        /// The folder.
        path: PathBuf,
        /// The setting or file that is not the same.
        name: String,
    },
    /// A rank does not see the folder that all write into.
    #[error(
        "{} is not there on this rank; give a folder on a file system that all hosts share",
        path.display()
    )]
    NotSeen {
        /// The folder.
        path: PathBuf,
    },
    /// Trainings of the folder have not ended.
    #[error(
        "trainings of {} have not ended: {}; start their tasks again, or train them here with: {}",
        path.display(),
        folders.join(", "),
        resume_command(path)
    )]
    NotEnded {
        /// The folder of the whole.
        path: PathBuf,
        /// The folders of these trainings.
        folders: Vec<String>,
    },
    /// Another process works in the folder.
    #[error("{} is in use by another run; wait until it ends", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A file that is to be read from a run folder is missing or invalid.
    #[error("cannot use {}: {reason}; give the folder of a finished run that had a test set", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl RunDirError {
    /// [`Self::NotResumable`], with the folder of the run or the file that is wrong.
    pub(crate) fn not_resumable(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::NotResumable { path: path.into(), reason: reason.into() }
    }

    /// Whether the arguments or the contents of the folder given are wrong, rather than the work itself.
    pub(crate) fn is_usage_error(&self) -> bool {
        match self {
            Self::OutNotEmpty { .. }
            | Self::OutIsRun { .. }
            | Self::OutInData { .. }
            | Self::CacheInOut { .. }
            | Self::OutUnreadable { .. }
            | Self::OutputTaken { .. }
            | Self::NotResumable { .. }
            | Self::Finished { .. }
            | Self::NotOfTasks { .. }
            | Self::NothingToCollect { .. }
            | Self::OtherTrainings { .. }
            | Self::Unreadable { .. } => true,
            Self::Write(_)
            | Self::ResumableWrite { .. }
            | Self::Moved { .. }
            | Self::NoLocks { .. }
            | Self::InUse { .. }
            | Self::NotSeen { .. }
            | Self::NotEnded { .. } => false,
        }
    }
}

/// Whether a run has ended.
pub(super) fn is_finished(path: &Path) -> bool {
    [METRICS, SWEEP].iter().any(|name| path.join(name).is_file())
}

/// The page with the results of a run or of a sweep; several runs with different seeds or folds have a file alone.
fn results_of(run: &Path) -> PathBuf {
    let (page, file) = if run.join(SWEEP).is_file() { (SWEEP_PAGE, SWEEP) } else { (REPORT, METRICS) };
    run.join(if run.join(page).is_file() { page } else { file })
}

/// How to continue a run that has not ended.
fn or_continue(run: &Path) -> String {
    if is_finished(run) {
        return format!(" (that run is finished: its results are in {})", results_of(run).display());
    }
    format!(", or continue it with: {}", resume_command(run))
}

/// The command that continues what is in a folder.
pub(crate) fn resume_command(run: &Path) -> String {
    let command = if run.join(SPACE).is_file() { "sweep" } else { "train" };
    format!("roentgen {command} --resume {}", shell_word(run.display()))
}
