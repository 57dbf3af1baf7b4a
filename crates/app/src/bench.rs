//! `roentgen bench`: how fast this machine trains and infers, and what share of the peak each convolution reaches.
//!
//! Everything is measured on random images that stay in memory, so neither reading files nor data loading is timed. The
//! results are medians: other programs can only slow a run down, and would distort a mean.

mod bandwidth;
mod case;
mod case_result;
mod config;
mod conv_layers;
mod conv_work;
mod machine;
mod peak;
mod process;
mod profile;
mod record;
mod roofline;
mod round_trip;
mod speed_plot;
mod timing;
mod torch;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use roentgen_layers::ResNet9Config;
use roentgen_tensor::caches::data_caches;
use serde::{Deserialize, Serialize};

pub(crate) use case::{Case, Mode};
pub(crate) use config::BenchConfig;

use crate::error::AppError;
use crate::error::bench::BenchError;
use crate::terminal::figures::or_dash;
use crate::terminal::screen::{Screen, counted, table, wrap};
use crate::training::error::TrainingError;
use bandwidth::ReadBandwidth;
use case_result::{CaseResult, Percentiles};
use conv_layers::ConvLayer;
use machine::Machine;
use profile::ProfileRow;
use torch::ContestResult;

/// Batch sizes at which training is measured.
const TRAIN_BATCHES: [usize; 2] = [32, 128];
/// Batch sizes at which inference is measured.
const INFER_BATCHES: [usize; 3] = [1, 32, 128];

/// What to measure, and what to do with the results.
#[derive(Clone, Debug, Default)]
pub(crate) struct BenchRequest {
    /// Measure only what has this text in its name.
    pub filter: Option<String>,
    /// Also show the time of each layer in a training step.
    pub profile: bool,
    /// Save the results as a record.
    pub save: bool,
    /// Measure nothing, and plot the records in this folder.
    pub plot: Option<PathBuf>,
    /// Compare with this record.
    pub compare: Option<PathBuf>,
    /// Also run the same work in PyTorch, with this Python.
    pub torch: Option<PathBuf>,
    /// Rounds of the comparison with PyTorch.
    pub rounds: usize,
}

/// The text of `--filter`, which selects measurements by name.
#[derive(Debug)]
struct NameFilter(Option<String>);

impl NameFilter {
    fn matches(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|part| name.contains(part.as_str()))
    }
}

/// All results of a bench: what `--json` prints and a record holds.
#[derive(Debug, Serialize, Deserialize)]
struct BenchResult {
    #[serde(flatten)]
    machine: Machine,
    size: usize,
    channels: usize,
    classes: usize,
    #[serde(default = "default_width")]
    width: usize,
    /// By batch size.
    train_images_per_s: BTreeMap<usize, f64>,
    /// By batch size.
    infer_images_per_s: BTreeMap<usize, f64>,
    /// Inference of a single image.
    batch1_latency_ms: Option<Percentiles>,
    /// Peak memory of training at the largest batch size.
    peak_rss_mib: Option<f64>,
    /// Training at the largest batch size: from the start of the process to the end of its first step.
    first_step_s: Option<f64>,
    conv_layers: Vec<ConvLayer>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reads: Vec<ReadBandwidth>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    profile: Vec<ProfileRow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    torch: Vec<ContestResult>,
}

/// The width of records that do not have it.
fn default_width() -> usize {
    64
}

/// Measures and shows the results, on the threads of the pool that it runs in.
///
/// # Errors
/// [`BenchError::NothingToMeasure`], [`BenchError::RecordInvalid`] before anything is measured; later a failed process,
/// and a record that cannot be written.
pub(crate) fn run(config: &BenchConfig, request: &BenchRequest, screen: &Screen) -> Result<(), AppError> {
    if let Some(folder) = &request.plot {
        screen.field("plot", &speed_plot::draw(folder)?.display().to_string());
        return Ok(());
    }
    let filter = NameFilter(request.filter.clone());
    let model = config.model();
    check_filter(&filter, request, &model)?;
    let baseline = request.compare.as_deref().map(record::read).transpose()?;

    let machine = Machine::measure();
    show_machine(screen, &machine, &model, config);
    let mut result = BenchResult {
        machine,
        size: config.size,
        channels: config.channels,
        classes: config.n_classes,
        width: config.width,
        train_images_per_s: BTreeMap::new(),
        infer_images_per_s: BTreeMap::new(),
        batch1_latency_ms: None,
        peak_rss_mib: None,
        first_step_s: None,
        conv_layers: Vec::new(),
        reads: Vec::new(),
        profile: Vec::new(),
        torch: Vec::new(),
    };
    if let Some(python) = &request.torch {
        result.torch = torch::measure(python, request.rounds, config, &filter, screen)?;
        show_torch(screen, &result.torch, request.rounds);
    } else {
        measure_layers(&mut result, request, &filter, config, screen)?;
        measure_cases(&mut result, &filter, config, screen)?;
    }
    if let Some(baseline) = baseline {
        screen.line("");
        screen.line(&format!(
            "Compared with the record of commit {}, {}",
            baseline.machine.commit, baseline.machine.cpu
        ));
        show_table(screen, &record::compare(&baseline, &result)?);
    }
    if request.save {
        let path = record::save(&result)?;
        screen.field("record", &path.display().to_string());
        let plot = speed_plot::draw(path.parent().expect("a record is in a folder"))?;
        screen.field("plot", &plot.display().to_string());
    }
    screen.result(&result);
    Ok(())
}

