//! What can go wrong between a folder and a batch, each with its way out.

use std::io;
use std::path::PathBuf;

/// A file that holds no usable picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFile {
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Every way in which data can be unusable.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Nothing is there.
    #[error("{} does not exist; check the path of the data", path.display())]
    NoSuchData {
        /// The path asked for.
        path: PathBuf,
    },
    /// Something is there, but in no format that can be read.
    #[error("{} is no data set that can be read; give one of these: {known}", path.display())]
    UnknownFormat {
        /// The path asked for.
        path: PathBuf,
        /// The formats that can be read.
        known: String,
    },
    /// A file of many pictures that cannot be used as a whole.
    #[error("{} cannot be used: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong, where in the file, and the way out.
        reason: String,
    },
    /// It is there, but cannot be read.
    #[error("cannot read {}: {source}; check its permissions", path.display())]
    Unlistable {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No sub-folder at all.
    #[error(
        "no class folders in {}: expected one sub-folder of pictures per class, found {found}",
        path.display()
    )]
    NoClassFolders {
        /// The folder searched.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },
    /// A classifier needs two classes.
    #[error(
        "only one class, `{class}`, in {}: expected at least two class folders; add another, or point to the folder above",
        path.display()
    )]
    OneClass {
        /// The folder searched.
        path: PathBuf,
        /// The class found.
        class: String,
    },
    /// A class has no picture to train on.
    #[error(
        "class `{class}` has no picture to train on in {}: {found}; add pictures, or remove the class",
        path.display()
    )]
    EmptyClass {
        /// The folder of the class.
        path: PathBuf,
        /// The class.
        class: String,
        /// What is there instead.
        found: String,
    },
    /// A class that the training part, or the model, does not know.
    #[error(
        "unknown class `{class}` in {}: the known classes are {}; rename or remove it",
        path.display(),
        known.join(", ")
    )]
    UnknownClass {
        /// The file, or the folder that holds the class folder.
        path: PathBuf,
        /// The unknown class.
        class: String,
        /// The classes there are.
        known: Vec<String>,
    },
    /// `test/` or `val/` beside class folders, or without `train/`.
    #[error(
        "{} has `{subset}/` but no `train/`: put the class folders of the training part under train/",
        path.display()
    )]
    NoTrainSet {
        /// The folder searched.
        path: PathBuf,
        /// The part found.
        subset: String,
    },
    /// Two folders that mean the same part.
    #[error("`{first}/` and `{second}/` in {} are the same part; keep one of them", path.display())]
    DuplicateSubset {
        /// The folder searched.
        path: PathBuf,
        /// One of the folders.
        first: String,
        /// The other one.
        second: String,
    },
    /// Data to evaluate on that have other parts, but no test part.
    #[error(
        "{} has no test part and is not what the model was trained on; give data with a test part, or a folder with one \
         sub-folder per class",
        path.display()
    )]
    NoTestSet {
        /// The folder searched.
        path: PathBuf,
    },
    /// Files that hold no usable picture; the text lists all of them.
    #[error(
        "{} of {total} files cannot be used; repair or remove them, or leave them out with --skip-bad:\n{}",
        files.len(),
        list(files)
    )]
    BadFiles {
        /// All of them, sorted by path.
        files: Vec<BadFile>,
        /// Number of files looked at.
        total: usize,
    },
    /// A pattern for patients that is no pattern, or that no file matches.
    #[error(
        "the patient pattern `{pattern}` cannot be used: {reason}; mend --patient-pattern, or leave it out"
    )]
    PatientPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// More folds than groups of pictures of a class.
    #[error(
        "class `{class}` has {found} patients or groups of copies, too few for {folds} folds; choose fewer --folds"
    )]
    TooFewGroups {
        /// The class.
        class: String,
        /// Its groups.
        found: usize,
        /// Folds asked for.
        folds: usize,
    },
    /// The crop does not fit into the resized pictures.
    #[error("resize {resize} is smaller than the crop size {crop}; choose a resize of at least {crop}")]
    ResizeBelowCrop {
        /// Short side asked for, in pixels.
        resize: u32,
        /// Side of the crop, in pixels.
        crop: u32,
    },
    /// A number out of its range.
    #[error("{name} is {found}: expected {expected}")]
    OutOfRange {
        /// The option.
        name: &'static str,
        /// Its value.
        found: String,
        /// Its range.
        expected: &'static str,
    },
    /// Something is already where films are to be written.
    #[error("{} exists and is not an empty folder; give a new folder, or remove it first", path.display())]
    OutputNotEmpty {
        /// The folder asked for.
        path: PathBuf,
    },
    /// A file or folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system or the encoder said.
        source: io::Error,
    },
}

/// One indented line per file.
fn list(files: &[BadFile]) -> String {
    let lines: Vec<String> =
        files.iter().map(|bad| format!("  {}: {}", bad.path.display(), bad.reason)).collect();
    lines.join("\n")
}
