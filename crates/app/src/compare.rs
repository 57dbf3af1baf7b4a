//! `roentgen compare`: which of two runs is better on the same test pictures, and is that more than chance.
//!
//! Both runs answered the same pictures, so the difference is taken picture by picture. That says far more than two
//! intervals side by side, which hold what is hard about the pictures twice.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;

use crate::error::AppError;
use crate::metrics::{Interval, bootstrap};
use crate::predictions_file::{self, Line};
use crate::screen::{Screen, counted, table};

/// A difference is called more than chance below this.
const SIGNIFICANCE: f64 = 0.05;

/// One picture as both runs answered it.
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
    /// Of McNemar's exact test.
    p_value: f64,
    /// Whether the accuracies differ by more than chance.
    differs: bool,
}

/// Compares the test answers of two runs, and shows the result.
///
/// # Errors
/// [`AppError::RunUnreadable`]; [`AppError::NotComparable`] if the runs were not tested on the same pictures.
pub fn run(runs: [&Path; 2], screen: &Screen) -> Result<(), AppError> {
    let [first, second] = [predictions_file::read(runs[0])?, predictions_file::read(runs[1])?];
    let pairs = pair(&first, &second)?;
    let comparison = Comparison::of(&pairs);
    comparison.show(runs, screen);
    screen.result(&comparison);
    Ok(())
}

/// Finds the second run's answer to each picture of the first.
fn pair(first: &[Line], second: &[Line]) -> Result<Vec<Pair>, AppError> {
    let different = |reason: String| Err(AppError::NotComparable { reason });
    let by_path: HashMap<&str, &Line> = second.iter().map(|line| (line.path.as_str(), line)).collect();
    if first.is_empty() || first.len() != second.len() || by_path.len() != second.len() {
        return different(format!(
            "one was tested on {}, the other on {}",
            counted(first.len(), "picture"),
            second.len()
        ));
    }
    let mut pairs = Vec::with_capacity(first.len());
    for a in first {
        let Some(b) = by_path.get(a.path.as_str()) else {
            return different(format!("only one of them was tested on {}", a.path));
        };
        if a.class != b.class {
            return different(format!("{} is {} in one and {} in the other", a.path, a.class, b.class));
        }
        let loss = |line: &Line| -libm::log(line.probabilities[&line.class].max(f64::EPSILON));
        pairs.push(Pair { right: [a.answer == a.class, b.answer == b.class], loss: [loss(a), loss(b)] });
    }
    Ok(pairs)
}

impl Comparison {
    fn of(pairs: &[Pair]) -> Self {
        let n = pairs.len() as f64;
        let accuracy = [0, 1].map(|run| pairs.iter().filter(|pair| pair.right[run]).count() as f64 / n);
        let log_loss = [0, 1].map(|run| pairs.iter().map(|pair| pair.loss[run]).sum::<f64>() / n);
        let only =
            |run: usize| pairs.iter().filter(|pair| pair.right[run] && !pair.right[1 - run]).count() as u64;
        let only_right = [only(0), only(1)];
        let intervals = bootstrap(pairs.len(), None, |times| {
            let mean = |difference: fn(&Pair) -> f64| {
                let sum: f64 = pairs.iter().zip(times).map(|(pair, times)| times * difference(pair)).sum();
                Some(sum / n)
            };
            let right = |pair: &Pair| f64::from(pair.right[1]) - f64::from(pair.right[0]);
            vec![mean(right), mean(|pair| pair.loss[1] - pair.loss[0])]
        });
        let p_value = mcnemar(only_right[0], only_right[1]);
        Self {
            n: pairs.len(),
            accuracy,
            accuracy_difference: accuracy[1] - accuracy[0],
            accuracy_difference_interval: intervals[0],
            log_loss,
            log_loss_difference: log_loss[1] - log_loss[0],
            log_loss_difference_interval: intervals[1],
            only_right,
            p_value,
            differs: p_value < SIGNIFICANCE,
        }
    }

    fn show(&self, runs: [&Path; 2], screen: &Screen) {
        screen.field("first", &runs[0].display().to_string());
        screen.field("second", &runs[1].display().to_string());
        screen.field("test", &format!("{}, the same for both", counted(self.n, "picture")));
        screen.line("");
        let interval = |interval: Option<Interval>, scale: f64, digits: usize| {
            interval.map_or_else(String::new, |[low, high]| {
                format!("{:+.digits$} to {:+.digits$}", scale * low, scale * high)
            })
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
        let detail =
            format!("alone right: {first} and {second}; McNemar's exact test, p = {:.3}", self.p_value);
        screen.field("verdict", &format!("{verdict} ({detail})"));
    }
}

/// Probability of a split at least as uneven as that of the pictures which one run alone had right, if each had fallen
/// to either run by the toss of a coin (McNemar 1947, exact).
fn mcnemar(first: u64, second: u64) -> f64 {
    let n = first + second;
    let log_factorial = |k: u64| libm::lgamma(k as f64 + 1.0);
    let share = |k: u64| {
        let log_choices = log_factorial(n) - log_factorial(k) - log_factorial(n - k);
        libm::exp(log_choices - n as f64 * std::f64::consts::LN_2)
    };
    (2.0 * (0..=first.min(second)).map(share).sum::<f64>()).min(1.0)
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
            let found = mcnemar(first, second);
            assert!(
                (found - expected).abs() <= 1e-9 * expected,
                "{first}, {second}: {found} against {expected}"
            );
            assert!((mcnemar(second, first) - found).abs() < 1e-15);
        }
    }

    fn line(path: usize, right: bool) -> Line {
        let p = if right { 0.9 } else { 0.2 };
        let answer = if right { "ill" } else { "well" };
        Line {
            path: path.to_string(),
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
        assert_eq!((same.accuracy_difference_interval, same.differs), (Some([0.0, 0.0]), false));
    }

    #[test]
    fn other_pictures_are_not_compared() {
        let first = [line(0, true), line(1, true)];
        let mut other = first.clone();
        other[1].path = "2".to_owned();
        assert!(pair(&first, &other).is_err());
        assert!(pair(&first, &first[..1]).is_err());
        other = first.clone();
        other[1].class = "well".to_owned();
        assert!(pair(&first, &other).is_err());
        assert!(pair(&[], &[]).is_err());
    }
}
