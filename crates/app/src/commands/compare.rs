//! `roentgen compare`: which of two runs is better on the same test pictures, and is that more than chance.
//!
//! Both runs answered the same pictures, so the difference is taken picture by picture. That says far more than two
//! intervals side by side, which hold what is hard about the pictures twice.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use roentgen_data::group_ids;
use serde::Serialize;

use crate::error::AppError;
use crate::metrics::{Interval, bootstrap};
use crate::run_dir::predictions_file::{self, Line};
use crate::terminal::screen::{Screen, counted, table};

/// A difference is called more than chance below this.
const SIGNIFICANCE: f64 = 0.05;
/// Smaller p-values are not told apart.
const SMALLEST_P: f64 = 0.001;

/// The pictures, each as both runs answered it.
#[derive(Debug)]
struct Paired {
    pairs: Vec<Pair>,
    /// As [`group_ids`] numbers them.
    patients: Option<Vec<u32>>,
    /// Whether digests say that all pictures are the same.
    is_same_by_digest: bool,
}

/// One picture.
#[derive(Clone, Copy, Debug)]
struct Pair {
    /// Whether each run was right.
    right: [bool; 2],
    /// Minus the logarithm of the probability that each run gave the truth.
    loss: [f64; 2],
}

/// What `--json` prints. Differences are the second run less the first.
#[derive(Debug, Serialize)]
struct Comparison {
    n: usize,
    /// Null where nothing tells them; a picture without one counts for itself.
    n_patients: Option<usize>,
    /// Whether digests say that all pictures are the same, not their paths alone.
    is_same_by_digest: bool,
    /// Of each run.
    accuracy: [f64; 2],
    accuracy_difference: f64,
    accuracy_difference_interval: Option<Interval>,
    /// Of each run.
    log_loss: [f64; 2],
    log_loss_difference: f64,
    log_loss_difference_interval: Option<Interval>,
    /// Pictures that the first run alone had right, and the second alone.
    only_right: [u64; 2],
    /// Of [`exact_p`].
    p_value: f64,
    /// Whether the accuracies differ by more than chance.
    differs: bool,
}

/// Compares the test answers of two runs, and shows the result.
///
/// # Errors
/// [`AppError::RunUnreadable`]; [`AppError::NotComparable`] if the runs were not tested on the same pictures.
pub(crate) fn run(runs: [&Path; 2], screen: &Screen) -> Result<(), AppError> {
    let [first, second] = [predictions_file::read(runs[0])?, predictions_file::read(runs[1])?];
    let comparison = Comparison::of(&pair(&first, &second)?);
    comparison.show(runs, screen);
    screen.result(&comparison);
    Ok(())
}

/// Finds the second run's answer to each picture of the first.
fn pair(first: &[Line], second: &[Line]) -> Result<Paired, AppError> {
    let different = |reason: String| Err(AppError::NotComparable { reason });
    if first.is_empty() || first.len() != second.len() {
        let (n, m) = (counted(first.len(), "picture"), second.len());
        return different(format!("one was tested on {n}, the other on {m}"));
    }
    if let Some(path) = repeated(first).or(repeated(second)) {
        return different(format!("{path} stands for several pictures of one of them"));
    }
    let by_path: HashMap<&str, &Line> = second.iter().map(|line| (line.path.as_str(), line)).collect();
    let (mut pairs, mut patients) = (Vec::with_capacity(first.len()), Vec::with_capacity(first.len()));
    let mut is_same_by_digest = true;
    for a in first {
        let Some(b) = by_path.get(a.path.as_str()) else {
            return different(format!("only one of them was tested on {}", a.path));
        };
        if a.class != b.class {
            return different(format!("{} is {} in one and {} in the other", a.path, a.class, b.class));
        }
        match (&a.digest, &b.digest) {
            (Some(a_digest), Some(b_digest)) if a_digest != b_digest => {
                return different(format!("{} is one picture in one and another in the other", a.path));
            }
            (Some(_), Some(_)) => {}
            _ => is_same_by_digest = false,
        }
        let loss = |line: &Line| -libm::log(line.probabilities[&line.class].max(f64::EPSILON));
        pairs.push(Pair { right: [a.answer == a.class, b.answer == b.class], loss: [loss(a), loss(b)] });
        patients.push(a.patient.clone().or(b.patient.clone()));
    }
    Ok(Paired { pairs, patients: group_ids(&patients), is_same_by_digest })
}

