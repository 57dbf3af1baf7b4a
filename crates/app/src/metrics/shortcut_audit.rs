//! The result of a shortcut audit: how well the classes can be predicted without what the images are about.

use std::cmp::Ordering::Equal;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::groups::Groups;
use super::mean::mean;
use super::{Interval, Predictions, Scorer};

/// A probe is flagged if the lower end of its interval covers more than this fraction of the way from chance to the ROC
/// AUC of full images.
///
/// On the phantom set, which has no shortcut, no interval reaches more than 0.06 of the way; with a marker planted on one
/// class it reaches all of it (docs/results.md).
const FLAGGED_FRACTION: f64 = 0.5;
/// Fewest images (patients, where they are known) of a class and of all others for which a probe is flagged, or counts as certain
/// without any error: one that knows nothing puts five before five others once in 252 times.
const MIN_OF_CLASS: usize = 5;

/// The result of one probe: a classifier that sees only a part of the information.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Probe {
    /// Area under the ROC curve, mean over the classes; 0.5 is chance.
    pub roc_auc: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<Interval>,
    /// The same for each class against the rest.
    pub per_class: Vec<ClassRocAuc>,
    /// Whether the probe predicts the class so well that the data have a shortcut.
    pub flagged: bool,
    /// The fewest images, or groups of them, of a class that has an area.
    #[serde(skip)]
    n: usize,
    /// Whether there are groups.
    #[serde(skip)]
    by_group: bool,
}

/// The ROC AUC of one class.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClassRocAuc {
    /// Name of the class.
    pub class: String,
    /// ROC AUC of the class against the rest.
    pub roc_auc: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<Interval>,
    /// Whether the probe predicts this class too well.
    #[serde(skip)]
    flagged: bool,
    /// Images of the class or of all others, whichever are fewer; groups, where there are groups.
    #[serde(skip)]
    n: usize,
}

/// What the audit found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Audit {
    /// With full images.
    pub full_image: Probe,
    /// With the border only.
    pub border: Probe,
    /// With the centre blanked.
    pub centre_blanked: Probe,
    /// With sizes, brightness and compression of the files; none if these are not known of every image.
    pub file_facts: Option<Probe>,
    /// Whether any of these three is flagged.
    pub flagged: bool,
    /// The result in one sentence.
    pub verdict: String,
    /// Images evaluated on.
    pub n: usize,
    /// Images left out, because they or their patients also occur in an earlier set.
    pub n_leaked: usize,
}

/// Why a run has no audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAudit {
    /// The settings switch it off.
    SwitchedOff,
    /// There is no image to evaluate on.
    NothingToCheck,
    /// A class has too few training images to fit on.
    FewTrainingImages,
    /// It would take too long compared with the training.
    ShortTraining,
}

impl NoAudit {
    /// The reason, and what to do, for a user who did not switch it off.
    #[must_use]
    pub(crate) fn in_words(self) -> Option<&'static str> {
        match self {
            Self::SwitchedOff => None,
            Self::NothingToCheck => Some(
                "left out, because there is no image to check: those of --test, and those that leaked, are not checked",
            ),
            Self::FewTrainingImages => Some(
                "left out, because a class has too few training images; `roentgen audit` checks for shortcuts",
            ),
            Self::ShortTraining => {
                Some("left out, because the training was short; `roentgen audit` checks for shortcuts")
            }
        }
    }
}

impl Probe {
    /// The result of a classifier with these predictions; `groups` are those of images that belong together.
    #[must_use]
    pub(crate) fn new(class_names: &[String], predictions: &Predictions, groups: Option<&[u32]>) -> Self {
        let (scorer, groups) = (Scorer::new(predictions), Groups::new(predictions.len(), groups));
        let roc_aucs = scorer.roc_auc_by_class();
        let (interval, intervals) = scorer.roc_auc_intervals(&groups);
        let class_roc_auc = |(class, name): (usize, &String)| ClassRocAuc {
            class: name.clone(),
            roc_auc: roc_aucs[class],
            interval: intervals[class],
            flagged: false,
            n: n_fewer_groups(predictions, &groups, class),
        };
        let per_class: Vec<ClassRocAuc> = class_names.iter().enumerate().map(class_roc_auc).collect();
        let defined = per_class.iter().filter(|class| class.roc_auc.is_some());
        let n = defined.map(|class| class.n).min().unwrap_or(0);
        Self {
            roc_auc: mean(roc_aucs.iter().copied().flatten()),
            interval,
            per_class,
            flagged: false,
            n,
            by_group: groups.are_given(),
        }
    }

