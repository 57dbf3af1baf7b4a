//! A folder of class folders, or of `train/`, `val/`, `test/` over class folders.
//!
//! ```text
//! DIR/<class>/image.png                   DIR/train/<class>/image.jpg
//!                                         DIR/val/<class>/...     (also valid, validation; optional)
//!                                         DIR/test/<class>/...    (also testing; optional)
//! ```
//! Names that look alike are one set, or one class. What is below a class folder is of
//! that class, in folders of any depth: `walk` says which of these folders are patients, and what is left out. If the sets
//! are in the only folder of `DIR`, that folder is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::empty_class::reject_empty_class;
use self::too_high::reject_classes_below;
pub(crate) use self::walk::is_mask_folder;
use self::walk::{ClassWalk, Entries, FoundImage, count_files, is_image_or_mask_folder};

use super::class_names::{ClassLabels, check_mapping, training_classes};
use super::set_names::subset_of;
use super::{Content, Item, Listing, Source, Usage};
use crate::error::DataError;
use crate::file_format::is_image_file;
use crate::image_file::ImageFile;
use crate::options::{ClassMapping, LoadOptions};
use crate::subset::Subset;

mod empty_class;
mod too_high;
mod walk;

/// Images of a patient on average above which folders are not taken for patients.
const MAX_IMAGES_OF_PATIENT: usize = 50;
/// Folders above the sets, each the only one, that are walked through.
const MAX_LEVELS: usize = 8;

/// See the module.
pub(super) struct Folder;

impl Source for Folder {
    fn description(&self) -> &'static str {
        "a folder with one sub-folder of images per class, or with train/, val/ and test/ over such folders"
    }

    fn recognises(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn list(&self, path: &Path, usage: Usage<'_>, options: &LoadOptions) -> Result<Listing, DataError> {
        match usage {
            Usage::Train => list_to_train(path, &options.classes),
            Usage::Evaluate(class_names) => list_to_evaluate(path, class_names, &options.classes),
        }
    }
}

/// The names of the folders that are sets.
type SubsetFolders = BTreeMap<Subset, String>;

/// Lists a folder to train on.
///
/// # Errors
/// Whatever makes the layout unusable: see [`DataError`].
fn list_to_train(dir: &Path, mapping: &ClassMapping) -> Result<Listing, DataError> {
    let mut scan = Scan::new(dir, mapping);
    let dir = &scan.data_folder(dir, None);
    let (subsets, classes) = scan.layout(dir)?;
    let (train_dir, all_folders) = match subsets.get(&Subset::Train) {
        Some(name) => {
            scan.note_ignored_folders(&classes);
            let train_dir = dir.join(name);
            let entries = Entries::of(&train_dir)?;
            (train_dir, entries.folders)
        }
        None => match subsets.values().next() {
            Some(subset) => return Err(DataError::NoTrainSet { path: dir.clone(), subset: subset.clone() }),
            None => (dir.clone(), classes),
        },
    };
    if all_folders.is_empty() {
        let found = describe(&train_dir)?;
        return Err(DataError::NoClassFolders { path: train_dir, found });
    }
    reject_images_and_masks(&train_dir, &all_folders)?;
    let folders = scan.without_masks(&all_folders);
    let train_classes = training_classes(&train_dir, &folders, mapping)?;
    if let [class] = train_classes.as_slice() {
        let hint = below_hint(&train_dir, &folders)?;
        return Err(DataError::OneClass { path: train_dir, class: class.clone(), hint });
    }
    reject_classes_below(&train_dir, &folders, mapping)?;
    let train = scan.images(&train_dir, Subset::Train, &all_folders, &train_classes)?;
    reject_empty_class(&train_dir, &folders, &ClassLabels::new(&train_classes, mapping), &train)?;
    scan.finish(dir, &subsets, train_classes, train)
}

