//! The folders of this machine below the root, to choose images from.

use std::path::{Path, PathBuf};

use roentgen_data::{disk, is_data_file, is_image_name};
use serde::Serialize;
use utoipa::ToSchema;

use crate::serve::below::below;
use crate::serve::problem::Problem;

/// Most folders, and most files of data, that are listed.
const MAX_LISTED: usize = 500;
/// Entries that are looked at to count images; a folder with more has at least the number that was found.
const MAX_LOOKED_AT: usize = 20_000;
/// Entries of one folder that are looked at, so that the next ones have their count too.
const MAX_OF_FOLDER: usize = 4_000;
/// Folders above each other that are counted.
const MAX_DEPTH: usize = 6;

/// A folder, as the page shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Listing {
    /// Its path below the root.
    path: String,
    /// That of the folder above; none for the root.
    above: Option<String>,
    /// Images in it, not in its folders.
    n_images: usize,
    folders: Vec<FolderEntry>,
    /// Files that are data as they are, such as `.npz` and `.csv`.
    files: Vec<FileEntry>,
    /// Whether there are more than those that are listed.
    has_more: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct FolderEntry {
    name: String,
    path: String,
    /// Images in it and below.
    n_images: usize,
    /// Whether there may be more.
    has_more: bool,
    /// Its folders.
    n_folders: usize,
}

#[derive(Debug, Serialize, ToSchema)]
struct FileEntry {
    name: String,
    path: String,
}

/// Lists the folder at `path` below `root`, without the folder of the runs, which has no images to train on. Links are resolved,
/// and those that lead out of the root left out.
pub(super) fn list(root: &Path, path: &str, runs: &Path) -> Result<Listing, Problem> {
    let folder = below(root, path)?;
    let root = root.canonicalize().map_err(|_| Problem::NoData)?;
    let runs = runs.canonicalize().ok();
    let unreadable = |error| Problem::Unreadable(format!("cannot read the folder: {error}"));
    let mut entries: Vec<(String, PathBuf)> = Vec::new();
    let mut listed = disk::list(&folder).map_err(unreadable)?;
    for entry in listed.by_ref().take(MAX_LOOKED_AT) {
        let Ok(entry) = entry else { continue };
        let Ok(name) = entry.file_name().into_string() else { continue };
        let target = entry.path().canonicalize().ok().filter(|target| target.starts_with(&root));
        if let Some(target) = target.filter(|target| !name.starts_with('.') && runs.as_ref() != Some(target))
        {
            entries.push((name, target));
        }
    }
    entries.sort_unstable();
    let (mut has_more, mut n_images) = (listed.next().is_some(), 0);
    let (mut folders, mut files, mut left) = (Vec::new(), Vec::new(), MAX_LOOKED_AT);
    for (name, target) in entries {
        if folders.len().max(files.len()) >= MAX_LISTED {
            has_more = true;
            break;
        }
        let path = relative(&root, &target);
        if target.is_dir() {
            let given = left.min(MAX_OF_FOLDER);
            let mut count = Count { left: given, ..Count::default() };
            count.add(&target, MAX_DEPTH);
            left -= given - count.left;
            let (n_images, has_more, n_folders) = (count.n_images, count.has_more, count.n_folders);
            folders.push(FolderEntry { name, path, n_images, has_more, n_folders });
        } else if is_data_file(&target) {
            files.push(FileEntry { name, path });
        } else if is_image_name(&target) {
            n_images += 1;
        }
    }
    let path = relative(&root, &folder);
    let above = (!path.is_empty()).then(|| path.rsplit_once('/').map_or("", |(above, _)| above).to_owned());
    Ok(Listing { path, above, n_images, folders, files, has_more })
}

/// The path of something below the root, with `/` between its parts.
fn relative(root: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(root).into_iter().flatten();
    parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[derive(Default)]
struct Count {
    left: usize,
    n_images: usize,
    n_folders: usize,
    has_more: bool,
}

impl Count {
    /// Counts below `folder`, without following links.
    fn add(&mut self, folder: &Path, depth: usize) {
        let Ok(entries) = disk::list(folder) else { return };
        for entry in entries.flatten() {
            if self.left == 0 {
                self.has_more = true;
                return;
            }
            self.left -= 1;
            let Ok(kind) = entry.file_type() else { continue };
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            match kind.is_dir() {
                true if depth == 0 => self.has_more = true,
                true => {
                    self.n_folders += usize::from(depth == MAX_DEPTH);
                    self.add(&entry.path(), depth - 1);
                }
                false => self.n_images += usize::from(is_image_name(&entry.path())),
            }
        }
    }
}
