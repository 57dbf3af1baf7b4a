//! Everything that a user decides about a run: defaults, then a preset or a config file, then flags.
//!
//! `settings` is the table of all settings; flags, config file, checks and help follow from it. `config.toml` in a run
//! folder has all of them, also what the program chose; given to `--config`, it repeats the run.

use std::path::PathBuf;

use error::ConfigError;

pub use choices::*;
pub(crate) use file::{CONFIG_FILE, ConfigFile};
pub use preset::Preset;
pub use seed_range::SeedRange;
pub(crate) use setting::Setting;
pub(crate) use settings::PHANTOM;
pub use settings::TrainConfig;

mod augmentation;
pub(crate) mod build;
mod choices;
mod command_line;
pub(crate) mod error;
pub(crate) mod file;
mod input;
pub(crate) mod on_ranks;
mod preset;
pub(crate) mod pseudonyms;
pub(crate) mod search_space;
mod seed_range;
pub(crate) mod setting;
pub(crate) mod settings;
pub(crate) mod unused;

/// What one command repeats: folds or seeds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Repetition {
    /// Each of so many folds.
    Folds(usize),
    /// Each seed.
    Seeds(SeedRange),
}

impl TrainConfig {
    /// What the command repeats; `None` for a single training.
    #[must_use]
    pub(crate) fn repetition(&self) -> Option<Repetition> {
        match (self.seeds, self.folds, self.fold) {
            (Some(range), ..) => Some(Repetition::Seeds(range)),
            (None, Some(n), None) => Some(Repetition::Folds(n)),
            _ => None,
        }
    }

    /// The same with absolute paths, to repeat a run from any folder.
    #[must_use]
    pub(crate) fn with_absolute_paths(&self) -> Self {
        // Where there is no working folder, paths stay as they are.
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Self {
            data: if self.uses_phantom() { self.data.clone() } else { absolute(&self.data) },
            test: self.test.as_ref().map(absolute),
            init: self.init.as_ref().map(absolute),
            ..self.clone()
        }
    }

    /// The same with a value for everything that the program chooses, which depends on the number of training images;
    /// `val_fraction` is the share of them that is split off where none was given.
    #[must_use]
    pub(crate) fn resolved(&self, n_train: usize, val_fraction: f64) -> Self {
        let is_open =
            |setting: &&'static dyn Setting| setting.is_derived() && setting.to_toml(self).is_none();
        let open = settings::all().filter(is_open).map(Setting::name);
        Self {
            val_fraction: self.val_fraction.or(Some(val_fraction)),
            resize: Some(self.resize()),
            epochs: Some(self.epochs(n_train)),
            batch: Some(self.batch(n_train)),
            threads: Some(self.threads()),
            derived: self.derived.iter().copied().chain(open).collect(),
            ..self.clone()
        }
    }

    /// Whether the images are films that the program draws.
    #[must_use]
    pub(crate) fn uses_phantom(&self) -> bool {
        self.data.as_os_str() == PHANTOM
    }

    /// Short side before cropping; by default 8/7 of the crop, rounded up.
    #[must_use]
    pub(crate) fn resize(&self) -> u32 {
        self.resize.unwrap_or_else(|| default_resize(self.size))
    }

    /// Passes over `n_train` images. By default 9,000 images in all, but at least 12 epochs (4 for phantom films, which are
    /// all drawn in the same way) and at most 40. Images that are rotated, scaled or stretched differ from epoch to
    /// epoch, so they take twice as many.
    #[must_use]
    pub(crate) fn epochs(&self, n_train: usize) -> usize {
        let least = if self.uses_phantom() { 4 } else { 12 };
        let times = if self.rotate > 0.0 || self.zoom > 0.0 || self.aspect > 0.0 { 2 } else { 1 };
        self.epochs.unwrap_or_else(|| times * (9_000 / n_train.max(1)).clamp(least, 40))
    }

    /// Images in a step. By default 32, or 128 from 20,000 training images on: that leaves enough steps, and larger batches
    /// are faster.
    #[must_use]
    pub(crate) fn batch(&self, n_train: usize) -> usize {
        self.batch.unwrap_or(if n_train < 20_000 { 32 } else { 128 })
    }

    /// Number of threads; by default one for each processor.
    #[must_use]
    pub(crate) fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// The same with this number of threads, chosen by the program, where none was given.
    #[must_use]
    pub(crate) fn with_default_threads(mut self, n_threads: usize) -> Self {
        if self.threads.is_none() {
            self.threads = Some(n_threads);
            self.derived.push("threads");
        }
        self
    }

