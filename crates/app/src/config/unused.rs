//! Settings that the given images do not use: they are rejected, since whoever gives one relies on it.

use std::path::Path;

use roentgen_data::is_table;

use super::error::ConfigError;
use super::setting::Setting;
use super::settings::{self, TrainConfig};

/// The settings that name the columns of a table.
pub(crate) const TABLE: &[&str] = &["path-column", "label-column", "split-column", "patient-column"];
/// The settings that phantom films do not use, besides [`TABLE`].
const NOT_OF_PHANTOM: [&str; 7] =
    ["skip-bad", "val-fraction", "test-fraction", "patient-pattern", "classes", "view", "invert"];

impl TrainConfig {
    /// Fails if a setting, or a cache, has no effect on the images.
    ///
    /// # Errors
    /// [`ConfigError::Conflict`].
    pub(crate) fn check_used(&self) -> Result<(), ConfigError> {
        if !self.uses_phantom() {
            return self.check_columns(&[Some(&self.data), self.test.as_deref()]);
        }
        if self.cache.is_some() {
            let reason = "they are drawn, not decoded; leave it out, or give other images";
            return Err(ConfigError::Conflict { first: "--cache", second: "the phantom films", reason });
        }
        let unused = self.given_of(TABLE).or_else(|| self.given_of(&NOT_OF_PHANTOM));
        unused.map_or(Ok(()), |setting| {
            let reason =
                "they are drawn with their classes and their three sets; leave it out, or give other images";
            Err(ConfigError::Conflict { first: setting.flag(), second: "the phantom films", reason })
        })
    }

    /// Fails if a column has a name, and none of `data` is a table.
    ///
    /// # Errors
    /// [`ConfigError::Conflict`].
    pub(crate) fn check_columns(&self, data: &[Option<&Path>]) -> Result<(), ConfigError> {
        // Of a path that does not exist, that is the error.
        if data.iter().flatten().any(|path| is_table(path) || !path.exists()) {
            return Ok(());
        }
        self.given_of(TABLE).map_or(Ok(()), |setting| {
            let reason = if setting.name() == "patient-column" {
                "it names a column; find patients in the file names with --patient-pattern, or give a .csv file"
            } else {
                "it names a column; leave it out, or give a .csv file"
            };
            Err(ConfigError::Conflict { first: setting.flag(), second: "images without a table", reason })
        })
    }

    /// Whether a setting was given a value other than the default.
    #[must_use]
    pub(crate) fn is_given(&self, name: &'static str) -> bool {
        self.given_of(&[name]).is_some()
    }

    /// The first of these settings that was given a value other than the default.
    fn given_of(&self, names: &[&'static str]) -> Option<&'static dyn Setting> {
        let is_given = |name: &&&str| {
            let text = |config| settings::named(name).and_then(|setting| setting.text(config));
            text(self) != text(&Self::default()) && !self.derived.contains(name)
        };
        names.iter().find(is_given).and_then(|name| settings::named(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phantom_films_reject_what_they_do_not_use_and_keep_what_the_program_chose() {
        let ok = TrainConfig::default().resolved(226, 0.1);
        assert!(ok.check_used().is_ok());
        for (name, text) in TABLE
            .iter()
            .chain(&NOT_OF_PHANTOM)
            .zip(["a", "b", "c", "d", "true", "0.2", "0.3", "(.)", "a=b", "PA", "auto"])
        {
            let mut config = TrainConfig::default();
            settings::named(name).and_then(|setting| setting.set_text(text, &mut config)).expect("a value");
            let error = config.check_used().expect_err(name).to_string();
            assert!(error.starts_with(&format!("--{name} cannot be used with the phantom films")), "{error}");
        }
    }

    #[test]
    fn a_folder_that_is_named_like_a_table_has_no_columns() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("films.csv");
        std::fs::create_dir(&folder).expect("a folder");
        let mut config = TrainConfig::default();
        settings::named(TABLE[0]).and_then(|setting| setting.set_text("file", &mut config)).expect("a value");
        let error = config.check_columns(&[Some(&*folder)]).expect_err("it is no table").to_string();
        assert!(error.contains("images without a table"), "{error}");
    }
}