/// Lists a folder to evaluate a model with the classes `class_names`; the folder need not have all of them.
///
/// # Errors
/// [`DataError::UnknownClass`] for a class folder that is not one of them, and as above.
fn list_to_evaluate(
    dir: &Path,
    class_names: &[String],
    mapping: &ClassMapping,
) -> Result<Listing, DataError> {
    let mut scan = Scan::new(dir, mapping);
    let dir = &scan.data_folder(dir, Some(class_names));
    let (subsets, classes) = scan.layout(dir)?;
    let train_dir = match subsets.get(&Subset::Train) {
        Some(name) => Some(dir.join(name)),
        None if subsets.is_empty() => Some(dir.clone()),
        None => None,
    };
    if !subsets.is_empty() {
        scan.note_ignored_folders(&classes);
    }
    let mut train = Vec::new();
    if let Some(train_dir) = train_dir {
        let folders = Entries::of(&train_dir)?.folders;
        if folders.is_empty() {
            let found = describe(&train_dir)?;
            return Err(DataError::NoClassFolders { path: train_dir, found });
        }
        check_mapping(&train_dir, &folders, mapping)?;
        train = scan.images(&train_dir, Subset::Train, &folders, class_names)?;
    }
    scan.finish(dir, &subsets, class_names.to_vec(), train)
}

/// Folders of images and of masks beside each other are not two classes.
fn reject_images_and_masks(dir: &Path, folders: &[String]) -> Result<(), DataError> {
    if folders.len() < 2 || !folders.iter().all(|name| is_image_or_mask_folder(name)) {
        return Ok(());
    }
    let reason = format!(
        "its folders {} are not classes: expected one folder for each class, such as normal/images; or list the images with \
         their classes in a .csv file",
        folders.join(", ")
    );
    Err(DataError::Unusable { path: dir.into(), reason })
}

/// Which folder to give instead, if the only folder may be one level too high.
fn below_hint(dir: &Path, folders: &[String]) -> Result<String, DataError> {
    let [only] = folders else { return Ok("add another class".to_owned()) };
    let below = dir.join(only);
    let inner = Entries::of(&below)?.folders;
    Ok(match inner.len() {
        0 | 1 => "add another, or use the folder above".to_owned(),
        _ => format!(
            "it has the folders {}; if these are the classes, use {}; if they are patients, add another class",
            first_of(&inner),
            below.display()
        ),
    })
}

/// The first names of many.
fn first_of(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    names[..names.len().min(SHOWN)].join(", ") + more
}

/// A walk over one data folder, with what it left out.
struct Scan<'a> {
    root: &'a Path,
    mapping: &'a ClassMapping,
    other_files: usize,
    masks: usize,
    /// A folder of masks beside the class folders of the training set.
    mask_folder: Option<String>,
    outside_links: usize,
    repeated_links: usize,
    /// Images beside the class folders.
    loose: Vec<PathBuf>,
    notes: Vec<String>,
}

