//! Paths that requests name: only what is below a folder of the server.

use std::path::{Component, Path, PathBuf};

use super::problem::Problem;

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
