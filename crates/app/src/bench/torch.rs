//! Comparison with PyTorch: the same work in alternating rounds, and the ratio of the speeds.
//!
//! On a machine that others use too, only speeds measured within the same seconds can be compared; so in each round of a contest
//! this program and each PyTorch variant take turns, a second at a time.

use std::iter;
use std::mem;
use std::path::Path;
use std::process::Command;

use indicatif::ProgressBar;
use roentgen_data::disk;
use serde::{Deserialize, Serialize};

use super::case::{Case, Mode, N_SLICES, SLICE_S, that_fit};
use super::case_result::{CaseResult, Slice};
use super::process::Process;
use super::round_trip;
use super::timing::median;
use super::{BenchConfig, NameFilter};
use crate::error::AppError;
use crate::error::bench::BenchError;
use crate::run_dir::error::WriteError;
use crate::terminal::figures::or_dash;
use crate::terminal::screen::Screen;

/// The script that PyTorch runs; it is a part of this program.
const SCRIPT: &str = include_str!("torch_step.py");
/// What this program is called among the runners.
const ROENTGEN: &str = "roentgen";

/// One case, and the PyTorch variants that it is compared with; the ratio is to the fastest.
struct Contest {
    name: &'static str,
    case: Case,
    variants: &'static [&'static str],
}

const CONTESTS: [Contest; 5] = [
    Contest {
        name: "train:128",
        case: Case { mode: Mode::Train, batch: 128 },
        variants: &["eager", "compiled"],
    },
    Contest { name: "train:128 bf16", case: Case { mode: Mode::Train, batch: 128 }, variants: &["bf16"] },
    Contest {
        name: "train:32",
        case: Case { mode: Mode::Train, batch: 32 },
        variants: &["eager", "compiled"],
    },
    Contest {
        name: "infer:128",
        case: Case { mode: Mode::Infer, batch: 128 },
        variants: &["eager", "compiled", "onnx"],
    },
    Contest {
        name: "infer:1",
        case: Case { mode: Mode::Infer, batch: 1 },
        variants: &["eager", "compiled", "onnx"],
    },
];

/// Names of the contests.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    CONTESTS.iter().map(|contest| contest.name)
}

/// The result of one contest; the oldest records have other keys.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ContestResult {
    name: String,
    /// Images per second of this program, by round.
    #[serde(alias = "ours")]
    roentgen: Vec<f64>,
    #[serde(alias = "theirs")]
    peers: Vec<VariantResult>,
    /// The speed of this program divided by that of the fastest variant, by round.
    ratios: Vec<f64>,
    /// Peak memory in MiB: of this program, then of the first variant.
    peak_rss_mib: Option<[f64; 2]>,
    /// Seconds from the start of the process to the end of its first step, in the same order.
    first_step_s: Option<[f64; 2]>,
}

impl ContestResult {
    /// Images per second of this program, the median of the rounds, if this is the contest of that name.
    pub(super) fn own_images_per_s(&self, name: &str) -> Option<f64> {
        (self.name == name && !self.roentgen.is_empty()).then(|| middle(self.roentgen.clone()))
    }
}

/// The result of one PyTorch variant.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct VariantResult {
    variant: String,
    /// Images per second, by round; empty if the variant does not run on this machine.
    images_per_s: Vec<f64>,
}

/// Runs the contests that `filter` selects.
///
/// # Errors
/// [`BenchError::Process`] if PyTorch does not run at all, and where no contest fits into memory; a single variant that
/// fails, or a contest that does not fit, is left out with a message.
pub(super) fn measure(
    python: &Path,
    rounds: usize,
    config: &BenchConfig,
    filter: &NameFilter,
    screen: &Screen,
) -> Result<Vec<ContestResult>, AppError> {
    let threads = rayon::current_num_threads();
    let script = disk::write_temporary(".py", SCRIPT.as_bytes()).map_err(cannot_write)?;
    let start = |case: Case, name: &str| {
        if name == ROENTGEN {
            return case.start(config, threads);
        }
        let mut command = Command::new(python);
        command.arg(&script).args([case.mode.to_string(), case.batch.to_string()]);
        let numbers = [config.size, config.channels, config.n_classes, config.width, threads];
        command.args(numbers.map(|number| number.to_string())).arg(name);
        Process::start(command)
    };
    let contests: Vec<&Contest> = CONTESTS.iter().filter(|contest| filter.matches(contest.name)).collect();
    let contests = that_fit(contests, |contest| contest.case, config, screen)?;
    let n_runners: usize = contests.iter().map(|contest| 1 + contest.variants.len()).sum();
    let bar = screen.bar(rounds * N_SLICES * n_runners);
    let mut results = Vec::new();
    for contest in contests {
        match run_contest(contest, rounds, |name| start(contest.case, name), screen, &bar) {
            Ok(outcome) => results.push(outcome.result()),
            Err(error) if results.is_empty() => return Err(error.into()),
            // What was measured before took many minutes.
            Err(error) => screen.line(&format!("left out: {}: {error}", contest.name)),
        }
    }
    bar.finish_and_clear();
    Ok(results)
}