impl<'a> Scan<'a> {
    fn new(root: &'a Path, mapping: &'a ClassMapping) -> Self {
        Self {
            root,
            mapping,
            other_files: 0,
            masks: 0,
            mask_folder: None,
            outside_links: 0,
            repeated_links: 0,
            loose: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The folder with the sets, or with the classes of a model: `dir`, or the one at the end of folders that are each the
    /// only one.
    fn data_folder(&mut self, dir: &Path, known: Option<&[String]>) -> PathBuf {
        let known = known.map(|names| ClassLabels::new(names, self.mapping));
        let mut folder = dir.to_owned();
        for _ in 0..MAX_LEVELS {
            let Ok(Entries { folders, files, .. }) = Entries::of(&folder) else { break };
            let is_known = |name: &String| known.as_ref().is_some_and(|labels| labels.find(name).is_some());
            let has_sets = folders.iter().any(|name| subset_of(name).is_some());
            let is_known_or_masks = |name: &String| is_known(name) || is_mask_folder(name);
            if has_sets || folders.iter().any(is_known) && folders.iter().all(is_known_or_masks) {
                if folder != dir {
                    self.notes.push(format!("read the data in {}", relative(&folder, self.root)));
                }
                return folder;
            }
            let [only] = folders.as_slice() else { break };
            if files.iter().any(|file| is_image_file(&folder.join(file))) {
                break;
            }
            folder.push(only);
        }
        dir.to_owned()
    }

    /// The folders of `dir` that are sets, and the other folders.
    fn layout(&self, dir: &Path) -> Result<(SubsetFolders, Vec<String>), DataError> {
        let mut subsets = SubsetFolders::new();
        let mut classes = Vec::new();
        for name in Entries::of(dir)?.folders {
            match subset_of(&name) {
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

    /// The folders that are classes: those of masks are not, beside two others or more, unless `--classes` names them.
    fn without_masks(&mut self, folders: &[String]) -> Vec<String> {
        // `mask` is a class, too, such as of people who wear one.
        let is_mask = |name: &String| {
            is_mask_folder(name)
                && !name.eq_ignore_ascii_case("mask")
                && self.mapping.new_name(name).is_none()
        };
        let (masks, classes): (Vec<String>, Vec<String>) = folders.iter().cloned().partition(is_mask);
        if classes.len() < 2 {
            return folders.to_vec();
        }
        self.mask_folder = masks.into_iter().next();
        classes
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
        let root: Arc<Path> = self.root.into();
        let labels = ClassLabels::new(class_names, self.mapping);
        let note = labels.note(folders).filter(|note| !self.notes.contains(note));
        self.notes.extend(note);
        self.find_loose(dir)?;
        for folder in folders {
            let class_dir = dir.join(folder);
            let Some(label) = labels.find(folder) else {
                if is_mask_folder(folder) && self.mapping.new_name(folder).is_none() {
                    self.masks += count_files(&class_dir);
                    continue;
                }
                let (path, class, known) = (dir.into(), folder.clone(), class_names.to_vec());
                return Err(DataError::UnknownClass { path, class, known });
            };
            let mut walk = ClassWalk::new(self.root, &class_dir);
            walk.run()?;
            self.other_files += walk.other_files;
            self.masks += walk.masks;
            self.outside_links += walk.outside_links;
            self.repeated_links += walk.repeated_links;
            items.extend(walk.images.into_iter().map(|FoundImage { name, patient_folder }| {
                let content = Content::File(ImageFile::Named(Arc::clone(&root)));
                Item { name, content, subset, label: label as u32, patient: None, patient_folder }
            }));
        }
        Ok(items)
    }

    /// Images in a folder of class folders have no class.
    fn find_loose(&mut self, dir: &Path) -> Result<(), DataError> {
        let files = Entries::of(dir)?.files.into_iter().map(|file| dir.join(file));
        self.loose.extend(files.filter(|path| is_image_file(path)));
        Ok(())
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
        if !subsets.is_empty() {
            self.find_loose(dir)?;
        }
        for subset in [Subset::Val, Subset::Test] {
            let Some(name) = subsets.get(&subset) else { continue };
            let subset_dir = dir.join(name);
            let folders = Entries::of(&subset_dir)?.folders;
            let images = self.images(&subset_dir, subset, &folders, &class_names)?;
            if images.is_empty() && !folders.is_empty() {
                let reason = format!(
                    "it is the {subset} set, but its class folders {} have no image; add images, or remove it",
                    first_of(&folders)
                );
                return Err(DataError::Unusable { path: subset_dir, reason });
            }
            if images.is_empty() {
                let found = describe(&subset_dir)?;
                return Err(DataError::NoClassFolders { path: subset_dir, found });
            }
            items.extend(images);
        }
        self.notes.extend(forget_large_folders(&mut items));
        let n_above = dir.strip_prefix(self.root).map_or(0, |inside| inside.iter().count());
        name_single_folders(&mut items, n_above + usize::from(!subsets.is_empty()) + 1);
        self.note_left_out();
        let given: Vec<Subset> = subsets.keys().copied().collect();
        let mut listing = Listing::new(class_names, items, &given);
        listing.notes = self.notes;
        Ok(listing)
    }

    fn note_left_out(&mut self) {
        if self.other_files > 0 {
            let are = if self.other_files == 1 { "that is not an image" } else { "that are not images" };
            self.notes.push(format!("ignored {} {are}", files(self.other_files)));
        }
        if let Some(first) = self.loose.first() {
            let (n, first) = (self.loose.len(), relative(first, self.root));
            self.notes.push(format!(
                "left out {n} image(s) beside the class folders, such as {first}: they have no class; move them into its folder"
            ));
        }
        if self.masks > 0 {
            let hint = self
                .mask_folder
                .as_ref()
                .map(|name| format!(", such as {name}; if it is a class, add --classes \"{name}={name}\""));
            let n_files = files(self.masks);
            self.notes.push(format!("left out {n_files} in folders of masks{}", hint.unwrap_or_default()));
        }
        if self.outside_links > 0 {
            let n = self.outside_links;
            self.notes.push(format!(
                "left out {n} link(s) inside class folders that lead to folders outside the data; copy the images into them"
            ));
        }
        if self.repeated_links > 0 {
            let n = self.repeated_links;
            self.notes.push(format!(
                "left out {n} link(s) inside class folders that lead to images of the same class"
            ));
        }
    }

    /// Folders beside `train/` are not classes.
    fn note_ignored_folders(&mut self, folders: &[String]) {
        if !folders.is_empty() {
            self.notes.push(format!("ignored folders beside the sets: {}", folders.join(", ")));
        }
    }
}

/// The path inside the data folder `root`.
fn relative(path: &Path, root: &Path) -> String {
    let inside = path.strip_prefix(root).unwrap_or(path);
    let components: Vec<_> = inside.iter().map(|component| component.to_string_lossy()).collect();
    components.join("/")
}

/// What a folder holds instead of what was expected.
fn describe(dir: &Path) -> Result<String, DataError> {
    let Entries { folders, files: names, .. } = Entries::of(dir)?;
    let n_images = names.iter().filter(|name| is_image_file(&dir.join(name))).count();
    let mut found = format!("{} ({n_images} of them images)", files(names.len()));
    if !folders.is_empty() {
        found += &format!(" and the folders {}", folders.join(", "));
    }
    Ok(found)
}

/// Folders with many images each are parts of a data set, not patients: they are forgotten, with a note.
fn forget_large_folders(items: &mut [Item]) -> Option<String> {
    let folders: BTreeSet<&str> = items.iter().filter_map(|item| item.patient_folder.as_deref()).collect();
    let n_folders = folders.len();
    let n_images = items.iter().filter(|item| item.patient_folder.is_some()).count();
    if n_images <= MAX_IMAGES_OF_PATIENT * n_folders {
        return None;
    }
    items.iter_mut().for_each(|item| item.patient_folder = None);
    Some(format!(
        "the folders inside class folders have {} images on average: they are not taken for patients",
        n_images / n_folders
    ))
}

/// Makes a folder without another beside it a patient if a patient elsewhere in the data has its name; of folders in each other,
/// the outermost is the patient. In the name of an item they come after `n_above` folders: of sets, the class, and above.
fn name_single_folders(items: &mut [Item], n_above: usize) {
    let patients: BTreeSet<Arc<str>> = items.iter().filter_map(|item| item.patient_folder.clone()).collect();
    for item in items {
        let folders = item.name.rsplit_once('/').map_or("", |(folders, _)| folders);
        let patient = folders.split('/').skip(n_above).find_map(|folder| patients.get(folder));
        if let Some(patient) = patient {
            item.patient_folder = Some(Arc::clone(patient));
        }
    }
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_folder_is_a_patient_if_one_elsewhere_has_its_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let patients = |set: &str| -> Vec<Option<String>> {
            let found = list_to_train(dir.path(), &ClassMapping::default()).expect("a listing").items;
            let of_set = |item: &Item| item.name.contains(set);
            let patient = |item: Item| item.patient_folder.map(|patient| patient.to_string());
            found.into_iter().filter(of_set).map(patient).collect()
        };
        let write = |folder: &str| {
            let folder = dir.path().join("films").join(folder);
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(folder.join("x.png"), "").expect("a file");
        };
        let train = ["train/covid/p1", "train/covid/p2", "train/normal/p3", "train/normal/covid"];
        train.into_iter().for_each(write);
        ["test/covid/p1/pa", "test/covid/p1/ap", "test/normal/p5"].into_iter().for_each(write);
        assert_eq!(patients("/test/"), [Some("p1"), Some("p1"), None].map(|name| name.map(str::to_owned)));
        // The class `covid` is no patient.
        assert_eq!(patients("/train/"), ["p1", "p2", "covid", "p3"].map(|name| Some(name.to_owned())));
    }
}
