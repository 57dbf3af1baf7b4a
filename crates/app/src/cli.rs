//! The command line: flags to settings, settings to a command.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::bench::{self, BenchConfig, BenchRequest};
use crate::commands::predict::OutputFormat;
use crate::commands::{
    audit, compare, describe, evaluate, explain, export, inspect, lr_find, phantom, predict, train,
};
use crate::config::error::ConfigError;
use crate::config::{TrainConfig, range_of};
use crate::error::AppError;
use crate::run_dir::error::WriteError;
use crate::terminal::screen::{Screen, printable};
use crate::threads::in_pool;

use bench_args::BenchArgs;
use look_args::{LookArgs, LrFindArgs};
use train_args::TrainArgs;

mod bench_args;
mod look_args;
mod train_args;

const FIRST_EXAMPLES: &str = "\
A first afternoon:
  # a model of phantom films, in half a minute
  roentgen train
  # is anything wrong with my pictures?
  roentgen inspect films
  # can the classes be told by a shortcut?
  roentgen audit films
  # then open runs/a/report.html
  roentgen train --data films --out runs/a
  # what does it say of others?
  roentgen predict --model runs/a new-films

Exit codes:
  0    what was asked is done
  1    it could not be done, or not for every file
  2    it was asked in a wrong way: a flag, a setting, a file
  130  interrupted by Ctrl-C
  143  interrupted by a request of the system to end";

