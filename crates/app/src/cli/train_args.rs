//! The flags of `roentgen train`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;
use crate::config::error::ConfigError;
use crate::config::{
    ChannelChoice, ClassPrior, ClassWeights, ClipChoice, ConvAlgorithms, DecayKind, NormalizeBy, Preset,
    SamplerChoice, Select, TrainConfig,
};
use crate::error::AppError;

const TRAIN_EXAMPLES: &str = "\
Examples:
  # phantom films, drawn by the program
  roentgen train
  # a folder with one sub-folder per class, or with
  # train/, val/, test/ over such folders
  roentgen train --data films
  roentgen train --data films --out runs/a --seed 1 \\
    --epochs 20 --class-weights balanced
  roentgen train --resume runs/a
  # the same run again
  roentgen train --config runs/a";

/// Flags of `train`. All but the last four are also keys of the config file.
#[derive(Debug, Args)]
#[command(after_help = TRAIN_EXAMPLES)]
pub(super) struct TrainArgs {
    /// A folder of pictures by class (png, jpeg), a MedMNIST .npz file, a .csv manifest (path, label; split and
    /// patient where known), the folder of CIFAR-10; or `phantom` for films drawn by the program [default: phantom]
    #[arg(long, value_name = "DATA", help_heading = "Data")]
    pub(super) data: Option<PathBuf>,
    /// Number of phantom films to train on; an eighth as many validate, a quarter as many test
    /// [default: 2400]
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub(super) films: Option<u32>,
    /// Data to test on instead of the data's own test part
    #[arg(long, value_name = "DATA", help_heading = "Data")]
    pub(super) test: Option<PathBuf>,
    /// Leave unusable files out instead of stopping
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "Data")]
    pub(super) skip_bad: Option<bool>,
    /// Share of the training part to validate on, where there is no val/, 0 to 0.5 [default: 0.1, 2,500 pictures
    /// at most]
    #[arg(long, value_name = "SHARE", help_heading = "Data")]
    pub(super) val_fraction: Option<f64>,
    /// Share of the training part to test on, where there is no test/, 0 to 0.5 [default: 0.1]
    #[arg(long, value_name = "SHARE", help_heading = "Data")]
    pub(super) test_fraction: Option<f64>,
    /// Regular expression that finds the patient in a file name, by its group `patient` or its first one;
    /// names like person1000_virus_1681 and IM-0115-0001 are known without
    #[arg(long, value_name = "REGEX", help_heading = "Data")]
    pub(super) patient_pattern: Option<String>,
    /// Refuse data whose parts share pictures or patients, instead of pointing them out
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "Data")]
    pub(super) strict: Option<bool>,
    /// Cross-validation: train N times, each time tested on another share; patients stay together
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub(super) folds: Option<usize>,
    /// Train only fold N of --folds, from 1
    #[arg(long, value_name = "N", help_heading = "Data")]
    pub(super) fold: Option<usize>,
    /// Channels of the pictures; auto takes one where they are grey, also if stored as RGB
    /// [default: auto]
    #[arg(long, value_name = "WHICH", help_heading = "Data")]
    pub(super) channels: Option<ChannelChoice>,
    /// Side of the square crop that the model sees, in pixels, 8 to 512 [default: 24]
    #[arg(long, value_name = "PIXELS", help_heading = "Data")]
    pub(super) size: Option<u32>,
    /// Short side that pictures are brought to before cropping, in pixels [default: 8/7 of --size,
    /// rounded up: 28]
    #[arg(long, value_name = "PIXELS", help_heading = "Data")]
    pub(super) resize: Option<u32>,
    /// Train without random horizontal flips
    #[arg(long = "no-flip", num_args = 0, default_missing_value = "false", help_heading = "Augmentation")]
    pub(super) flip: Option<bool>,

    /// Turn training pictures at random, up to so many degrees either way [default: 0]
    #[arg(long, value_name = "DEGREES", help_heading = "Augmentation")]
    pub(super) rotate: Option<f64>,
    /// Magnify a random place of training pictures, up to this share, such as 0.3, or reduce them, up to a third of it
    /// [default: 0]
    #[arg(long, value_name = "SHARE", help_heading = "Augmentation")]
    pub(super) zoom: Option<f64>,
    /// Stretch training pictures at random, changing their ratio of width to height up to this share, such as 0.4:
    /// films are cut and squeezed in many ways [default: 0]
    #[arg(long, value_name = "SHARE", help_heading = "Augmentation")]
    pub(super) aspect: Option<f64>,
    /// Change contrast (as a share) and brightness (in standard deviations) at random, up to this, such
    /// as 0.2 [default: 0]
    #[arg(long, value_name = "SHARE", help_heading = "Augmentation")]
    pub(super) jitter: Option<f64>,
    /// Erase a random rectangle of this share of the training pictures [default: 0]
    #[arg(long, value_name = "SHARE", help_heading = "Augmentation")]
    pub(super) erase: Option<f64>,

    /// Channels after the first convolution, 8 to 256 [default: 64]
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub(super) width: Option<usize>,
    /// Share of the features left out at random before the last layer [default: 0.2]
    #[arg(long, value_name = "SHARE", help_heading = "Model")]
    pub(super) dropout: Option<f64>,

    /// Weights to start from instead of random ones: a safetensors file of ours, or of PyTorch under the same names
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub(super) init: Option<PathBuf>,

    /// Passes over the training images [default: about 9,000 images in all: 12 to 40, phantom 4]
    #[arg(long, value_name = "N", help_heading = "Recipe")]
    pub(super) epochs: Option<usize>,
    /// End the run after so many epochs without a better validation [default: never]
    #[arg(long, value_name = "EPOCHS", help_heading = "Recipe")]
    pub(super) patience: Option<usize>,
    /// Images per step [default: 32]
    #[arg(long, value_name = "N", help_heading = "Recipe")]
    pub(super) batch: Option<usize>,
    /// Peak of the one-cycle learning rate [default: 0.01]
    #[arg(long, value_name = "RATE", help_heading = "Recipe")]
    pub(super) max_lr: Option<f64>,
    /// Weight decay [default: 1e-4]
    #[arg(long, value_name = "RATE", help_heading = "Recipe")]
    pub(super) weight_decay: Option<f64>,
    /// How weights decay: l2, a term of the gradient (Adam), or decoupled from it (AdamW) [default: l2]
    #[arg(long, value_name = "KIND", help_heading = "Recipe")]
    pub(super) decay: Option<DecayKind>,
    /// Gradient clipping: value:BOUND for each element, norm:BOUND for all together, or off
    /// [default: value:0.1]
    #[arg(long, value_name = "CLIP", help_heading = "Recipe")]
    pub(super) clip: Option<ClipChoice>,
    /// Weights of the classes in the loss: balanced gives rare classes as much say as common ones, sqrt goes
    /// halfway there [default: none]
    #[arg(long, value_name = "KIND", help_heading = "Recipe")]
    pub(super) class_weights: Option<ClassWeights>,
    /// How common the answers take each class to be: as in training, or balanced, all classes alike, so that a
    /// rare one is named sooner [default: training]
    #[arg(long, value_name = "SHARES", help_heading = "Recipe")]
    pub(super) prior: Option<ClassPrior>,
    /// Share of each label spread over all classes [default: 0]
    #[arg(long, value_name = "SHARE", help_heading = "Recipe")]
    pub(super) label_smoothing: Option<f64>,
    /// How an epoch goes through the training part; balanced shows every class as often [default: shuffled]
    #[arg(long, value_name = "KIND", help_heading = "Recipe")]
    pub(super) sampler: Option<SamplerChoice>,
    /// Train twice: a short first training finds the hardest 8 % of each class, which then have so many turns in an
    /// epoch [default: 1, off]
    #[arg(long, value_name = "TURNS", help_heading = "Recipe")]
    pub(super) oversample_hard: Option<usize>,
    /// What pixels are normalised by: the training set's mean and deviation, or each image's own
    /// [default: set]
    #[arg(long, value_name = "BY", help_heading = "Recipe")]
    pub(super) normalize: Option<NormalizeBy>,
    /// Keep a running average of the weights with this decay, such as 0.99, and use it as the model
    /// [default: 0, off]
    #[arg(long, value_name = "DECAY", help_heading = "Recipe")]
    pub(super) ema: Option<f64>,
    /// What makes one epoch better than another, on validation; the last epoch within one standard error of the best is
    /// kept [default: accuracy]
    #[arg(long, value_name = "BY", help_heading = "Recipe")]
    pub(super) select: Option<Select>,
    /// Test-time averaging: look at each picture in the mirror too and, with --zoom or --aspect, nearer, farther, wider
    /// and taller, and take the mean
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "Recipe")]
    pub(super) tta: Option<bool>,
    /// Algorithms to choose from for the convolutions: they differ in speed and rounding [default: auto]
    #[arg(long, value_name = "WHICH", help_heading = "Recipe")]
    pub(super) conv: Option<ConvAlgorithms>,
    /// Decides everything random: splits, first weights, order, crops, dropout [default: 0]
    #[arg(long, value_name = "N", help_heading = "Recipe")]
    pub(super) seed: Option<u64>,

    /// Threads to compute with; the result does not depend on it [default: all processors]
    #[arg(long, value_name = "N", help_heading = "Run")]
    pub(super) threads: Option<usize>,
    /// Folder for what the run leaves behind; new or empty [default: runs/DATE_TIME]
    #[arg(long, value_name = "DIR", help_heading = "Run")]
    pub(super) out: Option<PathBuf>,
    /// Minutes between checkpoints within an epoch; there is one after each epoch in any case [default: 5]
    #[arg(long, value_name = "N", help_heading = "Run")]
    pub(super) checkpoint_minutes: Option<f64>,
    /// Also write the figures of every epoch for TensorBoard, into the run folder
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "Run")]
    pub(super) tensorboard: Option<bool>,
    /// Go on with a run that was broken off, as if it had not been; takes no other setting but --threads
    #[arg(long, value_name = "RUN", conflicts_with_all = ["out", "config", "preset"], help_heading = "Run")]
    pub(super) resume: Option<PathBuf>,
    /// Settings to start from instead of the defaults; flags given as well win over them
    #[arg(long, value_enum, value_name = "NAME", conflicts_with = "config", help_heading = "Run")]
    pub(super) preset: Option<Preset>,
    /// Config file (toml) with the flags above as keys, or a run folder for the one in it; flags given as well win over it
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

