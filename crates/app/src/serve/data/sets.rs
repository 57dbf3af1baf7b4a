//! The sets of images that are put together in the browser: folders that belong to the server, in a private one.
//!
//! ```text
//! .sets/films/.title                what the user calls it
//!            /train/<class>/film.png
//!            /test/<class>/...      if the images were sent as those of a test set; so /val
//! ```
//! That is a layout which `roentgen train --data` reads. An image is written under a temporary name, and is there when it is whole.
//! What a server leaves under such a name when it is killed is removed by the next one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use axum::http::StatusCode;
use roentgen_data::{
    disk, image_extension, is_same_class, is_same_training_class, read_file, read_text_file,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::contents::{Contents, changed, contents, entries, images_of, remove_begun};
use super::part::Part;
use super::unused_set::UnusedSet;
use crate::serve::below::below;
use crate::serve::names::{file_stem, folder_name, numbered, set_name, title};
use crate::serve::problem::Problem;

/// Most files of a set.
const MAX_FILES: usize = 100_000;
/// Most bytes of a set.
const MAX_BYTES: u64 = 32 << 30;
/// Most classes of a set.
const MAX_CLASSES: usize = 1_000;
/// Images of a class that are listed at a time.
const MAX_LISTED: usize = 60;
/// Most sets.
const MAX_SETS: usize = 1_000;
/// The file with the title of a set; the loader passes over it.
const TITLE: &str = ".title";
/// Digits of the digest in the name of an image whose own name is taken.
const DIGITS: usize = 16;

/// A set, as a request gets it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ImageSet)]
pub(in crate::serve) struct SetInfo {
    /// The name of its folder.
    pub(in crate::serve) name: String,
    pub(in crate::serve) title: String,
    /// What `/train` calls it.
    pub(in crate::serve) data: String,
    #[serde(flatten)]
    pub(in crate::serve) contents: Contents,
}

/// An image to add, with what the client says of it.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct NewImage {
    /// Its class, which is made if it is missing.
    class: String,
    /// The file on the user's disk.
    #[serde(default)]
    name: String,
    /// The folder inside that of the class: of a patient.
    folder: Option<String>,
    /// The set that it belongs to.
    #[serde(default)]
    #[param(inline)]
    part: Part,
    /// Whether to search the other classes for the same file.
    #[serde(default)]
    find_equal: bool,
}

/// An image that was added.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AddedImage {
    class: String,
    /// In the set.
    path: String,
    /// Whether it was there before, under the same name.
    was_there: bool,
    /// Images of the set now.
    n_images: usize,
    /// The paths of the same file in other classes, with `find_equal`.
    equal: Vec<String>,
}

/// Some of the images of a class.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClassImages {
    /// Their paths in the set, sorted; 60 at most.
    images: Vec<String>,
    /// Images that follow.
    n_more: usize,
}

/// See the module.
#[derive(Debug)]
pub(in crate::serve) struct Sets {
    folder: PathBuf,
    /// What each set holds, once it has been counted. Changes of the disk are made while it is locked.
    known: Mutex<BTreeMap<String, Counted>>,
    unused: UnusedSet,
}

/// What a set holds.
#[derive(Debug, Default)]
struct Counted {
    contents: Contents,
    /// [`changed`] when it was counted: files may be copied into a set by hand.
    changed: Option<SystemTime>,
}

impl Sets {
    /// In a folder that is made with the first set.
    pub(in crate::serve) fn new(folder: PathBuf) -> Self {
        drop(remove_begun(&folder, disk::TEMPORARY_PREFIX));
        Self { folder, known: Mutex::default(), unused: UnusedSet::default() }
    }

