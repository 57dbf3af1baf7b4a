//! The command line: flags to settings, settings to a command.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::bench::{self, BenchConfig, BenchRequest, Case};
use crate::best_epoch::Select;
use crate::config::{
    ChannelChoice, ClassWeights, ClipChoice, ConvAlgorithms, DecayKind, NormalizeBy, Preset, SamplerChoice,
    TrainConfig,
};
use crate::error::AppError;
use crate::screen::Screen;
use crate::{audit, compare, evaluate, inspect, phantom_films, train};

/// Trains a ResNet9 image classifier from scratch on an ordinary CPU.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train on pictures, or on phantom films if none are given.
    Train(Box<TrainArgs>),
    /// Look at data before training: counts, bad files, copies, leaks, patients, time to train.
    Inspect(LookArgs),
    /// Find out whether the classes can be told by a shortcut: border, surroundings, file sizes.
    Audit(LookArgs),
    /// Test a trained model on other pictures.
    Evaluate(EvaluateArgs),
    /// Tell which of two runs is better on the same test pictures, and whether by more than chance.
    Compare(CompareArgs),
    /// Measure how fast this machine trains and infers.
    Bench(BenchArgs),
    /// Make data.
    Data {
        #[command(subcommand)]
        command: DataCommand,
    },
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// Write the phantom films as a folder of png files that `train --data` reads.
    Phantom(PhantomArgs),
}

const TRAIN_EXAMPLES: &str = "\
Examples:
  roentgen train                                  phantom films, drawn by the program
  roentgen train --data films                     a folder with one sub-folder per class,
                                                  or with train/, val/, test/ over such folders
  roentgen train --data films --out runs/a --seed 1 --epochs 20 --class-weights balanced
  roentgen train --config runs/a/config.toml      the same run again";

