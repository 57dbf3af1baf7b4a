//! The images below a class folder.
//!
//! Folders inside a class folder do not change the class:
//!
//! - Two or more folders beside each other are a patient each; whatever is below one of them is of that patient. Folders with
//!   the same name are the same patient, in every class and set.
//! - A folder that has no other beside it says nothing about patients here; with the name of a patient elsewhere in the data, it
//!   becomes one in `folder`. One that is named `images` or the like says nothing.
//! - A folder named `masks` or the like is left out; `folder` decides on one that is beside class folders.
//! - A folder named like a set is an error: sets are above classes.
//!
//! Links to folders are followed where they lead to another folder of the data, whose images are not found without them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::relative;
use crate::decode::NOT_UTF_8;
use crate::disk;
use crate::error::DataError;
use crate::file_format::is_image_file;
use crate::source::set_names::subset_of;
use crate::system_entries::{is_found_below, is_system_entry};

/// Names of folders of images of a class, in lower case.
const IMAGE_FOLDERS: [&str; 14] = [
    "images", "image", "imgs", "img", "pictures", "films", "film", "data", "png", "jpg", "jpeg", "dicom",
    "dcm", "scans",
];
/// Names of folders of masks, in lower case.
const MASK_FOLDERS: [&str; 9] = [
    "masks",
    "mask",
    "lung masks",
    "lung_masks",
    "lungmasks",
    "segmentations",
    "segmentation",
    "annotations",
    "labels",
];

/// Whether a folder is named for what kind of files it has.
pub(super) fn is_image_or_mask_folder(name: &str) -> bool {
    is_one_of(&IMAGE_FOLDERS, name) || is_mask_folder(name)
}

/// Whether a folder is named for masks.
pub(crate) fn is_mask_folder(name: &str) -> bool {
    is_one_of(&MASK_FOLDERS, name)
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.contains(&name.to_lowercase().as_str())
}

/// The entries of a folder, sorted by name; without hidden ones and those of the system.
pub(super) struct Entries {
    pub(super) folders: Vec<String>,
    pub(super) files: Vec<String>,
    /// Those of the folders that are links.
    links: BTreeSet<String>,
}

impl Entries {
    /// Lists a folder.
    ///
    /// # Errors
    /// [`DataError::Unlistable`]; [`DataError::Unusable`] for a folder whose name is not UTF-8.
    pub(super) fn of(dir: &Path) -> Result<Self, DataError> {
        let unlistable = |source| DataError::Unlistable { path: dir.into(), source };
        let mut entries = Self { folders: Vec::new(), files: Vec::new(), links: BTreeSet::new() };
        for entry in disk::list(dir).map_err(unlistable)? {
            let entry = entry.map_err(unlistable)?;
            // A file whose name is not UTF-8 can only be opened by its own bytes. Such files are rare, so they are listed
            // with a replacement character: opening them fails with an error that shows the name.
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_system_entry(&name) {
                continue;
            }
            let kind = entry.file_type().map_err(unlistable)?;
            let is_folder_link = kind.is_symlink() && entry.path().is_dir();
            if !kind.is_dir() && !is_folder_link {
                entries.files.push(name);
                continue;
            }
            if entry.file_name().to_str().is_none() {
                return Err(DataError::Unusable { path: dir.join(name), reason: NOT_UTF_8.to_owned() });
            }
            if is_folder_link {
                entries.links.insert(name.clone());
            }
            entries.folders.push(name);
        }
        entries.folders.sort_unstable();
        entries.files.sort_unstable();
        Ok(entries)
    }
}

/// An image of a class.
pub(super) struct FoundImage {
    /// Its path inside the data folder.
    pub(super) name: Box<str>,
    /// The folder of its patient.
    pub(super) patient_folder: Option<Arc<str>>,
}

/// A walk over what is below a class folder.
pub(super) struct ClassWalk<'a> {
    root: &'a Path,
    class_dir: &'a Path,
    /// Folders that links led to.
    followed: BTreeSet<PathBuf>,
    pub(super) images: Vec<FoundImage>,
    pub(super) other_files: usize,
    /// Files in folders of masks.
    pub(super) masks: usize,
    /// Links that lead out of the data.
    pub(super) outside_links: usize,
    /// Links to folders whose images are found without them.
    pub(super) repeated_links: usize,
}

impl<'a> ClassWalk<'a> {
    /// Of the class folder `class_dir` in the data folder `root`.
    pub(super) fn new(root: &'a Path, class_dir: &'a Path) -> Self {
        Self {
            root,
            class_dir,
            followed: BTreeSet::new(),
            images: Vec::new(),
            other_files: 0,
            masks: 0,
            outside_links: 0,
            repeated_links: 0,
        }
    }

    /// Finds all images.
    ///
    /// # Errors
    /// As [`Entries::of`]; [`DataError::Unusable`] for a set inside the class folder.
    pub(super) fn run(&mut self) -> Result<(), DataError> {
        self.walk(self.class_dir, None)
    }

