//! Leaks: pictures of one part that also stand, or whose patient also stands, in another.

use std::collections::BTreeMap;
use std::fmt;

use crate::duplicates::{Twins, of_twins};

/// One of the three parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// To learn from.
    Train,
    /// To choose by.
    Val,
    /// To measure on.
    Test,
}

impl Part {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// As folders are named.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A picture, by its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The part that it is in.
    pub part: Part,
    /// Its path inside the data.
    pub path: String,
}

/// A picture that also stands in an earlier part.
#[derive(Clone, Debug, PartialEq)]
pub struct Leak {
    /// The picture that should be new.
    pub picture: Place,
    /// Its twin in a part before.
    pub twin: Place,
    /// 1 for the same pixels; below that a correlation.
    pub similarity: f64,
}

/// What is known of each picture, in the order in which twins count them.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) place: Place,
    pub(crate) patient: Option<String>,
}

/// The pictures that show what one of an earlier part shows, sorted: each with its twins there, or, where it is a copy of a
/// copy, with the first of its group and the least similarity in between.
pub(crate) fn leaks(known: &[Known], twins: &[Twins]) -> Vec<Leak> {
    let part = |index: usize| known[index].place.part;
    let leak = |(picture, twin): (usize, usize), similarity: f64| Leak {
        picture: known[picture].place.clone(),
        twin: known[twin].place.clone(),
        similarity,
    };
    let mut is_told = vec![false; known.len()];
    let mut leaks = Vec::new();
    for &Twins { a, b, similarity } in twins.iter().filter(|twins| part(twins.a) != part(twins.b)) {
        let pair = if part(a) > part(b) { (a, b) } else { (b, a) };
        is_told[pair.0] = true;
        leaks.push(leak(pair, similarity));
    }
    let of_each = of_twins(known.len(), twins).of_each();
    let group = |index: usize| of_each[index] as usize;
    let (mut first, mut least): (Vec<usize>, Vec<f64>) = ((0..known.len()).collect(), vec![1.0; known.len()]);
    for index in 0..known.len() {
        let first = &mut first[group(index)];
        *first = std::cmp::min_by_key(*first, index, |&index| part(index));
    }
    for twins in twins {
        least[group(twins.a)] = least[group(twins.a)].min(twins.similarity);
    }
    let copies_of_copies =
        (0..known.len()).filter(|&index| !is_told[index] && part(index) > part(first[group(index)]));
    leaks.extend(copies_of_copies.map(|index| leak((index, first[group(index)]), least[group(index)])));
    leaks.sort_by(|a, b| (&a.picture, &a.twin).cmp(&(&b.picture, &b.twin)));
    leaks
}

/// Patients with pictures in more than one part, sorted.
pub(crate) fn crossing_patients(known: &[Known]) -> Vec<String> {
    let mut parts: BTreeMap<&str, (Part, bool)> = BTreeMap::new();
    for Known { place, patient } in known {
        let Some(patient) = patient else { continue };
        let entry = parts.entry(patient).or_insert((place.part, false));
        entry.1 |= entry.0 != place.part;
    }
    parts.into_iter().filter(|(_, (_, crosses))| *crosses).map(|(patient, _)| patient.to_owned()).collect()
}

/// Whether each picture of `part` is new: no twin, and no picture of its patient, in a part before.
pub(crate) fn clean(known: &[Known], leaks: &[Leak], part: Part) -> Vec<bool> {
    let leaked: std::collections::BTreeSet<&str> = leaks
        .iter()
        .filter(|leak| leak.picture.part == part)
        .map(|leak| leak.picture.path.as_str())
        .collect();
    let before = known.iter().filter(|known| known.place.part < part);
    let patients: std::collections::BTreeSet<&str> =
        before.filter_map(|known| known.patient.as_deref()).collect();
    let of_part = known.iter().filter(|known| known.place.part == part);
    of_part
        .map(|known| {
            let is_known = known.patient.as_deref().is_some_and(|patient| patients.contains(patient));
            !leaked.contains(known.place.path.as_str()) && !is_known
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(part: Part, path: &str, patient: Option<&str>) -> Known {
        Known { place: Place { part, path: path.into() }, patient: patient.map(str::to_owned) }
    }

    fn example() -> Vec<Known> {
        vec![
            known(Part::Train, "a", Some("p1")),
            known(Part::Train, "b", None),
            known(Part::Val, "c", Some("p2")),
            known(Part::Test, "d", Some("p1")),
            known(Part::Test, "e", None),
            known(Part::Test, "f", Some("p3")),
        ]
    }

    #[test]
    fn twins_in_different_parts_are_leaks_of_the_later_one() {
        let twins = [
            Twins { a: 1, b: 4, similarity: 0.99 },
            Twins { a: 2, b: 0, similarity: 1.0 },
            Twins { a: 3, b: 5, similarity: 1.0 },
        ];
        let found = leaks(&example(), &twins);
        let told: Vec<_> =
            found.iter().map(|leak| (leak.picture.path.as_str(), leak.twin.path.as_str())).collect();
        assert_eq!(told, [("c", "a"), ("e", "b")], "twins inside the test part leak nothing");
        assert_eq!(found[1].similarity, 0.99);
        assert_eq!(
            clean(&example(), &found, Part::Test),
            [false, false, true],
            "a patient, a twin, and one that only repeats another test picture"
        );
    }

    #[test]
    fn a_copy_of_a_copy_leaks_as_well() {
        // "b" of the training part, "e" a near-copy of it in the test part, and "f" the same file as "e".
        let twins = [Twins { a: 1, b: 4, similarity: 0.97 }, Twins { a: 4, b: 5, similarity: 1.0 }];
        let found = leaks(&example(), &twins);
        let told: Vec<_> = found
            .iter()
            .map(|leak| (leak.picture.path.as_str(), leak.twin.path.as_str(), leak.similarity))
            .collect();
        assert_eq!(told, [("e", "b", 0.97), ("f", "b", 0.97)]);
        assert_eq!(clean(&example(), &found, Part::Test), [false, false, false]);
    }

    #[test]
    fn patients_on_two_sides_are_named() {
        assert_eq!(crossing_patients(&example()), ["p1"]);
    }
}
