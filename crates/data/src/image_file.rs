//! Where the file of an image is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file of an image that has one of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ImageFile {
    /// Inside this folder, at the name of the image. All images of a data set share the folder, so no path is stored for each.
    Named(Arc<Path>),
    /// Anywhere.
    At(Box<Path>),
}

impl ImageFile {
    /// The path of the file of the image `name`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Named(folder) => {
                let mut path = folder.to_path_buf();
                // One by one, for the separator of the platform.
                path.extend(name.split('/'));
                path
            }
            Self::At(path) => path.to_path_buf(),
        }
    }

    /// Bytes of memory of its own.
    pub(crate) fn n_bytes(&self) -> usize {
        match self {
            Self::Named(_) => 0,
            Self::At(path) => path.as_os_str().len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_named_file_is_its_name_in_the_folder() {
        let folder = Path::new("data").join("x-rays");
        let named = ImageFile::Named(folder.as_path().into());
        assert_eq!(named.path("normal/a b.png"), folder.join("normal").join("a b.png"));
        let at = ImageFile::At(folder.join("7.png").into());
        assert_eq!(at.path("normal/a.png"), folder.join("7.png"));
    }
}
