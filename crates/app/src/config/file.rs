//! The config file: TOML with a key for each setting. What the program chose is in a table of its own, `[derived]`: it
//! repeats the run, and it is left out where other settings are changed.

use std::ops::Range;
use std::path::{Path, PathBuf};

use roentgen_data::read_text_file;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::error::ConfigError;
use super::setting::Setting;
use super::settings::{self, TrainConfig};

/// The config file in a run folder.
pub(crate) const CONFIG_FILE: &str = "config.toml";
/// The table of what the program chose.
const DERIVED: &str = "derived";
/// Largest file that is read: a config file has two kilobytes.
const MAX_BYTES: u64 = 1 << 20;
/// Names of settings in a line of an error.
const NAMES_PER_LINE: usize = 8;

/// A config file, with and without what the program chose.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFile {
    /// The settings that somebody chose.
    pub(crate) given: TrainConfig,
    /// All settings: they repeat the run to the bit.
    pub(crate) complete: TrainConfig,
}

impl ConfigFile {
    /// Reads a config file over the defaults; of a folder, the file in it.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`], [`ConfigError::Invalid`].
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let path = if path.is_dir() { path.join(CONFIG_FILE) } else { path.to_owned() };
        let text = read_text_file(&path, MAX_BYTES)
            .map_err(|error| ConfigError::Unreadable { path: path.clone(), source: error.into() })?;
        let ConfigFile { given, complete } = Source { path: path.clone(), text: &text }.read()?;
        Ok(Self { given: given.with_paths_of_key(&path)?, complete: complete.with_paths_of_key(&path)? })
    }
}

impl TrainConfig {
    /// The settings that [`Self::to_toml`] wrote, also those that the program chose.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`].
    pub(crate) fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Source { path: CONFIG_FILE.into(), text }.read().map(|file| file.complete)
    }
}

/// A file that is being read.
pub(super) struct Source<'a> {
    pub(super) path: PathBuf,
    pub(super) text: &'a str,
}

/// A key and its value.
pub(super) type Entry<'a, 'i> = (&'a Spanned<DeString<'i>>, &'a Spanned<DeValue<'i>>);

impl Source<'_> {
    /// The file as a table of TOML.
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'_>>, ConfigError> {
        DeTable::parse(self.text).map_err(|error| {
            self.invalid(error.span().unwrap_or_default(), error.message().replace('\n', " "))
        })
    }

    fn read(&self) -> Result<ConfigFile, ConfigError> {
        let table = self.parse()?;
        let mut given = TrainConfig::default();
        let mut derived = None;
        for entry in in_order(table.get_ref()) {
            match entry.1.get_ref() {
                DeValue::Table(table) if entry.0.get_ref() == DERIVED => derived = Some(table),
                _ => {
                    self.set(entry, |_| true, &mut given)?;
                }
            }
        }
        let mut complete = given.clone();
        for entry in derived.into_iter().flat_map(in_order) {
            let setting = self.set(entry, |setting| setting.is_derived(), &mut complete)?;
            complete.derived.push(setting.name());
        }
        Ok(ConfigFile { given, complete })
    }

    /// Sets what an entry says, if `is_allowed`.
    fn set(
        &self,
        (key, value): Entry<'_, '_>,
        is_allowed: fn(&'static dyn Setting) -> bool,
        config: &mut TrainConfig,
    ) -> Result<&'static dyn Setting, ConfigError> {
        let name = key.get_ref();
        if name == "preset" {
            let message = "`preset` is a flag, not a setting; write the settings of the preset here, which `roentgen train \
                           --help` lists";
            return Err(self.invalid(key.span(), message.to_owned()));
        }
        let Some(setting) = settings::named(name).filter(|setting| is_allowed(*setting)) else {
            let names = settings::all().filter(|setting| is_allowed(*setting)).map(Setting::name);
            return Err(self.unknown_key(key, names));
        };
        if setting.set_from_file(value.get_ref(), config).is_none() {
            return Err(self.unexpected(name, value, setting.expected()));
        }
        Ok(setting)
    }

    /// The error for a key that is not among `names`.
    pub(super) fn unknown_key(
        &self,
        key: &Spanned<DeString<'_>>,
        names: impl Iterator<Item = &'static str>,
    ) -> ConfigError {
        let (name, names) = (key.get_ref().replace('\n', " "), names.collect::<Vec<&str>>());
        if let Some(setting) = settings::all().find(|setting| setting.alias() == Some(&name)) {
            let message = format!("there is no setting `{name}` here; it is called {}", setting.name());
            return self.invalid(key.span(), message);
        }
        let message = format!("there is no setting `{name}` here; there are:\n{}", lines_of(&names));
        self.invalid(key.span(), message)
    }

    /// The error for a value that is not as expected.
    pub(super) fn unexpected(&self, name: &str, value: &Spanned<DeValue<'_>>, expected: &str) -> ConfigError {
        let found = self.text[value.span()].replace('\n', " ");
        self.invalid(value.span(), format!("{name} is {found}: expected {expected}"))
    }

    /// The error at a place of the file.
    pub(super) fn invalid(&self, place: Range<usize>, message: String) -> ConfigError {
        let before = &self.text.as_bytes()[..place.start.min(self.text.len())];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        ConfigError::Invalid { path: self.path.clone(), line, message }
    }
}

/// Names in lines, each short enough for an error.
fn lines_of(names: &[&str]) -> String {
    let lines: Vec<String> =
        names.chunks(NAMES_PER_LINE).map(|names| format!("  {}", names.join(", "))).collect();
    lines.join(",\n")
}

/// The entries of a table as they are in the file, so that the first error is the one that is reported.
pub(super) fn in_order<'a, 'i>(table: &'a DeTable<'i>) -> Vec<Entry<'a, 'i>> {
    let mut entries: Vec<Entry<'_, '_>> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

impl TrainConfig {
    /// All settings of a config file, or of the one in a run folder.
    ///
    /// # Errors
    /// As [`ConfigFile::read`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Ok(ConfigFile::read(path)?.complete)
    }

    /// The settings as a config file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let is_derived = |setting: &&'static dyn Setting| self.derived.contains(&setting.name());
        let line = |setting: &'static dyn Setting| {
            Some(format!("{} = {}\n", setting.name(), setting.to_toml(self)?))
        };
        // The number of phantom films says nothing about other images.
        let is_used = |setting: &&'static dyn Setting| setting.name() != "films" || self.uses_phantom();
        let given: String =
            settings::all().filter(is_used).filter(|setting| !is_derived(setting)).filter_map(line).collect();
        let derived: String = settings::all().filter(is_derived).filter_map(line).collect();
        format!(
            "# The settings of this run. `roentgen train --config FILE` repeats it.\n{given}\n\
             # Chosen by the program; chosen anew where another setting is given beside --config.\n\
             [{DERIVED}]\n{derived}"
        )
    }
}
