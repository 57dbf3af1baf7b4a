//! A folder of class folders, or of `train/`, `val/`, `test/` over class folders.
//!
//! ```text
//! DIR/<class>/image.png                   DIR/train/<class>/image.jpg
//!                                         DIR/val/<class>/...     (also valid, validation; optional)
//!                                         DIR/test/<class>/...    (optional)
//! ```
//! Names of sets are matched in any case, and so are class names that a later set repeats. Hidden entries are ignored.
//! Images are recognised by their extension, or by their content where it names no format; other files are ignored with a
//! note. Folders inside a class
//! folder are ignored too: what they mean would be a guess.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::{Content, Item, Listing, Source, Usage};
use crate::decode::NOT_UTF_8;
use crate::disk;
use crate::error::DataError;
use crate::file_format::is_image_file;
use crate::options::SizeLimits;
use crate::subset::Subset;

/// Classes that a note names at most.
const MAX_NAMED: usize = 12;

/// See the module.
pub(super) struct Folder;

impl Source for Folder {
    fn description(&self) -> &'static str {
        "a folder with one sub-folder of images per class, or with train/, val/ and test/ over such folders"
    }

    fn recognises(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn list(&self, path: &Path, usage: Usage<'_>, _: &SizeLimits) -> Result<Listing, DataError> {
        match usage {
            Usage::Train => list_to_train(path),
            Usage::Evaluate(class_names) => list_to_evaluate(path, class_names),
        }
    }
}

/// The names of the folders that are sets.
type SubsetFolders = BTreeMap<Subset, String>;

/// The visible entries of a folder, sorted by name.
struct Entries {
    folders: Vec<String>,
    files: Vec<String>,
}

/// Lists a folder to train on.
///
/// # Errors
/// Whatever makes the layout unusable: see [`DataError`].
fn list_to_train(dir: &Path) -> Result<Listing, DataError> {
    let mut scan = Scan::new(dir);
    let (subsets, classes) = scan.layout(dir)?;
    let (train_dir, train_classes) = match subsets.get(&Subset::Train) {
        Some(name) => {
            scan.note_ignored_folders(&classes);
            let train_dir = dir.join(name);
            let entries = scan.entries(&train_dir)?;
            (train_dir, entries.folders)
        }
        None => match subsets.values().next() {
            Some(subset) => return Err(DataError::NoTrainSet { path: dir.into(), subset: subset.clone() }),
            None => (dir.to_owned(), classes),
        },
    };
    match train_classes.as_slice() {
        [] => {
            let found = scan.describe(&train_dir)?;
            return Err(DataError::NoClassFolders { path: train_dir, found });
        }
        [class] => return Err(DataError::OneClass { path: train_dir, class: class.clone() }),
        _ => {}
    }
    let train = scan.images(&train_dir, Subset::Train, &train_classes, &train_classes)?;
    for (label, class) in train_classes.iter().enumerate() {
        if !train.iter().any(|item| item.label as usize == label) {
            let path = train_dir.join(class);
            let found = scan.describe(&path)?;
            return Err(DataError::EmptyClass { path, class: class.clone(), found });
        }
    }
    scan.finish(dir, &subsets, train_classes, train)
}

/// Lists a folder to evaluate a model with the classes `class_names`; the folder need not have all of them.
///
/// # Errors
/// [`DataError::UnknownClass`] for a class folder that is not one of them, and as above.
fn list_to_evaluate(dir: &Path, class_names: &[String]) -> Result<Listing, DataError> {
    let mut scan = Scan::new(dir);
    let (subsets, classes) = scan.layout(dir)?;
    let train_dir = match subsets.get(&Subset::Train) {
        Some(name) => Some(dir.join(name)),
        None if subsets.is_empty() => Some(dir.to_owned()),
        None => None,
    };
    if !subsets.is_empty() {
        scan.note_ignored_folders(&classes);
    }
    let mut train = Vec::new();
    if let Some(train_dir) = train_dir {
        let folders = scan.entries(&train_dir)?.folders;
        if folders.is_empty() {
            let found = scan.describe(&train_dir)?;
            return Err(DataError::NoClassFolders { path: train_dir, found });
        }
        train = scan.images(&train_dir, Subset::Train, &folders, class_names)?;
    }
    scan.finish(dir, &subsets, class_names.to_vec(), train)
}