/// Flags of `train`. All but the last four are also keys of the config file.
#[derive(Debug, Args)]
#[command(after_help = TRAIN_EXAMPLES)]
struct TrainArgs {
    /// A folder of pictures by class (png, jpeg), a MedMNIST .npz file, a .csv manifest (path,label[,split][,patient]),
    /// the folder of CIFAR-10; or `phantom` for films drawn by the program [default: phantom]
    #[arg(long, value_name = "DATA", help_heading = "Data")]
    data: Option<PathBuf>,
    /// Number of phantom films to train on; an eighth as many validate, a quarter as many test
    /// [default: 2400]
    #[arg(long, value_name = "N", help_heading = "Data")]
    films: Option<u32>,
    /// Data to test on instead of the data's own test part
    #[arg(long, value_name = "DATA", help_heading = "Data")]
    test: Option<PathBuf>,
    /// Leave unusable files out instead of stopping
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "Data")]
    skip_bad: Option<bool>,
    /// Share of the training part to validate on, where there is no val/, 0 to 0.5 [default: 0.1]
    #[arg(long, value_name = "SHARE", help_heading = "Data")]
    val_fraction: Option<f64>,
    /// Share of the training part to test on, where there is no test/, 0 to 0.5 [default: 0.1]
    #[arg(long, value_name = "SHARE", help_heading = "Data")]
    test_fraction: Option<f64>,
    /// Regular expression that finds the patient in a file name, by its group `patient` or its first one;
    /// names like person1000_virus_1681 and IM-0115-0001 are known without
    #[arg(long, value_name = "REGEX", help_heading = "Data")]
    patient_pattern: Option<String>,
    /// Refuse data whose parts share pictures or patients, instead of pointing them out
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "Data")]
    strict: Option<bool>,
    /// Cross-validation: train N times, each time tested on another share; patients stay together
    #[arg(long, value_name = "N", help_heading = "Data")]
    folds: Option<usize>,
    /// Train only fold N of --folds, from 1
    #[arg(long, value_name = "N", help_heading = "Data")]
    fold: Option<usize>,
    /// Channels of the pictures; auto takes one where they are grey, also if stored as RGB
    /// [default: auto]
    #[arg(long, value_name = "WHICH", help_heading = "Data")]
    channels: Option<ChannelChoice>,
    /// Side of the square crop that the model sees, in pixels, 8 to 512 [default: 24]
    #[arg(long, value_name = "PIXELS", help_heading = "Data")]
    size: Option<u32>,
    /// Short side that pictures are brought to before cropping, in pixels [default: 8/7 of --size,
    /// rounded up: 28]
    #[arg(long, value_name = "PIXELS", help_heading = "Data")]
    resize: Option<u32>,
    /// Train without random horizontal flips
    #[arg(long = "no-flip", num_args = 0, default_missing_value = "false", help_heading = "Augmentation")]
    flip: Option<bool>,

    /// Turn training pictures at random, up to so many degrees either way [default: 0]
    #[arg(long, value_name = "DEGREES", help_heading = "Augmentation")]
    rotate: Option<f64>,
    /// Magnify or reduce training pictures at random, up to this share, such as 0.1 [default: 0]
    #[arg(long, value_name = "SHARE", help_heading = "Augmentation")]
    zoom: Option<f64>,
    /// Change contrast (as a share) and brightness (in standard deviations) at random, up to this, such
    /// as 0.2 [default: 0]
    #[arg(long, value_name = "SHARE", help_heading = "Augmentation")]
    jitter: Option<f64>,
    /// Erase a random rectangle of this share of the training pictures [default: 0]
    #[arg(long, value_name = "SHARE", help_heading = "Augmentation")]
    erase: Option<f64>,

    /// Channels after the first convolution, 8 to 256 [default: 64]
    #[arg(long, value_name = "N", help_heading = "Model")]
    width: Option<usize>,
    /// Share of the features left out at random before the last layer [default: 0.2]
    #[arg(long, value_name = "SHARE", help_heading = "Model")]
    dropout: Option<f64>,

    /// Passes over the training images [default: about 9,000 images in all: 12 to 40, phantom 4]
    #[arg(long, value_name = "N", help_heading = "Recipe")]
    epochs: Option<usize>,
    /// End the run after so many epochs without a better validation [default: never]
    #[arg(long, value_name = "EPOCHS", help_heading = "Recipe")]
    patience: Option<usize>,
    /// Images per step [default: 32]
    #[arg(long, value_name = "N", help_heading = "Recipe")]
    batch: Option<usize>,
    /// Peak of the one-cycle learning rate [default: 0.01]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, help_heading = "Recipe")]
    max_lr: Option<f64>,
    /// Weight decay [default: 1e-4]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true, help_heading = "Recipe")]
    weight_decay: Option<f64>,
    /// How weights decay: l2, a term of the gradient (Adam), or decoupled from it (AdamW) [default: l2]
    #[arg(long, value_name = "KIND", help_heading = "Recipe")]
    decay: Option<DecayKind>,
    /// Gradient clipping: value:BOUND for each element, norm:BOUND for all together, or off
    /// [default: value:0.1]
    #[arg(long, value_name = "CLIP", allow_negative_numbers = true, help_heading = "Recipe")]
    clip: Option<ClipChoice>,
    /// Weights of the classes in the loss; balanced gives rare classes as much say as common ones
    /// [default: none]
    #[arg(long, value_name = "KIND", help_heading = "Recipe")]
    class_weights: Option<ClassWeights>,
    /// Share of each label spread over all classes [default: 0]
    #[arg(long, value_name = "SHARE", help_heading = "Recipe")]
    label_smoothing: Option<f64>,
    /// How an epoch goes through the training part; balanced shows every class as often [default: shuffled]
    #[arg(long, value_name = "KIND", help_heading = "Recipe")]
    sampler: Option<SamplerChoice>,
    /// What pixels are normalised by: the training set's mean and deviation, or each image's own
    /// [default: set]
    #[arg(long, value_name = "BY", help_heading = "Recipe")]
    normalize: Option<NormalizeBy>,
    /// Keep a running average of the weights with this decay, such as 0.99, and use it as the model
    /// [default: 0, off]
    #[arg(long, value_name = "DECAY", help_heading = "Recipe")]
    ema: Option<f64>,
    /// What makes one epoch better than another, on validation [default: accuracy]
    #[arg(long, value_name = "BY", help_heading = "Recipe")]
    select: Option<Select>,
    /// Test-time averaging: also look at each picture in the mirror
    #[arg(long, num_args = 0, default_missing_value = "true", help_heading = "Recipe")]
    tta: Option<bool>,
    /// Algorithms to choose from for the convolutions: they differ in speed and rounding [default: auto]
    #[arg(long, value_name = "WHICH", help_heading = "Recipe")]
    conv: Option<ConvAlgorithms>,
    /// Decides everything random: splits, first weights, order, crops, dropout [default: 0]
    #[arg(long, value_name = "N", help_heading = "Recipe")]
    seed: Option<u64>,

    /// Threads to compute with; the result does not depend on it [default: all processors]
    #[arg(long, value_name = "N", help_heading = "Run")]
    threads: Option<usize>,
    /// Folder for what the run leaves behind; new or empty [default: runs/DATE_TIME]
    #[arg(long, value_name = "DIR", help_heading = "Run")]
    out: Option<PathBuf>,
    /// Settings to start from instead of the defaults; flags given as well win over them
    #[arg(long, value_enum, value_name = "NAME", conflicts_with = "config", help_heading = "Run")]
    preset: Option<Preset>,
    /// Config file (toml) with the flags above as keys; flags given as well win over it
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    config: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// What is printed.
#[derive(Clone, Copy, Debug, Args)]
struct OutputArgs {
    /// Print nothing but errors, and the object of --json
    #[arg(long, short, help_heading = "Run")]
    quiet: bool,
    /// Print the figures as one JSON object on the standard output, everything else on the error output
    #[arg(long, help_heading = "Run")]
    json: bool,
}