    /// Checks every setting, and those that depend on each other.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`], [`ConfigError::Conflict`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        settings::all().try_for_each(|setting| setting.check(self))?;
        let out_of_range = |name, found: u64| {
            Err(setting::out_of_range(settings::named(name).expect("a name of the table"), found))
        };
        if self.resize() < self.size {
            return out_of_range("resize", self.resize().into());
        }
        if !self.micro_batches.is_power_of_two() {
            return out_of_range("micro-batches", self.micro_batches as u64);
        }
        if self.tta && !self.flip && self.zoom == 0.0 && self.aspect == 0.0 {
            let reason = "the image itself would be the only view; add --zoom or --aspect, or switch it off with --no-tta";
            return Err(ConfigError::Conflict { first: "--tta", second: "--no-flip", reason });
        }
        match (self.fold, self.folds) {
            (Some(fold), Some(folds)) if fold > folds => out_of_range("fold", fold as u64),
            (Some(_), None) => {
                let reason = "it selects one of several folds; give their number with --folds";
                Err(ConfigError::Conflict { first: "--fold", second: "a run without --folds", reason })
            }
            (None, Some(_)) if self.seeds.is_some() => {
                let reason =
                    "repeat a cross-validation with --seed 0, --seed 1, ..., or give one fold with --fold";
                Err(ConfigError::Conflict { first: "--seeds", second: "--folds", reason })
            }
            _ => self.check_sources(),
        }
    }

    /// Where training and test images come from.
    fn check_sources(&self) -> Result<(), ConfigError> {
        let paths = [("data", Some(&self.data)), ("test", self.test.as_ref()), ("init", self.init.as_ref())];
        for (name, path) in paths.into_iter().filter_map(|(name, path)| Some((name, path?))) {
            if path.to_str().is_none() {
                let expected =
                    "a path in UTF-8, which the config file of the run can hold: rename the folder or file";
                return Err(ConfigError::OutOfRange {
                    name,
                    found: path.to_string_lossy().into_owned(),
                    expected,
                });
            }
        }
        let conflict = |first, second, reason| Err(ConfigError::Conflict { first, second, reason });
        match (self.uses_phantom(), self.folds.is_some(), self.test.is_some()) {
            (_, true, true) => {
                conflict("--folds", "--test", "each fold is tested on its own part; leave one of them out")
            }
            (true, true, _) => {
                let reason = "phantom films have a validation and a test set; give other images";
                conflict("--folds", "the phantom films", reason)
            }
            (true, _, true) => {
                conflict("--test", "the phantom films", "they have a test set; give other images to train on")
            }
            _ => Ok(()),
        }
    }
}