/// Runs the rounds of one contest; `start` starts the process of a runner.
fn run_contest(
    contest: &'static Contest,
    rounds: usize,
    start: impl Fn(&str) -> Result<Process, BenchError>,
    screen: &Screen,
    bar: &ProgressBar,
) -> Result<Outcome, BenchError> {
    let threads = rayon::current_num_threads();
    let mut outcome = Outcome::new(contest);
    for round in 1..=rounds {
        bar.set_prefix(format!("{}, round {round} of {rounds}", contest.name));
        let before_ns = round_trip::measure_ns(threads);
        for _ in 0..N_SLICES {
            for runner in &mut outcome.runners {
                bar.set_message(runner.name);
                match runner.measure_slice(&start) {
                    Ok(()) => {}
                    // Without these, nothing can be compared.
                    Err(error) if runner.name == ROENTGEN => return Err(error),
                    Err(error) if runner.name == "eager" && round == 1 => return Err(error),
                    Err(error) => {
                        screen.line(&format!("left out: {} {}: {error}", contest.name, runner.name));
                        runner.leave_out();
                    }
                }
                bar.inc(1);
            }
        }
        outcome.runners.iter_mut().for_each(|runner| runner.end_round(contest.case.batch));
        // The system can have moved the threads meanwhile.
        let after_ns = round_trip::measure_ns(threads);
        let round_trip_ns = before_ns.into_iter().chain(after_ns).reduce(f64::max);
        // A round takes minutes; without a terminal the bar is not seen. Where the system moves the threads to cores that are
        // far from each other, this program is slower, and the round shows why.
        let distance = round_trip_ns.map_or(String::new(), |ns| format!("; cores {ns:.0} ns apart"));
        screen.line(&format!("round {round} of {rounds}: {}{distance}", outcome.last_in_words()));
    }
    Ok(outcome)
}

fn cannot_write(source: std::io::Error) -> WriteError {
    WriteError { path: std::env::temp_dir(), source }
}

/// This program or a PyTorch variant during the rounds of a contest.
struct Runner {
    name: &'static str,
    /// It does not use the processor while others measure.
    process: Option<Process>,
    /// Of the round that runs.
    slices: Vec<Slice>,
    /// By round; empty if the variant is left out.
    results: Vec<CaseResult>,
    is_left_out: bool,
}

impl Runner {
    fn new(name: &'static str) -> Self {
        Self { name, process: None, slices: Vec::new(), results: Vec::new(), is_left_out: false }
    }

    /// Measures one slice, unless the variant is left out; the first of a round starts the process.
    fn measure_slice(
        &mut self,
        start: impl Fn(&str) -> Result<Process, BenchError>,
    ) -> Result<(), BenchError> {
        if self.is_left_out {
            return Ok(());
        }
        let process = self.process.take().map_or_else(|| start(self.name), Ok)?;
        let slice = self.process.insert(process).measure(SLICE_S)?;
        self.slices.push(slice);
        Ok(())
    }

    fn end_round(&mut self, batch: usize) {
        if self.is_left_out {
            return;
        }
        self.results.push(CaseResult::of(&mem::take(&mut self.slices), batch));
        // Compiling takes longer than a round, so it is done once. The others start in each round, so that their start and
        // their memory are measured each time.
        if self.name != "compiled" {
            self.process = None;
        }
    }

    /// Removes the variant from all rounds: the figures of all variants are those of the same rounds.
    fn leave_out(&mut self) {
        *self = Self { is_left_out: true, ..Self::new(self.name) };
    }

    /// Images per second, by round.
    fn images_per_s(&self) -> Vec<f64> {
        self.results.iter().map(|result| result.images_per_s).collect()
    }
}