    /// Flags the probe if its mean, or any class, is too close to `full_image`.
    fn flag(&mut self, full_image: &Self) {
        for (found, full) in self.per_class.iter_mut().zip(&full_image.per_class) {
            let [low, _] = ends(found.roc_auc, found.interval, found.n);
            found.flagged = found.n >= MIN_OF_CLASS && is_high(low, full.roc_auc);
        }
        let [low, _] = ends(self.roc_auc, self.interval, self.n);
        let is_mean_flagged = self.n >= MIN_OF_CLASS && is_high(low, full_image.roc_auc);
        self.flagged = is_mean_flagged || self.per_class.iter().any(|class| class.flagged);
    }

    /// Whether its mean, and every class that has images, are certainly not so close to `full_image`.
    fn is_much_worse(&self, full_image: &Self) -> bool {
        let is_worse = |roc_auc: Option<f64>, interval, n, full: Option<f64>| {
            let [_, high] = ends(roc_auc, interval, n);
            roc_auc.is_none() || high.is_some() && !is_high(high, full)
        };
        let classes = self.per_class.iter().zip(&full_image.per_class);
        is_worse(self.roc_auc, self.interval, self.n, full_image.roc_auc)
            && classes
                .into_iter()
                .all(|(found, full)| is_worse(found.roc_auc, found.interval, found.n, full.roc_auc))
    }

    /// Whether it predicts the class clearly better than chance; where the mean has no interval, some class.
    pub(crate) fn is_better_than_chance(&self) -> bool {
        let is_better = |ends: [Option<f64>; 2]| ends[0].is_some_and(|low| low > 0.5);
        let mean = ends(self.roc_auc, self.interval, self.n);
        let mut classes = self.per_class.iter().map(|class| ends(class.roc_auc, class.interval, class.n));
        is_better(mean) || mean[0].is_none() && classes.any(is_better)
    }

    /// The class with the largest area: of those that are flagged, if any is.
    fn best_class(&self) -> Option<(&str, f64)> {
        let defined = self.per_class.iter().filter_map(|class| Some((class, class.roc_auc?)));
        let best = defined.max_by(|(a, a_roc_auc), (b, b_roc_auc)| {
            a.flagged.cmp(&b.flagged).then(a_roc_auc.total_cmp(b_roc_auc))
        });
        best.map(|(class, roc_auc)| (class.class.as_str(), roc_auc))
    }
}

/// The groups that have images of a class, or those that have others, whichever are fewer.
fn n_fewer_groups(predictions: &Predictions, groups: &Groups, class: usize) -> usize {
    let [mut own_groups, mut other_groups] = [BTreeSet::new(), BTreeSet::new()];
    for (image, (label, _)) in predictions.pairs().enumerate() {
        let side = if label == class { &mut own_groups } else { &mut other_groups };
        side.insert(groups.group(image));
    }
    own_groups.len().min(other_groups.len())
}

/// The ends of an area's interval. An area without any error has no interval: it counts itself, if there are enough images.
fn ends(roc_auc: Option<f64>, interval: Option<Interval>, n: usize) -> [Option<f64>; 2] {
    let itself = roc_auc.filter(|_| n >= MIN_OF_CLASS);
    interval.map_or([itself; 2], |ends| ends.map(Some))
}

/// Whether an end of an area's interval covers more than [`FLAGGED_FRACTION`] of the way from chance to that of full images.
fn is_high(end: Option<f64>, full_image: Option<f64>) -> bool {
    let (Some(end), Some(full_image)) = (end, full_image) else { return false };
    end - 0.5 > FLAGGED_FRACTION * f64::max(full_image - 0.5, 0.2)
}

/// The probes of an audit, before they are compared with full images.
#[derive(Clone, Debug)]
pub(crate) struct Probes {
    pub(crate) full_image: Probe,
    pub(crate) border: Probe,
    pub(crate) centre_blanked: Probe,
    pub(crate) file_facts: Option<Probe>,
}

