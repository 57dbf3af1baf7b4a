//! Whole training steps and forward passes, each kind in a process of its own: so that the memory and the time to the
//! first step are those of nothing else, and a PyTorch process can stand beside it on equal terms.

use std::fmt;
use std::process::Command;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use ndarray::Array4;
use roentgen_layers::{LossHead, Pass, ResNet9, ResNet9Config, Workspace};
use roentgen_optim::{AdamConfig, OneCycle};
use roentgen_tensor::rng::{CounterRng, Purpose};
use serde::{Deserialize, Serialize};

use super::timing::{measure, percentile_ms};
use super::{BenchConfig, peak_rss_mib};
use crate::error::AppError;
use crate::training::step::TrainingStep;

/// Seconds of timed steps.
const BUDGET_S: f64 = 5.0;

/// What a process does over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A training step of the recipe: forward, loss, backward, clip, decay, Adam.
    Train,
    /// A forward pass in evaluation mode.
    Infer,
}

/// One kind of work at one batch; written `train:128`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// What is done.
    pub mode: Mode,
    /// Images at once.
    pub batch: usize,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Infer => "infer",
        })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.mode, self.batch)
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}`: expected train:BATCH or infer:BATCH");
        let (mode, batch) = text.split_once(':').ok_or_else(expected)?;
        let mode = match mode {
            "train" => Mode::Train,
            "infer" => Mode::Infer,
            _ => return Err(expected()),
        };
        let batch = batch.parse().ok().filter(|batch| (1..=65_536).contains(batch)).ok_or_else(expected)?;
        Ok(Self { mode, batch })
    }
}

/// What one process found; PyTorch's script prints the same.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct CaseFigures {
    /// Images per second, at the median.
    pub(super) images_per_s: f64,
    /// Time of a step.
    pub(super) ms: Percentiles,
    /// Timed steps.
    pub(super) runs: usize,
    /// End of the first step, in seconds since 1970.
    first_step_at: f64,
    /// Most memory that the process ever held; `None` where the system does not tell.
    pub(super) peak_rss_mib: Option<f64>,
    /// From the start of the process to the end of its first step; known to the one who started it.
    #[serde(default)]
    pub(super) first_step_s: f64,
}

/// Milliseconds of a step.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Percentiles {
    pub(super) min: f64,
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

/// A batch of noise, normalised as images would be, and its labels.
pub(super) fn noise(model: &ResNet9Config, size: usize, batch: usize) -> (Array4<f32>, Vec<u32>) {
    let mut rng = CounterRng::new(0, Purpose::Synthetic, 1, batch as u64);
    let x = Array4::from_shape_simple_fn((batch, size, size, model.c_in), || rng.normal());
    (x, (0..batch).map(|image| (image % model.n_classes) as u32).collect())
}

impl Case {
    /// Does the work in this process and prints the figures as one line.
    pub(super) fn run(self, config: &BenchConfig) {
        let model = ResNet9Config::new(config.channels, config.n_classes);
        let (x, labels) = noise(&model, config.size, self.batch);
        let figures = match self.mode {
            Mode::Train => {
                let mut step =
                    TrainingStep::new(ResNet9::new(&model, 0), LossHead::default(), AdamConfig::default());
                // The rates matter little here; those of a long run's middle.
                let rates = OneCycle::new(0.001, 1000).at(500);
                let mut count = 0;
                self.figures(|| {
                    step.take(&x, &labels, rates, Pass::Train { seed: 0, step: count });
                    count += 1;
                })
            }
            Mode::Infer => {
                let (network, mut workspace) = (ResNet9::new(&model, 0), Workspace::default());
                self.figures(|| {
                    network.infer(&x, &mut workspace);
                })
            }
        };
        println!("{}", serde_json::to_string(&figures).expect("figures are plain numbers"));
    }

    fn figures(self, mut work: impl FnMut()) -> CaseFigures {
        work();
        let first_step_at = unix_seconds();
        let times_s = measure(BUDGET_S, work).times_s;
        let [min, p50, p95, p99, max] =
            [0.0, 0.5, 0.95, 0.99, 1.0].map(|share| percentile_ms(&times_s, share));
        CaseFigures {
            images_per_s: self.batch as f64 / p50 * 1e3,
            ms: Percentiles { min, p50, p95, p99, max },
            runs: times_s.len(),
            first_step_at,
            peak_rss_mib: peak_rss_mib(),
            first_step_s: 0.0,
        }
    }

    /// Measures in a process of this program.
    ///
    /// # Errors
    /// [`AppError::BenchProcess`].
    pub(super) fn measure(self, config: &BenchConfig, threads: usize) -> Result<CaseFigures, AppError> {
        let program = std::env::current_exe().map_err(|error| failed("this program", &error.to_string()))?;
        let mut command = Command::new(program);
        command.arg("bench").args(["--case", &self.to_string(), "--threads", &threads.to_string()]);
        command.args(config.arguments());
        figures_of(command)
    }
}

/// Starts a process that prints its figures in its last line, and waits for it.
///
/// # Errors
/// [`AppError::BenchProcess`].
pub(super) fn figures_of(mut command: Command) -> Result<CaseFigures, AppError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let start = unix_seconds();
    let output = command.output().map_err(|error| failed(&name, &error.to_string()))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let figures = stdout.lines().last().and_then(|line| serde_json::from_str::<CaseFigures>(line).ok());
    let Some(mut figures) = figures.filter(|_| output.status.success()) else {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said =
            stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it printed no figures");
        return Err(failed(&name, said));
    };
    figures.first_step_s = figures.first_step_at - start;
    Ok(figures)
}

fn failed(program: &str, reason: &str) -> AppError {
    AppError::BenchProcess { program: program.to_owned(), reason: reason.trim().to_owned() }
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read_as_it_is_written() {
        for case in [Case { mode: Mode::Train, batch: 128 }, Case { mode: Mode::Infer, batch: 1 }] {
            assert_eq!(case.to_string().parse(), Ok(case));
        }
        for wrong in ["train", "train:", "train:0", "rest:1", "infer:-1", "infer:1.5"] {
            assert!(wrong.parse::<Case>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_process_that_fails_is_told_by_its_last_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo first >&2; echo 'no module named torch' >&2; exit 1"]);
        let error = figures_of(command).expect_err("no figures").to_string();
        assert!(error.contains("no module named torch"), "{error}");
        let missing = Command::new("/nowhere/python");
        assert!(figures_of(missing).is_err());
    }
}
