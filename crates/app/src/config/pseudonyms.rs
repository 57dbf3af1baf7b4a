//! The paths of a run with `--pseudonyms`: its config file has words in their place, and the key file has the paths.

use std::path::{Path, PathBuf};

use roentgen_data::read_text_file;

use super::error::ConfigError;
use super::settings::TrainConfig;

/// The key file in a run folder.
pub(crate) const KEY_FILE: &str = "pseudonyms.csv";
/// The kind of the rows of paths in the key file.
pub(crate) const PATH: &str = "path";
/// Largest key file that is read: 500,000 images with long names.
pub(crate) const MAX_BYTES: u64 = 1 << 28;
/// The words in the place of paths.
const DATA: &str = "data";
const TEST: &str = "test data";
const INIT: &str = "initial weights";

impl TrainConfig {
    /// The settings as the config file of a run has them: with absolute paths, or with words instead of paths.
    #[must_use]
    pub(crate) fn recorded(&self) -> Self {
        if self.pseudonyms { self.with_pseudonyms() } else { self.with_absolute_paths() }
    }

    /// The settings with words instead of paths, if that is what they ask for.
    #[must_use]
    pub(crate) fn with_pseudonyms(&self) -> Self {
        if !self.pseudonyms {
            return self.clone();
        }
        let word = |path: &Option<PathBuf>, word: &str| path.as_ref().map(|_| word.into());
        Self {
            data: if self.uses_phantom() { self.data.clone() } else { DATA.into() },
            test: word(&self.test, TEST),
            init: word(&self.init, INIT),
            ..self.clone()
        }
    }

    /// The words of [`Self::with_pseudonyms`], each with its path.
    pub(crate) fn path_pseudonyms(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        let Self { data, test, init, .. } = self.with_absolute_paths();
        let data = (!self.uses_phantom()).then_some(data);
        [(DATA, data), (TEST, test), (INIT, init)].into_iter().filter_map(|(word, path)| Some((word, path?)))
    }

    /// Whether words are in the place of paths, so that only the key file has these.
    #[must_use]
    pub(crate) fn has_path_pseudonyms(&self) -> bool {
        self.pseudonyms && self.path_pseudonyms().next().is_some()
    }

    /// The settings with the paths of the key file beside their config file, or in the folder above: the folds of a
    /// cross-validation have one key.
    pub(super) fn with_paths_of_key(self, config_file: &Path) -> Result<Self, ConfigError> {
        if !self.has_path_pseudonyms() {
            return Ok(self);
        }
        let folder = config_file.parent().unwrap_or(Path::new("."));
        let path = key_file(folder);
        let unreadable = |source| ConfigError::Unreadable { path: path.clone(), source };
        let text = read_text_file(&path, MAX_BYTES).map_err(|error| unreadable(error.into()))?;
        let mut reader = csv::ReaderBuilder::new().has_headers(true).from_reader(text.as_bytes());
        let rows: Result<Vec<[String; 3]>, csv::Error> = reader.deserialize().collect();
        let rows = rows.map_err(|error| unreadable(std::io::Error::other(error)))?;
        let find = |word: &Path| {
            let row = rows.iter().find(|[kind, pseudonym, _]| kind == PATH && Path::new(pseudonym) == word);
            row.map_or_else(|| word.to_owned(), |[_, _, original]| original.into())
        };
        Ok(Self {
            data: find(&self.data),
            test: self.test.as_deref().map(find),
            init: self.init.as_deref().map(find),
            ..self
        })
    }
}

/// The key of a run in `folder`: in the folder itself, or in that of the cross-validation that it is a part of.
#[must_use]
pub(crate) fn key_file(folder: &Path) -> PathBuf {
    let (own, above) = (folder.join(KEY_FILE), folder.join("..").join(KEY_FILE));
    if !own.exists() && above.exists() { above } else { own }
}