impl TrainArgs {
    /// Flags over file over defaults, checked.
    pub(super) fn config(&self) -> Result<TrainConfig, AppError> {
        let mut config = match (&self.config, self.preset) {
            (Some(path), _) => TrainConfig::read(path)?,
            (None, Some(preset)) => preset.config(),
            (None, None) => TrainConfig::default(),
        };
        /// Copies every flag that was given.
        macro_rules! take {
            ($($flag:ident),*) => { $(if let Some(value) = self.$flag.clone() { config.$flag = value; })* };
        }
        take!(data, films, skip_bad, test_fraction, channels, size, flip, width, dropout);
        take!(strict, tensorboard);
        config.patient_pattern = self.patient_pattern.clone().or(config.patient_pattern);
        config.val_fraction = self.val_fraction.or(config.val_fraction);
        config.folds = self.folds.or(config.folds);
        config.fold = self.fold.or(config.fold);
        take!(rotate, zoom, aspect, jitter, erase, sampler, oversample_hard, normalize, ema, select, tta);
        take!(
            checkpoint_minutes,
            max_lr,
            weight_decay,
            decay,
            clip,
            class_weights,
            label_smoothing,
            prior,
            conv,
            seed
        );
        config.init = self.init.clone().or(config.init);
        config.test = self.test.clone().or(config.test);
        config.resize = self.resize.or(config.resize);
        config.epochs = self.epochs.or(config.epochs);
        config.patience = self.patience.or(config.patience);
        config.batch = self.batch.or(config.batch);
        config.threads = self.threads.or(config.threads);
        config.validate()?;
        if self.films.is_some() && !config.uses_phantom() {
            let reason = "it counts phantom films, and --data gives a folder; leave one of them out";
            return Err(ConfigError::Conflict { first: "--films", second: "--data", reason }.into());
        }
        Ok(config)
    }
}
