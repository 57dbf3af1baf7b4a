//! Everything that a user decides about a run, in one table: defaults, then the config file, then the flags.
//!
//! A key of the file is the long flag without its dashes. `config.toml` in a run folder is this table with
//! all that was left to the program filled in; given back with `--config`, it repeats the run.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use roentgen_data::{Augment, DataError, Fold, LoadOptions, PatientPattern, TtaConfig};
use roentgen_optim::Clip;
use serde::{Deserialize, Serialize};

use crate::config::error::ConfigError;

pub use choices::*;
pub use preset::Preset;
pub(crate) use ranges::range_of;

pub(crate) mod build;
mod choices;
pub(crate) mod error;
mod preset;
mod ranges;

/// The config file in a run folder.
pub(crate) const CONFIG_FILE: &str = "config.toml";
/// What `--data` says for the films that the program draws by itself.
pub(crate) const PHANTOM: &str = "phantom";

/// The settings of a run. `None` is what the program decides: see the method of the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainConfig {
    /// Folder of pictures, or [`PHANTOM`].
    pub data: PathBuf,
    /// Phantom films to train on; an eighth as many validate, a quarter as many test.
    pub films: u32,
    /// Folder to test on instead of what the data folder has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// Leaves unusable files out.
    pub skip_bad: bool,
    /// Share of the training part that validates, where there is no validation part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_fraction: Option<f64>,
    /// Share of the training part that tests, where there is no test part.
    pub test_fraction: f64,
    /// Finds the patient in file names, instead of the built-in patterns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patient_pattern: Option<String>,
    /// Refuses data whose parts share pictures or patients.
    pub strict: bool,
    /// Trains as often, each time testing on another of so many equal shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folds: Option<usize>,
    /// Trains for one of the folds only, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// Grey or colour.
    pub channels: ChannelChoice,
    /// Side of the square crop, in pixels.
    pub size: u32,
    /// Short side of the pictures before cropping, in pixels.
    pub resize: Option<u32>,
    /// Random horizontal flips.
    pub flip: bool,
    /// Largest random turn either way, in degrees.
    pub rotate: f64,
    /// Largest random magnification, as a share; the largest reduction is a third of it.
    pub zoom: f64,
    /// Largest random change of the ratio of width to height, as a share.
    pub aspect: f64,
    /// Largest random change of brightness, in standard deviations, and of contrast, as a share.
    pub jitter: f64,
    /// Share of the training pictures that lose a random rectangle.
    pub erase: f64,
    /// What pixels are normalised by.
    pub normalize: NormalizeBy,
    /// How an epoch goes through the training part.
    pub sampler: SamplerChoice,
    /// Turns in an epoch of the pictures that a short first training finds hardest; 1 for no such training.
    pub oversample_hard: usize,
    /// Channels after the first convolution; the others are multiples of it.
    pub width: usize,
    /// Share of the features that dropout leaves out.
    pub dropout: f64,
    /// A safetensors file to start from, instead of random weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Passes over the training part.
    pub epochs: Option<usize>,
    /// Epochs without a better validation after which a run ends early; `None` for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Images of one step.
    pub batch: Option<usize>,
    /// Peak of the one-cycle learning rate.
    pub max_lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// How weights decay.
    pub decay: DecayKind,
    /// Bound on the gradients.
    pub clip: ClipChoice,
    /// Weights of the classes in the loss.
    pub class_weights: ClassWeights,
    /// The class shares that the answers assume.
    pub prior: ClassPrior,
    /// Label smoothing of the loss.
    pub label_smoothing: f64,
    /// Decay of a running average of the weights, which then is the model; 0 for none.
    pub ema: f64,
    /// What makes one epoch better than another.
    pub select: Select,
    /// Whether testing looks at each picture in several ways: in the mirror, and as it is magnified and stretched.
    pub tta: bool,
    /// Algorithms to choose from for the convolutions.
    pub conv: ConvAlgorithms,
    /// Decides everything random.
    pub seed: u64,
    /// Minutes between checkpoints within an epoch; there is one after each epoch in any case.
    pub checkpoint_minutes: f64,
    /// Also writes the figures of every epoch for TensorBoard.
    pub tensorboard: bool,
    /// Threads to compute with.
    pub threads: Option<usize>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            data: PHANTOM.into(),
            films: 2400,
            test: None,
            skip_bad: false,
            val_fraction: None,
            test_fraction: 0.1,
            patient_pattern: None,
            strict: false,
            folds: None,
            fold: None,
            channels: ChannelChoice::Auto,
            size: 24,
            resize: None,
            flip: true,
            rotate: 0.0,
            zoom: 0.0,
            aspect: 0.0,
            jitter: 0.0,
            erase: 0.0,
            normalize: NormalizeBy::Set,
            sampler: SamplerChoice::Shuffled,
            oversample_hard: 1,
            width: 64,
            dropout: 0.2,
            init: None,
            epochs: None,
            patience: None,
            batch: None,
            max_lr: 0.01,
            weight_decay: 1e-4,
            decay: DecayKind::L2,
            clip: ClipChoice(Clip::Value(0.1)),
            class_weights: ClassWeights::None,
            prior: ClassPrior::Training,
            label_smoothing: 0.0,
            ema: 0.0,
            select: Select::Accuracy,
            tta: false,
            conv: ConvAlgorithms::Auto,
            seed: 0,
            checkpoint_minutes: 5.0,
            tensorboard: false,
            threads: None,
        }
    }
}