    fn walk(&mut self, dir: &Path, patient: Option<&Arc<str>>) -> Result<(), DataError> {
        let Entries { folders, files, links } = Entries::of(dir)?;
        for file in files {
            let path = dir.join(file);
            if is_image_file(&path) {
                let name = relative(&path, self.root).into();
                self.images.push(FoundImage { name, patient_folder: patient.cloned() });
            } else {
                self.other_files += 1;
            }
        }
        let n_others = folders.iter().filter(|name| !is_image_or_mask_folder(name)).count();
        for name in folders {
            let path = dir.join(&name);
            if is_mask_folder(&name) {
                self.masks += count_files(&path);
                continue;
            }
            if dir == self.class_dir && subset_of(&name).is_some() {
                return Err(set_inside_class(&path, self.class_dir, &name));
            }
            let is_link = links.contains(&name);
            if is_link && !self.follows(dir, &path) {
                continue;
            }
            // Where a link to this folder was followed before.
            if !is_link
                && !self.followed.is_empty()
                && path.canonicalize().is_ok_and(|folder| self.followed.contains(&folder))
            {
                self.repeated_links += 1;
                continue;
            }
            let is_patient = n_others > 1 && !is_one_of(&IMAGE_FOLDERS, &name);
            let patient_here = is_patient.then(|| Arc::from(name));
            self.walk(&path, patient.or(patient_here.as_ref()))?;
        }
        Ok(())
    }

    /// Whether a link in `dir` is followed: it leads to a folder of the data that `dir` is not in, and that is neither in the class
    /// folder nor in a folder where another link led.
    fn follows(&mut self, dir: &Path, link: &Path) -> bool {
        let (Ok(target), Ok(root), Ok(class_dir), Ok(dir)) = (
            link.canonicalize(),
            self.root.canonicalize(),
            self.class_dir.canonicalize(),
            dir.canonicalize(),
        ) else {
            return false;
        };
        if is_found_below(&target, &class_dir)
            || self.followed.iter().any(|folder| is_found_below(&target, folder))
        {
            self.repeated_links += 1;
            return false;
        }
        if !target.starts_with(root) {
            self.outside_links += 1;
            return false;
        }
        !dir.starts_with(&target) && self.followed.insert(target)
    }
}

fn set_inside_class(path: &Path, class_dir: &Path, set: &str) -> DataError {
    let class = class_dir.file_name().unwrap_or_default().to_string_lossy();
    let reason = format!(
        "it is a set inside the class `{class}`; move its images to {set}/{class}, so that the classes are inside the sets"
    );
    DataError::Unusable { path: path.into(), reason }
}

/// Number of files below a folder.
pub(super) fn count_files(dir: &Path) -> usize {
    let entries = walkdir::WalkDir::new(dir).into_iter().filter_map(Result::ok);
    let is_file = |entry: &walkdir::DirEntry| {
        !entry.file_type().is_dir() && !is_system_entry(&entry.file_name().to_string_lossy())
    };
    entries.filter(is_file).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_of_the_same_class_is_counted_and_its_images_are_found_once() {
        let root = tempfile::tempdir().expect("a folder");
        let root = root.path();
        let class_dir = root.join("normal");
        for folder in ["normal/a/more", "films/old"] {
            std::fs::create_dir_all(root.join(folder)).expect("a folder");
            std::fs::write(root.join(folder).join("1.png"), b"").expect("a file");
        }
        let links =
            [("normal/a", "b"), ("normal/a/more", "c"), ("films", "d"), ("films/old", "e"), ("normal", "f")];
        for (target, link) in links {
            std::os::unix::fs::symlink(root.join(target), class_dir.join(link)).expect("a link");
        }
        let mut walk = ClassWalk::new(root, &class_dir);
        walk.run().expect("images");
        let names: Vec<&str> = walk.images.iter().map(|image| &*image.name).collect();
        assert_eq!(names, ["normal/a/more/1.png", "normal/d/old/1.png"]);
        assert_eq!((walk.repeated_links, walk.outside_links), (4, 0));
        // The link to the inner folder comes first.
        std::os::unix::fs::symlink(root.join("films/old"), class_dir.join("a0")).expect("a link");
        let mut walk = ClassWalk::new(root, &class_dir);
        walk.run().expect("images");
        let names: Vec<&str> = walk.images.iter().map(|image| &*image.name).collect();
        assert_eq!(names, ["normal/a/more/1.png", "normal/a0/1.png"]);
        assert_eq!((walk.repeated_links, walk.outside_links), (5, 0));
    }

    #[test]
    fn the_names_of_folders_are_in_the_documentation() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/data.md");
        let page = std::fs::read_to_string(page).expect("a page");
        for name in IMAGE_FOLDERS.iter().chain(&MASK_FOLDERS) {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}
