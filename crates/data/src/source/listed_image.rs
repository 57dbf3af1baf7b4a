//! From the rows of a file that lists images one by one to a [`Listing`]. Every such format has the same checks.

use std::path::Path;

use super::folder::ClassLabels;
use super::{Content, Item, Listing, Usage};
use crate::error::DataError;
use crate::subset::Subset;

/// An image that a file lists.
pub(super) struct ListedImage {
    /// Its set, if the file names one: all images of a file have one, or none has.
    pub(super) subset: Option<Subset>,
    /// Index of its class in the class names of the file.
    pub(super) class: usize,
    pub(super) name: String,
    pub(super) patient: Option<String>,
    pub(super) content: Content,
}

/// The listing of `images`, whose classes are indices into `class_names`.
///
/// # Errors
/// [`DataError::Unusable`] without an image, with a single class, or with a class that has no training image;
/// [`DataError::UnknownClass`].
pub(super) fn to_listing(
    path: &Path,
    class_names: Vec<String>,
    images: Vec<ListedImage>,
    usage: Usage<'_>,
) -> Result<Listing, DataError> {
    let unusable = |reason: String| DataError::Unusable { path: path.into(), reason };
    if images.is_empty() {
        return Err(unusable("it lists no image; add some".to_owned()));
    }
    let labels = labels(path, &class_names, &images, usage)?;
    let mut given: Vec<Subset> = images.iter().filter_map(|image| image.subset).collect();
    given.sort_unstable();
    given.dedup();
    let to_item = |ListedImage { subset, class, name, patient, content }: ListedImage| Item {
        content,
        name,
        subset: subset.unwrap_or(Subset::Train),
        label: labels[class],
        patient,
    };
    let items: Vec<Item> = images.into_iter().map(to_item).collect();
    if let Usage::Train = usage {
        check_training_set(&items, &class_names, &given).map_err(unusable)?;
    }
    let class_names = match usage {
        Usage::Train => class_names,
        Usage::Evaluate(known) => known.to_vec(),
    };
    Ok(Listing::new(class_names, items, &given))
}

/// Every class needs an image to train on.
fn check_training_set(items: &[Item], class_names: &[String], given: &[Subset]) -> Result<(), String> {
    let mut has_training_image = vec![false; class_names.len()];
    for item in items.iter().filter(|item| item.subset == Subset::Train) {
        has_training_image[item.label as usize] = true;
    }
    if !items.iter().any(|item| item.subset == Subset::Train) {
        let subset = if given.contains(&Subset::Test) { Subset::Test } else { Subset::Val };
        return Err(format!("it has a `{subset}` set, but no `train` set; add one"));
    }
    match has_training_image.iter().position(|has_one| !has_one) {
        Some(label) => Err(format!(
            "class `{}` has no image in the training set; add some, or remove it from the other sets",
            class_names[label]
        )),
        None => Ok(()),
    }
}

/// The label of each class of the file: its index, or the index of the model's class with the same name.
fn labels(
    path: &Path,
    class_names: &[String],
    images: &[ListedImage],
    usage: Usage<'_>,
) -> Result<Vec<u32>, DataError> {
    let Usage::Evaluate(known) = usage else {
        if let [class] = class_names {
            let reason = format!(
                "it has only one class, `{class}`, expected two or more; add images of another class"
            );
            return Err(DataError::Unusable { path: path.into(), reason });
        }
        return Ok((0..class_names.len() as u32).collect());
    };
    let known_labels = ClassLabels::new(known);
    let label = |(class, name): (usize, &String)| match known_labels.find(name) {
        Some(label) => Ok(label as u32),
        // A class that the format has, but no image of this file, needs no label.
        None if images.iter().all(|image| image.class != class) => Ok(0),
        None => {
            let (path, class, known) = (path.into(), name.clone(), known.to_vec());
            Err(DataError::UnknownClass { path, class, known })
        }
    };
    class_names.iter().enumerate().map(label).collect()
}
