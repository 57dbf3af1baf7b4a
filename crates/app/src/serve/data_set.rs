//! How a request names the images to train on: `phantoms`, `folder:PATH` for a folder or file below the root, or `set:NAME`
//! for a set that was put together in the browser.

use std::path::{Component, Path, PathBuf};

use roentgen_data::disk;

use super::problem::Problem;
use super::site::Site;

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
    /// [`Problem::NoData`] if there are none, or if they are not below the root.
    pub(super) fn of(site: &Site, text: &str) -> Result<Self, Problem> {
        if text == "phantoms" {
            return Ok(Self::Phantoms);
        }
        if let Some(path) = text.strip_prefix("folder:") {
            return below(site.root(), path).map(Self::Path);
        }
        let name = text.strip_prefix("set:").ok_or(Problem::NoData)?;
        // One of those that are there, so that no name leads elsewhere.
        let sets = disk::list(&site.sets()).map_err(|_| Problem::NoData)?;
        let set = sets.flatten().find(|set| set.file_name().to_str() == Some(name));
        set.map(|set| Self::Path(set.path())).ok_or(Problem::NoData)
    }
}

/// The file or folder at a path below `root`, with every link resolved.
///
/// # Errors
/// [`Problem::NoData`] if it is missing or elsewhere.
pub(super) fn below(root: &Path, path: &str) -> Result<PathBuf, Problem> {
    let path = Path::new(path);
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(Problem::NoData);
    }
    let found = root.join(path).canonicalize().map_err(|_| Problem::NoData)?;
    let root = root.canonicalize().map_err(|_| Problem::NoData)?;
    if found.starts_with(root) { Ok(found) } else { Err(Problem::NoData) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn no_path_leads_out_of_the_root() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("films/normal")).expect("a folder");
        fs::create_dir(folder.path().join("secret")).expect("a folder");
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path().join("secret"), root.join("link")).expect("a link");
        for path in ["", "films", "films/normal"] {
            let expected = root.join(path).canonicalize().expect("a folder");
            assert_eq!(below(&root, path).expect("a folder below"), expected);
        }
        let absolute = folder.path().join("secret");
        for path in
            ["..", "../secret", "films/../../secret", "link", "nosuch", absolute.to_str().expect("text")]
        {
            assert!(matches!(below(&root, path), Err(Problem::NoData)), "{path}");
        }
    }
}
