//! A folder of class folders, or of `train/`, `val/`, `test/` over class folders.
//!
//! ```text
//! DIR/<class>/picture.png                 DIR/train/<class>/picture.jpg
//!                                         DIR/val/<class>/...     (also valid, validation; may be missing)
//!                                         DIR/test/<class>/...    (may be missing)
//! ```
//! Set names are matched without case, class names too where a later part repeats them. Hidden entries
//! are ignored. Files are pictures by their extension (png, jpg, jpeg); others are ignored with a note.
//! Folders inside a class folder are not looked into: there it would be a guess what they mean.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Content, Item, Listing, Source, Usage};
use crate::decode::NOT_UTF_8;
use crate::{DataError, SizeLimits, Subset};

/// See the module.
pub(super) struct Folder;

impl Source for Folder {
    fn description(&self) -> &'static str {
        "a folder with one sub-folder of png or jpeg files per class, or with train/, val/ and test/ over such folders"
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
    let (parts, classes) = scan.layout(dir)?;
    let (train_dir, train_classes) = match parts.get(&Subset::Train) {
        Some(name) => {
            scan.note_ignored_folders(&classes);
            let train_dir = dir.join(name);
            let entries = scan.entries(&train_dir)?;
            (train_dir, entries.folders)
        }
        None => match parts.values().next() {
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
    let train = scan.pictures(&train_dir, &train_classes, &train_classes)?;
    for (label, class) in train_classes.iter().enumerate() {
        if !train.iter().any(|item| item.label as usize == label) {
            let path = train_dir.join(class);
            let found = scan.describe(&path)?;
            return Err(DataError::EmptyClass { path, class: class.clone(), found });
        }
    }
    scan.finish(dir, &parts, train_classes, train)
}

/// Lists a folder to evaluate a model on that knows `class_names`; no class has to be there.
///
/// # Errors
/// [`DataError::UnknownClass`] for a class folder that the model does not know, and as above.
fn list_to_evaluate(dir: &Path, class_names: &[String]) -> Result<Listing, DataError> {
    let mut scan = Scan::new(dir);
    let (parts, classes) = scan.layout(dir)?;
    let train_dir = match parts.get(&Subset::Train) {
        Some(name) => Some(dir.join(name)),
        None if parts.is_empty() => Some(dir.to_owned()),
        None => None,
    };
    if !parts.is_empty() {
        scan.note_ignored_folders(&classes);
    }
    let mut train = Vec::new();
    if let Some(train_dir) = train_dir {
        let folders = scan.entries(&train_dir)?.folders;
        if folders.is_empty() {
            let found = scan.describe(&train_dir)?;
            return Err(DataError::NoClassFolders { path: train_dir, found });
        }
        train = scan.pictures(&train_dir, &folders, class_names)?;
    }
    scan.finish(dir, &parts, class_names.to_vec(), train)
}

/// A walk over one data folder, with what it passed by.
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

    /// The part folders and the other folders of `dir`.
    fn layout(&mut self, dir: &Path) -> Result<(BTreeMap<Subset, String>, Vec<String>), DataError> {
        let mut parts: BTreeMap<Subset, String> = BTreeMap::new();
        let mut classes = Vec::new();
        for name in self.entries(dir)?.folders {
            match Subset::from_name(&name) {
                None => classes.push(name),
                Some(subset) => {
                    if let Some(first) = parts.get(&subset) {
                        let (first, second) = (first.clone(), name);
                        return Err(DataError::DuplicateSubset { path: dir.into(), first, second });
                    }
                    parts.insert(subset, name);
                }
            }
        }
        Ok((parts, classes))
    }

    /// The visible entries of a folder.
    fn entries(&self, dir: &Path) -> Result<Entries, DataError> {
        let unlistable = |source| DataError::Unlistable { path: dir.into(), source };
        let mut entries = Entries { folders: Vec::new(), files: Vec::new() };
        for entry in fs::read_dir(dir).map_err(unlistable)? {
            let entry = entry.map_err(unlistable)?;
            // A name that is no UTF-8 keeps its file findable only through its own bytes; such files are rare
            // enough to be shown with a replacement character and then fail by name, not silently.
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            // Through links: a class folder may be one.
            if fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir()) {
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

    /// The pictures in the class folders `folders` of `dir`, labelled by `class_names`.
    fn pictures(
        &mut self,
        dir: &Path,
        folders: &[String],
        class_names: &[String],
    ) -> Result<Vec<Item>, DataError> {
        let mut items = Vec::new();
        for folder in folders {
            let class_dir = dir.join(folder);
            let label = match class_index(folder, class_names) {
                Some(index) => index as u32,
                None => {
                    let (path, class, known) = (dir.into(), folder.clone(), class_names.to_vec());
                    return Err(DataError::UnknownClass { path, class, known });
                }
            };
            let entries = self.entries(&class_dir)?;
            self.nested_folders += entries.folders.len();
            for file in entries.files {
                if is_picture(&file) {
                    let path = class_dir.join(file);
                    items.push(Item {
                        name: self.relative(&path),
                        content: Content::File(path),
                        label,
                        patient: None,
                    });
                } else {
                    self.other_files += 1;
                }
            }
        }
        items.sort_by(|a, b| (a.label, &a.name).cmp(&(b.label, &b.name)));
        Ok(items)
    }

    /// Adds the given val and test parts.
    fn finish(
        mut self,
        dir: &Path,
        parts: &BTreeMap<Subset, String>,
        class_names: Vec<String>,
        train: Vec<Item>,
    ) -> Result<Listing, DataError> {
        let mut list_set = |subset: Subset| -> Result<Option<Vec<Item>>, DataError> {
            let Some(name) = parts.get(&subset) else { return Ok(None) };
            let part_dir: PathBuf = dir.join(name);
            let folders = self.entries(&part_dir)?.folders;
            let items = self.pictures(&part_dir, &folders, &class_names)?;
            if items.is_empty() {
                let found = self.describe(&part_dir)?;
                return Err(DataError::NoClassFolders { path: part_dir, found });
            }
            for (label, class) in class_names.iter().enumerate() {
                if !items.iter().any(|item| item.label as usize == label) {
                    self.notes.push(format!("`{name}/` has no picture of class `{class}`"));
                }
            }
            Ok(Some(items))
        };
        let (val, test) = (list_set(Subset::Val)?, list_set(Subset::Test)?);
        if self.other_files > 0 {
            self.notes.push(format!("ignored {}: not png or jpeg by name", files(self.other_files)));
        }
        if self.nested_folders > 0 {
            let n = self.nested_folders;
            self.notes.push(format!("did not look into {n} folder(s) inside class folders"));
        }
        Ok(Listing { class_names, train, val, test, has_parts: !parts.is_empty(), notes: self.notes })
    }

    /// Folders beside `train/` are not classes.
    fn note_ignored_folders(&mut self, folders: &[String]) {
        if !folders.is_empty() {
            self.notes.push(format!("ignored beside the parts: {}", folders.join(", ")));
        }
    }

    /// What a folder holds instead of what was expected.
    fn describe(&self, dir: &Path) -> Result<String, DataError> {
        let Entries { folders, files: names } = self.entries(dir)?;
        let pictures = names.iter().filter(|name| is_picture(name)).count();
        let mut found = format!("{} ({pictures} of them png or jpeg)", files(names.len()));
        if !folders.is_empty() {
            found += &format!(" and the folders {}", folders.join(", "));
        }
        Ok(found)
    }

    /// The path inside the data folder.
    fn relative(&self, path: &Path) -> String {
        let inside = path.strip_prefix(self.root).unwrap_or(path);
        let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
        parts.join("/")
    }
}

/// The class with this name; without regard to case where only one matches so.
pub(super) fn class_index(name: &str, class_names: &[String]) -> Option<usize> {
    if let Some(exact) = class_names.iter().position(|class| class == name) {
        return Some(exact);
    }
    let lower = name.to_lowercase();
    let mut matches =
        class_names.iter().enumerate().filter(|(_, class)| class.to_lowercase() == lower).map(|(i, _)| i);
    match (matches.next(), matches.next()) {
        (Some(index), None) => Some(index),
        _ => None,
    }
}

fn is_picture(name: &str) -> bool {
    let extension = Path::new(name).extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| ["png", "jpg", "jpeg"].contains(&extension.as_str()))
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}