impl Audit {
    /// Compares the probes with full images; they were evaluated on `n` images, and `n_leaked` were left out.
    #[must_use]
    pub(crate) fn new(probes: Probes, n: usize, n_leaked: usize) -> Self {
        let Probes { full_image, mut border, mut centre_blanked, mut file_facts } = probes;
        for probe in [Some(&mut border), Some(&mut centre_blanked), file_facts.as_mut()].into_iter().flatten()
        {
            probe.flag(&full_image);
        }
        let mut audit = Self {
            full_image,
            border,
            centre_blanked,
            file_facts,
            flagged: false,
            verdict: String::new(),
            n,
            n_leaked,
        };
        audit.flagged = !audit.shortcuts().is_empty();
        audit.verdict = audit.to_verdict();
        audit
    }

    /// Each probe with its name.
    #[must_use]
    pub(crate) fn named(&self) -> Vec<(&'static str, &Probe)> {
        let probes = [
            ("full images", Some(&self.full_image)),
            ("border only", Some(&self.border)),
            ("centre blanked", Some(&self.centre_blanked)),
            ("file facts", self.file_facts.as_ref()),
        ];
        probes.into_iter().filter_map(|(name, probe)| Some((name, probe?))).collect()
    }

    /// What the flagged probes see, and their results.
    fn shortcuts(&self) -> Vec<(&'static str, &Probe)> {
        let probes = [
            ("from the outermost pixels of the images alone", Some(&self.border)),
            ("with the centre of the images blanked out", Some(&self.centre_blanked)),
            ("from facts of the files", self.file_facts.as_ref()),
        ];
        probes
            .into_iter()
            .filter_map(|(how, probe)| Some((how, probe.filter(|probe| probe.flagged)?)))
            .collect()
    }

    /// The information with which the flagged probe of the highest ROC AUC predicts the classes; `None` if none is flagged.
    #[must_use]
    pub(crate) fn strongest_shortcut(&self) -> Option<&'static str> {
        // `max_by` returns the last of equals: reversed, that is the first of the list.
        let shortcuts = self.shortcuts().into_iter().rev();
        let strongest = shortcuts.max_by(|(_, a), (_, b)| a.roc_auc.partial_cmp(&b.roc_auc).unwrap_or(Equal));
        strongest.map(|(how, _)| how)
    }

    fn to_verdict(&self) -> String {
        let best_class = |(how, probe): &(&str, &Probe)| {
            let (class, roc_auc) = probe.best_class()?;
            Some(format!("`{class}` can be predicted {how} (ROC AUC {roc_auc:.2})"))
        };
        let shortcuts: Vec<String> = self.shortcuts().iter().filter_map(best_class).collect();
        if shortcuts.is_empty() {
            return self.without_shortcut();
        }
        format!(
            "shortcut found: {}; a model may learn this and not what the images show, and its metrics would not hold \
             for images from elsewhere",
            shortcuts.join(", ")
        )
    }

    /// The verdict if no probe is flagged.
    fn without_shortcut(&self) -> String {
        if !self.full_image.is_better_than_chance() {
            return "not known: even whole images do not predict the class clearly better than chance, so nothing can be said \
                    about shortcuts; use more images or more epochs"
                .to_owned();
        }
        let probes = [
            ("the border", Some(&self.border)),
            ("the images without their centre", Some(&self.centre_blanked)),
            ("the files", self.file_facts.as_ref()),
        ];
        let probes = probes.into_iter().filter_map(|(what, probe)| Some((what, probe?)));
        let (worse, unclear): (Vec<_>, Vec<_>) =
            probes.partition(|(_, probe)| probe.is_much_worse(&self.full_image));
        let names =
            |probes: &[(&str, _)]| enumerated(&probes.iter().map(|(what, _)| *what).collect::<Vec<_>>());
        if unclear.is_empty() {
            let names = names(&worse);
            return format!("no shortcut found: {names} predict the class much worse than full images do");
        }
        let n = self.full_image.per_class.iter().map(|class| class.n).filter(|&n| n > 0).min().unwrap_or(0);
        format!(
            "no shortcut could be shown, and none excluded: with {n} {}{} of the smallest class, the ROC AUC of {} may be as \
             high as that of a shortcut; more images are needed",
            if self.full_image.by_group { "independent image" } else { "image" },
            if n == 1 { "" } else { "s" },
            names(&unclear)
        )
    }
}

/// Names as part of a sentence: `a`, `a and b`, or `a, b, and c`.
fn enumerated(names: &[&str]) -> String {
    match names {
        [first, second] => format!("{first} and {second}"),
        [first @ .., last] if !first.is_empty() => format!("{}, and {last}", first.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
