//! The flags of `roentgen bench`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;
use super::setting_flags::{Accepts, NameLists, SettingFlags};
use crate::bench::{BenchConfig, BenchRequest, Case};
use crate::config::TrainConfig;

const EXAMPLES: &str = "\
Examples:
  # everything, in about a minute
  roentgen bench
  # one convolution: forward and both backward passes
  roentgen bench --filter conv2
  # time of each layer, beside what the machine could do
  roentgen bench --profile --filter train:128
  # write a record to docs/bench
  roentgen bench --save
  # speed-up since a record
  roentgen bench --compare docs/bench/RECORD.json
  # the same work in PyTorch, alternating with ours
  roentgen bench --torch .venv/bin/python
  # of larger images, and of the network of --preset robust
  roentgen bench --torch .venv/bin/python --size 64
  roentgen bench --torch .venv/bin/python --width 32";

/// The settings of `bench`.
#[derive(Debug)]
pub(super) struct BenchSettings;

impl Accepts for BenchSettings {
    const NAMES: NameLists = Some(&[&["size", "width", "threads"]]);
}

/// Flags of `bench`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BenchArgs {
    /// Measure only what has TEXT in its name, such as conv2, res1, train, infer:1
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Also show the time of each layer in a training step, and what limits it
    #[arg(long)]
    profile: bool,
    /// Write the figures to docs/bench, with commit and machine
    #[arg(long)]
    save: bool,
    /// Measure nothing: plot training speed by commit from the records in FOLDER; --save does it, too
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["filter", "profile", "save", "compare", "torch"])]
    plot: Option<PathBuf>,
    /// Show how many times faster each figure is than in a record that --save wrote
    #[arg(long, value_name = "RECORD")]
    compare: Option<PathBuf>,
    /// Run PyTorch (and ONNX Runtime, if installed) with this Python, alternating with our program, and show ratios
    #[arg(long, value_name = "PYTHON", conflicts_with_all = ["profile", "compare"])]
    torch: Option<PathBuf>,
    /// Number of rounds with --torch [range: 1 to 100]
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Number of channels of the images: 1 or 3
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = read_channels)]
    channels: u8,
    /// Number of classes [range: 2 to 1000]
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=1000))]
    classes: u16,
    /// Run one kind of work in this process and print its figures; `bench` starts a process for each
    #[arg(long, value_name = "CASE", hide = true)]
    pub(super) case: Option<Case>,
    #[command(flatten)]
    pub(super) settings: SettingFlags<BenchSettings>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}

/// Grey or colour: a model has no other number of channels.
fn read_channels(text: &str) -> Result<u8, String> {
    let channels = text.parse().ok().filter(|channels| matches!(channels, 1 | 3));
    channels.ok_or_else(|| "expected 1 or 3".to_owned())
}

impl BenchArgs {
    /// The sizes of the work.
    pub(super) fn work(&self, config: &TrainConfig) -> BenchConfig {
        let (channels, n_classes) = (usize::from(self.channels), usize::from(self.classes));
        BenchConfig { size: config.size as usize, channels, n_classes, width: config.width }
    }

    /// What is measured, and what is done with the figures.
    pub(super) fn request(self) -> BenchRequest {
        let Self { filter, profile, save, plot, compare, torch, rounds, .. } = self;
        BenchRequest { filter, profile, save, plot, compare, torch, rounds: rounds.into() }
    }
}
