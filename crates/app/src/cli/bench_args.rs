//! The flags of `roentgen bench`.

use std::path::PathBuf;

use clap::Args;

use super::OutputArgs;
use crate::bench::Case;

const BENCH_EXAMPLES: &str = "\
Examples:
  # all of it, in about a minute
  roentgen bench
  # one convolution, in its three passes
  roentgen bench --filter conv2
  # where each millisecond of a step goes
  roentgen bench --profile --filter train:128
  # keep a record under docs/bench
  roentgen bench --save
  # what has become faster since
  roentgen bench --compare docs/bench/RECORD.json
  # the same work in PyTorch, in turn with ours
  roentgen bench --torch .venv/bin/python";

/// Flags of `bench`.
#[derive(Debug, Args)]
#[command(after_help = BENCH_EXAMPLES)]
pub(super) struct BenchArgs {
    /// Measure only what has TEXT in its name, such as conv2, res1, train, infer:1
    #[arg(long, value_name = "TEXT")]
    pub(super) filter: Option<String>,
    /// Also show where each millisecond of a training step goes, layer by layer
    #[arg(long)]
    pub(super) profile: bool,
    /// Keep the figures as a record under docs/bench, with commit and machine
    #[arg(long)]
    pub(super) save: bool,
    /// Show how many times faster than a record each figure is
    #[arg(long, value_name = "RECORD")]
    pub(super) compare: Option<PathBuf>,
    /// Run PyTorch (and ONNX Runtime, if it is there) with this Python in turn with ours, and show ratios
    #[arg(long, value_name = "PYTHON", conflicts_with_all = ["profile", "compare"])]
    pub(super) torch: Option<PathBuf>,
    /// Rounds of --torch
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(super) rounds: u16,
    /// Side of the images, in pixels, 8 to 512
    #[arg(long, value_name = "PIXELS", default_value_t = 24)]
    pub(super) size: u32,
    /// Channels of the images: 1 or 3
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    pub(super) channels: u8,
    /// Classes to tell apart
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub(super) classes: u16,
    /// Threads to compute with [default: all processors]
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<usize>,
    /// Do one kind of work in this process and print its figures; what the bench starts for each of them
    #[arg(long, value_name = "CASE", hide = true)]
    pub(super) case: Option<Case>,
    #[command(flatten)]
    pub(super) output: OutputArgs,
}