/// The results of all rounds of a contest.
struct Outcome {
    contest: &'static Contest,
    /// This program, then the variants.
    runners: Vec<Runner>,
}

impl Outcome {
    fn new(contest: &'static Contest) -> Self {
        let names = iter::once(ROENTGEN).chain(contest.variants.iter().copied());
        Self { contest, runners: names.map(Runner::new).collect() }
    }

    /// Images per second of the last measurement of each, such as `train:128: roentgen 449, eager 167, compiled 150`.
    fn last_in_words(&self) -> String {
        let speeds = self
            .runners
            .iter()
            .filter_map(|runner| Some(format!("{} {:.0}", runner.name, runner.results.last()?.images_per_s)));
        format!("{}: {} images/s", self.contest.name, speeds.collect::<Vec<_>>().join(", "))
    }

    fn result(&self) -> ContestResult {
        let (own, peers) = self.runners.split_first().expect("this program is the first");
        let roentgen = own.images_per_s();
        let ratio = |(round, roentgen): (usize, &f64)| {
            let peers = peers.iter().filter_map(|peer| peer.results.get(round));
            roentgen / peers.map(|result| result.images_per_s).fold(0.0, f64::max)
        };
        let ratios = roentgen.iter().enumerate().map(ratio).filter(|ratio| ratio.is_finite()).collect();
        let plain = peers.first().filter(|peer| !peer.results.is_empty());
        let both = |of: fn(&CaseResult) -> Option<f64>| {
            let middle = |runner: &Runner| {
                let values: Option<Vec<f64>> = runner.results.iter().map(of).collect();
                values.map(middle)
            };
            Some([middle(own)?, middle(plain?)?])
        };
        ContestResult {
            name: self.contest.name.to_owned(),
            peers: peers
                .iter()
                .map(|peer| VariantResult { variant: peer.name.into(), images_per_s: peer.images_per_s() })
                .collect(),
            ratios,
            peak_rss_mib: both(|result| result.peak_rss_mib),
            first_step_s: both(|result| Some(result.first_step_s)),
            roentgen,
        }
    }
}

/// The median of numbers in any order.
fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    median(&values)
}

