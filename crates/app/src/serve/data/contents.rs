//! What a set of images holds, counted on the disk.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use roentgen_data::disk;
use serde::Serialize;
use utoipa::ToSchema;

use super::part::Part;

/// A file that has been written for longer than this has no writer any more.
const LONGEST_WRITE: Duration = Duration::from_secs(600);

/// What a set holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::serve) struct Contents {
    pub(in crate::serve) n_images: usize,
    pub(super) n_bytes: u64,
    /// Sorted by name.
    pub(super) classes: Vec<ClassContents>,
}

/// Images of a class in each part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct ClassContents {
    pub(super) name: String,
    train: usize,
    val: usize,
    test: usize,
}

impl Contents {
    /// Counts one more image.
    pub(super) fn add(&mut self, part: Part, class: &str, n_bytes: u64) {
        self.add_images(part, class, 1, n_bytes);
    }

    fn add_images(&mut self, part: Part, class: &str, n: usize, n_bytes: u64) {
        let at = match self.classes.binary_search_by(|known| known.name.as_str().cmp(class)) {
            Ok(at) => at,
            Err(at) => {
                self.classes.insert(at, ClassContents { name: class.to_owned(), train: 0, val: 0, test: 0 });
                at
            }
        };
        let counted = &mut self.classes[at];
        match part {
            Part::Train => counted.train += n,
            Part::Val => counted.val += n,
            Part::Test => counted.test += n,
        }
        self.n_images += n;
        self.n_bytes += n_bytes;
    }
}

/// Counts what is in the folder of a set.
///
/// # Errors
/// If a folder cannot be read.
pub(super) fn contents(set: &Path) -> io::Result<Contents> {
    let mut found = Contents::default();
    // Who cannot remove it can read the rest.
    drop(remove_begun(set, disk::TEMPORARY_PREFIX));
    for part in Part::ALL {
        let folder = set.join(part.folder());
        if !folder.is_dir() {
            continue;
        }
        drop(remove_begun(&folder, disk::TEMPORARY_PREFIX));
        for (class, _) in entries(&folder)?.into_iter().filter(|(_, is_folder)| *is_folder) {
            let (n, n_bytes) = count(&folder.join(&class))?;
            found.add_images(part, &class, n, n_bytes);
        }
    }
    Ok(found)
}

/// When the folder of a part or a class was last changed: a file was added or removed, or the folder of a patient.
pub(super) fn changed(set: &Path) -> Option<SystemTime> {
    let time = |folder: &Path| folder.metadata().and_then(|found| found.modified()).ok();
    let parts = Part::ALL.map(|part| set.join(part.folder()));
    let of_part = |part: &PathBuf| {
        let classes = entries(part).unwrap_or_default().into_iter().filter(|(_, is_folder)| *is_folder);
        classes.filter_map(|(class, _)| time(&part.join(class))).chain(time(part)).max()
    };
    parts.iter().filter(|part| part.is_dir()).filter_map(of_part).max()
}

/// The images of a class, as paths in the set with `/` between their parts, sorted.
///
/// # Errors
/// If a folder cannot be read.
pub(super) fn images_of(set: &Path, class: &str) -> io::Result<Vec<String>> {
    let mut images = Vec::new();
    for part in Part::ALL {
        let folder = format!("{}/{class}", part.folder());
        if set.join(&folder).is_dir() {
            add_images_below(set, &folder, &mut images)?;
        }
    }
    images.sort_unstable();
    Ok(images)
}

fn add_images_below(set: &Path, folder: &str, images: &mut Vec<String>) -> io::Result<()> {
    for (name, is_folder) in entries(&set.join(folder))? {
        let path = format!("{folder}/{name}");
        if is_folder { add_images_below(set, &path, images)? } else { images.push(path) }
    }
    Ok(())
}

/// Removes what a server was writing, or removing, in a folder when it was killed, by the beginning of its name. What is younger may
/// be the work of another server.
pub(in crate::serve) fn remove_begun(folder: &Path, prefix: &str) -> io::Result<()> {
    for entry in disk::list(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_none_or(|name| !name.starts_with(prefix)) {
            continue;
        }
        let found = entry.metadata()?;
        if !found.modified()?.elapsed().is_ok_and(|age| age > LONGEST_WRITE) {
            continue;
        }
        if found.is_dir() { disk::remove_folder(&entry.path())? } else { disk::remove(&entry.path())? }
    }
    Ok(())
}

/// Files below a folder, and their bytes.
fn count(folder: &Path) -> io::Result<(usize, u64)> {
    drop(remove_begun(folder, disk::TEMPORARY_PREFIX));
    let (mut n, mut n_bytes) = (0, 0);
    for (name, is_folder) in entries(folder)? {
        let path = folder.join(name);
        let (more, more_bytes) = if is_folder { count(&path)? } else { (1, path.metadata()?.len()) };
        n += more;
        n_bytes += more_bytes;
    }
    Ok((n, n_bytes))
}

/// The files and folders in a folder, sorted, and whether each is a folder; without hidden ones and links.
///
/// # Errors
/// If it cannot be read.
pub(super) fn entries(folder: &Path) -> io::Result<Vec<(String, bool)>> {
    let mut found = Vec::new();
    for entry in disk::list(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
            && !kind.is_symlink()
        {
            found.push((name, kind.is_dir()));
        }
    }
    found.sort_unstable();
    Ok(found)
}
