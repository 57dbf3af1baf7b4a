//! The result of a shortcut audit: how well the classes can be predicted without what the images are about.

use std::cmp::Ordering::Equal;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Interval, Predictions, SubsetMetrics};

/// A probe is flagged if the lower end of its interval covers more than this fraction of the way from chance to the ROC
/// AUC of full images.
///
/// On the phantom set, which has no shortcut, no interval reaches more than 0.06 of the way; with a marker planted on one
/// class it reaches all of it (docs/results.md).
const FLAGGED_FRACTION: f64 = 0.5;
/// Fewest images (patients, where they are known) of a class and of all others for which a probe without any error counts as
/// certain: one that knows nothing puts five before five others once in 252 times.
const MIN_WITHOUT_ERROR: usize = 5;

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
    /// Whether each class has [`MIN_WITHOUT_ERROR`] images.
    #[serde(skip)]
    is_enough: bool,
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
    /// Whether the class and the others have [`MIN_WITHOUT_ERROR`] images.
    #[serde(skip)]
    is_enough: bool,
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
    /// With sizes, brightness and compression of the files; none for the phantom set, which has no files.
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

impl Probe {
    /// From the predictions of a classifier; `groups` are those of the patients.
    #[must_use]
    pub(crate) fn new(class_names: &[String], predictions: &Predictions, groups: Option<&[u32]>) -> Self {
        let metrics = SubsetMetrics::new(class_names.to_vec(), predictions, groups);
        let overall = metrics.overall().into_iter().find(|(key, ..)| *key == "macro_roc_auc");
        let (_, _, roc_auc, interval) = overall.expect("a key of every set");
        let of_class = |(class, name): (usize, &String)| {
            let found = metrics.of_class(class).into_iter().find(|(key, ..)| *key == "roc_auc");
            let (_, roc_auc, interval) = found.expect("a key of every class");
            let is_enough = is_enough(predictions, groups, class);
            ClassRocAuc { class: name.clone(), roc_auc, interval, flagged: false, is_enough }
        };
        let per_class: Vec<ClassRocAuc> = class_names.iter().enumerate().map(of_class).collect();
        let is_enough = per_class.iter().all(|class| class.is_enough);
        Self { roc_auc, interval, per_class, flagged: false, is_enough }
    }

    /// Flags the probe if its mean, or any class, is too close to `full_image`.
    fn flag(&mut self, full_image: &Self) {
        for (found, full) in self.per_class.iter_mut().zip(&full_image.per_class) {
            found.flagged = is_high(lower_end(found.roc_auc, found.interval, found.is_enough), full.roc_auc);
        }
        self.flagged =
            is_high(self.lower_end(), full_image.roc_auc) || self.per_class.iter().any(|class| class.flagged);
    }

    /// Of the mean area.
    fn lower_end(&self) -> Option<f64> {
        lower_end(self.roc_auc, self.interval, self.is_enough)
    }

    /// The class with the largest area: of those that are flagged, if any is.
    fn best_class(&self) -> Option<(&str, f64)> {
        let defined = self.per_class.iter().filter_map(|class| Some((class, class.roc_auc?)));
        let best = defined
            .max_by(|(a, a_area), (b, b_area)| a.flagged.cmp(&b.flagged).then(a_area.total_cmp(b_area)));
        best.map(|(class, area)| (class.class.as_str(), area))
    }
}

/// Whether a class and all others have [`MIN_WITHOUT_ERROR`] images, of different groups where there are groups.
fn is_enough(predictions: &Predictions, groups: Option<&[u32]>, class: usize) -> bool {
    let [mut of_class, mut others] = [BTreeSet::new(), BTreeSet::new()];
    for (image, (label, _)) in predictions.pairs().enumerate() {
        let side = if label == class { &mut of_class } else { &mut others };
        side.insert(groups.map_or(image as u32, |groups| groups[image]));
    }
    of_class.len().min(others.len()) >= MIN_WITHOUT_ERROR
}

/// The lower end of an area's interval. An area without any error has no interval: it counts itself, if there are enough images.
fn lower_end(roc_auc: Option<f64>, interval: Option<Interval>, is_enough: bool) -> Option<f64> {
    interval.map(|[low, _]| low).or(roc_auc.filter(|_| is_enough))
}

