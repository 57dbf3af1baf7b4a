//! `roentgen bench`: how fast this machine trains and infers, and how near its peak each convolution comes.
//!
//! Everything is measured on made-up images that are kept, so no file is read and no data loading is timed. Medians
//! are quoted: other programs only ever make a run slower, and a mean would count them.

mod bandwidth;
mod case;
mod conv_layers;
mod machine;
mod peak;
mod profile;
mod record;
mod timing;
mod torch;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use roentgen_layers::ResNet9Config;
use serde::{Deserialize, Serialize};

pub(crate) use case::{Case, Mode};

use crate::error::AppError;
use crate::terminal::screen::{Screen, counted, table};
use case::{CaseFigures, Percentiles};
use conv_layers::ConvLayer;
use machine::Machine;
use profile::ProfileRow;
use torch::ContestFigures;

/// Batch of the tables of layers.
const LAYER_BATCH: usize = 128;
/// Batches at which training is measured.
const TRAIN_BATCHES: [usize; 2] = [32, 128];
/// Batches at which inference is measured.
const INFER_BATCHES: [usize; 3] = [1, 32, 128];

/// The images that are measured with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BenchConfig {
    /// Height and width of the images, pixels.
    pub size: usize,
    /// Channels of the images.
    pub channels: usize,
    /// Classes.
    pub n_classes: usize,
}

impl BenchConfig {
    /// As arguments for another process.
    fn arguments(&self) -> [String; 6] {
        let flag = |name: &str, number: usize| [name.to_owned(), number.to_string()];
        let [[a, b], [c, d], [e, f]] =
            [flag("--size", self.size), flag("--channels", self.channels), flag("--classes", self.n_classes)];
        [a, b, c, d, e, f]
    }
}

/// What is done with the figures.
#[derive(Clone, Debug, Default)]
pub(crate) struct BenchRequest {
    /// Measures only what has this in its name.
    pub filter: Option<String>,
    /// Also shows where the time of a step goes.
    pub profile: bool,
    /// Keeps a record.
    pub save: bool,
    /// Compares with this record.
    pub compare: Option<PathBuf>,
    /// Runs PyTorch beside us, with this Python.
    pub torch: Option<PathBuf>,
    /// So many times.
    pub rounds: usize,
}

/// Which figures are wanted.
#[derive(Debug)]
struct Filter(Option<String>);

impl Filter {
    fn matches(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|part| name.contains(part.as_str()))
    }
}

/// Everything that a bench finds; what `--json` prints and a record keeps.
#[derive(Debug, Serialize, Deserialize)]
struct BenchFigures {
    #[serde(flatten)]
    machine: Machine,
    size: usize,
    channels: usize,
    classes: usize,
    /// By batch.
    train_images_per_s: BTreeMap<usize, f64>,
    /// By batch.
    infer_images_per_s: BTreeMap<usize, f64>,
    /// Of inference.
    batch1_latency_ms: Option<Percentiles>,
    /// Of training at the largest batch.
    peak_rss_mib: Option<f64>,
    /// Of training at the largest batch: from the start of the process to the end of its first step.
    first_step_s: Option<f64>,
    conv_layers: Vec<ConvLayer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    profile: Vec<ProfileRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    torch: Vec<ContestFigures>,
}