/// A walk over one data folder, with what it ignored.
struct Scan<'a> {
    root: &'a Path,
    other_files: usize,
    nested_folders: usize,
    notes: Vec<String>,
}

impl<'a> Scan<'a> {
    fn new(root: &'a Path) -> Self {
        Self { root, other_files: 0, nested_folders: 0, notes: Vec::new() }
    }

    /// The folders of `dir` that are sets, and the other folders.
    fn layout(&self, dir: &Path) -> Result<(SubsetFolders, Vec<String>), DataError> {
        let mut subsets = SubsetFolders::new();
        let mut classes = Vec::new();
        for name in self.entries(dir)?.folders {
            match Subset::from_name(&name) {
                None => classes.push(name),
                Some(subset) => {
                    if let Some(first) = subsets.get(&subset) {
                        let (first, second) = (first.clone(), name);
                        return Err(DataError::DuplicateSubset { path: dir.into(), first, second });
                    }
                    subsets.insert(subset, name);
                }
            }
        }
        Ok((subsets, classes))
    }

    /// The visible entries of a folder.
    fn entries(&self, dir: &Path) -> Result<Entries, DataError> {
        let unlistable = |source| DataError::Unlistable { path: dir.into(), source };
        let mut entries = Entries { folders: Vec::new(), files: Vec::new() };
        for entry in disk::list(dir).map_err(unlistable)? {
            let entry = entry.map_err(unlistable)?;
            // A file whose name is not UTF-8 can only be opened by its own bytes. Such files are rare, so they are listed
            // with a replacement character: opening them fails with an error that shows the name.
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            // Links are followed: a class folder may be one.
            if entry.path().is_dir() {
                if entry.file_name().to_str().is_none() {
                    return Err(DataError::Unusable { path: dir.join(name), reason: NOT_UTF_8.to_owned() });
                }
                entries.folders.push(name);
            } else {
                entries.files.push(name);
            }
        }
        entries.folders.sort_unstable();
        entries.files.sort_unstable();
        Ok(entries)
    }

    /// The images of a set in the class folders `folders` of `dir`, labelled by `class_names`.
    fn images(
        &mut self,
        dir: &Path,
        subset: Subset,
        folders: &[String],
        class_names: &[String],
    ) -> Result<Vec<Item>, DataError> {
        let mut items = Vec::new();
        let labels = ClassLabels::new(class_names);
        for folder in folders {
            let class_dir = dir.join(folder);
            let Some(label) = labels.find(folder) else {
                let (path, class, known) = (dir.into(), folder.clone(), class_names.to_vec());
                return Err(DataError::UnknownClass { path, class, known });
            };
            let entries = self.entries(&class_dir)?;
            self.nested_folders += entries.folders.len();
            for file in entries.files {
                if !is_image_file(&class_dir.join(&file)) {
                    self.other_files += 1;
                    continue;
                }
                let path = class_dir.join(file);
                let name = self.relative(&path);
                let content = Content::File(path);
                items.push(Item { name, content, subset, label: label as u32, patient: None });
            }
        }
        Ok(items)
    }

    /// Adds the given validation and test sets.
    fn finish(
        mut self,
        dir: &Path,
        subsets: &SubsetFolders,
        class_names: Vec<String>,
        train: Vec<Item>,
    ) -> Result<Listing, DataError> {
        let mut items = train;
        for subset in [Subset::Val, Subset::Test] {
            let Some(name) = subsets.get(&subset) else { continue };
            let subset_dir = dir.join(name);
            let folders = self.entries(&subset_dir)?.folders;
            let images = self.images(&subset_dir, subset, &folders, &class_names)?;
            if images.is_empty() {
                let found = self.describe(&subset_dir)?;
                return Err(DataError::NoClassFolders { path: subset_dir, found });
            }
            self.notes.extend(missing_classes_note(name, &images, &class_names));
            items.extend(images);
        }
        if self.other_files > 0 {
            let are = if self.other_files == 1 { "that is not an image" } else { "that are not images" };
            self.notes.push(format!("ignored {} {are}", files(self.other_files)));
        }
        if self.nested_folders > 0 {
            let n = self.nested_folders;
            self.notes.push(format!("ignored {n} folder(s) inside class folders"));
        }
        let given: Vec<Subset> = subsets.keys().copied().collect();
        let mut listing = Listing::new(class_names, items, &given);
        listing.notes = self.notes;
        Ok(listing)
    }