/// Trains a ResNet9 image classifier from scratch on an ordinary CPU.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true, after_help = FIRST_EXAMPLES)]
pub(crate) struct Cli {
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
    /// Answer about pictures: class and probability of each.
    Predict(PredictArgs),
    /// Show what in a picture speaks for the answer: Grad-CAM and occlusion over the film.
    Explain(ExplainArgs),
    /// Write a model for other programs: an ONNX file that needs nothing but pixels.
    Export(ExportArgs),
    /// Show what a model file holds: layers, sizes, preprocessing, what it was trained on.
    Describe(DescribeArgs),
    /// Find a good peak for the learning rate, by the range test.
    LrFind(LrFindArgs),
    /// Tell which of two runs is better on the same test pictures, and whether by more than chance.
    Compare(CompareArgs),
    /// Measure how fast this machine trains and infers.
    Bench(BenchArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for each command.
    Man {
        /// Folder for the pages
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
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

const EVALUATE_EXAMPLES: &str = "\
Examples:
  roentgen evaluate --model runs/a --data films
  roentgen evaluate --model runs/a --data films --json -q";

/// Flags of `evaluate`.
#[derive(Debug, Args)]
#[command(after_help = EVALUATE_EXAMPLES)]
struct EvaluateArgs {
    /// A run folder, or its model.safetensors
    #[arg(long, value_name = "MODEL")]
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

const PREDICT_EXAMPLES: &str = "\
Examples:
  roentgen predict --model runs/a film.png
  roentgen predict --model runs/a films --csv > answers.csv
  find films -name '*.png' |
    roentgen predict --model runs/a - --json";

/// Flags of `predict`.
#[derive(Debug, Args)]
#[command(after_help = PREDICT_EXAMPLES)]
struct PredictArgs {
    /// A run folder, or its model.safetensors
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// Pictures (png, jpeg), folders of them, or `-`: one picture, or paths, a line each, from the standard input
    #[arg(value_name = "FILES", required = true)]
    inputs: Vec<PathBuf>,
    /// Write a JSON object per file, a line each
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Write comma-separated values under a heading
    #[arg(long)]
    csv: bool,
    /// Threads to compute with; the answers do not depend on it [default: all processors]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print nothing but answers and errors
    #[arg(long, short)]
    quiet: bool,
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  roentgen explain --model runs/a film.png --out why.png
  roentgen explain --model runs/a film.png --out no.png \\
    --class pneumonia";

/// Flags of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
struct ExplainArgs {
    /// A run folder, or its model.safetensors
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// The picture (png, jpeg)
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The png to write; one that is there is replaced
    #[arg(long, value_name = "PNG")]
    out: PathBuf,
    /// What speaks for this class [default: the likeliest]
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// Threads to compute with [default: all processors]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

const EXPORT_EXAMPLES: &str = "\
Examples:
  roentgen export --model runs/a --onnx model.onnx

The model.safetensors of a run needs no export: PyTorch loads it as it is (docs/interchange.md).";

/// Flags of `export`.
#[derive(Debug, Args)]
#[command(after_help = EXPORT_EXAMPLES)]
struct ExportArgs {
    /// A run folder, or its model.safetensors
    #[arg(long, value_name = "MODEL")]
    model: PathBuf,
    /// The ONNX file to write; one that is there is replaced
    #[arg(long, value_name = "FILE")]
    onnx: PathBuf,
    /// Print nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

/// Flags of `describe`.
#[derive(Debug, Args)]
struct DescribeArgs {
    /// A run folder, or its model.safetensors
    #[arg(value_name = "MODEL")]
    model: PathBuf,
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

impl Cli {
    /// Reads the command line of this process, or ends it with help or what is wrong.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for what is no number where one is expected.
    pub(crate) fn read() -> Result<Self, AppError> {
        let matches = with_negative_numbers(Self::command()).try_get_matches();
        let cli = matches.and_then(|matches| Self::from_arg_matches(&matches));
        cli.map_err(|error| no_number(&error).unwrap_or_else(|| error.exit()).into())
    }
}

/// `--epochs -5` is out of its range like `--epochs 0`, not a text with an invalid digit in it.
fn no_number(error: &clap::Error) -> Option<ConfigError> {
    let text = |kind| match error.get(kind)? {
        ContextValue::String(text) => Some(text.as_str()),
        _ => None,
    };
    // Named with what it takes: `--epochs <N>`.
    let flag = text(ContextKind::InvalidArg)?.strip_prefix("--")?.split(' ').next()?;
    let (name, expected) = range_of(flag).filter(|_| error.kind() == ErrorKind::ValueValidation)?;
    Some(ConfigError::OutOfRange { name, found: text(ContextKind::InvalidValue)?.to_owned(), expected })
}

/// Takes `-5` behind a flag for its value, so that its range is told rather than that there is no flag `-5`.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    let takes_value = |arg: &clap::Arg| {
        arg.get_long().is_some()
            && arg.get_action().takes_values()
            && arg.get_num_args().is_none_or(|n_values| n_values.takes_values())
    };
    command
        .mut_args(|arg| if takes_value(&arg) { arg.allow_negative_numbers(true) } else { arg })
        .mut_subcommands(with_negative_numbers)
}

/// The program: its exit code, after its errors are shown.
// Apart from the binary's `main`, which must run on every CPU.
#[inline(never)]
#[must_use]
pub fn main() -> ExitCode {
    match Cli::read().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Line by line: only lists have several.
            let lines: Vec<String> = error.to_string().split('\n').map(printable).collect();
            eprintln!("error: {}", lines.join("\n"));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Runs what the command line asks for.
///
/// # Errors
/// Whatever keeps it from being done.
pub(crate) fn run(cli: Cli) -> Result<(), AppError> {
    match cli.command {
        Command::Train(args) => {
            let config = args.config()?;
            let screen = args.output.screen();
            let threads = config.threads();
            let Some(run) = &args.resume else {
                return in_pool(threads, || train::run(&config, args.out.as_deref(), &screen));
            };
            if (TrainConfig { threads: None, ..config }) != TrainConfig::default() {
                let reason = "a run goes on with the settings it has; leave out all flags but --threads";
                return Err(
                    ConfigError::Conflict { first: "--resume", second: "other settings", reason }.into()
                );
            }
            in_pool(threads, || train::resume(run, args.threads, &screen))
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
            let screen = args.output.screen();
            let request = evaluate::EvaluateRequest {
                model: &args.model,
                data: args.data.as_deref(),
                skip_bad: args.skip_bad,
            };
            in_pool(n_threads(args.threads)?, || evaluate::run(&request, &screen))
        }
        Command::Predict(args) => {
            let format = match (args.json, args.csv) {
                (true, _) => OutputFormat::JsonLines,
                (_, true) => OutputFormat::Csv,
                _ => OutputFormat::Text,
            };
            let threads = n_threads(args.threads)?;
            let screen = Screen::new(args.quiet, false);
            in_pool(threads, || predict::run(&args.model, &args.inputs, format, &screen))
        }
        Command::Explain(args) => {
            let screen = args.output.screen();
            let ExplainArgs { model, file, out, class, .. } = &args;
            let request = explain::ExplainRequest { model, file, class: class.as_deref(), out };
            in_pool(n_threads(args.threads)?, || explain::run(&request, &screen))
        }
        Command::Export(args) => export::run(&args.model, &args.onnx, &Screen::new(args.quiet, false)),
        Command::Describe(args) => describe::run(&args.model, &args.output.screen()),
        Command::LrFind(args) => {
            let config = args.config()?;
            let screen = args.look.output.screen();
            in_pool(config.threads(), || lr_find::run(&config, args.out.as_deref(), &screen))
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "roentgen", &mut std::io::stdout());
            Ok(())
        }
        Command::Man { out } => Ok(manual(out.as_deref())?),
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
            in_pool(config.threads(), || phantom::write(&config, &args.out, &screen))
        }
    }
}

/// The threads that a flag asks for, checked.
fn n_threads(threads: Option<usize>) -> Result<usize, AppError> {
    let config = TrainConfig { threads, ..TrainConfig::default() };
    config.validate()?;
    Ok(config.threads())
}

/// The manual page, or all of them into a folder.
fn manual(out: Option<&Path>) -> Result<(), WriteError> {
    let command = Cli::command();
    match out {
        None => clap_mangen::Man::new(command)
            .render(&mut std::io::stdout())
            .map_err(|source| WriteError { path: "standard output".into(), source }),
        Some(folder) => std::fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(command, folder))
            .map_err(|source| WriteError { path: folder.into(), source }),
    }
}
