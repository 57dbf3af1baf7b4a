//! Pictures that a file lists one by one, brought into parts and classes. The checks are those of every such format.

use std::path::Path;

use super::folder::class_index;
use super::{Content, Item, Listing, Usage};
use crate::{DataError, Subset};

/// A listed picture.
pub(crate) struct Row {
    /// Its part, where the file says one; of all rows or of none.
    pub(crate) subset: Option<Subset>,
    /// Index of its class in the file's own class names.
    pub(crate) class: usize,
    pub(crate) name: String,
    pub(crate) patient: Option<String>,
    pub(crate) content: Content,
}

/// The listing of `rows`, whose classes count through `class_names`.
///
/// # Errors
/// [`DataError::Unusable`] without a picture, with a single class, or with one that has no picture to train on;
/// [`DataError::UnknownClass`].
pub(crate) fn listing(
    path: &Path,
    class_names: Vec<String>,
    rows: Vec<Row>,
    usage: Usage<'_>,
) -> Result<Listing, DataError> {
    let unusable = |reason: String| DataError::Unusable { path: path.into(), reason };
    if rows.is_empty() {
        return Err(unusable("it lists no picture; add some".to_owned()));
    }
    let labels = labels(path, &class_names, &rows, usage)?;
    let has_parts = rows.iter().any(|row| row.subset.is_some());
    let mut parts: [Option<Vec<Item>>; 3] = Default::default();
    for Row { subset, class, name, patient, content } in rows {
        let item = Item { content, name, label: labels[class], patient };
        parts[subset.unwrap_or(Subset::Train) as usize].get_or_insert_default().push(item);
    }
    for items in parts.iter_mut().flatten() {
        items.sort_by(|a, b| (a.label, &a.name).cmp(&(b.label, &b.name)));
    }
    let [train, val, test] = parts;
    let train = train.unwrap_or_default();
    if let Usage::Train = usage {
        if train.is_empty() {
            let subset = if test.is_some() { Subset::Test } else { Subset::Val };
            return Err(unusable(format!(
                "it has a `{subset}` part, but no `train` part to learn from; add one"
            )));
        }
        for (label, class) in class_names.iter().enumerate() {
            if !train.iter().any(|item| item.label as usize == label) {
                return Err(unusable(format!(
                    "class `{class}` has no picture in the training part; add some, or remove it from the other parts"
                )));
            }
        }
    }
    let class_names = match usage {
        Usage::Train => class_names,
        Usage::Evaluate(known) => known.to_vec(),
    };
    Ok(Listing { class_names, train, val, test, has_parts, notes: Vec::new() })
}

/// The label of each class of the file: its index, or that of the model's class of its name.
fn labels(
    path: &Path,
    class_names: &[String],
    rows: &[Row],
    usage: Usage<'_>,
) -> Result<Vec<u32>, DataError> {
    let Usage::Evaluate(known) = usage else {
        if let [class] = class_names {
            let reason =
                format!("it has only one class, `{class}`, expected two or more; add pictures of another");
            return Err(DataError::Unusable { path: path.into(), reason });
        }
        return Ok((0..class_names.len() as u32).collect());
    };
    let label = |(class, name): (usize, &String)| match class_index(name, known) {
        Some(label) => Ok(label as u32),
        // A class that the file could have, but no picture has, does no harm.
        None if rows.iter().all(|row| row.class != class) => Ok(0),
        None => {
            let (path, class, known) = (path.into(), name.clone(), known.to_vec());
            Err(DataError::UnknownClass { path, class, known })
        }
    };
    class_names.iter().enumerate().map(label).collect()
}
