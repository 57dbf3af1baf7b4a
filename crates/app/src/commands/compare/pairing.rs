//! The same test images with the predictions of two runs.

use std::collections::{HashMap, HashSet};

use roentgen_data::ImageGroups;

use crate::error::command::CommandError;
use crate::metrics::log_loss;
use crate::metrics::test_metrics::main_images;
use crate::run_dir::predictions_file::RecordedPrediction;
use crate::terminal::screen::counted;

/// The test images with the predictions of both runs.
#[derive(Debug)]
pub(super) struct PairedImages {
    pub(super) pairs: Vec<Pair>,
    /// Which images belong together: those of a patient, and duplicates.
    pub(super) groups: ImageGroups,
    /// Whether digests show that the images are the same.
    pub(super) is_same_by_digest: bool,
    /// Of each image, whether it leaked in the first or in the second run.
    pub(super) is_leaked: Vec<bool>,
    /// Whether both runs recorded which images leaked.
    pub(super) leakage_is_known: bool,
}

impl PairedImages {
    /// The images that leaked in neither run; see [`main_images`].
    pub(super) fn main(&self) -> Self {
        let main = main_images(&self.is_leaked);
        Self {
            pairs: main.iter().map(|&image| self.pairs[image]).collect(),
            groups: self.groups.select(&main),
            is_leaked: main.iter().map(|&image| self.is_leaked[image]).collect(),
            ..*self
        }
    }
}

/// The predictions of both runs for one image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    /// Whether each run predicted the true class.
    pub(super) correct: [bool; 2],
    /// Negative logarithm of the probability that each run gave the true class.
    pub(super) loss: [f64; 2],
}

/// Finds the prediction of the second run for each image of the first.
pub(super) fn pair(
    first: &[RecordedPrediction],
    second: &[RecordedPrediction],
) -> Result<PairedImages, CommandError> {
    let different = |reason: String| Err(CommandError::NotComparable { reason });
    if first.is_empty() || first.len() != second.len() {
        let (n, m) = (counted(first.len(), "image"), second.len());
        return different(format!("one was tested on {n}, the other on {m}"));
    }
    if let Some(path) = repeated(first).or(repeated(second)) {
        return different(format!("one of them has several images with the path {path}"));
    }
    let is_same_by_digest = first.iter().chain(second).all(|line| line.digest.is_some());
    let mut partners = Partners::new(second, is_same_by_digest);
    let (mut pairs, mut lines) = (Vec::with_capacity(first.len()), Vec::with_capacity(first.len()));
    let mut leakage_is_known = true;
    let mut is_leaked = Vec::with_capacity(first.len());
    for a in first {
        let Some(b) = partners.take(a) else {
            return Err(unpaired(a, first, second, is_same_by_digest));
        };
        if a.class != b.class {
            return different(format!(
                "the class of {} is {} in one and {} in the other",
                a.path, a.class, b.class
            ));
        }
        let loss = |line: &RecordedPrediction| log_loss(line.probabilities[&line.class]);
        pairs.push(Pair {
            correct: [a.predicted == a.class, b.predicted == b.class],
            loss: [loss(a), loss(b)],
        });
        lines.push([a, b]);
        leakage_is_known &= a.leaked.is_some() && b.leaked.is_some();
        is_leaked.push(a.leaked == Some(true) || b.leaked == Some(true));
    }
    Ok(PairedImages { pairs, groups: groups(&lines), is_same_by_digest, is_leaked, leakage_is_known })
}

/// The images of the second run that have no partner yet, by their digests, or by their paths where a line has no digest.
struct Partners<'a> {
    by_digest: bool,
    of: HashMap<&'a str, Vec<&'a RecordedPrediction>>,
}

impl<'a> Partners<'a> {
    fn new(lines: &'a [RecordedPrediction], by_digest: bool) -> Self {
        let mut partners = Self { by_digest, of: HashMap::with_capacity(lines.len()) };
        for line in lines {
            let key = partners.key(line);
            partners.of.entry(key).or_default().push(line);
        }
        partners
    }

    fn key<'l>(&self, line: &'l RecordedPrediction) -> &'l str {
        line.digest.as_deref().filter(|_| self.by_digest).unwrap_or(&line.path)
    }

    /// The partner of a line: of several copies of an image the one with the same path, or else, as a run with `--pseudonyms` has
    /// other paths, one of the same class.
    fn take(&mut self, line: &RecordedPrediction) -> Option<&'a RecordedPrediction> {
        let key = self.key(line);
        let copies = self.of.get_mut(key)?;
        let same_path = copies.iter().position(|copy| copy.path == line.path);
        let at = same_path.or_else(|| copies.iter().position(|copy| copy.class == line.class)).unwrap_or(0);
        let copy = *copies.get(at)?;
        let is_same = copy.digest.is_none() || line.digest.is_none() || copy.digest == line.digest;
        is_same.then(|| copies.remove(at))
    }
}

/// Why the second run has no partner for a line of the first one.
fn unpaired(
    line: &RecordedPrediction,
    first: &[RecordedPrediction],
    second: &[RecordedPrediction],
    by_digest: bool,
) -> CommandError {
    let has_pseudonyms = |lines: &[RecordedPrediction]| lines.iter().all(|line| is_pseudonym(&line.path));
    if !by_digest && has_pseudonyms(first) != has_pseudonyms(second) {
        return CommandError::PseudonymsInOne;
    }
    let path = &line.path;
    let reason = match second.iter().any(|other| other.path == *path) {
        true => format!("{path} is not the same image in both"),
        false => format!("only one of them was tested on {path}"),
    };
    CommandError::NotComparable { reason }
}

/// Whether a path is one that `--pseudonyms` writes, such as `image 00042.png`.
fn is_pseudonym(path: &str) -> bool {
    let name = path.strip_prefix("image ").map(|name| name.split('.').next().unwrap_or(name));
    name.is_some_and(|number| number.len() >= 5 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Which images belong together, by the lines of both runs. Files of earlier versions have no groups, but equal images have equal
/// digests.
fn groups(lines: &[[&RecordedPrediction; 2]]) -> ImageGroups {
    let patients: Vec<Option<String>> =
        lines.iter().map(|[a, b]| a.patient.clone().or(b.patient.clone())).collect();
    let of_patients = ImageGroups::of_patients(&patients);
    let of_copies = of_patients.joined(|image| lines[image].iter().find_map(|line| line.digest.as_ref()));
    of_copies.joined(|image| lines[image][0].group).joined(|image| lines[image][1].group)
}

/// A path that occurs more than once.
fn repeated(lines: &[RecordedPrediction]) -> Option<&str> {
    let mut seen = HashSet::new();
    lines.iter().map(|line| line.path.as_str()).find(|path| !seen.insert(*path))
}
