//! Training steps and forward passes, each case in a process of its own: peak memory and time to the first step are then
//! those of this case alone, and the comparison with a PyTorch process is fair.

use std::fmt;
use std::io;
use std::process::Command;
use std::str::FromStr;

use ndarray::Array4;
use roentgen_layers::{LossHead, Pass, ResNet9Config, Workspace};
use roentgen_optim::{AdamConfig, OneCycle};
use roentgen_tensor::rng::{CounterRng, Purpose};

use super::case_result::{CaseResult, Slice};
use super::process::{Process, failed, unix_seconds};
use super::timing::times_s;
use super::{BenchConfig, peak_rss_mib};
use crate::error::bench::BenchError;
use crate::terminal::screen::Screen;
use crate::training::error::TrainingError;
use crate::training::memory_estimate::{MemoryEstimate, Remedy};
use crate::training::step::TrainingStep;

/// Slices of a measurement.
pub(super) const N_SLICES: usize = 5;
/// Seconds of timed steps in a slice.
pub(super) const SLICE_S: f64 = 1.0;

/// What a process repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A training step of the recipe: forward, loss, backward, clip, decay, Adam.
    Train,
    /// A forward pass in evaluation mode.
    Infer,
}

/// One mode at one batch size; written `train:128`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// Training or inference.
    pub mode: Mode,
    /// Batch size.
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

/// A batch of noise with the mean and deviation of normalised images, and its labels.
pub(super) fn noise(model: &ResNet9Config, size: usize, batch: usize) -> (Array4<f32>, Vec<u32>) {
    let mut rng = CounterRng::new(0, Purpose::Synthetic, 1, batch as u64);
    let x = Array4::from_shape_simple_fn((batch, size, size, model.c_in), || rng.normal());
    (x, (0..batch).map(|image| (image % model.n_classes) as u32).collect())
}

impl Case {
    /// Measures in this process: for each line on the standard input, which is the number of seconds, it prints one line.
    ///
    /// # Errors
    /// [`TrainingError::NotEnoughMemory`].
    pub(super) fn run(self, config: &BenchConfig) -> Result<(), TrainingError> {
        self.check_memory(config, "lower the batch of --case")?;
        let model = config.model();
        let (x, labels) = noise(&model, config.size, self.batch);
        match self.mode {
            Mode::Train => {
                let mut step = TrainingStep::new(model.build(0), LossHead::default(), AdamConfig::default());
                // The learning rate hardly matters for the time; this is one from the middle of a run.
                let rates = OneCycle::new(0.001, 1000).at(500);
                let mut count = 0;
                answer_requests(|| {
                    step.take(&x, &labels, rates, Pass::Train { seed: 0, step: count, shard: 0 });
                    count += 1;
                });
            }
            Mode::Infer => {
                let (network, mut workspace) = (model.build(0), Workspace::default());
                answer_requests(|| {
                    network.infer(&x, &mut workspace);
                });
            }
        }
        Ok(())
    }

    /// Fails if it takes more memory than there is; `remedy` is how it takes less.
    ///
    /// # Errors
    /// [`TrainingError::NotEnoughMemory`].
    pub(super) fn check_memory(
        self,
        config: &BenchConfig,
        remedy: &'static str,
    ) -> Result<(), TrainingError> {
        let (n_threads, is_training) = (rayon::current_num_threads(), self.mode == Mode::Train);
        MemoryEstimate::of_steps(&config.model(), self.batch, config.size, n_threads, is_training)
            .check(Remedy::Settings(remedy))
    }

    /// Measures in a new process of this program.
    ///
    /// # Errors
    /// [`BenchError::Process`].
    pub(super) fn measure(self, config: &BenchConfig, threads: usize) -> Result<CaseResult, BenchError> {
        let mut process = self.start(config, threads)?;
        let slices: Result<Vec<Slice>, _> = (0..N_SLICES).map(|_| process.measure(SLICE_S)).collect();
        Ok(CaseResult::of(&slices?, self.batch))
    }

    /// Starts a new process of this program, which measures on request.
    ///
    /// # Errors
    /// [`BenchError::Process`].
    pub(super) fn start(self, config: &BenchConfig, threads: usize) -> Result<Process, BenchError> {
        let program = std::env::current_exe().map_err(|error| failed("this program", &error.to_string()))?;
        let mut command = Command::new(program);
        command.arg("bench").args(["--case", &self.to_string(), "--threads", &threads.to_string()]);
        command.args(config.arguments());
        Process::start(command)
    }
}

/// Does the first step of `work`, then measures for each request.
fn answer_requests(mut work: impl FnMut()) {
    work();
    let first_step_at = unix_seconds();
    for request in io::stdin().lines().map_while(Result::ok) {
        let Ok(seconds) = request.trim().parse() else { continue };
        let times_ms = times_s(seconds, 1, &mut work).into_iter().map(|time_s| time_s * 1e3).collect();
        let slice = Slice { times_ms, first_step_at, peak_rss_mib: peak_rss_mib(), first_step_s: 0.0 };
        println!("{}", serde_json::to_string(&slice).expect("numbers can be written as JSON"));
    }
}

/// What fits into memory; the rest is left out with a message.
///
/// # Errors
/// [`TrainingError::NotEnoughMemory`] if nothing is left.
pub(super) fn that_fit<T>(
    all: Vec<T>,
    case_of: impl Fn(&T) -> Case,
    config: &BenchConfig,
    screen: &Screen,
) -> Result<Vec<T>, TrainingError> {
    let (mut fitting, mut last_error) = (Vec::new(), None);
    for one in all {
        let case = case_of(&one);
        match case.check_memory(config, "lower --size or --width, or select smaller batches with --filter") {
            Ok(()) => fitting.push(one),
            Err(error) => {
                screen.line(&format!("left out: {case}: {error}"));
                last_error = Some(error);
            }
        }
    }
    match last_error {
        Some(error) if fitting.is_empty() => Err(error),
        _ => Ok(fitting),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::free_memory;

    #[test]
    fn what_takes_more_memory_than_there_is_is_left_out() {
        if free_memory(1).is_none() {
            eprintln!("skipped: this system does not say how much memory is free");
            return;
        }
        let config = BenchConfig { size: 16, channels: 1, n_classes: 2, width: 8 };
        let case = |batch| Case { mode: Mode::Train, batch };
        let fitting = |cases: Vec<Case>| that_fit(cases, |case| *case, &config, &Screen::silent());
        assert_eq!(fitting(vec![case(1), case(1 << 24)]).expect("one"), [case(1)]);
        let error = fitting(vec![case(1 << 24)]).expect_err("none").to_string();
        assert!(error.contains("width 8") && error.contains("--filter"), "{error}");
        assert_eq!(fitting(Vec::new()).expect("nothing is wrong with nothing"), []);
    }

    #[test]
    fn a_case_is_parsed_as_it_is_printed() {
        for case in [Case { mode: Mode::Train, batch: 128 }, Case { mode: Mode::Infer, batch: 1 }] {
            assert_eq!(case.to_string().parse(), Ok(case));
        }
        for wrong in ["train", "train:", "train:0", "rest:1", "infer:-1", "infer:1.5"] {
            assert!(wrong.parse::<Case>().is_err(), "{wrong}");
        }
    }
}