    /// Makes an empty set with a name that is not in `in_use`. Names of removed sets on which a run was trained are in use, too,
    /// since the page of its model would take the new set for its training set.
    pub(super) fn create(&self, given_title: &str, in_use: &BTreeSet<String>) -> Result<SetInfo, Problem> {
        let mut title = title(given_title).map_err(refused)?;
        if title.is_empty() {
            title = jiff::Zoned::now().strftime("Set of %Y-%m-%d %H:%M").to_string();
        }
        let mut known = self.lock();
        if self.names()?.len() >= MAX_SETS {
            return Err(full(format!("there are {MAX_SETS} sets; remove one first")));
        }
        disk::create_private_folder(&self.folder).map_err(not_written)?;
        let plain = set_name(&title);
        let is_taken = self.names()?.iter().any(|known| self.title(known) == title);
        let mut in_use = in_use.clone();
        if is_taken {
            // So that its number can be in its title: two sets never have one title.
            in_use.insert(plain.clone());
        }
        let name = self.create_folder(plain.clone(), &in_use)?;
        if is_taken && let Some(number) = name.strip_prefix(&plain).and_then(|rest| rest.strip_prefix('-')) {
            title = format!("{title} {number}");
        }
        let path = self.folder.join(&name);
        disk::write_private(&path, &path.join(TITLE), title.as_bytes()).map_err(not_written)?;
        known.insert(name.clone(), Counted::default());
        Ok(info(name, title, Contents::default()))
    }

    /// The folder that they are in.
    pub(in crate::serve) fn folder(&self) -> &Path {
        &self.folder
    }

    /// See [`UnusedSet`].
    pub(super) fn unused(&self) -> &UnusedSet {
        &self.unused
    }

    /// All sets, the latest first.
    pub(in crate::serve) fn list(&self) -> Result<Vec<SetInfo>, Problem> {
        let mut known = self.lock();
        let mut names = self.names()?;
        let made =
            |name: &String| self.folder.join(name).join(TITLE).metadata().and_then(|file| file.modified());
        names.sort_by_cached_key(|name| Reverse(made(name).ok()));
        names.into_iter().map(|name| self.info(&mut known, name)).collect()
    }

    /// One of them.
    pub(super) fn get(&self, set: &str) -> Result<SetInfo, Problem> {
        let mut known = self.lock();
        self.path(set)?;
        self.info(&mut known, set.to_owned())
    }

    /// What the user calls a set.
    pub(in crate::serve) fn title_of(&self, set: &str) -> Option<String> {
        self.get(set).ok().map(|info| info.title)
    }

    /// The set that is at this path, if there is one.
    pub(in crate::serve) fn at(&self, path: &Path) -> Option<SetInfo> {
        let path = path.canonicalize().ok()?;
        let is_there = |name: &String| self.folder.join(name).canonicalize().is_ok_and(|set| set == path);
        self.get(&self.names().ok()?.into_iter().find(is_there)?).ok()
    }

    /// The folder of a set: one of those that are there, so that no name leads elsewhere.
    pub(super) fn path(&self, set: &str) -> Result<PathBuf, Problem> {
        let found = self.names()?.into_iter().find(|name| name == set).ok_or(Problem::NoData)?;
        Ok(self.folder.join(found))
    }

    /// The images of a class whose paths come after this one.
    pub(super) fn images(&self, set: &str, class: &str, after: &str) -> Result<ClassImages, Problem> {
        let SetInfo { contents, .. } = self.get(set)?;
        let class = contents.classes.iter().find(|known| known.name == class).ok_or(Problem::NoData)?;
        let mut images = images_of(&self.path(set)?, &class.name).map_err(unreadable)?;
        images.drain(..images.partition_point(|image| image.as_str() <= after));
        let n_more = images.len().saturating_sub(MAX_LISTED);
        images.truncate(MAX_LISTED);
        Ok(ClassImages { images, n_more })
    }

    /// The file of an image of a set.
    pub(super) fn image(&self, set: &str, image: &str) -> Result<PathBuf, Problem> {
        let path = below(&self.path(set)?, image)?;
        let is_hidden = image.split('/').any(|part| part.starts_with('.'));
        if path.is_file() && !is_hidden { Ok(path) } else { Err(Problem::NoData) }
    }

    /// Adds a class without images.
    pub(super) fn add_class(&self, set: &str, class: &str) -> Result<SetInfo, Problem> {
        let class = folder_name("class", class).map_err(refused)?;
        let mut known = self.lock();
        let path = self.path(set)?;
        let info = self.info(&mut known, set.to_owned())?;
        let class = class_to_use(&info.contents, class)?;
        let folder = path.join(Part::Train.folder()).join(&class);
        disk::create_folders(&folder).map_err(not_written)?;
        known.remove(set);
        self.info(&mut known, set.to_owned())
    }

