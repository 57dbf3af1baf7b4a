//! From the names that data have for classes to the classes of a model. Names that look alike are one class: nobody means
//! two classes by `viral pneumonia` and `Viral_Pneumonia`, or by names that differ in invisible characters only.

use std::collections::HashMap;
use std::path::Path;

use unicode_normalization::UnicodeNormalization as _;

use crate::class_look::{is_invisible, look_in_any_case, look_of};
use crate::error::DataError;
use crate::options::ClassMapping;

/// The name of a class that is written in several ways: without blanks around it and without invisible characters.
fn cleaned(name: &str) -> String {
    name.nfc().filter(|&letter| !is_invisible(letter)).collect::<String>().trim().to_owned()
}

/// The classes of training data that name them as in `found`, renamed by `mapping`.
///
/// # Errors
/// [`DataError::UnknownMappedClass`] if `mapping` renames a class that is not there.
pub(super) fn training_classes(
    path: &Path,
    found: &[String],
    mapping: &ClassMapping,
) -> Result<Vec<String>, DataError> {
    check_mapping(path, found, mapping)?;
    let mut by_look: HashMap<String, usize> = HashMap::new();
    let mut spellings: Vec<Vec<&str>> = Vec::new();
    for name in found {
        let name = mapping.new_name(name).unwrap_or(name);
        let at = *by_look.entry(look_of(name)).or_insert(spellings.len());
        match spellings.get_mut(at) {
            Some(same) if same.contains(&name) => {}
            Some(same) => same.push(name),
            None => spellings.push(vec![name]),
        }
    }
    let mut class_names: Vec<String> = spellings.iter().map(|same| class_name(same)).collect();
    if !mapping.is_empty() {
        class_names.sort_unstable();
    }
    Ok(class_names)
}

/// The name of a class with these spellings.
fn class_name(spellings: &[&str]) -> String {
    match spellings {
        [name] => (*name).to_owned(),
        _ => spellings
            .iter()
            .find(|name| cleaned(name) == **name)
            .map_or_else(|| cleaned(spellings[0]), |name| (*name).to_owned()),
    }
}

/// Spellings of a class, with escapes where they would print alike.
fn described(spellings: &[&str]) -> String {
    let prints_alike = spellings.iter().any(|name| cleaned(name) != **name || !name.is_ascii());
    let shown = |name: &&str| match prints_alike {
        true => format!("`{}`", with_escapes(name)),
        false => format!("`{}`", name.escape_debug()),
    };
    spellings.iter().map(shown).collect::<Vec<_>>().join(" and ")
}

/// Every character that is not ASCII as its number.
fn with_escapes(name: &str) -> String {
    let escaped = |letter: char| match letter.is_ascii() {
        true => letter.to_string(),
        false => letter.escape_unicode().to_string(),
    };
    name.chars().map(escaped).collect()
}

/// Whether the data have every class that `mapping` renames.
///
/// # Errors
/// [`DataError::UnknownMappedClass`].
pub(super) fn check_mapping(path: &Path, found: &[String], mapping: &ClassMapping) -> Result<(), DataError> {
    let looks: Vec<String> = found.iter().map(|name| look_of(name)).collect();
    match mapping.renamed().find(|renamed| !looks.contains(&look_of(renamed))) {
        Some(unknown) if !mapping.allows_unknown => Err(DataError::UnknownMappedClass {
            path: path.into(),
            class: unknown.to_owned(),
            found: found.to_vec(),
        }),
        _ => Ok(()),
    }
}

/// The label of each class by its name.
#[derive(Debug)]
pub(crate) struct ClassLabels<'a> {
    class_names: &'a [String],
    exact: HashMap<&'a str, usize>,
    /// By how the name looks; `None` if several classes look so.
    by_look: HashMap<String, Option<usize>>,
    mapping: &'a ClassMapping,
}

impl<'a> ClassLabels<'a> {
    /// For the classes `class_names`, of which data may have the names that `mapping` renames.
    pub(crate) fn new(class_names: &'a [String], mapping: &'a ClassMapping) -> Self {
        let exact = class_names.iter().enumerate().map(|(label, name)| (name.as_str(), label)).collect();
        let mut by_look = HashMap::new();
        for (label, name) in class_names.iter().enumerate() {
            by_look.entry(look_in_any_case(name)).and_modify(|only| *only = None).or_insert(Some(label));
        }
        Self { class_names, exact, by_look, mapping }
    }