    /// Folders beside `train/` are not classes.
    fn note_ignored_folders(&mut self, folders: &[String]) {
        if !folders.is_empty() {
            self.notes.push(format!("ignored folders beside the sets: {}", folders.join(", ")));
        }
    }

    /// What a folder holds instead of what was expected.
    fn describe(&self, dir: &Path) -> Result<String, DataError> {
        let Entries { folders, files: names } = self.entries(dir)?;
        let n_images = names.iter().filter(|name| is_image_file(&dir.join(name))).count();
        let mut found = format!("{} ({n_images} of them images)", files(names.len()));
        if !folders.is_empty() {
            found += &format!(" and the folders {}", folders.join(", "));
        }
        Ok(found)
    }

    /// The path inside the data folder.
    fn relative(&self, path: &Path) -> String {
        let inside = path.strip_prefix(self.root).unwrap_or(path);
        let components: Vec<_> = inside.iter().map(|component| component.to_string_lossy()).collect();
        components.join("/")
    }
}

/// One note on all classes that have no image in a set.
fn missing_classes_note(folder: &str, images: &[Item], class_names: &[String]) -> Option<String> {
    let mut is_present = vec![false; class_names.len()];
    images.iter().for_each(|item| is_present[item.label as usize] = true);
    let missing = class_names.iter().zip(is_present).filter(|(_, is_present)| !is_present);
    let missing: Vec<String> = missing.map(|(class, _)| format!("`{class}`")).collect();
    match &missing[..] {
        [] => None,
        [class] => Some(format!("`{folder}/` has no image of class {class}")),
        _ => {
            let more = if missing.len() > MAX_NAMED { ", ..." } else { "" };
            let named = missing[..missing.len().min(MAX_NAMED)].join(", ");
            let (n, all) = (missing.len(), class_names.len());
            Some(format!("`{folder}/` has no image of {n} of {all} classes: {named}{more}"))
        }
    }
}

/// The label of each class by its name.
#[derive(Debug)]
pub(super) struct ClassLabels<'a> {
    exact: HashMap<&'a str, usize>,
    /// By the name in lower case; `None` if several classes have it.
    lower_case: HashMap<String, Option<usize>>,
}

impl<'a> ClassLabels<'a> {
    pub(super) fn new(class_names: &'a [String]) -> Self {
        let exact = class_names.iter().enumerate().map(|(label, name)| (name.as_str(), label)).collect();
        let mut lower_case = HashMap::new();
        for (label, name) in class_names.iter().enumerate() {
            lower_case.entry(name.to_lowercase()).and_modify(|only| *only = None).or_insert(Some(label));
        }
        Self { exact, lower_case }
    }

    /// The class with this name; in any case, if only one class matches so.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        let exact = self.exact.get(name).copied();
        exact.or_else(|| self.lower_case.get(&name.to_lowercase()).copied().flatten())
    }
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_note_names_all_missing_classes() {
        let class_names: Vec<String> = (0..20).map(|class| format!("c{class}")).collect();
        let image = |label| Item {
            name: String::new(),
            content: Content::File("x.png".into()),
            subset: Subset::Test,
            label,
            patient: None,
        };
        let note =
            |n: u32| missing_classes_note("test", &(0..n).map(image).collect::<Vec<_>>(), &class_names);
        assert_eq!(note(20), None);
        assert_eq!(note(19).as_deref(), Some("`test/` has no image of class `c19`"));
        assert_eq!(note(18).as_deref(), Some("`test/` has no image of 2 of 20 classes: `c18`, `c19`"));
        let many = note(1).expect("classes are missing");
        assert!(many.contains("19 of 20 classes: `c1`,") && many.ends_with("`c12`, ..."), "{many}");
    }
}
