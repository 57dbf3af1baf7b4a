//! What is in the data, as facts; `data.json` of every run.

use std::collections::BTreeMap;

use roentgen_data::{Dataset, Findings, ImageLocation, ImageSet, LeakedImage, Patients, Subset};
use serde::Serialize;
use serde_json::{Map, Value};

/// Sizes that are listed.
const SHOWN: usize = 12;

/// What `--json` prints and `data.json` holds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Inspection {
    /// Pictures per part and class.
    parts: Map<String, Value>,
    /// Files that cannot be used.
    pub(crate) bad: Vec<Bad>,
    /// Groups of pictures that show the same.
    duplicates: Vec<Vec<String>>,
    /// Those of them whose pictures stand under more than one class.
    conflicts: Vec<Vec<Labelled>>,
    /// Pictures of one part that also stand in another.
    leaks: Vec<LeakLine>,
    patients: PatientLines,
    /// 1 for grey, 3 for colour.
    pub(crate) channels: usize,
    /// Pictures by size as stored, such as `28x28`, for the most frequent sizes.
    pub(crate) sizes: Map<String, Value>,
    /// Pictures by bits of a channel.
    pub(crate) bit_depths: BTreeMap<u8, usize>,
    /// Pictures stored in grey, and in colour.
    pub(crate) stored_grey: usize,
    pub(crate) stored_colour: usize,
    /// Largest class over smallest, in the training part.
    pub(crate) imbalance: Option<f64>,
    /// Seconds that training with these settings would take on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) train_seconds: Option<f64>,
    pub(crate) notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bad {
    path: String,
    reason: String,
}

/// A picture with its class.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Labelled {
    pub(super) path: String,
    pub(super) class: String,
}

#[derive(Clone, Debug, Serialize)]
struct LeakLine {
    path: String,
    part: &'static str,
    twin: String,
    twin_part: &'static str,
    similarity: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
struct PatientLines {
    /// What tells them; null where nothing does.
    source: Option<String>,
    n: usize,
    /// Pictures without one.
    n_unknown: usize,
    crossing: Vec<String>,
}

impl Inspection {
    /// What is known of a data set.
    #[must_use]
    pub(crate) fn of(data: &Dataset) -> Self {
        let Findings { duplicates, leakage, patients, bad, notes, .. } = &data.findings;
        let sets = parts_of(data);
        let facts = || sets.iter().flat_map(|(_, set)| (0..set.len()).filter_map(|index| set.facts(index)));
        let mut sizes: BTreeMap<(u32, u32), usize> = BTreeMap::new();
        let mut bit_depths = BTreeMap::new();
        for facts in facts() {
            *sizes.entry((facts.width, facts.height)).or_default() += 1;
            *bit_depths.entry(facts.bit_depth).or_default() += 1;
        }
        let mut sizes: Vec<_> = sizes.into_iter().collect();
        sizes.sort_by_key(|&(size, count)| (std::cmp::Reverse(count), size));
        let sizes = sizes.iter().take(SHOWN).map(|((w, h), count)| (format!("{w}x{h}"), Value::from(*count)));
        let stored_colour = facts().filter(|facts| facts.channels > 2).count();
        Self {
            parts: sets.iter().map(|(part, set)| (part.name().to_owned(), counts(data, set))).collect(),
            bad: bad
                .iter()
                .map(|bad| Bad { path: bad.path.display().to_string(), reason: bad.reason.clone() })
                .collect(),
            duplicates: duplicates
                .iter()
                .map(|group| group.iter().map(|place| place.path.clone()).collect())
                .collect(),
            conflicts: conflicts(data),
            leaks: leakage.iter().map(LeakLine::of).collect(),
            patients: match patients {
                Some(Patients { source, n, n_unknown, crossing }) => PatientLines {
                    source: Some(source.to_string()),
                    n: *n,
                    n_unknown: *n_unknown,
                    crossing: crossing.clone(),
                },
                None => PatientLines { n_unknown: facts().count(), ..PatientLines::default() },
            },
            channels: data.channels,
            sizes: sizes.collect(),
            bit_depths,
            stored_grey: facts().count() - stored_colour,
            stored_colour,
            imbalance: imbalance(data),
            train_seconds: None,
            notes: notes.clone(),
        }
    }
}

impl LeakLine {
    fn of(leak: &LeakedImage) -> Self {
        let LeakedImage { image, original, similarity } = leak;
        Self {
            path: image.path.clone(),
            part: image.subset.name(),
            twin: original.path.clone(),
            twin_part: original.subset.name(),
            similarity: *similarity,
        }
    }
}

/// The parts that have pictures.
fn parts_of(data: &Dataset) -> Vec<(Subset, &ImageSet)> {
    let sets = [(Subset::Train, &data.train), (Subset::Val, &data.val), (Subset::Test, &data.test)];
    sets.into_iter().filter(|(_, set)| !set.is_empty()).collect()
}

fn counts(data: &Dataset, set: &ImageSet) -> Value {
    let counts = set.class_counts(data.class_names.len());
    let counts = data.class_names.iter().cloned().zip(counts.into_iter().map(Value::from));
    Value::Object(counts.collect())
}

/// The groups of copies that stand under more than one class.
pub(super) fn conflicts(data: &Dataset) -> Vec<Vec<Labelled>> {
    if data.findings.duplicates.is_empty() {
        return Vec::new();
    }
    let mut classes = BTreeMap::new();
    for (part, set) in parts_of(data) {
        for (index, &label) in set.labels().iter().enumerate() {
            classes.insert((part, set.name(index)), data.class_names[label as usize].as_str());
        }
    }
    let class = |place: &ImageLocation| {
        classes.get(&(place.subset, place.path.as_str())).copied().unwrap_or_default()
    };
    let differ = |group: &&Vec<ImageLocation>| group.iter().any(|place| class(place) != class(&group[0]));
    let labelled =
        |place: &ImageLocation| Labelled { path: place.path.clone(), class: class(place).to_owned() };
    let groups = data.findings.duplicates.iter().filter(differ);
    groups.map(|group| group.iter().map(labelled).collect()).collect()
}

fn imbalance(data: &Dataset) -> Option<f64> {
    let counts = data.train.class_counts(data.class_names.len());
    let (least, most) = (counts.iter().min()?, counts.iter().max()?);
    (*least > 0).then(|| *most as f64 / *least as f64)
}