/// What the TOML reader says, in one line and without Rust's names of the types.
fn in_words(message: &str) -> String {
    let types = [
        ("expected usize", "expected a whole number from 0"),
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected u64", "expected a whole number from 0"),
        ("expected f64", "expected a number"),
        ("expected path string", "expected a path in quotes"),
        ("\n", " "),
    ];
    types.iter().fold(message.to_owned(), |message, (from, to)| message.replace(from, to))
}

impl TrainConfig {
    /// Reads a config file over the defaults. The folder of a run stands for the one in it.
    ///
    /// # Errors
    /// [`ConfigError::Unreadable`], [`ConfigError::Invalid`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let path = &if path.is_dir() { path.join(CONFIG_FILE) } else { path.to_owned() };
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
        toml::from_str(&text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start).min(text.len());
            let line = text.as_bytes()[..start].iter().filter(|&&byte| byte == b'\n').count() + 1;
            ConfigError::Invalid { path: path.into(), line, message: in_words(error.message()) }
        })
    }

    /// The settings as a config file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let table = toml::to_string(self).expect("numbers, words and paths make a TOML table");
        format!("# All that was decided for this run. `roentgen train --config FILE` repeats it.\n{table}")
    }

    /// The same with whole paths: what is kept of a run is to repeat it from any folder.
    #[must_use]
    pub fn with_absolute_paths(&self) -> Self {
        // Without a folder to start from, paths stay as they are.
        let whole = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Self {
            data: if self.uses_phantom() { self.data.clone() } else { whole(&self.data) },
            test: self.test.as_ref().map(whole),
            init: self.init.as_ref().map(whole),
            ..self.clone()
        }
    }

    /// Fills in what was left to the program, now that the number of training images is known, and the share that was
    /// taken of them before.
    #[must_use]
    pub fn resolved(&self, n_train: usize, val_fraction: f64) -> Self {
        Self {
            val_fraction: Some(val_fraction),
            resize: Some(self.resize()),
            epochs: Some(self.epochs(n_train)),
            batch: Some(self.batch(n_train)),
            threads: Some(self.threads()),
            ..self.clone()
        }
    }

    /// Whether the films are drawn by the program.
    #[must_use]
    pub fn uses_phantom(&self) -> bool {
        self.data.as_os_str() == PHANTOM
    }

    /// Short side before cropping: 8/7 of the crop, rounded up.
    #[must_use]
    pub fn resize(&self) -> u32 {
        self.resize.unwrap_or_else(|| default_resize(self.size))
    }

    /// Passes over `n_train` images. Left to the program: about 9,000 images in all, but at least 12 passes
    /// over real pictures (4 over phantom films, which are all alike in their making), and at most 40. Pictures that
    /// are turned, magnified or stretched differ from pass to pass: they take twice as many.
    #[must_use]
    pub fn epochs(&self, n_train: usize) -> usize {
        let least = if self.uses_phantom() { 4 } else { 12 };
        let times = if self.rotate > 0.0 || self.zoom > 0.0 || self.aspect > 0.0 { 2 } else { 1 };
        self.epochs.unwrap_or_else(|| times * (9_000 / n_train.max(1)).clamp(least, 40))
    }

    /// Images of a step. Left to the program: 32, or 128 from 20,000 training images on, where there are steps enough
    /// and larger batches go through the layers faster.
    #[must_use]
    pub fn batch(&self, n_train: usize) -> usize {
        self.batch.unwrap_or(if n_train < 20_000 { 32 } else { 128 })
    }

    /// Threads to compute with: as many as there are processors.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// What training does to its pictures.
    #[must_use]
    pub fn augment(&self) -> Augment {
        Augment {
            crop: self.size as usize,
            frame: self.resize() as usize,
            flip: self.flip,
            rotate: self.rotate as f32,
            zoom: self.zoom as f32,
            aspect: self.aspect as f32,
            jitter: self.jitter as f32,
            erase: self.erase as f32,
        }
    }

    /// How the model is shown its pictures when it is asked about them.
    #[must_use]
    pub fn test_looks(&self) -> TtaConfig {
        if !self.tta {
            return TtaConfig::default();
        }
        TtaConfig { mirror: true, zoom: self.zoom as f32, aspect: self.aspect as f32 }
    }

    /// How the pictures are to be loaded.
    ///
    /// # Errors
    /// If the pattern for patients is not a regular expression with one group.
    pub fn load_options(&self) -> Result<LoadOptions, DataError> {
        let pattern = self.patient_pattern.as_deref().map(PatientPattern::new).transpose()?;
        let fold = self.fold.zip(self.folds).map(|(fold, of)| Fold { index: fold - 1, of });
        Ok(LoadOptions {
            patient_pattern: pattern,
            fold,
            resize: self.resize(),
            crop: self.size,
            seed: self.seed,
            skip_bad: self.skip_bad,
            val_fraction: self.val_fraction,
            test_fraction: self.test_fraction,
            channels: self.channels.into(),
            test_dir: self.test.clone(),
            ..LoadOptions::default()
        })
    }

    /// Checks every number against its range, before anything is done.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`], [`ConfigError::Conflict`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        check("films", self.films, (24..=100_000).contains(&self.films))?;
        check("size", self.size, (8..=512).contains(&self.size))?;
        check("resize", self.resize(), (self.size..=8192).contains(&self.resize()))?;
        let val_fraction = self.val_fraction.unwrap_or(0.0);
        check("val-fraction", val_fraction, (0.0..=0.5).contains(&val_fraction))?;
        check("test-fraction", self.test_fraction, (0.0..=0.5).contains(&self.test_fraction))?;
        check("rotate", self.rotate, (0.0..=45.0).contains(&self.rotate))?;
        check("zoom", self.zoom, (0.0..=0.5).contains(&self.zoom))?;
        check("aspect", self.aspect, (0.0..=1.0).contains(&self.aspect))?;
        check("jitter", self.jitter, (0.0..=0.9).contains(&self.jitter))?;
        check("erase", self.erase, (0.0..=1.0).contains(&self.erase))?;
        check("oversample-hard", self.oversample_hard, (1..=100).contains(&self.oversample_hard))?;
        check("ema", self.ema, (0.0..1.0).contains(&self.ema))?;
        check("width", self.width, (8..=256).contains(&self.width))?;
        check("dropout", self.dropout, (0.0..1.0).contains(&self.dropout))?;
        let epochs = self.epochs(0);
        check("epochs", epochs, (1..=100_000).contains(&epochs))?;
        let patience = self.patience.unwrap_or(1);
        check("patience", patience, (1..=100_000).contains(&patience))?;
        let batch = self.batch(0);
        check("batch", batch, (1..=65_536).contains(&batch))?;
        check("max-lr", self.max_lr, self.max_lr > 0.0 && self.max_lr <= 1e3)?;
        check("weight-decay", self.weight_decay, (0.0..=10.0).contains(&self.weight_decay))?;
        if let Clip::Value(bound) | Clip::Norm(bound) = self.clip.0
            && !(bound > 0.0 && bound.is_finite())
        {
            return Err(out_of_range("clip", self.clip, "a number above 0, or `off`"));
        }
        check("label-smoothing", self.label_smoothing, (0.0..1.0).contains(&self.label_smoothing))?;
        check("seed", self.seed, i64::try_from(self.seed).is_ok())?;
        check("threads", self.threads(), (1..=1024).contains(&self.threads()))?;
        let minutes = self.checkpoint_minutes;
        check("checkpoint-minutes", minutes, (0.0..=1e6).contains(&minutes))?;
        let folds = self.folds.unwrap_or(2);
        check("folds", folds, (2..=100).contains(&folds))?;
        let fold = self.fold.unwrap_or(1);
        check("fold", fold, (1..=folds).contains(&fold))?;
        if self.fold.is_some() && self.folds.is_none() {
            let reason = "it counts through the folds; say how many there are with --folds";
            return Err(ConfigError::Conflict { first: "--fold", second: "a run without --folds", reason });
        }
        if self.folds.is_some() && self.test.is_some() {
            let reason = "each fold is tested on its own share; leave one of them out";
            return Err(ConfigError::Conflict { first: "--folds", second: "--test", reason });
        }
        if self.folds.is_some() && self.uses_phantom() {
            let reason = "phantom films come in parts; give a folder with --data";
            return Err(ConfigError::Conflict { first: "--folds", second: "the phantom films", reason });
        }
        if self.uses_phantom() && self.test.is_some() {
            let reason = "phantom films have a test part of their own; give a folder with --data";
            return Err(ConfigError::Conflict { first: "--test", second: "the phantom films", reason });
        }
        Ok(())
    }
}