/// The contests as a table, headings first.
pub(super) fn rows(contests: &[ContestResult]) -> Vec<Vec<String>> {
    let heading = ["images/s", "roentgen", "eager", "compiled", "onnx", "bf16", "ratio", "all rounds"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for contest in contests {
        let mut row = vec![contest.name.clone(), format!("{:.0}", middle(contest.roentgen.clone()))];
        for variant in ["eager", "compiled", "onnx", "bf16"] {
            let rates = contest.peers.iter().find(|peers| peers.variant == variant).map(|t| &t.images_per_s);
            let rate = rates.filter(|rates| !rates.is_empty()).map(|rates| middle(rates.clone()));
            row.push(or_dash(rate.map(|rate| format!("{rate:.0}"))));
        }
        if contest.ratios.is_empty() {
            row.extend(["-".to_owned(), "-".to_owned()]);
        } else {
            let mut ratios = contest.ratios.clone();
            ratios.sort_unstable_by(f64::total_cmp);
            row.push(format!("{:.2}", median(&ratios)));
            row.push(ratios.iter().map(|ratio| format!("{ratio:.2}")).collect::<Vec<_>>().join(" "));
        }
        rows.push(row);
    }
    rows
}

/// Peak memory and start-up time of training at batch size 128 as a table, headings first.
pub(super) fn cost_rows(contests: &[ContestResult]) -> Vec<Vec<String>> {
    let mut rows = vec![["train:128", "roentgen", "PyTorch", "ratio"].map(str::to_owned).to_vec()];
    let Some(contest) = contests.iter().find(|contest| contest.name == "train:128") else {
        return Vec::new();
    };
    let lines =
        [("peak memory, MiB", contest.peak_rss_mib, 0), ("start to first step, s", contest.first_step_s, 2)];
    for (name, both, digits) in lines {
        if let Some([roentgen, peers]) = both {
            let ratio = format!("{:.2}", roentgen / peers);
            rows.push(vec![
                name.to_owned(),
                format!("{roentgen:.digits$}"),
                format!("{peers:.digits$}"),
                ratio,
            ]);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::process::tests::{result_line, shell};
    use super::*;

    /// A process that measures one batch per slice, which takes `time_ms`.
    fn runs(time_ms: &str) -> Process {
        shell(&format!("while read seconds; do echo \"{}\"; done", result_line(time_ms)))
    }

    fn contest(name: &str) -> &'static Contest {
        CONTESTS.iter().find(|contest| contest.name == name).expect("a contest")
    }

    fn results(name: &'static str, images_per_s: &[f64]) -> Runner {
        let result = |images_per_s: &f64| {
            let slice =
                serde_json::from_str(&result_line(&(1000.0 / images_per_s).to_string()).replace('\\', ""));
            CaseResult::of(&[slice.expect("what the script prints")], 1)
        };
        Runner { results: images_per_s.iter().map(result).collect(), ..Runner::new(name) }
    }

    fn run(
        contest: &'static Contest,
        rounds: usize,
        start: impl Fn(&str) -> Result<Process, BenchError>,
    ) -> Result<ContestResult, BenchError> {
        let screen = Screen::silent();
        Ok(run_contest(contest, rounds, start, &screen, &screen.bar(1))?.result())
    }

    #[test]
    fn compiled_starts_once_and_the_others_in_each_round() {
        let starts = RefCell::new(Vec::new());
        let start = |name: &str| {
            starts.borrow_mut().push(name.to_owned());
            Ok(match name {
                "onnx" => shell("echo no module named onnxruntime >&2; exit 1"),
                ROENTGEN => runs("1"),
                _ => runs("2"),
            })
        };
        let result = run(contest("infer:128"), 3, start).expect("a result");
        assert_eq!(result.ratios, [2.0, 2.0, 2.0]);
        assert_eq!(result.peers.iter().map(|peer| peer.images_per_s.len()).collect::<Vec<_>>(), [3, 3, 0]);
        let first = [ROENTGEN, "eager", "compiled", "onnx"];
        assert_eq!(*starts.borrow(), [&first[..], &[ROENTGEN, "eager", ROENTGEN, "eager"]].concat());
    }

    #[test]
    fn the_runners_take_turns() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log");
        let start = |name: &str| {
            let line = result_line("1");
            let append = format!("echo {name} >> '{}'", log.display());
            Ok(shell(&format!("while read seconds; do {append}; echo \"{line}\"; done")))
        };
        run(contest("train:128"), 1, start).expect("a result");
        let order = std::fs::read_to_string(&log).expect("a log");
        assert_eq!(order, "roentgen\neager\ncompiled\n".repeat(N_SLICES));
    }

    #[test]
    fn a_variant_that_fails_in_a_later_round_is_left_out_alone() {
        let n_eager = RefCell::new(0);
        let start = |name: &str| {
            *n_eager.borrow_mut() += usize::from(name == "eager");
            Ok(match name {
                "eager" if *n_eager.borrow() > 1 => shell("echo out of memory >&2; exit 1"),
                ROENTGEN => runs("1"),
                _ => runs("2"),
            })
        };
        let result = run(contest("infer:128"), 2, start).expect("a result");
        assert_eq!(result.peers.iter().map(|peer| peer.images_per_s.len()).collect::<Vec<_>>(), [0, 2, 2]);
        assert_eq!((result.ratios, result.peak_rss_mib), (vec![2.0, 2.0], None));
    }

    #[test]
    fn nothing_is_compared_without_this_program_or_pytorch() {
        for missing in [ROENTGEN, "eager"] {
            let start = |name: &str| Ok(if name == missing { shell("exit 1") } else { runs("1") });
            assert!(run(contest("train:32"), 1, start).is_err(), "{missing}");
        }
    }

    #[test]
    fn the_ratio_is_to_the_fastest_variant_of_the_same_round() {
        let runners = vec![
            results(ROENTGEN, &[400.0, 200.0, 500.0]),
            results("eager", &[100.0, 50.0, 125.0]),
            results("compiled", &[200.0, 40.0]),
        ];
        let outcome = Outcome { contest: contest("train:128"), runners };
        assert_eq!(outcome.last_in_words(), "train:128: roentgen 500, eager 125, compiled 40 images/s");
        let figures = outcome.result();
        assert_eq!(figures.ratios, [2.0, 4.0, 4.0]);
        assert_eq!(figures.peak_rss_mib, None);
        let row = rows(&[figures]).remove(1);
        assert_eq!(row, ["train:128", "400", "100", "120", "-", "-", "4.00", "2.00 4.00 4.00"]);
    }
}