/// A path that several lines have.
fn repeated(lines: &[Line]) -> Option<&str> {
    let mut seen = HashSet::new();
    lines.iter().map(|line| line.path.as_str()).find(|path| !seen.insert(*path))
}

impl Comparison {
    fn of(paired: &Paired) -> Self {
        let Paired { pairs, patients, is_same_by_digest } = paired;
        let n = pairs.len() as f64;
        let accuracy = [0, 1].map(|run| pairs.iter().filter(|pair| pair.right[run]).count() as f64 / n);
        let log_loss = [0, 1].map(|run| pairs.iter().map(|pair| pair.loss[run]).sum::<f64>() / n);
        let only =
            |run: usize| pairs.iter().filter(|pair| pair.right[run] && !pair.right[1 - run]).count() as u64;
        let won = |pair: &Pair| i64::from(pair.right[1]) - i64::from(pair.right[0]);
        let intervals = bootstrap(pairs.len(), patients.as_deref(), |times| {
            let n: f64 = times.iter().sum();
            let mean = |difference: &dyn Fn(&Pair) -> f64| {
                let sum: f64 = pairs.iter().zip(times).map(|(pair, times)| times * difference(pair)).sum();
                Some(sum / n)
            };
            vec![mean(&|pair| won(pair) as f64), mean(&|pair| pair.loss[1] - pair.loss[0])]
        });
        let mut won_by_patient: BTreeMap<usize, i64> = BTreeMap::new();
        for (picture, pair) in pairs.iter().enumerate() {
            let patient = patients.as_ref().map_or(picture, |patients| patients[picture] as usize);
            *won_by_patient.entry(patient).or_default() += won(pair);
        }
        let p_value = exact_p(won_by_patient.values().copied());
        Self {
            n: pairs.len(),
            n_patients: patients.is_some().then_some(won_by_patient.len()),
            is_same_by_digest: *is_same_by_digest,
            accuracy,
            accuracy_difference: accuracy[1] - accuracy[0],
            accuracy_difference_interval: intervals[0],
            log_loss,
            log_loss_difference: log_loss[1] - log_loss[0],
            log_loss_difference_interval: intervals[1],
            only_right: [only(0), only(1)],
            p_value,
            differs: p_value < SIGNIFICANCE,
        }
    }

    fn show(&self, runs: [&Path; 2], screen: &Screen) {
        screen.field("first", &runs[0].display().to_string());
        screen.field("second", &runs[1].display().to_string());
        let of = self.n_patients.map_or_else(String::new, |n| format!(" of {}", counted(n, "patient")));
        screen.field("test", &format!("{}{of}, the same for both", counted(self.n, "picture")));
        if !self.is_same_by_digest {
            let note = "they are paired by path alone: a run of an earlier version kept no digests of them";
            screen.field("note", note);
        }
        screen.line("");
        let interval = |interval: Option<Interval>, scale: f64, digits: usize| {
            interval.map_or_else(
                || "-".to_owned(),
                |[low, high]| format!("{:+.digits$} to {:+.digits$}", scale * low, scale * high),
            )
        };
        let rows = [
            ["", "first", "second", "difference", "95 % interval"].map(str::to_owned).to_vec(),
            vec![
                "accuracy, %".to_owned(),
                format!("{:.1}", 100.0 * self.accuracy[0]),
                format!("{:.1}", 100.0 * self.accuracy[1]),
                format!("{:+.1}", 100.0 * self.accuracy_difference),
                interval(self.accuracy_difference_interval, 100.0, 1),
            ],
            vec![
                "log loss".to_owned(),
                format!("{:.3}", self.log_loss[0]),
                format!("{:.3}", self.log_loss[1]),
                format!("{:+.3}", self.log_loss_difference),
                interval(self.log_loss_difference_interval, 1.0, 3),
            ],
        ];
        for line in table(&rows) {
            screen.line(&format!("  {line}"));
        }
        screen.line("");
        let [first, second] = self.only_right;
        let better = if second > first { "second" } else { "first" };
        let verdict = match (self.differs, first == second) {
            (true, _) => format!("the {better} run is better, and that is more than chance"),
            (false, false) => format!("the {better} run has more right, but no more than chance would give"),
            (false, true) => "neither run has more right".to_owned(),
        };
        let test = if self.n_patients.is_some() { "exact test by patient" } else { "McNemar's exact test" };
        let detail = format!("alone right: {first} and {second}; {test}, {}", shown_p(self.p_value));
        screen.field("verdict", &format!("{verdict} ({detail})"));
    }
}

