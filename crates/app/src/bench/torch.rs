//! Comparison with PyTorch: the same work in alternating rounds, and the ratio of the speeds.
//!
//! On a machine that others use too, only speeds measured within the same minutes can be compared; so each round of a contest
//! runs this program and each PyTorch variant once, one after the other.

use std::path::Path;
use std::process::Command;

use indicatif::ProgressBar;
use roentgen_data::disk;
use serde::{Deserialize, Serialize};

use super::case::{Case, Mode, that_fit};
use super::process::{CaseResult, Process};
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
/// Seconds of timed work of one process.
const BUDGET_S: f64 = 5.0;

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
    let start = |case: Case, variant: &str| {
        let mut command = Command::new(python);
        command.arg(&script).args([case.mode.to_string(), case.batch.to_string()]);
        let numbers = [config.size, config.channels, config.n_classes, config.width, threads];
        command.args(numbers.map(|number| number.to_string()));
        command.args([BUDGET_S.to_string(), variant.to_owned()]);
        Process::start(command)
    };
    let contests: Vec<&Contest> = CONTESTS.iter().filter(|contest| filter.matches(contest.name)).collect();
    let contests = that_fit(contests, |contest| contest.case, config, screen)?;
    let bar = screen.bar(rounds * contests.iter().map(|contest| 1 + contest.variants.len()).sum::<usize>());
    let mut results = Vec::new();
    for contest in contests {
        let own = || contest.case.measure(config, threads);
        match run_contest(contest, rounds, own, |variant| start(contest.case, variant), screen, &bar) {
            Ok(outcome) => results.push(outcome.result()),
            Err(error) if results.is_empty() => return Err(error.into()),
            // What was measured before took many minutes.
            Err(error) => screen.line(&format!("left out: {}: {error}", contest.name)),
        }
    }
    bar.finish_and_clear();
    Ok(results)
}

/// Runs the rounds of one contest; `start` starts the process of a PyTorch variant.
fn run_contest(
    contest: &'static Contest,
    rounds: usize,
    own: impl Fn() -> Result<CaseResult, BenchError>,
    start: impl Fn(&str) -> Result<Process, BenchError>,
    screen: &Screen,
    bar: &ProgressBar,
) -> Result<Outcome, BenchError> {
    let threads = rayon::current_num_threads();
    let mut outcome = Outcome::new(contest);
    let mut peers: Vec<Peer> = contest.variants.iter().map(|variant| Peer::new(variant)).collect();
    for round in 1..=rounds {
        bar.set_prefix(format!("{}, round {round} of {rounds}", contest.name));
        bar.set_message("roentgen");
        let before_ns = round_trip::measure_ns(threads);
        outcome.roentgen.push(own()?);
        // The system can have moved the threads meanwhile.
        let after_ns = round_trip::measure_ns(threads);
        let round_trip_ns = before_ns.into_iter().chain(after_ns).reduce(f64::max);
        bar.inc(1);
        for (peer, found) in peers.iter_mut().zip(&mut outcome.peers) {
            bar.set_message(format!("PyTorch {}", peer.variant));
            match peer.measure(&start) {
                Ok(result) => found.extend(result),
                // Without it, nothing can be compared.
                Err(error) if peer.variant == "eager" && round == 1 => return Err(error),
                Err(error) => {
                    screen.line(&format!("left out: {} {}: {error}", contest.name, peer.variant));
                    peer.is_left_out = true;
                    // The figures of all variants are those of the same rounds.
                    found.clear();
                }
            }
            bar.inc(1);
        }
        // A round takes minutes; without a terminal the bar is not seen. Where the system moves the threads to cores that are
        // far from each other, this program is slower, and the round shows why.
        let distance = round_trip_ns.map_or(String::new(), |ns| format!("; cores {ns:.0} ns apart"));
        screen.line(&format!("round {round} of {rounds}: {}{distance}", outcome.last_in_words()));
    }
    Ok(outcome)
}

/// A PyTorch variant during the rounds of a contest.
struct Peer {
    variant: &'static str,
    /// Waits for the next round; it does not use the processor meanwhile.
    waiting: Option<Process>,
    is_left_out: bool,
}

impl Peer {
    fn new(variant: &'static str) -> Self {
        Self { variant, waiting: None, is_left_out: false }
    }

    /// Measures one round; `None` if the variant is left out.
    fn measure(
        &mut self,
        start: impl Fn(&str) -> Result<Process, BenchError>,
    ) -> Result<Option<CaseResult>, BenchError> {
        if self.is_left_out {
            return Ok(None);
        }
        let mut process = self.waiting.take().map_or_else(|| start(self.variant), Ok)?;
        let result = process.measure()?;
        // Compiling takes longer than a round, so it is done once. The others start in each round, so that their start and
        // their memory are measured each time.
        self.waiting = (self.variant == "compiled").then_some(process);
        Ok(Some(result))
    }
}

fn cannot_write(source: std::io::Error) -> WriteError {
    WriteError { path: std::env::temp_dir(), source }
}

/// The results of all rounds of a contest.
struct Outcome {
    contest: &'static Contest,
    roentgen: Vec<CaseResult>,
    /// By variant.
    peers: Vec<Vec<CaseResult>>,
}