    /// Adds an image; its name on the disk is made here.
    pub(super) fn add_image(&self, set: &str, image: &NewImage, bytes: &[u8]) -> Result<AddedImage, Problem> {
        let class = folder_name("class", &image.class).map_err(refused)?;
        let patient = image.folder.as_deref().map(|name| folder_name("folder", name));
        let patient = patient.transpose().map_err(refused)?;
        let extension = image_extension(bytes)
            .map_err(|reason| Problem::Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason))?;
        let mut known = self.lock();
        let path = self.path(set)?;
        let SetInfo { contents, .. } = self.info(&mut known, set.to_owned())?;
        let class = class_to_use(&contents, class)?;
        let equal =
            if image.find_equal { equal_images(&path, &contents, &class, bytes)? } else { Vec::new() };
        let in_set = Path::new(image.part.folder()).join(&class).join(patient.unwrap_or_default());
        let folder = path.join(&in_set);
        let (name, was_there) = free_name(&folder, &file_stem(&image.name), extension, bytes);
        let in_set = in_set.join(&name);
        if !was_there {
            contents.check_room(bytes.len() as u64)?;
            disk::create_folders(&folder).map_err(not_written)?;
            disk::write_private(&folder, &folder.join(&name), bytes).map_err(not_written)?;
        }
        let counted = known.get_mut(set).ok_or(Problem::Failed)?;
        if !was_there {
            counted.contents.add(image.part, &class, bytes.len() as u64);
            counted.changed = changed(&path);
        }
        let parts: Vec<_> = in_set.iter().map(|part| part.to_string_lossy()).collect();
        Ok(AddedImage { class, path: parts.join("/"), was_there, n_images: counted.contents.n_images, equal })
    }

    /// Removes a set, with all that is in it.
    pub(super) fn remove(&self, set: &str) -> Result<(), Problem> {
        let mut known = self.lock();
        disk::remove_folder(&self.path(set)?).map_err(not_removed)?;
        known.remove(set);
        Ok(())
    }

    /// Removes a class from a set.
    pub(super) fn remove_class(&self, set: &str, class: &str) -> Result<SetInfo, Problem> {
        let mut known = self.lock();
        let path = self.path(set)?;
        let info = self.info(&mut known, set.to_owned())?;
        let class = info.contents.classes.iter().find(|known| known.name == class).ok_or(Problem::NoData)?;
        for part in Part::ALL {
            let folder = path.join(part.folder()).join(&class.name);
            if folder.is_dir() {
                disk::remove_folder(&folder).map_err(not_removed)?;
            }
        }
        known.remove(set);
        self.info(&mut known, set.to_owned())
    }

    /// Removes an image from a set.
    pub(super) fn remove_image(&self, set: &str, image: &str) -> Result<SetInfo, Problem> {
        let mut known = self.lock();
        disk::remove(&self.image(set, image)?).map_err(not_removed)?;
        known.remove(set);
        self.info(&mut known, set.to_owned())
    }

    /// Makes a folder with this name, or with a number behind it if there is one.
    fn create_folder(&self, name: String, in_use: &BTreeSet<String>) -> Result<String, Problem> {
        for name in numbered(name).filter(|name| !in_use.contains(name)).take(1 + MAX_SETS) {
            match disk::create_new_folder(&self.folder.join(&name)) {
                Ok(()) => return Ok(name),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(not_written(error)),
            }
        }
        Err(Problem::Failed)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Counted>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of all sets, sorted.
    fn names(&self) -> Result<Vec<String>, Problem> {
        if !self.folder.is_dir() {
            return Ok(Vec::new());
        }
        let found = entries(&self.folder).map_err(unreadable)?;
        Ok(found.into_iter().filter(|(_, is_folder)| *is_folder).map(|(name, _)| name).collect())
    }

    /// What the user calls a set; its name if that is not known.
    fn title(&self, name: &str) -> String {
        let title = read_text_file(&self.folder.join(name).join(TITLE), 1 << 10);
        title.ok().filter(|title| !title.is_empty()).unwrap_or_else(|| name.to_owned())
    }

    fn info(&self, known: &mut BTreeMap<String, Counted>, name: String) -> Result<SetInfo, Problem> {
        let path = self.folder.join(&name);
        let changed = changed(&path);
        if known.get(&name).is_none_or(|counted| counted.changed != changed) {
            let contents = contents(&path).map_err(unreadable)?;
            known.insert(name.clone(), Counted { contents, changed });
        }
        let title = self.title(&name);
        let contents = known.get(&name).map(|counted| counted.contents.clone()).unwrap_or_default();
        Ok(info(name, title, contents))
    }
}