/// Measures, and shows the result. Threads are those of the pool that it runs in.
///
/// # Errors
/// [`AppError::NothingToMeasure`], [`AppError::RecordInvalid`] before anything is measured; then what a process of its
/// own may fail with, and [`AppError::Write`].
pub(crate) fn run(config: &BenchConfig, request: &BenchRequest, screen: &Screen) -> Result<(), AppError> {
    let filter = Filter(request.filter.clone());
    let model = ResNet9Config::new(config.channels, config.n_classes);
    check_filter(&filter, request, &model, config)?;
    let then = request.compare.as_deref().map(record::read).transpose()?;

    let machine = Machine::measure();
    show_machine(screen, &machine, &model, config);
    let mut figures = BenchFigures {
        machine,
        size: config.size,
        channels: config.channels,
        classes: config.n_classes,
        train_images_per_s: BTreeMap::new(),
        infer_images_per_s: BTreeMap::new(),
        batch1_latency_ms: None,
        peak_rss_mib: None,
        first_step_s: None,
        conv_layers: Vec::new(),
        profile: Vec::new(),
        torch: Vec::new(),
    };
    if let Some(python) = &request.torch {
        figures.torch = torch::measure(python, request.rounds, config, &filter, screen)?;
        show_torch(screen, &figures.torch, request.rounds);
    } else {
        measure_layers(&mut figures, request, &filter, config, screen);
        measure_cases(&mut figures, &filter, config, screen)?;
    }
    if let Some(then) = then {
        screen.line("");
        screen.line(&format!("Against {}, {}", then.machine.commit, then.machine.cpu));
        show_table(screen, &record::compare(&then, &figures)?);
    }
    if request.save {
        let path = record::save(&figures)?;
        screen.field("record", &path.display().to_string());
    }
    screen.result(&figures);
    Ok(())
}

/// Does the work of one case in this process, and prints its figures as one line of JSON.
pub(crate) fn run_case(case: Case, config: &BenchConfig) {
    case.run(config);
}

fn cases() -> impl Iterator<Item = Case> {
    let train = TRAIN_BATCHES.iter().map(|&batch| Case { mode: Mode::Train, batch });
    train.chain(INFER_BATCHES.iter().map(|&batch| Case { mode: Mode::Infer, batch }))
}

fn check_filter(
    filter: &Filter,
    request: &BenchRequest,
    model: &ResNet9Config,
    config: &BenchConfig,
) -> Result<(), AppError> {
    let layers = model.convolutions(1, config.size, config.size).map(|(name, _)| name.to_owned());
    let names: Vec<String> = match request.torch {
        Some(_) => torch::names().map(str::to_owned).collect(),
        None => layers.into_iter().chain(cases().map(|case| case.to_string())).collect(),
    };
    match &filter.0 {
        Some(part) if !names.iter().any(|name| name.contains(part.as_str())) => {
            Err(AppError::NothingToMeasure { filter: part.clone(), names: names.join(", ") })
        }
        _ => Ok(()),
    }
}

/// The convolutions alone, and the whole step from inside.
fn measure_layers(
    figures: &mut BenchFigures,
    request: &BenchRequest,
    filter: &Filter,
    config: &BenchConfig,
    screen: &Screen,
) {
    let model = ResNet9Config::new(config.channels, config.n_classes);
    let convolutions = model.convolutions(LAYER_BATCH, config.size, config.size);
    // A profile tells how much of each layer its convolutions are.
    let wanted = |name: &str| request.profile || filter.matches(name);
    let n_wanted = convolutions.iter().filter(|(name, _)| wanted(name)).count();
    if n_wanted > 0 {
        let bar = screen.bar(n_wanted);
        bar.set_prefix("convolutions");
        for (index, (name, geometry)) in convolutions.iter().enumerate().filter(|(_, (name, _))| wanted(name))
        {
            bar.set_message(*name);
            let layer = ConvLayer::measure(name, geometry, index == 0, figures.machine.peak_gflops);
            figures.conv_layers.push(layer);
            bar.inc(1);
        }
        bar.finish_and_clear();
        screen.line(&format!(
            "Convolutions at batch {LAYER_BATCH}: median ms, GFLOP/s of the direct algorithm, share of the peak"
        ));
        for line in conv_layers::lines(&figures.conv_layers, screen.width()) {
            screen.line(&line);
        }
        if conv_layers::any_above_peak(&figures.conv_layers) {
            screen.field(
                "*",
                "Above the peak: Winograd's algorithm F(mxm) multiplies less than the direct one.",
            );
        }
        screen.line("");
    }
    if request.profile {
        figures.profile = profile::measure(&model, config.size, LAYER_BATCH, &figures.conv_layers);
        screen.line(&format!(
            "A training step at batch {LAYER_BATCH}: median ms of each layer, and of its convolutions alone"
        ));
        show_table(screen, &profile::rows(&figures.profile));
        screen.line("");
    }
}

