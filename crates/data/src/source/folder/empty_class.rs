//! Class folders without an image.

use std::path::Path;

use super::describe;
use crate::error::DataError;
use crate::source::Item;
use crate::source::class_names::ClassLabels;

/// Fails if a class has no image among `items`, which are those in the class folders `folders` of `dir`. Several folders are one
/// class where their names look alike, or `--classes` joins them.
///
/// # Errors
/// [`DataError::EmptyClass`].
pub(super) fn reject_empty_class(
    dir: &Path,
    folders: &[String],
    labels: &ClassLabels<'_>,
    items: &[Item],
) -> Result<(), DataError> {
    for (label, class) in labels.class_names().iter().enumerate() {
        if items.iter().any(|item| item.label as usize == label) {
            continue;
        }
        let of_class: Vec<&String> =
            folders.iter().filter(|folder| labels.find(folder) == Some(label)).collect();
        let (path, found) = match of_class[..] {
            [folder] => (dir.join(folder), describe(&dir.join(folder))?),
            _ => (dir.to_owned(), describe_each(dir, &of_class)?),
        };
        return Err(DataError::EmptyClass { path, class: class.clone(), found });
    }
    Ok(())
}

/// What several folders of `dir` hold.
fn describe_each(dir: &Path, folders: &[&String]) -> Result<String, DataError> {
    let described: Result<Vec<String>, DataError> =
        folders.iter().map(|folder| Ok(format!("`{folder}` has {}", describe(&dir.join(folder))?))).collect();
    Ok(described?.join(", "))
}