fn info(name: String, title: String, contents: Contents) -> SetInfo {
    SetInfo { data: format!("set:{name}"), title, name, contents }
}

/// The class of a set that has this name, or one that the loader takes for the same; a new one if there is room.
fn class_to_use(contents: &Contents, class: String) -> Result<String, Problem> {
    let known = |is_same: fn(&str, &str) -> bool| {
        contents.classes.iter().map(|known| &known.name).find(|known| is_same(known, &class))
    };
    if let Some(known) = known(|known, class| known == class).or_else(|| known(is_same_training_class)) {
        return Ok(known.clone());
    }
    // Single letters may be classes of handwriting, but on some disks `a` and `A` are one folder.
    if let Some(known) = known(is_same_class) {
        let text = format!(
            "the set has a class `{known}`, and some disks do not distinguish it from `{class}`; give the class a longer name"
        );
        return Err(Problem::Refused(StatusCode::CONFLICT, text));
    }
    if contents.classes.len() >= MAX_CLASSES {
        return Err(full(format!("the set has {MAX_CLASSES} classes, the most that are possible")));
    }
    Ok(class)
}

impl Contents {
    /// Whether another image has room.
    fn check_room(&self, n_bytes: u64) -> Result<(), Problem> {
        if self.n_images >= MAX_FILES {
            return Err(full(format!(
                "the set has {MAX_FILES} images, the most that are possible; train on a folder instead"
            )));
        }
        if self.n_bytes + n_bytes > MAX_BYTES {
            let text = format!(
                "the set has {} GiB, the most that are possible; train on a folder instead",
                MAX_BYTES >> 30
            );
            return Err(full(text));
        }
        Ok(())
    }
}

/// A name for an image, and whether the image has it already.
fn free_name(folder: &Path, stem: &str, extension: &str, bytes: &[u8]) -> (String, bool) {
    let plain = format!("{stem}.{extension}");
    match folder.join(&plain) {
        path if !path.exists() => (plain, false),
        path if is_same_file(&path, bytes) => (plain, true),
        _ => {
            let digest = blake3::hash(bytes).to_hex();
            let numbered = format!("{stem}-{}.{extension}", &digest[..DIGITS]);
            let was_there = folder.join(&numbered).exists();
            (numbered, was_there)
        }
    }
}

/// The images of the other classes of a set that are the same file.
fn equal_images(set: &Path, contents: &Contents, class: &str, bytes: &[u8]) -> Result<Vec<String>, Problem> {
    let mut equal = Vec::new();
    for other in contents.classes.iter().filter(|other| other.name != class) {
        let images = images_of(set, &other.name).map_err(unreadable)?;
        equal.extend(images.into_iter().filter(|image| is_same_file(&set.join(image), bytes)));
    }
    Ok(equal)
}

/// Whether a file has these bytes.
fn is_same_file(path: &Path, bytes: &[u8]) -> bool {
    path.metadata().is_ok_and(|found| found.len() == bytes.len() as u64)
        && read_file(path, bytes.len() as u64).is_ok_and(|known| known == bytes)
}

fn refused(reason: String) -> Problem {
    Problem::Refused(StatusCode::BAD_REQUEST, reason)
}

fn full(reason: String) -> Problem {
    Problem::Refused(StatusCode::INSUFFICIENT_STORAGE, reason)
}

fn unreadable(error: io::Error) -> Problem {
    Problem::Unreadable(format!("cannot read the sets: {error}"))
}

/// Why nothing was written; what was begun is removed.
fn not_written(error: io::Error) -> Problem {
    if disk::is_full(&error) {
        return full("the disk is full, and nothing was saved; free some space, or remove a set".to_owned());
    }
    Problem::Unreadable(format!("cannot write into the folder of the sets: {error}"))
}

fn not_removed(error: io::Error) -> Problem {
    Problem::Unreadable(format!("cannot remove images from the folder of the sets: {error}"))
}
