//! What is in the data, as facts: `data.json` of every run.

use std::collections::BTreeMap;

use roentgen_data::{Dataset, Findings, ImageLocation, ImageSet, LeakedImage, Patients, SubsetOfData};
use serde::Serialize;
use serde_json::{Map, Value};

use super::class_notes::imbalance;

/// Sizes that are listed.
const SHOWN: usize = 12;

/// What `--json` prints and `data.json` holds.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub(crate) struct Inspection {
    /// Images per set and class.
    sets: Map<String, Value>,
    /// Files that cannot be used.
    pub(crate) bad: Vec<Bad>,
    /// Groups of images that show the same.
    duplicates: Vec<Vec<String>>,
    /// The groups whose images are labelled with more than one class.
    conflicts: Vec<Vec<LabelledImage>>,
    /// Images of the validation or test set that also occur in an earlier set.
    leakage: Vec<LeakedPair>,
    patients: PatientFacts,
    /// 1 for grey, 3 for colour.
    pub(crate) channels: usize,
    /// Images by size as stored, such as `28x28`, for the most frequent sizes.
    pub(crate) sizes: Map<String, Value>,
    /// Images by bits per channel.
    #[cfg_attr(feature = "serve", schema(value_type = BTreeMap<String, usize>))]
    pub(crate) bit_depths: BTreeMap<u8, usize>,
    /// Images stored in grey, and in colour.
    pub(crate) stored_grey: usize,
    pub(crate) stored_colour: usize,
    /// Images of the largest class divided by those of the smallest, before sets are split off.
    pub(crate) imbalance: Option<f64>,
    /// Seconds that training with these settings would take on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) train_seconds: Option<f64>,
    /// Memory that training with these settings would take at most, estimated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) train_memory_bytes: Option<u64>,
    pub(crate) notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub(crate) struct Bad {
    path: String,
    reason: String,
}

/// An image with its class.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub(crate) struct LabelledImage {
    pub(crate) path: String,
    pub(crate) class: String,
}

#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
struct LeakedPair {
    path: String,
    set: &'static str,
    /// The image of an earlier set that it duplicates.
    original: String,
    original_set: &'static str,
    similarity: f64,
}

#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
struct PatientFacts {
    /// Where they are known from; null if they are unknown.
    source: Option<String>,
    n: usize,
    /// Images of unknown patients.
    n_unknown: usize,
    crossing: Vec<String>,
}

impl Inspection {
    /// Inspects a loaded data set.
    #[must_use]
    pub(crate) fn of(data: &Dataset) -> Self {
        let Findings { duplicates, leakage, patients, bad, notes, .. } = &data.findings;
        let sets = sets_of(data);
        let facts = || sets.iter().flat_map(|of| (0..of.set.len()).filter_map(|index| of.set.facts(index)));
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
            sets: sets.iter().map(|of| (of.subset.name().to_owned(), counts(data, of.set))).collect(),
            bad: bad
                .iter()
                .map(|bad| Bad { path: bad.path.display().to_string(), reason: bad.reason.clone() })
                .collect(),
            duplicates: duplicates
                .iter()
                .map(|group| group.iter().map(|image| image.path.clone()).collect())
                .collect(),
            conflicts: conflicts(data),
            leakage: leakage.iter().map(LeakedPair::of).collect(),
            patients: match patients {
                Some(Patients { source, n, n_unknown, crossing, .. }) => PatientFacts {
                    source: Some(source.to_string()),
                    n: *n,
                    n_unknown: *n_unknown,
                    crossing: crossing.clone(),
                },
                None => PatientFacts { n_unknown: facts().count(), ..PatientFacts::default() },
            },
            channels: data.channels,
            sizes: sizes.collect(),
            bit_depths,
            stored_grey: facts().count() - stored_colour,
            stored_colour,
            imbalance: imbalance(data),
            train_seconds: None,
            train_memory_bytes: None,
            notes: notes.clone(),
        }
    }
}

impl LeakedPair {
    fn of(leak: &LeakedImage) -> Self {
        let LeakedImage { image, original, similarity } = leak;
        Self {
            path: image.path.clone(),
            set: image.subset.name(),
            original: original.path.clone(),
            original_set: original.subset.name(),
            similarity: *similarity,
        }
    }
}

/// The sets that are not empty.
fn sets_of(data: &Dataset) -> Vec<SubsetOfData<'_>> {
    data.subsets().into_iter().filter(|of| !of.set.is_empty()).collect()
}

fn counts(data: &Dataset, set: &ImageSet) -> Value {
    let counts = set.class_counts(data.class_names.len());
    let counts = data.class_names.iter().cloned().zip(counts.into_iter().map(Value::from));
    Value::Object(counts.collect())
}

/// The groups of duplicates whose images are labelled with more than one class.
pub(crate) fn conflicts(data: &Dataset) -> Vec<Vec<LabelledImage>> {
    if data.findings.duplicates.is_empty() {
        return Vec::new();
    }
    let mut classes = BTreeMap::new();
    for SubsetOfData { subset, set, .. } in sets_of(data) {
        for (index, &label) in set.labels().iter().enumerate() {
            classes.insert((subset, set.name(index)), data.class_names[label as usize].as_str());
        }
    }
    let class = |image: &ImageLocation| {
        classes.get(&(image.subset, image.path.as_str())).copied().unwrap_or_default()
    };
    let differ = |group: &&Vec<ImageLocation>| group.iter().any(|image| class(image) != class(&group[0]));
    let labelled =
        |image: &ImageLocation| LabelledImage { path: image.path.clone(), class: class(image).to_owned() };
    let groups = data.findings.duplicates.iter().filter(differ);
    groups.map(|group| group.iter().map(labelled).collect()).collect()
}