fn shown_p(p: f64) -> String {
    if p < SMALLEST_P { format!("p < {SMALLEST_P}") } else { format!("p = {p:.3}") }
}

/// Probability of a difference at least as large as the one found, if the answers to each patient's pictures had been
/// given to either run by the toss of a coin (Fisher 1935, exact). Answers to pictures of one patient go together: that
/// they are wrong together is no evidence for each of them. Where each picture is of another patient, it is McNemar's
/// exact test (1947).
///
/// `won` is, of each patient, how many pictures the second run alone had right, less those of the first alone.
fn exact_p(won: impl Iterator<Item = i64> + Clone) -> f64 {
    let found = won.clone().sum::<i64>().unsigned_abs() as usize;
    let steps: Vec<usize> = won.map(|won| won.unsigned_abs() as usize).filter(|&step| step > 0).collect();
    let most: usize = steps.iter().sum();
    // Of each sum of all tosses, from `-most` to `most`.
    let mut probabilities = vec![0.0; 2 * most + 1];
    probabilities[most] = 1.0;
    for step in steps {
        let before = probabilities.clone();
        for (sum, probability) in probabilities.iter_mut().enumerate() {
            let lost = before.get(sum + step).copied().unwrap_or(0.0);
            let won = sum.checked_sub(step).map_or(0.0, |below| before[below]);
            *probability = (lost + won) / 2.0;
        }
    }
    let is_as_large = |sum: usize| sum.abs_diff(most) >= found;
    (0..=2 * most).filter(|&sum| is_as_large(sum)).map(|sum| probabilities[sum]).sum::<f64>().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `statsmodels.stats.contingency_tables.mcnemar(table, exact=True).pvalue`.
    #[test]
    fn mcnemar_matches_statsmodels() {
        let cases = [
            (1, 6, 0.125),
            (5, 5, 1.0),
            (0, 12, 0.000_488_281_25),
            (40, 71, 0.004_195_534_185_394_861),
            (0, 0, 1.0),
        ];
        for (first, second, expected) in cases {
            let won = |first: usize, second: usize| {
                exact_p([vec![-1; first], vec![1; second], vec![0; 9]].concat().into_iter())
            };
            let found = won(first, second);
            assert!(
                (found - expected).abs() <= 1e-9 * expected,
                "{first}, {second}: {found} against {expected}"
            );
            assert!((won(second, first) - found).abs() < 1e-15);
        }
    }

    /// Of the 16 ways in which four coins can fall, as many as are counted by hand.
    #[test]
    fn patients_with_several_pictures_are_tossed_whole() {
        assert_eq!(exact_p([4, 1, 1, 1].into_iter()), 2.0 / 16.0);
        assert_eq!(exact_p([4, 1, -1, 1].into_iter()), 8.0 / 16.0);
        assert_eq!(exact_p([12, 0].into_iter()), 1.0, "one patient alone proves nothing");
        assert_eq!((shown_p(0.000_4), shown_p(0.041_6)), ("p < 0.001".into(), "p = 0.042".into()));
    }

    fn line(path: usize, right: bool) -> Line {
        let p = if right { 0.9 } else { 0.2 };
        let answer = if right { "ill" } else { "well" };
        Line {
            path: path.to_string(),
            digest: Some(format!("{path:016x}")),
            patient: None,
            class: "ill".to_owned(),
            answer: answer.to_owned(),
            probabilities: [("ill".to_owned(), p), ("well".to_owned(), 1.0 - p)].into(),
        }
    }

    #[test]
    fn pictures_are_paired_by_path_and_a_clear_difference_is_found() {
        let first: Vec<Line> = (0..60).map(|i| line(i, i % 3 == 0)).collect();
        let second: Vec<Line> = (0..60).rev().map(|i| line(i, i % 3 != 1)).collect();
        let comparison = Comparison::of(&pair(&first, &second).expect("the same pictures"));
        assert_eq!((comparison.n, comparison.only_right), (60, [0, 20]));
        assert!((comparison.accuracy_difference - 1.0 / 3.0).abs() < 1e-12 && comparison.differs);
        let [low, high] = comparison.accuracy_difference_interval.expect("an interval");
        assert!(0.2 < low && high < 0.46, "{low} to {high}");
        assert!(comparison.log_loss_difference < 0.0);
        let same = Comparison::of(&pair(&first, &first).expect("the same pictures"));
        assert!(!same.differs && same.is_same_by_digest);
    }

    /// Ten patients of six pictures, whose answers go together: 24 pictures more are right, but of four patients.
    #[test]
    fn pictures_of_one_patient_are_no_independent_evidence() {
        let of_patients = |is_right: &dyn Fn(usize) -> bool| -> Vec<Line> {
            let patient = |i: usize| Some(format!("p{}", i / 6));
            (0..60).map(|i| Line { patient: patient(i), ..line(i, is_right(i / 6)) }).collect()
        };
        let (first, second) = (of_patients(&|patient| patient < 4), of_patients(&|patient| patient < 8));
        let by_patient = Comparison::of(&pair(&first, &second).expect("the same pictures"));
        assert_eq!((by_patient.n_patients, by_patient.p_value, by_patient.differs), (Some(10), 0.125, false));
        let unknown = |lines: &[Line]| -> Vec<Line> {
            lines.iter().map(|line| Line { patient: None, ..line.clone() }).collect()
        };
        let by_picture =
            Comparison::of(&pair(&unknown(&first), &unknown(&second)).expect("the same pictures"));
        assert!(by_picture.p_value < 1e-6);
        let width = |interval: Option<Interval>| interval.map(|[low, high]| high - low).expect("an interval");
        let [clustered, plain] =
            [&by_patient, &by_picture].map(|found| width(found.accuracy_difference_interval));
        assert!(clustered > 1.8 * plain, "{clustered} against {plain}");
    }

    #[test]
    fn other_pictures_are_not_compared() {
        let first = [line(0, true), line(1, true)];
        let refusal = |change: &dyn Fn(&mut Line)| {
            let mut other = first.clone();
            change(&mut other[1]);
            pair(&first, &other).expect_err("they are not the same").to_string()
        };
        assert!(refusal(&|line| line.path = "2".into()).contains("only one of them was tested on 1"));
        assert!(refusal(&|line| line.path = "0".into()).contains("0 stands for several pictures"));
        assert!(
            refusal(&|line| line.class = "well".into()).contains("1 is ill in one and well in the other")
        );
        let other_pixels = refusal(&|line| line.digest = Some("another".into()));
        assert!(other_pixels.contains("1 is one picture in one and another in the other"), "{other_pixels}");
        assert!(!other_pixels.contains("  "), "{other_pixels}");
        assert!(pair(&first, &first[..1]).is_err() && pair(&[], &[]).is_err());
    }

    #[test]
    fn without_digests_pictures_are_paired_by_path_and_that_is_said() {
        let first = [line(0, true), line(1, true)];
        let mut old = first.clone();
        old[1].digest = None;
        assert!(!Comparison::of(&pair(&first, &old).expect("the same paths")).is_same_by_digest);
    }
}
