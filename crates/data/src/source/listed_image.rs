//! From the rows of a file that lists images one by one to a [`Listing`]. Every such format has the same checks.

use std::path::Path;

use super::class_names::{ClassLabels, check_mapping, training_classes};
use super::{Content, Item, Listing, Usage};
use crate::error::DataError;
use crate::options::ClassMapping;
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
    mapping: &ClassMapping,
) -> Result<Listing, DataError> {
    let unusable = |reason: String| DataError::Unusable { path: path.into(), reason };
    if images.is_empty() {
        return Err(unusable("it lists no image; add some".to_owned()));
    }
    let found = class_names;
    let class_names = match usage {
        Usage::Train => training_classes(path, &found, mapping)?,
        Usage::Evaluate(known) => {
            check_mapping(path, &found, mapping)?;
            known.to_vec()
        }
    };
    if let (Usage::Train, [class]) = (usage, class_names.as_slice()) {
        return Err(unusable(format!(
            "it has only one class, `{class}`, expected two or more; add images of another class"
        )));
    }
    let labels = labels(path, &found, &images, &class_names, mapping)?;
    let note = ClassLabels::new(&class_names, mapping).note(&found);
    let mut given: Vec<Subset> = images.iter().filter_map(|image| image.subset).collect();
    given.sort_unstable();
    given.dedup();
    let to_item = |ListedImage { subset, class, name, patient, content }: ListedImage| Item {
        content,
        name: name.into(),
        subset: subset.unwrap_or(Subset::Train),
        label: labels[class],
        patient: patient.map(Into::into),
        patient_folder: None,
    };
    let items: Vec<Item> = images.into_iter().map(to_item).collect();
    if let Usage::Train = usage {
        check_training_set(&items, &class_names, &given).map_err(unusable)?;
    }
    let mut listing = Listing::new(class_names, items, &given);
    listing.notes.extend(note);
    Ok(listing)
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

/// The label of each class of the file: the index of the class in `known` that has or looks like its name.
fn labels(
    path: &Path,
    found: &[String],
    images: &[ListedImage],
    known: &[String],
    mapping: &ClassMapping,
) -> Result<Vec<u32>, DataError> {
    let known_labels = ClassLabels::new(known, mapping);
    let label = |(class, name): (usize, &String)| match known_labels.find(name) {
        Some(label) => Ok(label as u32),
        // A class that the format has, but no image of this file, needs no label.
        None if images.iter().all(|image| image.class != class) => Ok(0),
        None => {
            let (path, class, known) = (path.into(), name.clone(), known.to_vec());
            Err(DataError::UnknownClass { path, class, known })
        }
    };
    found.iter().enumerate().map(label).collect()
}