/// Measures one case in this process, and prints its result as one line of JSON.
///
/// # Errors
/// A case that takes more memory than there is.
pub(crate) fn run_case(case: Case, config: &BenchConfig) -> Result<(), AppError> {
    Ok(case.run(config)?)
}

fn cases() -> impl Iterator<Item = Case> {
    let train = TRAIN_BATCHES.iter().map(|&batch| Case { mode: Mode::Train, batch });
    train.chain(INFER_BATCHES.iter().map(|&batch| Case { mode: Mode::Infer, batch }))
}

fn check_filter(
    filter: &NameFilter,
    request: &BenchRequest,
    model: &ResNet9Config,
) -> Result<(), BenchError> {
    let layers = model.architecture().convolutions().into_iter().map(|conv| conv.name);
    let names: Vec<String> = match request.torch {
        Some(_) => torch::names().map(str::to_owned).collect(),
        None => layers.chain(cases().map(|case| case.to_string())).collect(),
    };
    match &filter.0 {
        Some(part) if !names.iter().any(|name| name.contains(part.as_str())) => {
            Err(BenchError::NothingToMeasure { filter: part.clone(), names: names.join(", ") })
        }
        _ => Ok(()),
    }
}

/// Measures each convolution alone, and with `--profile` each layer within a training step.
///
/// # Errors
/// Layers that take more memory than there is.
fn measure_layers(
    result: &mut BenchResult,
    request: &BenchRequest,
    filter: &NameFilter,
    config: &BenchConfig,
    screen: &Screen,
) -> Result<(), TrainingError> {
    let (model, batch) = (config.model(), config.layer_batch());
    let convolutions = model.architecture().convolutions();
    // A profile shows the share of the convolutions in each layer, so it needs all of them.
    let is_selected = |name: &str| request.profile || filter.matches(name);
    let n_selected = convolutions.iter().filter(|conv| is_selected(&conv.name)).count();
    if n_selected > 0 {
        // The layers of a training step take more memory than one of them alone.
        Case { mode: Mode::Train, batch }.check_memory(config, "lower --size or --width")?;
        let bar = screen.bar(n_selected);
        bar.set_prefix("convolutions");
        for (index, conv) in convolutions.iter().enumerate().filter(|(_, conv)| is_selected(&conv.name)) {
            bar.set_message(conv.name.clone());
            let geometry = conv.geometry(batch, config.size, config.size);
            let layer = ConvLayer::measure(&conv.name, &geometry, index == 0, result.machine.peak_gflops);
            result.conv_layers.push(layer);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let heading = format!(
            "Convolutions at batch size {batch}: median ms, GFLOP/s of the direct algorithm, share of the peak"
        );
        show_heading(screen, &heading);
        for line in conv_layers::lines(&result.conv_layers, screen.width()) {
            screen.line(&line);
        }
        if conv_layers::any_above_peak(&result.conv_layers) {
            screen.field(
                "*",
                "Above the peak: Winograd's algorithm F(mxm) needs fewer multiplications than the direct one.",
            );
        }
        screen.line("");
    }
    if request.profile {
        show_profile(result, config, screen);
    }
    Ok(())
}

/// Measures and shows what the layers are limited by, and each layer within a training step.
fn show_profile(result: &mut BenchResult, config: &BenchConfig, screen: &Screen) {
    let (batch, threads) = (config.layer_batch(), result.machine.threads);
    result.reads = bandwidth::measure_reads(data_caches(), threads);
    show_heading(screen, "Reads of the same numbers again and again, GB/s");
    show_table(screen, &bandwidth::rows(&result.reads, threads));
    screen.line("");
    show_heading(
        screen,
        "Each pass: the time of its products at the peak of multiply-adds, and the time that it takes",
    );
    show_table(screen, &roofline::rows(&result.conv_layers, result.machine.peak_gflops));
    screen.line("");
    result.profile = profile::measure(&config.model(), config.size, batch, &result.conv_layers);
    let heading = format!(
        "A training step at batch size {batch}: median ms of each layer, and of its convolutions alone"
    );
    show_heading(screen, &heading);
    show_table(screen, &profile::rows(&result.profile));
    screen.line("");
}

/// Measures training steps and forward passes, each case in a process of its own.
fn measure_cases(
    result: &mut BenchResult,
    filter: &NameFilter,
    config: &BenchConfig,
    screen: &Screen,
) -> Result<(), AppError> {
    let selected: Vec<Case> = cases().filter(|case| filter.matches(&case.to_string())).collect();
    let selected = case::that_fit(selected, |case| *case, config, screen)?;
    let mut rows = vec![
        ["", "images/s", "median ms", "min", "95 %", "99 %", "runs", "memory"].map(str::to_owned).to_vec(),
    ];
    let bar = screen.bar(selected.len());
    bar.set_prefix("training steps and forward passes");
    for case in selected {
        bar.set_message(case.to_string());
        let found = case.measure(config, result.machine.threads)?;
        rows.push(case_row(case, &found));
        match case.mode {
            Mode::Train => {
                result.train_images_per_s.insert(case.batch, found.images_per_s);
                (result.peak_rss_mib, result.first_step_s) = (found.peak_rss_mib, Some(found.first_step_s));
            }
            Mode::Infer => {
                result.infer_images_per_s.insert(case.batch, found.images_per_s);
                result.batch1_latency_ms = result.batch1_latency_ms.or((case.batch == 1).then_some(found.ms));
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if rows.len() > 1 {
        show_heading(screen, "Training steps and forward passes: time per batch, peak memory of the process");
        show_table(screen, &rows);
    }
    if let Some(first_step_s) = result.first_step_s {
        screen
            .line(&format!("From program start to the end of the first training step: {first_step_s:.2} s"));
    }
    Ok(())
}

fn case_row(case: Case, found: &CaseResult) -> Vec<String> {
    let ms = |value: f64| format!("{value:.2}");
    let memory = or_dash(found.peak_rss_mib.map(|mib| format!("{mib:.0} MiB")));
    let rate = format!("{:.0}", found.images_per_s);
    let Percentiles { min, p50, p95, p99, .. } = found.ms;
    vec![case.to_string(), rate, ms(p50), ms(min), ms(p95), ms(p99), found.runs.to_string(), memory]
}

fn show_machine(screen: &Screen, machine: &Machine, model: &ResNet9Config, config: &BenchConfig) {
    let Machine { cpu, threads, vectors, build_target, peak_gflops, copy_gb_per_s, round_trip_ns, commit } =
        machine;
    screen.field("machine", &format!("{cpu}; {}, {vectors}", counted(*threads, "thread")));
    screen.field("built for", build_target);
    screen.field(
        "peak",
        &format!(
            "{peak_gflops:.0} GFLOP/s of multiply-adds in registers, {copy_gb_per_s:.0} GB/s of memory copies"
        ),
    );
    if let Some(ns) = round_trip_ns {
        screen.field("cores", &format!("a cache line takes {ns:.0} ns from one to another and back"));
    }
    let BenchConfig { size, channels, n_classes, width } = config;
    let parameters = model.architecture().n_parameters();
    screen.field(
        "model",
        &format!(
            "ResNet9, {parameters} parameters, width {width}, {channels}x{size}x{size}, {n_classes} classes"
        ),
    );
    if !commit.is_empty() {
        screen.field("commit", commit);
    }
    screen.line("");
}

fn show_torch(screen: &Screen, contests: &[ContestResult], rounds: usize) {
    let heading = format!(
        "Compared with PyTorch in {}: medians, and the ratio to the fastest PyTorch variant of each round",
        counted(rounds, "alternating round")
    );
    show_heading(screen, &heading);
    show_table(screen, &torch::rows(contests));
    screen.line("");
    show_table(screen, &torch::cost_rows(contests));
}

/// The line above a table.
fn show_heading(screen: &Screen, text: &str) {
    for line in wrap(text, screen.width()) {
        screen.line(&line);
    }
}

fn show_table(screen: &Screen, rows: &[Vec<String>]) {
    for line in table(rows) {
        screen.line(&line);
    }
}

/// Peak memory of this process; `None` if the system does not report it.
fn peak_rss_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}
