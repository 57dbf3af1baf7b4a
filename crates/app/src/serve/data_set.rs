//! How a request names the images to train on: `phantoms` (or `phantom`), `folder:PATH` for a folder or file below the root, or
//! `set:NAME` for a set that was put together in the browser.

use std::path::PathBuf;

use roentgen_data::disk;

use super::below::below;
use super::problem::Problem;
use super::site::Site;
use crate::config::PHANTOM;

/// Images to train on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DataSet {
    /// The drawn films.
    Phantoms,
    /// A folder or file of this machine, or a set that was put together in the browser.
    Path(PathBuf),
}

impl DataSet {
    /// The images that a request names.
    ///
    /// # Errors
    /// [`Problem::NoData`] if these images are missing, or are not below the root.
    pub(super) fn of(site: &Site, text: &str) -> Result<Self, Problem> {
        if ["phantoms", PHANTOM].contains(&text) {
            return Ok(Self::Phantoms);
        }
        if let Some(path) = text.strip_prefix("folder:") {
            return below(site.root(), path).map(Self::Path);
        }
        let name = text.strip_prefix("set:").ok_or(Problem::NoData)?;
        // One of those that are there, so that no name leads elsewhere.
        let sets = disk::list(site.sets()).map_err(|_| Problem::NoData)?;
        let set = sets.flatten().find(|set| set.file_name().to_str() == Some(name));
        set.map(|set| Self::Path(set.path())).ok_or(Problem::NoData)
    }

    /// What people call the images that `text` names.
    pub(super) fn title(&self, site: &Site, text: &str) -> String {
        let Self::Path(path) = self else { return "phantom films".to_owned() };
        let of_set = text.strip_prefix("set:").and_then(|name| site.collection().title_of(name));
        of_set.unwrap_or_else(|| {
            path.file_name().map_or_else(|| "images".to_owned(), |name| name.to_string_lossy().into_owned())
        })
    }
}