impl OutputArgs {
    fn screen(self) -> Screen {
        Screen::new(self.quiet, self.json)
    }
}

impl TrainArgs {
    /// Flags over file over defaults, checked.
    fn config(&self) -> Result<TrainConfig, AppError> {
        let mut config = match (&self.config, self.preset) {
            (Some(path), _) => TrainConfig::read(path)?,
            (None, Some(preset)) => preset.config(),
            (None, None) => TrainConfig::default(),
        };
        /// Copies every flag that was given.
        macro_rules! take {
            ($($flag:ident),*) => { $(if let Some(value) = self.$flag.clone() { config.$flag = value; })* };
        }
        take!(data, films, skip_bad, val_fraction, test_fraction, channels, size, flip, width, dropout);
        take!(strict);
        config.patient_pattern = self.patient_pattern.clone().or(config.patient_pattern);
        config.folds = self.folds.or(config.folds);
        config.fold = self.fold.or(config.fold);
        take!(rotate, zoom, jitter, erase, sampler, normalize, ema, select, tta);
        take!(max_lr, weight_decay, decay, clip, class_weights, label_smoothing, conv, seed);
        config.test = self.test.clone().or(config.test);
        config.resize = self.resize.or(config.resize);
        config.epochs = self.epochs.or(config.epochs);
        config.patience = self.patience.or(config.patience);
        config.batch = self.batch.or(config.batch);
        config.threads = self.threads.or(config.threads);
        config.validate()?;
        if self.films.is_some() && !config.uses_phantom() {
            let reason = "it counts phantom films, and --data gives a folder; leave one of them out";
            return Err(AppError::Conflict { first: "--films", second: "--data", reason });
        }
        Ok(config)
    }
}

const LOOK_EXAMPLES: &str = "\
Examples:
  roentgen inspect --data films
  roentgen audit --data films
  roentgen inspect --data films --json --quiet";