/// 8/7 of the crop, rounded up: 28 for 24.
#[must_use]
pub(crate) fn default_resize(size: u32) -> u32 {
    size.saturating_mul(8).div_ceil(7)
}

/// Whether a number is in the range that [`ranges`] has for its flag.
fn check(name: &str, found: impl Display, holds: bool) -> Result<(), ConfigError> {
    let (name, expected) = range_of(name).expect("every number has a range");
    if holds { Ok(()) } else { Err(out_of_range(name, found, expected)) }
}

fn out_of_range(name: &'static str, found: impl Display, expected: &'static str) -> ConfigError {
    ConfigError::OutOfRange { name, found: found.to_string(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn an_unknown_key_is_refused_with_its_line() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("config.toml");
        fs::write(&path, "seed = 1\nepoch = 3\n").expect("a file");
        let error = TrainConfig::read(&path).expect_err("there is no such key").to_string();
        assert!(
            error.contains("line 2") && error.contains("`epoch`") && error.contains("`epochs`"),
            "{error}"
        );
    }

    #[test]
    fn a_value_of_another_kind_is_refused_without_names_of_types() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("config.toml");
        for (text, words) in [
            ("folds = -5", "expected a whole number from 0"),
            ("films = 5000000000", "expected a whole number from 0 to 4294967295"),
            ("seed = 1.5", "expected a whole number from 0"),
            ("zoom = \"a\"", "expected a number"),
            ("data = 3", "expected a path in quotes"),
        ] {
            fs::write(&path, text).expect("a file");
            let error = TrainConfig::read(&path).expect_err("a value of another kind").to_string();
            assert!(error.contains("line 1") && error.ends_with(words), "{text}: {error}");
        }
    }

    #[test]
    fn every_number_out_of_range_is_named() {
        let ok = TrainConfig::default;
        let wrong = [
            ("films", TrainConfig { films: 0, ..ok() }),
            ("size", TrainConfig { size: 7, ..ok() }),
            ("resize", TrainConfig { resize: Some(23), ..ok() }),
            ("val-fraction", TrainConfig { val_fraction: Some(0.6), ..ok() }),
            ("test-fraction", TrainConfig { test_fraction: f64::NAN, ..ok() }),
            ("rotate", TrainConfig { rotate: 90.0, ..ok() }),
            ("zoom", TrainConfig { zoom: -0.1, ..ok() }),
            ("aspect", TrainConfig { aspect: 1.5, ..ok() }),
            ("jitter", TrainConfig { jitter: 1.0, ..ok() }),
            ("erase", TrainConfig { erase: 1.1, ..ok() }),
            ("ema", TrainConfig { ema: 1.0, ..ok() }),
            ("oversample-hard", TrainConfig { oversample_hard: 0, ..ok() }),
            ("width", TrainConfig { width: 0, ..ok() }),
            ("dropout", TrainConfig { dropout: 1.0, ..ok() }),
            ("epochs", TrainConfig { epochs: Some(0), ..ok() }),
            ("patience", TrainConfig { patience: Some(0), ..ok() }),
            ("batch", TrainConfig { batch: Some(0), ..ok() }),
            ("max-lr", TrainConfig { max_lr: -0.1, ..ok() }),
            ("max-lr", TrainConfig { max_lr: f64::NAN, ..ok() }),
            ("weight-decay", TrainConfig { weight_decay: -1.0, ..ok() }),
            ("clip", TrainConfig { clip: ClipChoice(Clip::Value(0.0)), ..ok() }),
            ("label-smoothing", TrainConfig { label_smoothing: 1.0, ..ok() }),
            ("seed", TrainConfig { seed: u64::MAX, ..ok() }),
            ("threads", TrainConfig { threads: Some(0), ..ok() }),
            ("checkpoint-minutes", TrainConfig { checkpoint_minutes: f64::NAN, ..ok() }),
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
