//! What can go wrong in the commands themselves, apart from the rooms that they use.

use std::io;
use std::path::{Path, PathBuf};

use crate::terminal::screen::{by_number, counted};

/// Why a command did not finish.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// `predict`: a folder has no images.
    #[error("{} contains no images, not even in its subfolders", path.display())]
    NoImages {
        /// The folder.
        path: PathBuf,
    },
    /// `predict`: some files have no prediction; there are predictions for the others.
    #[error(
        "{n_failed} of {} {}",
        counted(*n, "file"),
        by_number(
            *n_failed,
            "has no prediction; it is listed with its reason",
            "have no prediction; each is listed with its reason"
        )
    )]
    NotAllRead {
        /// Files without a prediction.
        n_failed: usize,
        /// All files.
        n: usize,
    },
    /// `predict`: the standard input cannot be read.
    #[error("cannot read the standard input: {source}")]
    StdinUnreadable {
        /// The error of the operating system.
        source: io::Error,
    },
    /// `explain`: the image cannot be read.
    #[error("{}: {reason}", path.display())]
    BadImage {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// `explain`, `export`: the file that was given for the output has the ending of another format.
    #[error("{flag} {}: the output is written as {}; give a name that ends in .{ending}", path.display(), ending.to_uppercase())]
    OtherEnding {
        /// The flag that names the output.
        flag: &'static str,
        /// The file that was given.
        path: PathBuf,
        /// The ending that is expected, in lower case.
        ending: &'static str,
    },
    /// `explain`: the model has no such class.
    #[error("the model has no class `{name}`; its classes are {known}")]
    NoSuchClass {
        /// As it was given.
        name: String,
        /// All classes of the model.
        known: String,
    },
    /// `export`: the model normalises each image by its own statistics, which an exported graph that works on crops cannot.
    #[error(
        "this model normalises each image by the mean and deviation of the whole image, which an exported model does \
         not get to see; train one with --normalize set"
    )]
    NotExportable,
    /// `evaluate`: the data must be given, because the model was not trained on the phantom.
    #[error("this model was not trained on phantom films; name the data to evaluate it on after the model")]
    NoEvaluationData,
    /// `compare`: the two runs were tested on different images.
    #[error(
        "the runs cannot be compared: {reason}; compare runs with the same test set \
         (where it is split off: the same --seed and --test-fraction)"
    )]
    NotComparable {
        /// The difference.
        reason: String,
    },
    /// `audit`: there are no other images than those of `--test`.
    #[error(
        "there are no validation images, and those of --test are not checked, because they may be from elsewhere; give a \
         validation set, or a larger --val-fraction"
    )]
    NothingToAudit,
    /// `audit`: all images that could be checked are leaked.
    #[error(
        "every {sets} image{} also occurs in an earlier set; `roentgen inspect` lists them; give others",
        if *has_patients { ", or its patient," } else { "" }
    )]
    AllLeaked {
        /// The names of their sets.
        sets: &'static str,
        /// Whether the patients are known.
        has_patients: bool,
    },
    /// `lr-find`: the loss was NaN or infinite before the range test had settled.
    #[error("the loss is not finite from the first steps on; check the data with `roentgen inspect`")]
    NoRate,
}

impl CommandError {
    /// Fails if the output `path`, which `flag` names, does not end in `ending`, in any case.
    ///
    /// # Errors
    /// [`Self::OtherEnding`].
    pub(crate) fn check_ending(flag: &'static str, path: &Path, ending: &'static str) -> Result<(), Self> {
        let has_ending = path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
        if has_ending { Ok(()) } else { Err(Self::OtherEnding { flag, path: path.into(), ending }) }
    }

    /// Whether an argument is wrong, or what it names cannot be used, rather than the work itself.
    pub(crate) fn is_usage_error(&self) -> bool {
        match self {
            Self::NoImages { .. }
            | Self::BadImage { .. }
            | Self::OtherEnding { .. }
            | Self::NoSuchClass { .. }
            | Self::NotExportable
            | Self::NoEvaluationData
            | Self::NothingToAudit
            | Self::NotComparable { .. } => true,
            Self::NotAllRead { .. }
            | Self::StdinUnreadable { .. }
            | Self::AllLeaked { .. }
            | Self::NoRate => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_a_prediction_are_counted_in_good_grammar() {
        let text = |n_failed, n| CommandError::NotAllRead { n_failed, n }.to_string();
        assert_eq!(text(1, 1), "1 of 1 file has no prediction; it is listed with its reason");
        assert_eq!(text(1, 3), "1 of 3 files has no prediction; it is listed with its reason");
        assert_eq!(text(2, 3), "2 of 3 files have no prediction; each is listed with its reason");
    }
}
