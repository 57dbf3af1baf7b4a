//! `roentgen bench`: how fast this machine trains and infers, and how near its peak each convolution comes.
//!
//! Everything is measured on made-up images that are kept, so no file is read and no data loading is timed. Medians
//! are quoted: other programs only ever make a run slower, and a mean would count them.

mod conv_layers;
mod peak;
mod timing;
mod whole_model;

use roentgen_layers::ResNet9Config;
use serde::Serialize;

use crate::cpu;
use crate::screen::{Screen, table};
use conv_layers::{ConvLayer, PassFigures, measure_conv_layers};
use whole_model::{measure_inference, measure_training};

/// Batch of the table of layers.
const LAYER_BATCH: usize = 128;
/// Batches at which training is measured.
const TRAIN_BATCHES: [usize; 2] = [32, 128];
/// Batches at which inference is measured.
const INFER_BATCHES: [usize; 2] = [1, 128];

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct BenchConfig {
    /// Height and width of the images, pixels.
    pub size: usize,
    /// Channels of the images.
    pub channels: usize,
    /// Classes.
    pub n_classes: usize,
}

/// Everything that a bench finds; what `--json` prints.
#[derive(Debug, Serialize)]
struct BenchFigures {
    threads: usize,
    vectors: &'static str,
    size: usize,
    channels: usize,
    classes: usize,
    peak_gflops: f64,
    train_images_per_s: Rates,
    infer_images_per_s: Rates,
    conv_layers: Vec<ConvLayer>,
}

/// Images per second by batch, as a JSON object.
#[derive(Debug)]
struct Rates(Vec<(usize, timing::Timing)>);

impl Rates {
    /// Median images per second at the `i`-th batch.
    fn images_per_s(&self) -> impl Iterator<Item = (usize, f64)> {
        self.0.iter().map(|(batch, timing)| (*batch, *batch as f64 / timing.median_s))
    }
}

impl Serialize for Rates {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.images_per_s().map(|(batch, rate)| (batch.to_string(), rate)))
    }
}

/// Measures, and shows the result. Threads are those of the pool that it runs in.
pub fn run(config: &BenchConfig, screen: &Screen) {
    let threads = rayon::current_num_threads();
    let model = ResNet9Config::new(config.channels, config.n_classes);
    screen.field("machine", &format!("{threads} threads, {}", cpu::vector_width()));
    screen.field(
        "model",
        &format!(
            "ResNet9, {} parameters, {}x{}x{}, {} classes",
            model.n_parameters(),
            config.channels,
            config.size,
            config.size,
            config.n_classes
        ),
    );
    let peak_gflops = peak::measure_gflops(threads);
    screen.field("peak", &format!("{peak_gflops:.0} GFLOP/s, multiply-adds in registers"));
    screen.line("");

    let conv_layers =
        measure_conv_layers(&model.convolutions(LAYER_BATCH, config.size, config.size), peak_gflops);
    show_conv_layers(screen, &conv_layers);
    screen.line("");

    let train = TRAIN_BATCHES.map(|batch| (batch, measure_training(&model, config.size, batch)));
    let train_images_per_s = Rates(train.to_vec());
    let infer = INFER_BATCHES.map(|batch| (batch, measure_inference(&model, config.size, batch)));
    let infer_images_per_s = Rates(infer.to_vec());
    show_rates(screen, "training", &train_images_per_s);
    show_rates(screen, "inference", &infer_images_per_s);

    screen.result(&BenchFigures {
        threads,
        vectors: cpu::vector_width(),
        size: config.size,
        channels: config.channels,
        classes: config.n_classes,
        peak_gflops,
        train_images_per_s,
        infer_images_per_s,
        conv_layers,
    });
}

fn show_conv_layers(screen: &Screen, layers: &[ConvLayer]) {
    screen.line(&format!(
        "Convolutions at batch {LAYER_BATCH}: ms, GFLOP/s of the direct algorithm, share of the peak"
    ));
    let header = ["layer", "shape", "algorithm", "forward", "", "", "to input", "", "", "to weight", "", ""];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for layer in layers {
        let shape = format!("{}->{} @{}", layer.c_in, layer.c_out, layer.h);
        let mut row = vec![layer.name.to_owned(), shape, layer.algorithm.to_owned()];
        for pass in [Some(layer.forward), layer.backward_input, Some(layer.backward_weight)] {
            row.extend(pass.map_or([(); 3].map(|()| "-".to_owned()), PassFigures::cells));
        }
        rows.push(row);
    }
    for line in table(&rows) {
        screen.line(&line);
    }
    if layers.iter().any(|layer| layer.forward.share_of_peak > 1.0) {
        screen.line("More than 100 %: Winograd's algorithm multiplies less than the direct one.");
    }
}

fn show_rates(screen: &Screen, what: &str, rates: &Rates) {
    for ((batch, per_s), (_, timing)) in rates.images_per_s().zip(&rates.0) {
        let text = format!(
            "batch {batch:>3}  {per_s:>6.0} images/s  {:.2} ms ({:.2} to {:.2}, {} runs)",
            timing.median_s * 1e3,
            timing.min_s * 1e3,
            timing.max_s * 1e3,
            timing.runs
        );
        screen.field(what, &text);
    }
}
