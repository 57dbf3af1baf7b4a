//! MedMNIST's format: one `.npz` file with `{train,val,test}_images` and `{train,val,test}_labels`.
//!
//! Images are `uint8` of the shape `(n, height, width)` or `(n, height, width, 3)`, labels integers of `(n, 1)` or
//! `(n,)`. The headers of all arrays are checked before any of them is decompressed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use npyz::{NpyHeader, TypeChar};

use self::archive::{Archive, Array, type_of};
use super::listed_image::{self, ListedImage};
use super::packed::{Packed, Size};
use super::{ClassLabels, Content, Listing, Source, Usage};
use crate::error::DataError;
use crate::file_identity::Stamp;
use crate::options::{ClassMapping, LoadOptions, SizeLimits};
use crate::subset::Subset;

mod archive;
mod header;
mod medmnist;

/// Most classes of a data set; with more values, the labels are something else.
const MAX_CLASSES: usize = 1000;

/// [`LEAST_IMAGE_BYTES`] applies to more images than this.
const FEW_IMAGES: u64 = 256;
/// Bytes of a compressed image: those of MedMNIST have hundreds. Each image takes time, blank or not, so that without this
/// limit a file of 60 kB could take half a minute.
const LEAST_IMAGE_BYTES: u64 = 16;

/// See the module.
pub(super) struct Npz;

impl Source for Npz {
    fn description(&self) -> &'static str {
        "a MedMNIST .npz file"
    }

    fn recognises(&self, path: &Path) -> bool {
        path.is_file() && path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz"))
    }

    fn list(&self, path: &Path, usage: Usage<'_>, options: &LoadOptions) -> Result<Listing, DataError> {
        let read = || {
            let before = Stamp::of(path);
            let mut archive = Archive::open(path)?;
            let arrays = arrays(&mut archive, &options.limits)?;
            // The images are read when they are needed.
            let labels: Result<Vec<_>, _> =
                arrays.iter().map(|arrays| labels(&mut archive, &arrays.labels)).collect();
            let labels = labels?;
            let stamp = before.filter(|_| before == Stamp::of(path));
            let to_images = |(Arrays { subset, images, .. }, labels)| Images {
                subset,
                pixels: Arc::new(pixels(path, stamp, images)),
                labels,
            };
            let sets: Vec<Images> = arrays.into_iter().zip(labels).map(to_images).collect();
            Ok((sets, archive.note()))
        };
        let (sets, note) =
            read().map_err(|reason: String| DataError::Unusable { path: path.into(), reason })?;
        let all: BTreeSet<u64> = sets.iter().flat_map(|images| images.labels.iter().copied()).collect();
        if all.len() > MAX_CLASSES {
            let reason = format!(
                "its labels have {} different values, at most {MAX_CLASSES} classes are supported",
                all.len()
            );
            return Err(DataError::Unusable { path: path.into(), reason });
        }
        let (class_names, names_note) = class_names(path, &all, usage, &options.classes);
        let class_of: BTreeMap<u64, usize> = all.iter().enumerate().map(|(at, &label)| (label, at)).collect();
        let mut listed = Vec::new();
        for Images { subset, pixels, labels } in sets {
            listed.extend(labels.iter().enumerate().map(|(index, label)| ListedImage {
                subset: Some(subset),
                class: class_of[label],
                name: format!("{subset}_images[{index:06}]"),
                patient: None,
                content: Content::Packed { pixels: Arc::clone(&pixels), index },
            }));
        }
        let mut listing = listed_image::to_listing(path, class_names, listed, usage, &options.classes)?;
        listing.notes.extend(note.into_iter().chain(names_note));
        Ok(listing)
    }
}

/// The class of each label in `all`: its name in the set of MedMNIST that the file name starts with, if these are the labels of
/// that set, else its number, with a note.
fn class_names(
    path: &Path,
    all: &BTreeSet<u64>,
    usage: Usage<'_>,
    mapping: &ClassMapping,
) -> (Vec<String>, Option<String>) {
    let numbers = || all.iter().map(u64::to_string).collect();
    let Some((set, names)) = medmnist::set_of(path) else { return (numbers(), None) };
    let n_names = names.len() as u64;
    let named = || all.iter().map(|&label| names[label as usize].to_owned()).collect();
    match usage {
        Usage::Train if all.iter().copied().eq(0..n_names) => (named(), None),
        Usage::Train => {
            let note = format!("its labels are not those of {set}, so each class has its number as its name");
            (numbers(), Some(note))
        }
        // It need not have every class, but a model whose classes are numbers was trained on other labels.
        Usage::Evaluate(known) => {
            let known = ClassLabels::new(known, mapping);
            let has_name = |&label: &u64| label < n_names && known.find(&label.to_string()).is_none();
            (if all.iter().all(has_name) { named() } else { numbers() }, None)
        }
    }
}