    pub(super) fn class_names(&self) -> &'a [String] {
        self.class_names
    }

    /// The class that data mean by this name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.find_renamed(name).map(|(label, _)| label)
    }

    /// The class that data mean by this name, and the name that `mapping` gives it.
    fn find_renamed<'b>(&'b self, name: &'b str) -> Option<(usize, &'b str)> {
        let of = |name: &'b str| {
            let exact = self.exact.get(name).copied();
            let label = exact.or_else(|| self.by_look.get(&look_in_any_case(name)).copied().flatten());
            Some((label?, name))
        };
        self.mapping.new_name(name).and_then(of).or_else(|| of(name))
    }

    /// A note on the names of data, `found`, that are another spelling of a class.
    pub(super) fn note(&self, found: &[String]) -> Option<String> {
        let mut spellings: Vec<Vec<&str>> = self.class_names.iter().map(|name| vec![name.as_str()]).collect();
        for (label, name) in found.iter().filter_map(|name| self.find_renamed(name)) {
            if !spellings[label].contains(&name) {
                spellings[label].push(name);
            }
        }
        let joined: Vec<String> =
            spellings.iter().filter(|same| same.len() > 1).map(|same| described(same)).collect();
        (!joined.is_empty()).then(|| {
            format!(
                "class names that look alike are one class: {}; if they are different classes, rename one",
                joined.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(found: &[&str], mapping: &str) -> (Vec<String>, Option<String>) {
        let found: Vec<String> = found.iter().map(|&name| name.to_owned()).collect();
        let mapping = mapping.parse().expect("a mapping");
        let class_names = training_classes(Path::new("data"), &found, &mapping).expect("known classes");
        let note = ClassLabels::new(&class_names, &mapping).note(&found);
        (class_names, note)
    }

    #[test]
    fn names_that_look_alike_are_one_class() {
        for (spellings, name) in [
            (["normal", "normal "], "normal"),
            (["normal", "normal\u{200B}"], "normal"),
            (["neumoni\u{301}a", "neumon\u{ED}a"], "neumon\u{ED}a"),
            (["viral pneumonia", "viral_pneumonia"], "viral pneumonia"),
            (["viral-pneumonia", "Viral  Pneumonia"], "viral-pneumonia"),
            (["\u{FF23}ovid", "covid"], "\u{FF23}ovid"),
            (["Flu", "flu"], "Flu"),
            (["0", "0.0"], "0"),
            (["c\u{43E}vid", "covid"], "c\u{43E}vid"),
            (["\u{421}\u{41E}VID", "covid"], "\u{421}\u{41E}VID"),
            (["Crohn\u{2019}s", "Crohn's"], "Crohn\u{2019}s"),
            (["COVID-19", "covid_19"], "COVID-19"),
            (["COVID-19", "Covid 19"], "COVID-19"),
            (["-1", "\u{2212}1.0"], "-1"),
            (["covid-", "Covid -"], "covid-"),
            (["covid", "_covid_"], "covid"),
        ] {
            let (class_names, note) = classes(&[spellings[0], spellings[1], "other"], "");
            assert_eq!(class_names, [name, "other"]);
            let note = note.expect("a note");
            assert!(note.starts_with("class names that look alike are one class: `"), "{note}");
            let names = [name.to_owned(), "other".to_owned()];
            let labels = spellings.map(|name| ClassLabels::new(&names, &ClassMapping::default()).find(name));
            assert_eq!(labels, [Some(0), Some(0)], "{spellings:?}");
        }
        // Two letters of handwriting, and words of one script.
        let different = [
            "A",
            "a",
            "1",
            "01",
            "0.5",
            "-0.5",
            "-.5",
            "0",
            "-1",
            "+1",
            "covid-",
            "covid+",
            "covid",
            "covid19",
            "O",
            "\u{41E}",
            "l1",
            "I1",
            "modern",
            "modem",
            "\u{441}\u{43E}\u{440}",
            "cop",
        ];
        let (class_names, note) = classes(&different, "");
        assert_eq!((class_names.len(), note), (different.len(), None));
        // As in the labels of CheXpert, where -1 is uncertain.
        for different in [["-1", "1"], ["-1.0", "1.0"], ["covid-", "covid"]] {
            assert_eq!(classes(&different, "").0, different);
        }
    }

    #[test]
    fn classes_are_renamed_and_joined() {
        let mapping = "pneumonia=Viral Pneumonia+bacterial_pneumonia";
        let found = classes(&["Bacterial Pneumonia", "Normal", "Viral Pneumonia"], mapping);
        assert_eq!(found, (vec!["Normal".to_owned(), "pneumonia".to_owned()], None));
        let names = ["Normal".to_owned()];
        let mapping = "pneumonia=Viral".parse().expect("a mapping");
        let error = training_classes(Path::new("data"), &names, &mapping).expect_err("no such class");
        assert!(error.to_string().contains("`Viral`") && error.to_string().contains("Normal"), "{error}");
    }
}
