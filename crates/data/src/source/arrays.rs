//! Images that the calling program holds in memory, in one array.

use std::path::Path;
use std::sync::Arc;

use ndarray::ArrayView4;

use super::listed_image::{self, ListedImage};
use super::packed::{Packed, Size};
use super::{Content, Listing, Usage};
use crate::class_look::look_of;
use crate::error::DataError;
use crate::options::{LoadOptions, SizeLimits};
use crate::subset::Subset;

/// What error messages call the data.
pub(crate) const NAME: &str = "images in memory";

/// Labelled images of one size. [`load_arrays`](crate::load_arrays) makes a data set of them.
#[derive(Clone, Copy, Debug)]
pub struct ArrayImages<'a> {
    /// The pixels, 0 to 255: `(n, h, w, c)`, rows from the top, where `c` is 1 for grey and 3 for red, green, blue.
    pub images: ArrayView4<'a, u8>,
    /// The class of each image, an index into `class_names`: `n` labels.
    pub labels: &'a [u32],
    /// The classes, at least two; each has a training image.
    pub class_names: &'a [&'a str],
    /// The set of each image, `n` of them. `None` if all images are training images, of which the validation and the test
    /// set are split off.
    pub subsets: Option<&'a [Subset]>,
    /// The patient, or another source, of each image, `n` of them: no split separates the images of one patient. `None` if
    /// they are not known. Names that differ only in case, blanks, Unicode form or invisible characters are one patient.
    pub patients: Option<&'a [&'a str]>,
}

impl ArrayImages<'_> {
    /// An item for each image.
    ///
    /// # Errors
    /// [`DataError::Unusable`], which says what does not match.
    pub(crate) fn list(&self, options: &LoadOptions) -> Result<Listing, DataError> {
        let path = Path::new(NAME);
        self.check(&options.limits).map_err(|reason| DataError::Unusable { path: path.into(), reason })?;
        let (_, height, width, channels) = self.images.dim();
        let bytes = self.images.iter().copied().collect();
        let pixels = Arc::new(Packed::in_memory(path, Size { width, height, channels }, bytes));
        let to_listed = |(index, &label): (usize, &u32)| ListedImage {
            subset: self.subsets.map(|subsets| subsets[index]),
            class: label as usize,
            name: format!("images[{index:06}]"),
            patient: self.patients.map(|patients| patients[index].to_owned()),
            content: Content::Packed { pixels: Arc::clone(&pixels), index },
        };
        let listed = self.labels.iter().enumerate().map(to_listed).collect();
        let class_names: Vec<String> = self.class_names.iter().map(|&name| name.to_owned()).collect();
        listed_image::to_listing(path, class_names, listed, Usage::Train, &options.classes)
    }

    /// Whether shape, lengths and labels match, in words if not.
    fn check(&self, limits: &SizeLimits) -> Result<(), String> {
        let (n, height, width, channels) = self.images.dim();
        if height == 0 || width == 0 || !matches!(channels, 1 | 3) {
            let shape = self.images.shape();
            return Err(format!("their shape is {shape:?}, expected (n, h, w, c) with 1 or 3 channels c"));
        }
        if u64::max(height as u64, width as u64) > u64::from(limits.side) {
            return Err(format!("they have {height}x{width} pixels, the limit is {} a side", limits.side));
        }
        let lengths = [
            ("labels", Some(self.labels.len())),
            ("sets", self.subsets.map(<[_]>::len)),
            ("patients", self.patients.map(<[_]>::len)),
        ];
        for (name, length) in lengths {
            if let Some(length) = length.filter(|&length| length != n) {
                return Err(format!("there are {length} {name} for {n} images; give one for each image"));
            }
        }
        let n_classes = self.class_names.len();
        if let Some(label) = self.labels.iter().find(|&&label| label as usize >= n_classes) {
            return Err(format!("a label is {label}, expected less than {n_classes}, the number of classes"));
        }
        let mut names = self.class_names.to_vec();
        names.sort_by_key(|name| look_of(name));
        match names.windows(2).find(|pair| look_of(pair[0]) == look_of(pair[1])) {
            Some(pair) if pair[0] == pair[1] => {
                Err(format!("two classes have the name `{}`; rename one", pair[0]))
            }
            Some(pair) => Err(format!(
                "two classes have names that look alike, `{}` and `{}`; rename one",
                pair[0], pair[1]
            )),
            None => Ok(()),
        }
    }
}