/// The images of a set.
struct Images {
    subset: Subset,
    pixels: Arc<Packed>,
    labels: Vec<u64>,
}

/// The arrays of a set, of which only the headers have been read.
struct Arrays {
    subset: Subset,
    images: Array,
    labels: Array,
}

/// The arrays of every set in the file, with valid headers.
fn arrays(archive: &mut Archive, limits: &SizeLimits) -> Result<Vec<Arrays>, String> {
    let (mut sets, mut n_images) = (Vec::new(), 0);
    for subset in Subset::ALL {
        let (images, labels) = (format!("{subset}_images"), format!("{subset}_labels"));
        match (archive.has(&images), archive.has(&labels)) {
            (false, false) => continue,
            (true, true) => {}
            (has_images, _) => {
                let (there, missing) = if has_images { (images, labels) } else { (labels, images) };
                return Err(format!("it has `{there}`, but no `{missing}`; save both"));
            }
        }
        let images = archive.array(&images, limits, |header| check_images(header, limits))?;
        let n = images.shape[0];
        let labels = archive.array(&labels, limits, |header| check_labels(header, n))?;
        n_images += n;
        sets.push(Arrays { subset, images, labels });
    }
    if sets.is_empty() {
        return Err(format!(
            "it has no images: expected the keys train_images and train_labels, and optionally the same with val_ and test_, \
             found {}; rename the arrays",
            archive.keys()
        ));
    }
    if n_images > FEW_IMAGES && archive.file_bytes() / n_images < LEAST_IMAGE_BYTES {
        return Err(format!(
            "it has {n_images} images in {} bytes, which can only be blank; save the array again",
            archive.file_bytes()
        ));
    }
    if n_images > limits.packed_images {
        let most = limits.packed_images;
        return Err(format!("it has {n_images} images, more than the limit of {most}; save fewer images"));
    }
    Ok(sets)
}

fn check_images(header: &NpyHeader, limits: &SizeLimits) -> Result<(), String> {
    let shape = header.shape();
    if type_of(header) != Some((TypeChar::Uint, 1)) {
        let found = header.dtype().descr();
        return Err(format!("has the type {found}, expected uint8: scale to 0..255 and convert"));
    }
    match shape {
        [_, _, _] | [_, _, _, 1 | 3] => {}
        [_, _, _, _] => {
            return Err(format!(
                "has the shape {shape:?}, expected (n, height, width) or (n, height, width, 3): volumes and other 3-D \
                 data are not supported"
            ));
        }
        _ => {
            return Err(format!(
                "has the shape {shape:?}, expected (n, height, width) or (n, height, width, 3)"
            ));
        }
    }
    if shape.contains(&0) {
        return Err(format!("has the shape {shape:?}: it has no pixels"));
    }
    let side = u64::max(shape[1], shape[2]);
    if side > u64::from(limits.side) {
        return Err(format!("has images with a side of {side} pixels, the limit is {}", limits.side));
    }
    Ok(())
}

fn check_labels(header: &NpyHeader, n: u64) -> Result<(), String> {
    if !matches!(type_of(header), Some((TypeChar::Uint | TypeChar::Int, 1 | 2 | 4 | 8))) {
        let found = header.dtype().descr();
        return Err(format!("has the type {found}, expected integers: the number of each class"));
    }
    match header.shape() {
        &[count] | &[count, 1] if count == n => Ok(()),
        &[count] | &[count, 1] => {
            Err(format!("has {count} labels for {n} images; save one label for each image"))
        }
        &[_, several] => Err(format!(
            "has {several} labels for each image: multi-label data are not supported; keep one label for each \
             image, or save one file for each label"
        )),
        shape => Err(format!("has the shape {shape:?}, expected (n,) or (n, 1)")),
    }
}

fn pixels(path: &Path, stamp: Option<Stamp>, images: Array) -> Packed {
    let shape = &images.shape;
    let channels = shape.get(3).map_or(1, |&channels| channels as usize);
    let size = Size { width: shape[2] as usize, height: shape[1] as usize, channels };
    let archive = path.to_owned();
    Packed::in_file(path, stamp, size, move || Archive::open(&archive)?.bytes(&images))
}

fn labels(archive: &mut Archive, labels: &Array) -> Result<Vec<u64>, String> {
    let &Array { kind, width, .. } = labels;
    let value = |bytes: &[u8]| {
        let mut wide = [0; 8];
        wide[..width].copy_from_slice(bytes);
        let is_negative = kind == TypeChar::Int && bytes[width - 1] >= 128;
        (!is_negative).then(|| u64::from_le_bytes(wide))
    };
    let values: Option<Vec<u64>> = archive.bytes(labels)?.chunks_exact(width).map(value).collect();
    values.ok_or_else(|| format!("`{}` has negative labels; number the classes from 0", labels.key))
}
