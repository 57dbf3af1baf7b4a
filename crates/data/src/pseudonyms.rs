//! Numbers in the place of names: of images, files and patients. The names of classes stay, they are what a model predicts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::dataset::{Dataset, Pseudonym};
use crate::error::BadFile;
use crate::file_format::format_by_name;
use crate::leakage::ImageLocation;

/// Names in their order, each with its number.
struct Numbered {
    kind: &'static str,
    of: BTreeMap<String, String>,
}

impl Numbered {
    /// `pseudonym` makes one of a name and its number, from 1.
    fn new(kind: &'static str, names: BTreeSet<String>, pseudonym: impl Fn(&str, usize) -> String) -> Self {
        let numbered = names.into_iter().zip(1..);
        Self { kind, of: numbered.map(|(name, number)| (name.clone(), pseudonym(&name, number))).collect() }
    }

    fn pseudonym(&self, name: &str) -> String {
        self.of.get(name).map_or(name, String::as_str).to_owned()
    }

    fn replace(&self, name: &mut String) {
        *name = self.pseudonym(name);
    }

    fn key(&self) -> impl Iterator<Item = Pseudonym> + '_ {
        let pair = |(original, pseudonym): (&String, &String)| Pseudonym {
            kind: self.kind,
            pseudonym: pseudonym.clone(),
            original: original.clone(),
        };
        self.of.iter().map(pair)
    }
}

impl Dataset {
    /// Replaces the names of images, unusable files and patients by numbers, in the images and in the findings, and the notes,
    /// which may name folders, by one sentence. [`Dataset::pseudonyms`] has what was replaced.
    ///
    /// Numbers follow the order of the names in all sets, so that the folds of one data set have the same ones.
    pub fn pseudonymise(&mut self) {
        let sets = self.subsets().map(|subset| subset.set);
        let names = sets.into_iter().flat_map(|set| set.names().map(str::to_owned)).collect();
        let patients = sets.into_iter().flat_map(|set| set.patients().iter().flatten().cloned()).collect();
        let bad = self.findings.bad.iter().map(|bad| bad.path.display().to_string()).collect();
        let notes = self.findings.notes.iter().cloned().collect();
        let images =
            Numbered::new("image", names, |name, number| format!("image {number:05}{}", extension(name)));
        let patients = Numbered::new("patient", patients, |_, number| format!("patient {number}"));
        let files = Numbered::new("file", bad, |name, number| format!("file {number}{}", extension(name)));
        let notes = Numbered::new("note", notes, |_, number| format!("note {number}"));

        for set in [&mut self.train, &mut self.val, &mut self.test] {
            set.rename(|name| images.pseudonym(name), |patient| patients.pseudonym(patient));
        }
        let findings = &mut self.findings;
        let replace = |location: &mut ImageLocation| images.replace(&mut location.path);
        findings.duplicates.iter_mut().flatten().for_each(replace);
        for leaked in &mut findings.leakage {
            [&mut leaked.image, &mut leaked.original].into_iter().for_each(replace);
        }
        if let Some(found) = &mut findings.patients {
            found.crossing.iter_mut().for_each(|patient| patients.replace(patient));
        }
        for BadFile { path, .. } in &mut findings.bad {
            let mut name = path.display().to_string();
            files.replace(&mut name);
            *path = PathBuf::from(name);
        }
        if !findings.notes.is_empty() {
            findings.notes =
                vec!["what was noted of files and folders is in the key of the pseudonyms".to_owned()];
        }
        self.pseudonyms = [&images, &patients, &files, &notes].into_iter().flat_map(Numbered::key).collect();
    }
}

/// The extension of an image file, and nothing else.
fn extension(name: &str) -> String {
    format_by_name(Path::new(name)).map(|(_, extension)| format!(".{extension}")).unwrap_or_default()
}
