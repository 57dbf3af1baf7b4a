//! The command line: from flags to settings, from settings to a command.

use std::io::{self, Write as _};
use std::panic;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::bench;
use crate::commands::{
    audit, collect, compare, describe, evaluate, explain, export, inspect, lr_find, phantom, predict, sweep,
    train,
};
use crate::config::on_ranks::{shared_config, shared_space};
use crate::error::AppError;
use crate::model::instruction_sets::OtherCpu;
use crate::ranks::Ranks;
use crate::ranks::launcher::with_ranks;
use crate::run_dir::error::WriteError;
use crate::terminal::foreign_text::error_line;
use crate::terminal::screen::Screen;
use crate::terminal::standard_output;
use crate::threads::in_pool;
use crate::training::interrupt;

use bench_args::BenchArgs;
use data_args::{AuditArgs, DataCommand, InspectArgs, LrFindArgs, PhantomArgs};
use model_args::{DescribeArgs, EvaluateArgs, ExplainArgs, ExportArgs, PredictArgs};
use resumed::resumed_threads;
use sweep_args::SweepArgs;
use task_args::CollectArgs;
use train_args::TrainArgs;

mod base_settings;
mod bench_args;
mod cache_args;
mod data_args;
#[cfg(test)]
mod durability_tests;
mod manual;
mod model_args;
mod program;
mod resumed;
#[cfg(feature = "serve")]
mod serve_args;
mod setting_flags;
mod sweep_args;
mod task_args;
mod train_args;

const FIRST_STEPS: &str = "\
First steps:
  # train on phantom films, in half a minute
  roentgen train
  # check your images: bad files, duplicates, leakage
  roentgen inspect films
  # could a model classify by borders or file sizes?
  roentgen audit films
  # train, then open runs/a/report.html
  roentgen train films --out runs/a
  # classify new images
  roentgen predict runs/a new-films

Exit codes:
  0    success
  1    failure; or `predict` has no prediction for some
       files, also for missing ones: each is listed with
       its reason
  2    usage error: a wrong flag, setting, config file
       or class; or data, a model, a run or the image of
       `explain` that is missing or cannot be used
  130  interrupted by Ctrl-C
  143  terminated by the system (SIGTERM)";

/// Train a ResNet9 image classifier from scratch on an ordinary CPU.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true, after_help = FIRST_STEPS)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a model, on your images or on phantom films.
    Train(Box<TrainArgs>),
    /// Search settings: train many, and compare them on the validation set.
    Sweep(Box<SweepArgs>),
    /// Join the trainings of several tasks, which were started with --task, once all have ended.
    Collect(CollectArgs),
    /// Check a data set before training: counts, bad files, duplicates, leakage, patients, training time.
    Inspect(InspectArgs),
    /// Check whether a model could classify by a shortcut: image borders, surroundings, file sizes.
    Audit(AuditArgs),
    /// Test a trained model on other images.
    Evaluate(EvaluateArgs),
    /// Classify images: class and probability of each.
    Predict(PredictArgs),
    /// Show which areas of an image support the prediction: Grad-CAM and occlusion.
    Explain(ExplainArgs),
    /// Export a model to ONNX, from pixels of the crop to probabilities.
    Export(ExportArgs),
    /// Describe a model file: layers, sizes, preprocessing, training set.
    Describe(DescribeArgs),
    /// Suggest a learning rate, by the learning rate range test.
    LrFind(LrFindArgs),
    /// Compare two runs on the same test images, and test whether their accuracies differ significantly.
    Compare(CompareArgs),
    /// Check images, train and try models in the browser of this machine.
    #[cfg(feature = "serve")]
    Serve(serve_args::ServeArgs),
    /// Measure how fast this machine trains and predicts.
    Bench(BenchArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for each command.
    Man {
        /// Folder to write the pages to
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Replace files of the same names, whatever they are
        #[arg(long, requires = "out")]
        force: bool,
    },
    /// Create data sets.
    Data {
        #[command(subcommand)]
        command: DataCommand,
    },
}

impl Command {
    /// Whether what the user wants of this call is on the standard output, and nowhere else.
    fn prints_result(&self) -> bool {
        match self {
            Self::Train(args) => args.output.json,
            Self::Sweep(args) => args.output.json,
            Self::Collect(args) => args.output.json,
            Self::Explain(args) => args.output.json,
            Self::LrFind(args) => args.output.json,
            #[cfg(feature = "serve")]
            Self::Serve(_) => true,
            Self::Bench(_) | Self::Export(_) | Self::Data { .. } => false,
            Self::Man { out, .. } => out.is_none(),
            Self::Inspect(args) => args.output.prints_result(),
            Self::Audit(args) => args.output.prints_result(),
            Self::Evaluate(args) => args.output.prints_result(),
            Self::Compare(args) => args.output.prints_result(),
            _ => true,
        }
    }
}

/// The standard output takes no more.
fn not_printed(source: io::Error) -> WriteError {
    WriteError { path: "the standard output".into(), source }
}