/// Whole steps and passes, each in a process of its own.
fn measure_cases(
    figures: &mut BenchFigures,
    filter: &Filter,
    config: &BenchConfig,
    screen: &Screen,
) -> Result<(), AppError> {
    let wanted: Vec<Case> = cases().filter(|case| filter.matches(&case.to_string())).collect();
    let mut rows = vec![
        ["", "images/s", "median ms", "min", "95 %", "99 %", "runs", "memory"].map(str::to_owned).to_vec(),
    ];
    let bar = screen.bar(wanted.len());
    bar.set_prefix("whole steps");
    for case in wanted {
        bar.set_message(case.to_string());
        let found = case.measure(config, figures.machine.threads)?;
        rows.push(case_row(case, &found));
        match case.mode {
            Mode::Train => {
                figures.train_images_per_s.insert(case.batch, found.images_per_s);
                (figures.peak_rss_mib, figures.first_step_s) = (found.peak_rss_mib, Some(found.first_step_s));
            }
            Mode::Infer => {
                figures.infer_images_per_s.insert(case.batch, found.images_per_s);
                figures.batch1_latency_ms =
                    figures.batch1_latency_ms.or((case.batch == 1).then_some(found.ms));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if rows.len() > 1 {
        screen.line("Whole training steps and forward passes: time of a batch, peak memory of the process");
        show_table(screen, &rows);
    }
    if let Some(first_step_s) = figures.first_step_s {
        screen.line(&format!(
            "From the start of the program to the end of a first training step: {first_step_s:.2} s"
        ));
    }
    Ok(())
}

fn case_row(case: Case, found: &CaseFigures) -> Vec<String> {
    let ms = |value: f64| format!("{value:.2}");
    let memory = found.peak_rss_mib.map_or_else(|| "-".to_owned(), |mib| format!("{mib:.0} MiB"));
    let rate = format!("{:.0}", found.images_per_s);
    let Percentiles { min, p50, p95, p99, .. } = found.ms;
    vec![case.to_string(), rate, ms(p50), ms(min), ms(p95), ms(p99), found.runs.to_string(), memory]
}

fn show_machine(screen: &Screen, machine: &Machine, model: &ResNet9Config, config: &BenchConfig) {
    let Machine { cpu, threads, vectors, peak_gflops, copy_gb_per_s, commit } = machine;
    screen.field("machine", &format!("{cpu}; {}, {vectors}", counted(*threads, "thread")));
    screen.field(
        "bounds",
        &format!(
            "{peak_gflops:.0} GFLOP/s of multiply-adds in registers, {copy_gb_per_s:.0} GB/s of copying"
        ),
    );
    let (size, channels, classes) = (config.size, config.channels, config.n_classes);
    let parameters = model.n_parameters();
    screen.field(
        "model",
        &format!("ResNet9, {parameters} parameters, {channels}x{size}x{size}, {classes} classes"),
    );
    if !commit.is_empty() {
        screen.field("commit", commit);
    }
    screen.line("");
}

fn show_torch(screen: &Screen, contests: &[ContestFigures], rounds: usize) {
    screen.line(&format!(
        "Beside PyTorch, {rounds} rounds in turn: medians, and the ratio by the fastest of theirs in each round"
    ));
    show_table(screen, &torch::rows(contests));
    screen.line("");
    show_table(screen, &torch::cost_rows(contests));
}

fn show_table(screen: &Screen, rows: &[Vec<String>]) {
    for line in table(rows) {
        screen.line(&line);
    }
}

/// Most memory that this process ever held; `None` where the system does not tell.
fn peak_rss_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}