/// 8/7 of the crop, rounded up: 28 for 24.
#[must_use]
pub(crate) fn default_resize(size: u32) -> u32 {
    size.saturating_mul(8).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use roentgen_optim::Clip;

    use super::*;

    /// The error for a config file with this text.
    fn error_of(text: &str) -> String {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("config.toml");
        fs::write(&path, text).expect("a file");
        TrainConfig::read(&path).expect_err("a wrong file").to_string()
    }

    #[test]
    fn a_written_config_is_read_back_as_it_was() {
        let config =
            TrainConfig { clip: ClipChoice(Clip::Norm(0.7)), ..TrainConfig::default().resolved(226, 0.1) };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("config.toml");
        fs::write(&path, config.to_toml()).expect("a file");
        assert_eq!(TrainConfig::read(&path).expect("a valid config"), config);
    }

    #[test]
    fn what_the_program_chose_is_apart_from_what_was_given() {
        let config = TrainConfig { epochs: Some(3), ..TrainConfig::default() };
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join(CONFIG_FILE), config.resolved(226, 0.1).to_toml()).expect("a file");
        let file = ConfigFile::read(folder.path()).expect("a valid config");
        assert_eq!(file.given, config);
        assert_eq!(file.complete, config.resolved(226, 0.1));
        assert_eq!(file.complete.derived, ["val-fraction", "resize", "batch", "threads"]);

        // A given share stays, also where nothing is split off because the data have a validation set.
        let given = TrainConfig { val_fraction: Some(0.3), ..config };
        assert_eq!(given.resolved(226, 0.1).val_fraction, Some(0.3));
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let error = error_of("seed = 1\nepoch = 3\n");
        assert!(
            error.contains("line 2") && error.contains("`epoch`") && error.contains(", epochs,"),
            "{error}"
        );
        let error = error_of("seed = 1\n[derived]\nzoom = 0.1\n");
        assert!(
            error.contains("line 3") && error.contains("`zoom`"),
            "only what the program chooses: {error}"
        );
        assert!(error_of("seed = 1\nseed = 2\n").contains("line 2"));
        let error = error_of("seed = 1\npreset = \"robust\"\n");
        assert!(error.contains("line 2: `preset` is a flag, not a setting"), "{error}");
    }

    #[test]
    fn a_value_of_another_kind_is_an_error_that_shows_what_is_expected() {
        for (text, words) in [
            ("folds = -5", "folds is -5: expected 2 to 100"),
            ("films = 5000000000", "films is 5000000000: expected 24 to 100000"),
            ("seed = 1.5", "seed is 1.5: expected 0 to 9223372036854775807"),
            ("zoom = \"0.1\"", "zoom is \"0.1\": expected 0 to 0.5"),
            ("data = 3", "data is 3: expected a path in quotes"),
            ("tta = \"yes\"", "tta is \"yes\": expected true or false"),
            ("channels = \"blue\"", "channels is \"blue\": expected auto, grey, rgb"),
            ("batch = 1e3", "batch is 1e3: expected 1 to 65536 images"),
        ] {
            let error = error_of(text);
            assert!(error.contains("line 1") && error.ends_with(words), "{text}: {error}");
        }
    }

    #[test]
    fn every_setting_is_a_key_of_the_config_file_and_is_checked() {
        assert!(settings::all().count() > 40);
        for setting in settings::all() {
            let (name, expected) = (setting.name(), setting.expected());
            let error = error_of(&format!("{name} = []"));
            assert!(
                !expected.is_empty() && error.ends_with(&format!("{name} is []: expected {expected}")),
                "{error}"
            );
        }
    }

    #[test]
    fn every_number_out_of_range_is_named() {
        // No number of the table may be below zero.
        for setting in settings::all().filter(|setting| setting.is_number()) {
            let (name, expected) = (setting.name(), setting.expected());
            let error = error_of(&format!("{name} = -1"));
            assert!(error.ends_with(&format!("{name} is -1: expected {expected}")), "{error}");
        }
        let ok = TrainConfig::default;
        let wrong = [
            ("resize", TrainConfig { resize: Some(23), ..ok() }),
            ("test-fraction", TrainConfig { test_fraction: f64::NAN, ..ok() }),
            // As an f32 it is 1.
            ("dropout", TrainConfig { dropout: 0.999_999_99, ..ok() }),
            ("clip", TrainConfig { clip: ClipChoice(Clip::Value(0.0)), ..ok() }),
            ("seed", TrainConfig { seed: u64::MAX, ..ok() }),
            ("folds", TrainConfig { folds: Some(1), ..ok() }),
            ("fold", TrainConfig { folds: Some(3), fold: Some(4), ..ok() }),
        ];
        assert!(ok().validate().is_ok());
        for (name, config) in wrong {
            let error = config.validate().expect_err(name);
            assert!(
                matches!(&error, ConfigError::OutOfRange { name: found, .. } if *found == name),
                "{error}"
            );
        }
    }

    #[test]
    fn predictions_are_averaged_with_mirror_images_only_where_training_has_them() {
        let views = |flip, zoom| {
            let config = TrainConfig { tta: true, flip, zoom, ..TrainConfig::default() };
            config.validate().map(|()| config.tta_config().views().len())
        };
        assert_eq!(views(true, 0.0).expect("a view and its mirror image"), 2);
        assert_eq!((views(true, 0.3).expect("six views"), views(false, 0.3).expect("three")), (6, 3));
        let error = views(false, 0.0).expect_err("one view").to_string();
        assert!(error.starts_with("--tta cannot be used with --no-flip: the image itself"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_no_config_file_can_hold_is_rejected() {
        use std::os::unix::ffi::OsStrExt;

        let path = PathBuf::from(std::ffi::OsStr::from_bytes(b"films-\xff"));
        let error = TrainConfig { data: path, ..TrainConfig::default() }.validate().expect_err("no UTF-8");
        assert!(error.to_string().contains("data is films-\u{fffd}: expected a path in UTF-8"), "{error}");
    }

    #[test]
    fn the_help_has_what_a_default_means_for_the_data() {
        for (name, words) in [
            ("flip", "Switch it off (--no-flip) where left and right matter"),
            ("patient-pattern", "else its first group, else the whole match"),
            ("medical", "if patients are known, or by the names"),
            ("epochs", "phantom films: 4 to 40, 4 for the default 2400"),
        ] {
            let flag = settings::named(name).expect("a setting").args().remove(0);
            let help = flag.get_long_help().or(flag.get_help()).expect("a help text").to_string();
            assert!(help.contains(words), "{help}");
        }
        let normalize = clap::ValueEnum::to_possible_value(&NormalizeBy::Image).expect("it is listed");
        let help = normalize.get_help().expect("a help text").to_string();
        assert!(help.contains("cannot be exported to ONNX"), "{help}");
    }

    #[test]
    fn what_is_left_to_the_program_follows_the_data() {
        let config = TrainConfig { data: "films".into(), ..TrainConfig::default() };
        assert_eq!(config.resize(), 28);
        let epochs: Vec<_> = [10, 226, 1_000, 4_500, 100_000].map(|n_train| config.epochs(n_train)).into();
        assert_eq!(epochs, [40, 39, 12, 12, 12]);
        let turned = TrainConfig { rotate: 10.0, ..config.clone() };
        assert_eq!([226, 4_500].map(|n_train| turned.epochs(n_train)), [78, 24]);
        assert_eq!([226, 19_999, 20_000].map(|n_train| config.batch(n_train)), [32, 32, 128]);
        assert_eq!(TrainConfig { epochs: Some(3), ..config }.epochs(226), 3);
    }
}