/// What is printed.
#[derive(Clone, Copy, Debug, Args)]
struct OutputArgs {
    /// Print only errors, and the object of --json
    #[arg(long, short)]
    quiet: bool,
    /// Print the results as one JSON object to standard output, and everything else to standard error
    #[arg(long)]
    json: bool,
}

impl OutputArgs {
    fn screen(self) -> Screen {
        Screen::new(self.quiet, self.json)
    }

    /// Whether a result is printed, by a command that only prints.
    fn prints_result(self) -> bool {
        self.json || !self.quiet
    }
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

impl Cli {
    /// Reads the command line of this process, or ends it with help or an error.
    #[must_use]
    pub(crate) fn read() -> Self {
        let matches = with_negative_numbers(Self::command()).try_get_matches();
        matches.and_then(|matches| Self::from_arg_matches(&matches)).unwrap_or_else(|error| end_with(&error))
    }
}

/// Shows an error about the arguments, as harmless as all errors, and ends the program.
fn end_with(error: &clap::Error) -> ! {
    let text = error.render().to_string();
    let lines: Vec<String> = text.lines().map(error_line).collect();
    if error.use_stderr() && !lines.iter().map(String::as_str).eq(text.lines()) {
        print_to_stderr(&lines.join("\n"));
        std::process::exit(error.exit_code());
    }
    error.exit()
}

/// Prints an error or a note to the standard error. Where that takes no more, the exit code remains.
fn print_to_stderr(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Reads the `-5` of `--epochs -5` as a value, so that the error names the range and not an unknown flag `-5`.
fn with_negative_numbers(command: clap::Command) -> clap::Command {
    command.mut_args(allow_negative_number).mut_subcommands(with_negative_numbers)
}

fn allow_negative_number(arg: clap::Arg) -> clap::Arg {
    let takes_value = arg.get_long().is_some()
        && arg.get_action().takes_values()
        && arg.get_num_args().is_none_or(|n_values| n_values.takes_values());
    if takes_value { arg.allow_negative_numbers(true) } else { arg }
}

/// The program: shows errors, and returns its exit code.
// Apart from the binary's `main`, which must run on every CPU.
#[inline(never)]
#[must_use]
pub fn main() -> ExitCode {
    // Where the system does not allow it, signals act as they do by default.
    let _ = interrupt::end_on_signals();
    #[cfg(unix)]
    let _ = interrupt::survive_file_size_limit().and_then(|()| interrupt::end_where_memory_is_missing());
    let show_panic = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !roentgen_data::is_panic_caught() {
            show_panic(info);
        }
    }));
    let result = run(Cli::read());
    let unprinted = standard_output::take_error();
    match result.and_then(|()| unprinted.map_or(Ok(()), |source| Err(not_printed(source).into()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_shown_elsewhere() => ExitCode::SUCCESS,
        Err(error) => {
            // Line by line: only lists have several.
            let lines: Vec<String> = error.to_string().split('\n').map(error_line).collect();
            print_to_stderr(&format!("error: {}", lines.join("\n")));
            ExitCode::from(error.exit_code())
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Those of the command.
pub(crate) fn run(cli: Cli) -> Result<(), AppError> {
    if cli.command.prints_result() && standard_output::is_lost() {
        print_to_stderr("note: the standard output is closed or discarded, so the result is not shown");
    }
    match cli.command {
        Command::Train(args) => run_train(&args),
        Command::Sweep(args) => run_sweep(&args),
        Command::Collect(args) => run_collect(&args),
        Command::Inspect(InspectArgs { settings, cache, output }) => {
            let config = cache.add_to(settings.config()?);
            in_pool(config.threads(), || inspect::run(&config, &output.screen()))
        }
        Command::Audit(AuditArgs { settings, cache, output }) => {
            let config = cache.add_to(settings.config()?);
            in_pool(config.threads(), || audit::run(&config, &output.screen()))
        }
        Command::LrFind(LrFindArgs { settings, cache, out, force, output }) => {
            let config = cache.add_to(settings.config()?);
            in_pool(config.threads(), || lr_find::run(&config, out.as_deref(), force, &output.screen()))
        }
        Command::Evaluate(args) => {
            let (model, data) = args.paths()?;
            let config = &args.config()?;
            let request = evaluate::EvaluateRequest { model, data: data.as_deref(), config };
            in_pool(config.threads(), || evaluate::run(&request, &args.output.screen()))
        }
        Command::Predict(args) => {
            let (model, files) = args.paths()?;
            let screen = Screen::new(args.quiet, false);
            in_pool(args.settings.config()?.threads(), || predict::run(model, &files, args.format(), &screen))
        }
        Command::Explain(args) => {
            let (model, file) = args.paths()?;
            let (class, out) = (args.class.as_deref(), args.out.as_path());
            let request = explain::ExplainRequest { model, file: &file, class, out, force: args.force };
            in_pool(args.settings.config()?.threads(), || explain::run(&request, &args.output.screen()))
        }
        Command::Export(args) => {
            export::run(args.model.path(), &args.onnx, args.force, &Screen::new(args.quiet, false))
        }
        Command::Describe(args) => describe::run(args.model.path(), &args.output.screen()),
        Command::Compare(args) => compare::run([&args.run_a, &args.run_b], &args.output.screen()),
        #[cfg(feature = "serve")]
        Command::Serve(args) => crate::serve::run(&args.request(), &Screen::new(false, false)),
        Command::Bench(args) => run_bench(args),
        Command::Data { command: DataCommand::Phantom(PhantomArgs { settings, out, quiet }) } => {
            let config = settings.config()?;
            in_pool(config.threads(), || phantom::write(&config, &out, &Screen::new(quiet, false)))
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "roentgen", &mut script);
            standard_output::print(String::from_utf8_lossy(&script).trim_end());
            Ok(())
        }
        Command::Man { out, force } => manual::run(Cli::command(), out.as_deref(), force),
    }
}

fn run_train(args: &TrainArgs) -> Result<(), AppError> {
    with_ranks(|ranks| train_on(ranks, args), AppError::is_shown_elsewhere)
}

/// Trains as one of several ranks, or alone.
fn train_on(ranks: &Ranks, args: &TrainArgs) -> Result<(), AppError> {
    // mpirun gives its input to the first rank; that of the others has ended.
    if args.stop_with_input && ranks.is_first() {
        interrupt::stop_with_input();
    }
    let mut screen = begin_on(ranks, args.output)?;
    if args.progress_json && ranks.is_first() {
        screen = screen.with_progress_lines();
    }
    if let Some(run) = &args.resume {
        let resumption = ranks.together(|| args.resumption().map_err(AppError::from))?;
        let (n_threads, resumption) = resumed_threads(run, resumption, ranks)?;
        return in_pool(n_threads, || train::resume(run, &resumption, ranks, &screen));
    }
    let config = ranks.first(|| args.config().map_err(AppError::from))?;
    let config = shared_config::<AppError>(config, args.cache.folder(), ranks)?;
    let config = config.with_default_threads(ranks.default_threads()?);
    if let Some((task, out)) = args.task.task.zip(args.out.as_deref()) {
        ranks.together(|| ranks.check_alone("a task"))?;
        let other_cpu = OtherCpu::of_flag(args.other_cpu);
        return in_pool(config.threads(), || train::run_task(&config, task, out, other_cpu, &screen));
    }
    in_pool(config.threads(), || train::run(&config, args.out.as_deref(), ranks, &screen))
}

/// What any work of several ranks begins with. Returns what this rank shows.
fn begin_on(ranks: &Ranks, output: OutputArgs) -> Result<Screen, AppError> {
    if ranks.size() > 1 {
        // mpirun gives the first rank a terminal of its own, also where what it prints goes to a file.
        console::set_colors_enabled(false);
        ranks.agree(&program::shared_facts())?;
    }
    Ok(if ranks.is_first() { output.screen() } else { Screen::silent() })
}

fn run_sweep(args: &SweepArgs) -> Result<(), AppError> {
    with_ranks(|ranks| sweep_on(ranks, args), AppError::is_shown_elsewhere)
}

/// Searches settings as one of several ranks, or alone.
fn sweep_on(ranks: &Ranks, args: &SweepArgs) -> Result<(), AppError> {
    let screen = begin_on(ranks, args.output)?;
    if let Some(folder) = &args.resume {
        let resumption = ranks.together(|| args.resumption().map_err(AppError::from))?;
        let (n_threads, resumption) = resumed_threads(folder, resumption, ranks)?;
        return in_pool(n_threads, || sweep::resume(folder, &resumption, ranks, &screen));
    }
    let (space, config) = ranks.first(|| args.search().map_err(AppError::from))?.unzip();
    let config = shared_config::<AppError>(config, args.cache.folder(), ranks)?;
    let space = shared_space::<AppError>(space, ranks)?;
    let config = config.with_default_threads(ranks.default_threads()?);
    if let Some((task, out)) = args.task.task.zip(args.out.as_deref()) {
        ranks.together(|| ranks.check_alone("a task"))?;
        let other_cpu = OtherCpu::of_flag(args.other_cpu);
        return in_pool(config.threads(), || sweep::run_task(&config, &space, task, out, other_cpu, &screen));
    }
    in_pool(config.threads(), || sweep::run(&config, &space, args.out.as_deref(), ranks, &screen))
}

fn run_collect(args: &CollectArgs) -> Result<(), AppError> {
    let screen = args.output.screen();
    let (n_threads, resumption) = resumed_threads(&args.folder, args.resumption()?, &Ranks::one())?;
    in_pool(n_threads, || collect::run(&args.folder, &resumption, &screen))
}

fn run_bench(args: BenchArgs) -> Result<(), AppError> {
    let config = args.settings.config()?;
    let screen = args.output.screen();
    let work = args.work(&config);
    in_pool(config.threads(), || match args.case {
        Some(case) => bench::run_case(case, &work),
        None => bench::run(&work, &args.request(), &screen),
    })
}
