//! The errors of loading data; every text says what to do.

use std::io;
use std::path::PathBuf;

use crate::disk;

/// What to do where too many files are open.
pub(crate) const RAISE_LIMIT: &str = "raise the limit of open files, such as with `ulimit -n 4096`";

/// A file without a usable image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFile {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub reason: String,
}

/// Why data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The path does not exist.
    #[error("{} does not exist; check the path of the data", path.display())]
    NoSuchData {
        /// The path asked for.
        path: PathBuf,
    },
    /// The path exists, but has no supported format.
    #[error("{} is not a data set in a supported format; use one of these:\n{known}", path.display())]
    UnknownFormat {
        /// The path asked for.
        path: PathBuf,
        /// The supported formats, one indented line each.
        known: String,
    },
    /// A file or folder that cannot be used as a whole.
    #[error("{} cannot be used: {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The fault, where it is, and what to do.
        reason: String,
    },
    /// The path exists, but cannot be read.
    #[error("cannot read {}: {source}; {}", path.display(), remedy(source))]
    Unlistable {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// As many files are open as this process may have.
    #[error("cannot read {}: too many files are open; {RAISE_LIMIT}", path.display())]
    TooManyOpenFiles {
        /// The file that could not be opened.
        path: PathBuf,
    },
    /// There is no sub-folder.
    #[error(
        "no class folders in {}: expected one sub-folder of images per class, found {found}",
        path.display()
    )]
    NoClassFolders {
        /// The folder searched.
        path: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// A classifier needs at least two classes.
    #[error(
        "only one class, `{class}`, in {}: expected at least two class folders; {hint}",
        path.display()
    )]
    OneClass {
        /// The folder searched.
        path: PathBuf,
        /// The class found.
        class: String,
        /// What to do.
        hint: String,
    },
    /// A model has an output for each class, and a limited number of outputs.
    #[error(
        "{} has {found} classes, expected at most {limit}; is each class in a folder of its own, or is the label \
         something else, such as a number of the image?",
        path.display()
    )]
    TooManyClasses {
        /// The data.
        path: PathBuf,
        /// Number of classes.
        found: usize,
        /// The most that there may be.
        limit: usize,
    },
    /// A class has no training image.
    #[error(
        "class `{class}` has no training image in {}: {found}; add images, or remove the class",
        path.display()
    )]
    EmptyClass {
        /// The folder of the class; if it has several, the folder that they are in.
        path: PathBuf,
        /// The class.
        class: String,
        /// What was found instead.
        found: String,
    },
    /// A class that is not in the training set, or not one of the model's.
    #[error(
        "unknown class `{class}` in {}: the known classes are {}; rename or remove it, or take it for one of them, such as \
         with --classes \"{}={class}\"",
        path.display(),
        known.join(", "),
        known.last().map_or("NAME", String::as_str)
    )]
    UnknownClass {
        /// The file, or the folder that holds the class folder.
        path: PathBuf,
        /// The unknown class.
        class: String,
        /// The known classes.
        known: Vec<String>,
    },
    /// A class that the caller renames is not in the data.
    #[error(
        "--classes renames `{class}`, which is not in {}: there are {}; correct the name after the equals sign",
        path.display(),
        found.join(", ")
    )]
    UnknownMappedClass {
        /// The data.
        path: PathBuf,
        /// The class.
        class: String,
        /// The classes that there are.
        found: Vec<String>,
    },
    /// There is `test/` or `val/`, but no `train/`.
    #[error(
        "{} has `{subset}/` but no `train/`: move the class folders of the training set into train/",
        path.display()
    )]
    NoTrainSet {
        /// The folder searched.
        path: PathBuf,
        /// The folder of the set that was found.
        subset: String,
    },
    /// Two folders with names of the same set.
    #[error("`{first}/` and `{second}/` in {} are the same set; keep one of them", path.display())]
    DuplicateSubset {
        /// The folder searched.
        path: PathBuf,
        /// One of the folders.
        first: String,
        /// The other one.
        second: String,
    },
    /// Data for an evaluation that have other sets, but no test set.
    #[error(
        "{0} has other sets but no test set; add one, or give one of its folders of class folders, such as {0}/val",
        path.display()
    )]
    NoTestSet {
        /// The folder searched.
        path: PathBuf,
    },
    /// Data that are given to test on, without an image in them.
    #[error(
        "there are no test images in {}: expected images in its class folders, or lines of a table that name them",
        path.display()
    )]
    NoTestImages {
        /// The data searched.
        path: PathBuf,
    },
    /// A given validation or test set of bad files alone, which are skipped.
    #[error(
        "the {subset} set has no usable image, for example {}: {}; repair the files, or remove the set",
        example.path.display(),
        example.reason
    )]
    EmptySubset {
        /// Its name.
        subset: &'static str,
        /// One of its files.
        example: BadFile,
    },
    /// Files without a usable image; the text lists all of them.
    #[error(
        "{} of {total} files cannot be used; repair or remove them, or ignore them with --skip-bad:\n{}",
        files.len(),
        list(files)
    )]
    BadFiles {
        /// All of them, sorted by path.
        files: Vec<BadFile>,
        /// Number of files in the data.
        total: usize,
    },
    /// A patient pattern that is not a regular expression, or that matches no file.
    #[error(
        "the patient pattern `{pattern}` cannot be used: {reason}; correct --patient-pattern, or omit it"
    )]
    PatientPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A class has fewer groups of images than there are folds.
    #[error(
        "class `{class}` has {found} patients or groups of duplicates, too few for {folds} folds; use fewer --folds"
    )]
    TooFewGroups {
        /// The class.
        class: String,
        /// Number of its groups.
        found: usize,
        /// Number of folds.
        folds: usize,
    },
    /// A fold would have no image of a class.
    #[error(
        "no image of class `{class}` is in fold {fold} of {folds}: patients or groups of duplicates with images of several \
         classes cannot be divided evenly; use fewer --folds, or another --seed"
    )]
    MissingInFold {
        /// The class.
        class: String,
        /// The fold, from 1.
        fold: usize,
        /// Number of folds.
        folds: usize,
    },
    /// The crop does not fit into the resized images.
    #[error("resize {resize} is smaller than the crop size {crop}; use a resize of at least {crop}")]
    ResizeBelowCrop {
        /// The short side, in pixels.
        resize: u32,
        /// Side of the crop, in pixels.
        crop: u32,
    },
    /// A number outside its range.
    #[error("{name} is {found}: expected {expected}")]
    OutOfRange {
        /// The option.
        name: &'static str,
        /// Its value.
        found: String,
        /// Its range.
        expected: &'static str,
    },
    /// The output folder of the films already exists and is not empty.
    #[error("{} already exists and is not an empty folder; use a new folder, or remove this one first", path.display())]
    OutputNotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The folder for caches is the data folder, or in it.
    #[error(
        "the cache folder {} is in {}, where it would be read as images; choose another folder",
        path.display(),
        data.display()
    )]
    CacheInData {
        /// The folder.
        path: PathBuf,
        /// The data folder.
        data: PathBuf,
    },
    /// Images of a cache file that was read before can no longer be read.
    #[error(
        "the images in {} can no longer be read: {reason}; start the command again (a training or a sweep with --resume); a damaged \
         cache is made anew",
        path.display()
    )]
    UnreadableCache {
        /// The cache file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Of processes that load together, one has other files.
    #[error(
        "{process} has {found} files to decode and {first} has {expected}, or they differ in names or sizes; give all the same images"
    )]
    OtherFiles {
        /// The process.
        process: String,
        /// How many files it has.
        found: u64,
        /// The first process.
        first: String,
        /// How many that one has.
        expected: u64,
    },
    /// Of processes that load together, another one failed.
    #[error("{process}: {text}")]
    OnOtherProcess {
        /// Which one.
        process: String,
        /// Its error.
        text: String,
    },
    /// Processes that load together cannot reach each other.
    #[error("the images cannot be exchanged: {source}")]
    NotExchanged {
        /// Why.
        source: io::Error,
    },
    /// The caller cancelled the loading.
    #[error("the loading was cancelled")]
    Cancelled,
    /// A file or folder could not be written.
    #[error("cannot write {}: {source}; {}", path.display(), write_remedy(source))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system or the encoder.
        source: io::Error,
    },
}

/// What to do where a file or folder cannot be written.
#[must_use]
pub fn write_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::InvalidFilename => "give a shorter name",
        io::ErrorKind::NotFound => "its folder does not exist; check whether it was moved or removed",
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            "a file is in the place of a folder; give another path, or remove that file"
        }
        _ => "check the free space and the permissions",
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        _ if disk::is_out_of_open_files(error) => RAISE_LIMIT,
        io::ErrorKind::NotFound => "check its path, and whether it was moved or removed",
        _ => "check its permissions",
    }
}

/// One indented line per file.
fn list(files: &[BadFile]) -> String {
    let lines: Vec<String> =
        files.iter().map(|bad| format!("  {}: {}", bad.path.display(), bad.reason)).collect();
    lines.join("\n")
}
