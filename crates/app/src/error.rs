//! What can go wrong above the data, each with its way out.

use std::io;
use std::path::PathBuf;

use roentgen_data::DataError;

/// Every way in which a command can fail.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Something about the pictures.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A setting out of its range.
    #[error("{name} is {found}: expected {expected} (flag --{name}, or key `{name}` of the config file)")]
    OutOfRange {
        /// Flag and key.
        name: &'static str,
        /// Its value.
        found: String,
        /// Its range.
        expected: &'static str,
    },
    /// Two settings that exclude each other.
    #[error("{first} does not go with {second}: {reason}")]
    Conflict {
        /// One of them.
        first: &'static str,
        /// The other one.
        second: &'static str,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// The config file is not there, or can't be read.
    #[error("cannot read the config file {}: {source}; check the path", path.display())]
    ConfigUnreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The config file says something that is not understood.
    #[error("config file {}, line {line}: {message}", path.display())]
    ConfigInvalid {
        /// The file.
        path: PathBuf,
        /// Where in it, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// Something is already where the run was to be kept.
    #[error("--out {} exists and is not an empty folder; give a new folder, or remove it first", path.display())]
    OutNotEmpty {
        /// The folder asked for.
        path: PathBuf,
    },
    /// A file or folder of the run could not be written.
    #[error("cannot write {}: {source}; check the free space and the permissions", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file of a run that can go on could not be written.
    #[error(
        "cannot write {}: {source}; check the free space and the permissions, then go on with: roentgen train --resume {}",
        path.display(),
        run.display()
    )]
    RunWrite {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
        /// The folder of the run.
        run: PathBuf,
    },
    /// The threads could not be started.
    #[error("cannot start {n_threads} threads: {reason}; try fewer with --threads")]
    Threads {
        /// Number asked for.
        n_threads: usize,
        /// What the thread pool said.
        reason: String,
    },
    /// So few pixels are in a batch that batch norm has no variance to divide by.
    #[error(
        "a batch of one image of {size} pixels leaves batch norm nothing to compare; \
         choose --size 16 or more, a larger --batch, or give more images ({n_train} to train on)"
    )]
    BatchTooSmall {
        /// Side of the crop, in pixels.
        size: u32,
        /// Training images.
        n_train: usize,
    },
    /// A loss or a weight is infinite or not a number.
    #[error(
        "{what} in epoch {epoch}, batch {batch} ({images}): training has diverged; \
         try a lower --max-lr (it is {max_lr}) or a tighter --clip (it is {clip})"
    )]
    Diverged {
        /// What became what.
        what: String,
        /// From 1.
        epoch: usize,
        /// From 1.
        batch: usize,
        /// The images of the batch, or some of them.
        images: String,
        /// The maximal learning rate of the run.
        max_lr: f64,
        /// The clipping of the run.
        clip: String,
    },
    /// Ctrl-C, or a polite request of the system to end.
    #[error("interrupted; go on with: roentgen train --resume {}", run.display())]
    Interrupted {
        /// Number of the signal.
        signal: u8,
        /// The folder of the run.
        run: PathBuf,
    },
    /// The system does not let the program hear of Ctrl-C.
    #[error("cannot listen to signals: {source}")]
    Signals {
        /// What the operating system said.
        source: io::Error,
    },
    /// A run that cannot go on.
    #[error("cannot resume {}: {reason}", path.display())]
    NotResumable {
        /// The folder of the run, or the file that is wrong.
        path: PathBuf,
        /// What is wrong, and the way out.
        reason: String,
    },
    /// A folder to predict on has none.
    #[error("{} has no pictures (png, jpg, jpeg), nor have the folders in it", path.display())]
    NoPictures {
        /// The folder.
        path: PathBuf,
    },
    /// The picture to explain can't be used.
    #[error("{}: {reason}", path.display())]
    BadPicture {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// What is written is a png, whatever it is called.
    #[error("--out {}: the picture is written as png; give a name that ends in .png", path.display())]
    NotPng {
        /// The file asked for.
        path: PathBuf,
    },
    /// The exported graph would not see what normalisation needs.
    #[error(
        "this model normalises each picture by the whole of it, which an exported one does not see; train one with --normalize set"
    )]
    NotExportable,
    /// The range test ended before it had begun.
    #[error("the loss is no number from the first steps on; look at the data with `roentgen inspect`")]
    NoRate,
    /// A class that a model does not know.
    #[error("the model knows no class `{name}`; it knows {known}")]
    NoSuchClass {
        /// As it was given.
        name: String,
        /// All that it knows.
        known: String,
    },
    /// Some files could not be read; the others are answered.
    #[error("{n_failed} of {n} files could not be read; each is named with its reason")]
    NotAllRead {
        /// Files without an answer.
        n_failed: usize,
        /// Files asked about.
        n: usize,
    },
    /// The standard input can't be read.
    #[error("cannot read the standard input: {source}")]
    StdinUnreadable {
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process works in the folder.
    #[error("{} is in use by another run; wait for its end, or give another folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The model file is not there, or can't be read.
    #[error("cannot read the model {}: {source}; give the model.safetensors of a run", path.display())]
    ModelUnreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The model file holds something else.
    #[error("{} is not a model that this version can use: {reason}; give the model.safetensors of a run", path.display())]
    ModelInvalid {
        /// The file.
        path: PathBuf,
        /// What was expected, what was found.
        reason: String,
    },
    /// A run folder without what is to be read from it.
    #[error("cannot use {}: {reason}; give the folder of a run that ended with a test", path.display())]
    RunUnreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Two runs that were tested on different pictures.
    #[error(
        "the runs cannot be compared: {reason}; compare runs with the same test part \
         (where it is split off: the same --seed and --test-fraction)"
    )]
    NotComparable {
        /// What is different.
        reason: String,
    },
    /// Nothing to evaluate on.
    #[error("this model was trained on a folder: say with --data DIR what to evaluate it on")]
    NoEvaluationData,
    /// A filter that leaves nothing to measure.
    #[error("--filter {filter} matches nothing; there are: {names}")]
    NothingToMeasure {
        /// What was asked for.
        filter: String,
        /// What there is.
        names: String,
    },
    /// A process that measures did not end well.
    #[error("{program} did not measure: {reason}")]
    BenchProcess {
        /// What was started.
        program: String,
        /// The system's reason, or the last words of the process.
        reason: String,
    },
    /// The file is no record of a bench.
    #[error("cannot use the record {}: {reason}; give a file that `bench --save` wrote", path.display())]
    RecordInvalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Parts that share pictures or patients, under `--strict`.
    #[error(
        "--strict: the parts are not apart from each other; remove from one of them, or leave --strict out:\n{list}"
    )]
    Leaks {
        /// One indented line each.
        list: String,
    },
    /// Parts that hold nothing new.
    #[error(
        "every picture to test on also stands, or has its patient, in an earlier part; \
         `roentgen inspect` lists them; give others"
    )]
    AllLeaked,
    /// Images that a model cannot be applied to.
    #[error(
        "the model cannot be applied to these images: {reason}; load them as its training images were loaded"
    )]
    ImagesUnsuitable {
        /// What was found, what was expected.
        reason: String,
    },
    /// A part without a picture.
    #[error("there is no picture to test on; give a test part, or a larger --test-fraction")]
    EmptyTest,
}

impl AppError {
    /// 2 for what was asked in a wrong way, 1 for what went wrong in doing it, 130 and 143 for an interruption.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            // As a shell says it.
            Self::Interrupted { signal, .. } => 128 + signal,
            Self::OutOfRange { .. }
            | Self::Conflict { .. }
            | Self::ConfigUnreadable { .. }
            | Self::ConfigInvalid { .. }
            | Self::OutNotEmpty { .. }
            | Self::NoEvaluationData
            | Self::NothingToMeasure { .. }
            | Self::RecordInvalid { .. }
            | Self::NotComparable { .. }
            | Self::NotPng { .. }
            | Self::NotResumable { .. }
            | Self::Data(DataError::OutOfRange { .. } | DataError::ResizeBelowCrop { .. }) => 2,
            _ => 1,
        }
    }
}