/// Flags of `inspect` and `audit`.
#[derive(Debug, Args)]
#[command(after_help = LOOK_EXAMPLES)]
struct LookArgs {
    /// Data to look at, as for `train`; `phantom` for films drawn by the program
    #[arg(value_name = "DATA", required_unless_present = "data", conflicts_with = "data")]
    path: Option<PathBuf>,
    /// The same, as a flag
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// Regular expression that finds the patient in a file name
    #[arg(long, value_name = "REGEX")]
    patient_pattern: Option<String>,
    /// Leave unusable files out instead of stopping; `inspect` lists them in any case
    #[arg(long)]
    skip_bad: bool,
    /// Side of the square that the model would see, in pixels, 8 to 512
    #[arg(long, value_name = "PIXELS", default_value_t = 24)]
    size: u32,
    /// Epochs that `audit` trains, or whose time `inspect` estimates [default: by the number of images]
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Decides splits, first weights and order
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Threads to compute with; what is found does not depend on it [default: all processors]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

impl LookArgs {
    fn config(&self) -> Result<TrainConfig, AppError> {
        let data = self.path.clone().or_else(|| self.data.clone());
        let defaults = TrainConfig::default();
        let config = TrainConfig {
            data: data.unwrap_or(defaults.data.clone()),
            patient_pattern: self.patient_pattern.clone(),
            skip_bad: self.skip_bad,
            size: self.size,
            epochs: self.epochs,
            seed: self.seed,
            threads: self.threads,
            ..defaults
        };
        config.validate()?;
        Ok(config)
    }
}

const EVALUATE_EXAMPLES: &str = "\
Examples:
  roentgen evaluate --model runs/a/model.safetensors --data films
  roentgen evaluate --model runs/a/model.safetensors --data films --json --quiet";

/// Flags of `evaluate`.
#[derive(Debug, Args)]
#[command(after_help = EVALUATE_EXAMPLES)]
struct EvaluateArgs {
    /// The model.safetensors of a run
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Data to test on, as for `train`: their test part; or the part that was split off, if the model was trained on
    /// them; or all, if they have no parts. A model of phantom films needs none: its own test films
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// Leave unusable files out instead of stopping
    #[arg(long)]
    skip_bad: bool,
    /// Threads to compute with; the result does not depend on it [default: all processors]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

const COMPARE_EXAMPLES: &str = "\
Examples:
  roentgen compare runs/a runs/b
  roentgen compare runs/a runs/b --json --quiet";

/// Flags of `compare`.
#[derive(Debug, Args)]
#[command(after_help = COMPARE_EXAMPLES)]
struct CompareArgs {
    /// Folder of the first run
    run_a: PathBuf,
    /// Folder of the second run
    run_b: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

const BENCH_EXAMPLES: &str = "\
Examples:
  roentgen bench                                      all of it, in about a minute
  roentgen bench --filter conv2                       one convolution, in its three passes
  roentgen bench --profile --filter train:128         where each millisecond of a step goes
  roentgen bench --save                               keep a record under docs/bench
  roentgen bench --compare docs/bench/RECORD.json     what has become faster since
  roentgen bench --torch .venv/bin/python             the same work in PyTorch, in turn with ours";

/// Flags of `bench`.
#[derive(Debug, Args)]
#[command(after_help = BENCH_EXAMPLES)]
struct BenchArgs {
    /// Measure only what has TEXT in its name, such as conv2, res1, train, infer:1
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Also show where each millisecond of a training step goes, layer by layer
    #[arg(long)]
    profile: bool,
    /// Keep the figures as a record under docs/bench, with commit and machine
    #[arg(long)]
    save: bool,
    /// Show how many times faster than a record each figure is
    #[arg(long, value_name = "RECORD")]
    compare: Option<PathBuf>,
    /// Run PyTorch (and ONNX Runtime, if it is there) with this Python in turn with ours, and show ratios
    #[arg(long, value_name = "PYTHON", conflicts_with_all = ["profile", "compare"])]
    torch: Option<PathBuf>,
    /// Rounds of --torch
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Side of the images, in pixels, 8 to 512
    #[arg(long, value_name = "PIXELS", default_value_t = 24)]
    size: u32,
    /// Channels of the images: 1 or 3
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    channels: u8,
    /// Classes to tell apart
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=1000))]
    classes: u16,
    /// Threads to compute with [default: all processors]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Do one kind of work in this process and print its figures; what the bench starts for each of them
    #[arg(long, value_name = "CASE", hide = true)]
    case: Option<Case>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Flags of `data phantom`.
#[derive(Debug, Args)]
struct PhantomArgs {
    /// Folder to write, new or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number of films to train on; an eighth as many validate, a quarter as many test
    #[arg(long, value_name = "N", default_value_t = 2400)]
    films: u32,
    /// Decides every film
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Threads to draw with; the films do not depend on it [default: all processors]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

/// Runs what the command line asks for.
///
/// # Errors
/// Whatever keeps it from being done.
pub fn run(cli: Cli) -> Result<(), AppError> {
    match cli.command {
        Command::Train(args) => {
            let config = args.config()?;
            let screen = args.output.screen();
            let threads = config.threads();
            in_pool(threads, || train::run(&config, args.out.as_deref(), &screen))
        }
        Command::Inspect(args) => {
            let config = args.config()?;
            in_pool(config.threads(), || inspect::run(&config, &args.output.screen()))
        }
        Command::Audit(args) => {
            let config = args.config()?;
            in_pool(config.threads(), || audit::run(&config, &args.output.screen()))
        }
        Command::Evaluate(args) => {
            let config = TrainConfig { threads: args.threads, ..TrainConfig::default() };
            config.validate()?;
            let screen = args.output.screen();
            let request =
                evaluate::Request { model: &args.model, data: args.data.as_deref(), skip_bad: args.skip_bad };
            in_pool(config.threads(), || evaluate::run(&request, &screen))
        }
        Command::Compare(args) => compare::run([&args.run_a, &args.run_b], &args.output.screen()),
        Command::Bench(args) => {
            let config = TrainConfig { threads: args.threads, size: args.size, ..TrainConfig::default() };
            config.validate()?;
            let screen = args.output.screen();
            let (channels, n_classes) = (usize::from(args.channels), usize::from(args.classes));
            let what = BenchConfig { size: args.size as usize, channels, n_classes };
            let rounds = usize::from(args.rounds);
            let BenchArgs { filter, profile, save, compare, torch, case, .. } = args;
            let request = BenchRequest { filter, profile, save, compare, torch, rounds };
            in_pool(config.threads(), || match case {
                Some(case) => {
                    bench::run_case(case, &what);
                    Ok(())
                }
                None => bench::run(&what, &request, &screen),
            })
        }
        Command::Data { command: DataCommand::Phantom(args) } => {
            let PhantomArgs { films, seed, threads, .. } = args;
            let config = TrainConfig { films, seed, threads, ..TrainConfig::default() };
            config.validate()?;
            let screen = Screen::new(args.quiet, false);
            in_pool(config.threads(), || phantom_films::write(&config, &args.out, &screen))
        }
    }
}

/// Runs `work` on a pool of `n_threads`: everything parallel below takes its threads from there.
fn in_pool(n_threads: usize, work: impl FnOnce() -> Result<(), AppError> + Send) -> Result<(), AppError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build();
    let pool = pool.map_err(|error| AppError::Threads { n_threads, reason: error.to_string() })?;
    pool.install(work)
}
