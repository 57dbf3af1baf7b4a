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
    /// Of each image, whether it leaked in the first or in the second run.
    pub(super) is_leaked: Vec<bool>,
}

impl PairedImages {
    /// The images that leaked in neither run; see [`main_images`].
    pub(super) fn main(&self) -> Self {
        let main = main_images(&self.is_leaked);
        Self {
            pairs: main.iter().map(|&image| self.pairs[image]).collect(),
            groups: self.groups.select(&main),
            is_leaked: main.iter().map(|&image| self.is_leaked[image]).collect(),
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
    let mut partners = Partners::new(first, second);
    let (mut pairs, mut lines) = (Vec::with_capacity(first.len()), Vec::with_capacity(first.len()));
    let mut is_leaked = Vec::with_capacity(first.len());
    for a in first {
        let Some(b) = partners.take(a) else {
            return different(match second.iter().any(|other| other.path == a.path) {
                true => format!("{} is not the same image in both", a.path),
                false => format!("only one of them was tested on {}", a.path),
            });
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
        is_leaked.push(a.leaked || b.leaked);
    }
    Ok(PairedImages { pairs, groups: groups(&lines), is_leaked })
}

/// The images of the second run that have no partner yet.
struct Partners<'a> {
    /// Those that the first run has with the same path, by path.
    same_path: HashMap<&'a str, &'a RecordedPrediction>,
    /// The others, by digest and class: the paths of a run with `--pseudonyms` are others.
    same_image: HashMap<(&'a str, &'a str), Vec<&'a RecordedPrediction>>,
}

impl<'a> Partners<'a> {
    fn new(first: &[RecordedPrediction], second: &'a [RecordedPrediction]) -> Self {
        let digests: HashMap<&str, &str> =
            first.iter().map(|line| (line.path.as_str(), line.digest.as_str())).collect();
        let mut partners = Self { same_path: HashMap::new(), same_image: HashMap::new() };
        for line in second {
            if digests.get(line.path.as_str()) == Some(&line.digest.as_str()) {
                partners.same_path.insert(&line.path, line);
            } else {
                partners.same_image.entry((&line.digest, &line.class)).or_default().push(line);
            }
        }
        partners
    }

    fn take(&mut self, line: &'a RecordedPrediction) -> Option<&'a RecordedPrediction> {
        let same_path = self.same_path.remove(line.path.as_str());
        same_path.or_else(|| self.same_image.get_mut(&(line.digest.as_str(), line.class.as_str()))?.pop())
    }
}

/// Which images belong together, by the lines of both runs: those of a patient, equal images, and duplicates.
fn groups(lines: &[[&RecordedPrediction; 2]]) -> ImageGroups {
    let patients: Vec<Option<String>> =
        lines.iter().map(|[a, b]| a.patient.clone().or(b.patient.clone())).collect();
    let of_patients = ImageGroups::of_patients(&patients);
    let of_copies = of_patients.joined(|image| Some(&lines[image][0].digest));
    of_copies.joined(|image| lines[image][0].group).joined(|image| lines[image][1].group)
}

/// A path that occurs more than once.
fn repeated(lines: &[RecordedPrediction]) -> Option<&str> {
    let mut seen = HashSet::new();
    lines.iter().map(|line| line.path.as_str()).find(|path| !seen.insert(*path))
}