impl Outcome {
    fn new(contest: &'static Contest) -> Self {
        Self { contest, roentgen: Vec::new(), peers: vec![Vec::new(); contest.variants.len()] }
    }

    /// Images per second of the last measurement of each, such as `train:128: roentgen 449, eager 167, compiled 150`.
    fn last_in_words(&self) -> String {
        let variants = self.contest.variants.iter().copied().zip(&self.peers);
        let all = std::iter::once(("roentgen", &self.roentgen)).chain(variants);
        let speeds =
            all.filter_map(|(name, rounds)| Some(format!("{name} {:.0}", rounds.last()?.images_per_s)));
        format!("{}: {} images/s", self.contest.name, speeds.collect::<Vec<_>>().join(", "))
    }

    fn result(&self) -> ContestResult {
        let rates = |rounds: &[CaseResult]| rounds.iter().map(|f| f.images_per_s).collect::<Vec<_>>();
        let roentgen = rates(&self.roentgen);
        let ratio = |(round, roentgen): (usize, &f64)| {
            let peers = self.peers.iter().filter_map(|rounds| rounds.get(round));
            roentgen / peers.map(|figures| figures.images_per_s).fold(0.0, f64::max)
        };
        let ratios = roentgen.iter().enumerate().map(ratio).filter(|ratio| ratio.is_finite()).collect();
        let plain = self.peers.first().filter(|rounds| !rounds.is_empty());
        let both = |of: fn(&CaseResult) -> Option<f64>| {
            let middle = |rounds: &[CaseResult]| {
                let values: Option<Vec<f64>> = rounds.iter().map(of).collect();
                values.map(middle)
            };
            Some([middle(&self.roentgen)?, middle(plain?)?])
        };
        let variants = self.contest.variants.iter().zip(&self.peers);
        ContestResult {
            name: self.contest.name.to_owned(),
            peers: variants
                .map(|(name, rounds)| VariantResult { variant: (*name).into(), images_per_s: rates(rounds) })
                .collect(),
            ratios,
            peak_rss_mib: both(|figures| figures.peak_rss_mib),
            first_step_s: both(|figures| Some(figures.first_step_s)),
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

    fn found(images_per_s: f64) -> CaseResult {
        serde_json::from_str(&result_line(&images_per_s.to_string())).expect("what the script prints")
    }

    #[test]
    fn compiled_starts_once_and_the_others_in_each_round() {
        let contest = CONTESTS.iter().find(|contest| contest.name == "infer:128").expect("a contest");
        let starts = RefCell::new(Vec::new());
        let start = |variant: &str| {
            starts.borrow_mut().push(variant.to_owned());
            let line = result_line("50").replace('"', "\\\"");
            Ok(shell(&match variant {
                "onnx" => "echo no module named onnxruntime >&2; exit 1".to_owned(),
                _ => format!("while read request; do echo \"{line}\"; done"),
            }))
        };
        let screen = Screen::silent();
        let run =
            |contest, own: CaseResult| run_contest(contest, 3, || Ok(own), start, &screen, &screen.bar(1));
        let result = run(contest, found(100.0)).expect("a contest").result();
        assert_eq!(result.ratios, [2.0, 2.0, 2.0]);
        assert_eq!(result.peers.iter().map(|peer| peer.images_per_s.len()).collect::<Vec<_>>(), [3, 3, 0]);
        assert_eq!(*starts.borrow(), ["eager", "compiled", "onnx", "eager", "eager"]);
    }

    #[test]
    fn a_variant_that_fails_in_a_later_round_is_left_out_alone() {
        let contest = CONTESTS.iter().find(|contest| contest.name == "infer:128").expect("a contest");
        let n_started = RefCell::new(0);
        let start = |variant: &str| {
            *n_started.borrow_mut() += 1;
            let line = result_line("50").replace('"', "\\\"");
            // The second eager process.
            Ok(shell(&match variant {
                "eager" if *n_started.borrow() > 3 => "echo out of memory >&2; exit 1".to_owned(),
                _ => format!("while read request; do echo \"{line}\"; done"),
            }))
        };
        let screen = Screen::silent();
        let result = run_contest(contest, 2, || Ok(found(100.0)), start, &screen, &screen.bar(1));
        let result = result.expect("a contest").result();
        assert_eq!(result.peers.iter().map(|peer| peer.images_per_s.len()).collect::<Vec<_>>(), [0, 2, 2]);
        assert_eq!((result.ratios, result.peak_rss_mib), (vec![2.0, 2.0], None));
    }

    #[test]
    fn the_ratio_is_to_the_fastest_variant_of_the_same_round() {
        let outcome = Outcome {
            contest: &CONTESTS[0],
            roentgen: vec![found(300.0), found(200.0), found(400.0)],
            peers: vec![vec![found(100.0), found(50.0), found(100.0)], vec![found(150.0), found(40.0)]],
        };
        assert_eq!(outcome.last_in_words(), "train:128: roentgen 400, eager 100, compiled 40 images/s");
        let figures = outcome.result();
        assert_eq!(figures.ratios, [2.0, 4.0, 4.0]);
        assert_eq!(figures.peak_rss_mib, None);
        let row = rows(&[figures]).remove(1);
        assert_eq!(row, ["train:128", "300", "100", "95", "-", "-", "4.00", "2.00 4.00 4.00"]);
    }
}
