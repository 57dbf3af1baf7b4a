//! Folders above the classes that would be taken for the classes themselves: parts or sites of a data set, of which each has all
//! classes.

use std::collections::BTreeSet;
use std::path::Path;

use super::first_of;
use super::walk::{Entries, is_image_or_mask_folder};
use crate::class_look::look_of;
use crate::error::DataError;
use crate::file_format::is_image_file;
use crate::options::ClassMapping;
use crate::source::set_names::subset_of;

/// All class folders `folders` of `dir` hold the same folders, and no image beside them: what is below them may be the classes.
/// Patients differ from class to class, or have numbers. `--classes` with the name of a class folder says that it is a class.
///
/// # Errors
/// [`DataError::Unusable`] for such a folder.
pub(super) fn reject_classes_below(
    dir: &Path,
    folders: &[String],
    mapping: &ClassMapping,
) -> Result<(), DataError> {
    let [first, others @ ..] = folders else { return Ok(()) };
    if others.is_empty() || folders.iter().any(|folder| mapping.new_name(folder).is_some()) {
        return Ok(());
    }
    let Some(inner) = folders_alone(&dir.join(first))? else { return Ok(()) };
    let looks = looks_of(&inner);
    let are_numbered = looks.iter().all(|look| look.contains(|letter: char| letter.is_ascii_digit()));
    let are_sets = inner.iter().any(|name| subset_of(name).is_some());
    if looks.len() < 2 || are_numbered || are_sets {
        return Ok(());
    }
    for other in others {
        match folders_alone(&dir.join(other))? {
            Some(inner) if looks_of(&inner) == looks => {}
            _ => return Ok(()),
        }
    }
    let reason = format!(
        "each of its folders {} has the same folders {}; if these are the classes, use {}, or join the class folders of \
         all; if not, add --classes \"{first}={first}\"",
        first_of(folders),
        first_of(&inner),
        dir.join(first).display()
    );
    Err(DataError::Unusable { path: dir.into(), reason })
}

/// The folders in `dir` that may be classes, unless there are images beside them.
fn folders_alone(dir: &Path) -> Result<Option<Vec<String>>, DataError> {
    let Entries { mut folders, files, .. } = Entries::of(dir)?;
    folders.retain(|name| !is_image_or_mask_folder(name));
    Ok((!files.iter().any(|file| is_image_file(&dir.join(file)))).then_some(folders))
}

fn looks_of(names: &[String]) -> BTreeSet<String> {
    names.iter().map(|name| look_of(name)).collect()
}