/// Whether the lower end of an area covers more than [`FLAGGED_FRACTION`] of the way from chance to that of full images.
fn is_high(lower_end: Option<f64>, full_image: Option<f64>) -> bool {
    let (Some(low), Some(full_image)) = (lower_end, full_image) else { return false };
    low - 0.5 > FLAGGED_FRACTION * f64::max(full_image - 0.5, 0.2)
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

    /// From what the classes can be predicted although it should say nothing about them; `None` if nothing is flagged.
    #[must_use]
    pub(crate) fn strongest_shortcut(&self) -> Option<&'static str> {
        // Of equals, the last one of this order is taken: the first of the list.
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
        if shortcuts.is_empty() && !self.full_image.lower_end().is_some_and(|low| low > 0.5) {
            return "none: not even full images predict the class clearly better than chance here, so nothing is known about \
                    shortcuts; \
                    more images or more epochs are needed"
                .to_owned();
        }
        if shortcuts.is_empty() {
            return "no shortcut found: the border, the images without their centre, and the files predict the class \
                    much worse than full images do"
                .to_owned();
        }
        format!(
            "shortcut found: {}; a model may learn this and not what the images show, and its metrics would not hold \
             for images from elsewhere",
            shortcuts.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of so many images of two classes in turn, all of which have the higher probability for their own class.
    fn perfect_probe(n_images: u32) -> Probe {
        let mut predictions = Predictions::new(2);
        for image in 0..n_images {
            let logits = if image % 2 == 0 { [1.0, 0.0] } else { [0.0, 1.0] };
            predictions.add(image % 2, logits.into_iter());
        }
        Probe::new(&["a".into(), "b".into()], &predictions, None)
    }

    /// One that knows nothing puts two before two others once in six times.
    #[test]
    fn a_perfect_probe_of_few_images_is_no_shortcut() {
        let audit = |n_images: u32| {
            let [full_image, border, centre_blanked] = [n_images; 3].map(perfect_probe);
            Audit::new(Probes { full_image, border, centre_blanked, file_facts: None }, n_images as usize, 0)
        };
        assert!(!audit(8).flagged && audit(8).verdict.starts_with("none: not even"), "{}", audit(8).verdict);
        assert!(audit(10).flagged);
    }

    /// Its other class may have a larger area, from fewer images.
    #[test]
    fn the_verdict_names_a_class_that_is_flagged() {
        let class = |name: &str, area: f64, interval: Interval| ClassRocAuc {
            class: name.into(),
            roc_auc: Some(area),
            interval: Some(interval),
            flagged: false,
            is_enough: true,
        };
        let probe = |per_class: Vec<ClassRocAuc>| Probe {
            roc_auc: Some(0.8),
            interval: Some([0.6, 0.9]),
            per_class,
            flagged: false,
            is_enough: true,
        };
        let full_image = || probe(vec![class("rare", 0.99, [0.9, 1.0]), class("common", 0.99, [0.98, 1.0])]);
        let border = probe(vec![class("rare", 0.97, [0.3, 1.0]), class("common", 0.9, [0.85, 0.94])]);
        let probes =
            Probes { full_image: full_image(), border, centre_blanked: probe(vec![]), file_facts: None };
        let audit = Audit::new(probes, 60, 0);
        assert!(audit.flagged && audit.verdict.contains("`common` can be predicted"), "{}", audit.verdict);
    }

    /// Of 60 images of two classes, of which a share has the higher probability for its own class.
    fn probe(n_right: u32) -> Probe {
        let mut predictions = Predictions::new(2);
        for image in 0..60 {
            let sign = if image / 2 < n_right / 2 { 1.0 } else { -1.0 } * f64::from(1 + image % 7);
            let logits = if image % 2 == 0 { [sign, 0.0] } else { [0.0, sign] };
            predictions.add(image % 2, logits.into_iter());
        }
        Probe::new(&["a".into(), "b".into()], &predictions, None)
    }

    fn audit(n_right_of_full: u32, n_right_of_border: u32) -> Audit {
        let (border, centre_blanked) = (probe(n_right_of_border), probe(30));
        let probes = Probes { full_image: probe(n_right_of_full), border, centre_blanked, file_facts: None };
        Audit::new(probes, 60, 0)
    }

    #[test]
    fn where_full_images_are_at_chance_nothing_is_said_of_shortcuts() {
        let at_chance = audit(30, 30);
        assert!(at_chance.verdict.starts_with("none: not even full images"), "{}", at_chance.verdict);
        assert!(audit(56, 30).verdict.starts_with("no shortcut found"));
        let flagged = audit(56, 56);
        assert!(flagged.flagged && flagged.verdict.starts_with("shortcut found"), "{}", flagged.verdict);
    }
}
