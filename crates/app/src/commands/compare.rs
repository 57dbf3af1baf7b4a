//! `roentgen compare`: which of two runs is better on the same test images, and whether the difference is significant.
//!
//! Both runs predicted the same images, so the difference is computed image by image. Such a paired test finds much
//! smaller differences than two separate intervals, both of which contain how hard the images are.

use std::path::Path;

use serde::Serialize;

use crate::error::AppError;
use crate::metrics::{Groups, Interval, bootstrap, gain_interval};
use crate::run_dir::predictions_file;
use crate::terminal::figures::{or_dash, percent};
use crate::terminal::screen::{Screen, counted, table};
use pairing::{Pair, PairedImages, pair};
use permutation_test::permutation_p;

mod pairing;
mod permutation_test;

/// A difference with a smaller p-value is called significant.
const SIGNIFICANCE: f64 = 0.05;
/// Smaller p-values are all shown as `p < 0.001`.
const SMALLEST_P: f64 = 0.001;

/// What `--json` prints: the comparison on the images that leaked in neither run, and beside it that on all.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub(crate) struct Comparisons {
    #[serde(flatten)]
    pub(crate) main: Comparison,
    /// On all images, with those that leaked; absent if none leaked, or all did.
    #[serde(skip_serializing_if = "Option::is_none")]
    with_leaked: Option<Comparison>,
    /// Images that leaked in either run.
    n_leaked: usize,
}

/// Differences are the second run minus the first.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub(crate) struct Comparison {
    n: usize,
    /// Null if no patient is known. An image without a patient counts as one, and patients who share a duplicate count as one.
    n_patients: Option<usize>,
    /// How many groups of images of one patient, or of duplicates, there are; null if each image is independent.
    n_groups: Option<usize>,
    /// Of each run.
    accuracy: [f64; 2],
    accuracy_difference: f64,
    #[cfg_attr(feature = "serve", schema(value_type = Option<[f64; 2]>))]
    accuracy_difference_interval: Option<Interval>,
    /// Of each run.
    log_loss: [f64; 2],
    log_loss_difference: f64,
    #[cfg_attr(feature = "serve", schema(value_type = Option<[f64; 2]>))]
    log_loss_difference_interval: Option<Interval>,
    /// Images that only the first run predicted correctly, and only the second run.
    only_correct: [u64; 2],
    /// The probability of such a difference, or a larger one, by chance.
    p_value: f64,
    /// Whether the difference of the accuracies is significant.
    significant: bool,
}

/// Compares the test predictions of two runs, and shows the result.
///
/// # Errors
/// A run without predictions; [`NotComparable`](crate::error::command::CommandError::NotComparable) if the runs were not
/// tested on the same images.
pub(crate) fn run(runs: [&Path; 2], screen: &Screen) -> Result<(), AppError> {
    let comparisons = compare(runs)?;
    comparisons.show(runs, screen);
    screen.result(&comparisons);
    Ok(())
}

/// Compares the test predictions of two runs.
///
/// # Errors
/// As [`run`].
pub(crate) fn compare(runs: [&Path; 2]) -> Result<Comparisons, AppError> {
    let [first, second] = [predictions_file::read(runs[0])?, predictions_file::read(runs[1])?];
    Ok(Comparisons::of(&pair(&first, &second)?))
}

impl Comparisons {
    fn of(paired: &PairedImages) -> Self {
        let main = paired.main();
        Self {
            with_leaked: (main.pairs.len() < paired.pairs.len()).then(|| Comparison::of(paired)),
            main: Comparison::of(&main),
            n_leaked: paired.is_leaked.iter().filter(|&&is_leaked| is_leaked).count(),
        }
    }

    fn show(&self, runs: [&Path; 2], screen: &Screen) {
        for (label, run) in ["first", "second"].iter().zip(runs) {
            screen.field(label, &run.display().to_string());
        }
        screen.field("test", &self.tested());
        screen.line("");
        screen.indented(&table(&self.main.rows()));
        screen.line("");
        screen.field("verdict", &self.main.verdict());
        if let Some((label, text)) = self.leakage_note() {
            screen.field(label, &text);
        }
    }

    /// Which images both runs were tested on.
    pub(crate) fn tested(&self) -> String {
        let Comparison { n, n_patients, n_groups, .. } = &self.main;
        let of = match (n_patients, n_groups) {
            (Some(n), _) => format!(" of {}", counted(*n, "patient")),
            (None, Some(n)) => format!(" ({n} without duplicates)"),
            (None, None) => String::new(),
        };
        let without = match &self.with_leaked {
            Some(_) => format!(", without {} that leaked", counted(self.n_leaked, "image")),
            None => String::new(),
        };
        format!("{}{of}, the same for both{without}", counted(*n, "image"))
    }

    /// What the images that leaked change, with a label.
    pub(crate) fn leakage_note(&self) -> Option<(&'static str, String)> {
        if let Some(all) = &self.with_leaked {
            let [first, second] = all.accuracy.map(percent);
            let text = format!(
                "all {} with the {} that leaked: accuracy {first} and {second}, {}",
                counted(all.n, "image"),
                counted(self.n_leaked, "image"),
                shown_p(all.p_value)
            );
            Some(("as given", text))
        } else if self.n_leaked > 0 {
            let text = "every test image leaked, so this says nothing about other images";
            Some(("LEAKAGE", text.to_owned()))
        } else {
            None
        }
    }
}

impl Comparison {
    fn of(paired: &PairedImages) -> Self {
        let PairedImages { pairs, groups: image_groups, .. } = paired;
        let groups = Groups::new(pairs.len(), image_groups.ids());
        let n = pairs.len() as f64;
        let accuracy = [0, 1].map(|run| pairs.iter().filter(|pair| pair.correct[run]).count() as f64 / n);
        let log_loss = [0, 1].map(|run| pairs.iter().map(|pair| pair.loss[run]).sum::<f64>() / n);
        let only = |run: usize| {
            pairs.iter().filter(|pair| pair.correct[run] && !pair.correct[1 - run]).count() as u64
        };
        let gain = |pair: &Pair| i64::from(pair.correct[1]) - i64::from(pair.correct[0]);
        let gains: Vec<i64> = pairs.iter().map(gain).collect();
        let [loss_differences] = bootstrap(&groups, |times| {
            let difference = |pair: &Pair| pair.loss[1] - pair.loss[0];
            let sum: f64 = pairs.iter().zip(times).map(|(pair, times)| times * difference(pair)).sum();
            [Some(sum / times.iter().sum::<f64>())]
        });
        let group_gains = groups.sums(gains.iter().map(|&gain| gain as f64).enumerate());
        let p_value = permutation_p(group_gains.iter().map(|[_, gain]| *gain as i64));
        Self {
            n: pairs.len(),
            n_patients: image_groups.has_patients().then_some(groups.n()),
            n_groups: groups.are_given().then_some(groups.n()),
            accuracy,
            accuracy_difference: accuracy[1] - accuracy[0],
            accuracy_difference_interval: gain_interval(&gains, &groups),
            log_loss,
            log_loss_difference: log_loss[1] - log_loss[0],
            log_loss_difference_interval: loss_differences.percentile(),
            only_correct: [only(0), only(1)],
            p_value,
            significant: p_value < SIGNIFICANCE,
        }
    }

    /// Accuracy and log loss of both runs as a table, headings first.
    pub(crate) fn rows(&self) -> [Vec<String>; 3] {
        let interval = |interval: Option<Interval>, scale: f64, digits: usize| {
            let ends = interval.map(|ends| ends.map(|end| format!("{:+.digits$}", scale * end)));
            or_dash(ends.map(|ends| ends.join(" to ")))
        };
        [
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
        ]
    }

    /// The result of the test, which is one of the accuracies alone, in one sentence.
    pub(crate) fn verdict(&self) -> String {
        let [first, second] = self.only_correct;
        let better = if second > first { "second" } else { "first" };
        let verdict = match (self.significant, first == second) {
            (true, _) => format!("the accuracy of the {better} run is significantly higher"),
            (false, false) => {
                format!("the accuracy of the {better} run is higher, but the difference is not significant")
            }
            (false, true) => "both runs predict equally many images correctly".to_owned(),
        };
        let test = match (self.n_patients, self.n_groups) {
            (Some(_), _) => "permutation test by patient",
            (None, Some(_)) => "permutation test with the copies of an image together",
            (None, None) => "McNemar's exact test",
        };
        let p = shown_p(self.p_value);
        format!("{verdict} (correct in only one run: {first} and {second}; {test}, {p})")
    }
}

fn shown_p(p: f64) -> String {
    if p < SMALLEST_P { format!("p < {SMALLEST_P}") } else { format!("p = {p:.3}") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::run_dir::predictions_file::RecordedPrediction;

    #[test]
    fn a_small_p_is_shown_as_a_limit() {
        assert_eq!((shown_p(0.000_4), shown_p(0.041_6)), ("p < 0.001".into(), "p = 0.042".into()));
    }

    fn recorded(path: usize, is_correct: bool) -> RecordedPrediction {
        let p = if is_correct { 0.9 } else { 0.2 };
        let predicted = if is_correct { "ill" } else { "well" };
        RecordedPrediction {
            path: path.to_string(),
            digest: format!("{path:016x}"),
            patient: None,
            group: None,
            class: "ill".to_owned(),
            predicted: predicted.to_owned(),
            probabilities: [("ill".to_owned(), p), ("well".to_owned(), 1.0 - p)].into(),
            logits: BTreeMap::new(),
            leaked: false,
            rejected: Some(false),
        }
    }

    #[test]
    fn images_that_leaked_in_either_run_are_beside_the_main_comparison() {
        let mut first: Vec<RecordedPrediction> = (0..40).map(|i| recorded(i, i % 2 == 0)).collect();
        let mut second: Vec<RecordedPrediction> = (0..40).map(|i| recorded(i, true)).collect();
        first[1].leaked = true;
        second[3].leaked = true;
        let comparisons = Comparisons::of(&pair(&first, &second).expect("the same images"));
        let all = comparisons.with_leaked.expect("two images leaked");
        assert_eq!((comparisons.main.n, all.n, comparisons.n_leaked), (38, 40, 2));
        assert_eq!((comparisons.main.only_correct, all.only_correct), ([0, 18], [0, 20]));
    }

    #[test]
    fn images_are_paired_by_path_and_a_clear_difference_is_significant() {
        let first: Vec<RecordedPrediction> = (0..60).map(|i| recorded(i, i % 3 == 0)).collect();
        let second: Vec<RecordedPrediction> = (0..60).rev().map(|i| recorded(i, i % 3 != 1)).collect();
        let comparison = Comparison::of(&pair(&first, &second).expect("the same images"));
        assert_eq!((comparison.n, comparison.only_correct), (60, [0, 20]));
        assert!((comparison.accuracy_difference - 1.0 / 3.0).abs() < 1e-12 && comparison.significant);
        let [low, high] = comparison.accuracy_difference_interval.expect("an interval");
        assert!(0.2 < low && high < 0.46, "{low} to {high}");
        assert!(comparison.log_loss_difference < 0.0);
        let same = Comparison::of(&pair(&first, &first).expect("the same images"));
        assert!(!same.significant);
    }

    fn contains_zero(comparison: &Comparison) -> bool {
        let [low, high] = comparison.accuracy_difference_interval.expect("an interval");
        (low..=high).contains(&0.0)
    }

    #[test]
    fn the_interval_of_the_difference_contains_zero_where_the_test_is_not_significant() {
        for (first, second, has_no_difference) in
            [(0usize, 3usize, true), (0, 5, true), (5, 0, true), (0, 7, false)]
        {
            let [of_first, of_second] = [(first, 0), (second, first)].map(|(n, before)| {
                (0..100)
                    .map(|i| recorded(i, i >= 12 || (before..before + n).contains(&i)))
                    .collect::<Vec<RecordedPrediction>>()
            });
            let comparison = Comparison::of(&pair(&of_first, &of_second).expect("the same images"));
            assert_eq!(comparison.only_correct, [first as u64, second as u64]);
            let swapped = Comparison::of(&pair(&of_second, &of_first).expect("the same images"));
            let [low, high] = comparison.accuracy_difference_interval.expect("an interval");
            let [other_low, other_high] = swapped.accuracy_difference_interval.expect("an interval");
            assert!((low + other_high).abs() < 1e-9 && (high + other_low).abs() < 1e-9, "{swapped:?}");
            let found = (contains_zero(&comparison), !comparison.significant);
            assert_eq!(found, (has_no_difference, has_no_difference), "{comparison:?}");
            let verdict = comparison.verdict();
            assert!(verdict.starts_with("the accuracy of the"), "{verdict}");
        }
    }

    /// Ten patients with six images each, all six correct or all six wrong: 24 more images are correct, but of only four
    /// patients.
    #[test]
    fn images_of_one_patient_are_not_independent() {
        let of_patients = |is_correct: &dyn Fn(usize) -> bool| -> Vec<RecordedPrediction> {
            let patient = |i: usize| Some(format!("p{}", i / 6));
            (0..60)
                .map(|i| RecordedPrediction { patient: patient(i), ..recorded(i, is_correct(i / 6)) })
                .collect()
        };
        let (first, second) = (of_patients(&|patient| patient < 4), of_patients(&|patient| patient < 8));
        let by_patient = Comparison::of(&pair(&first, &second).expect("the same images"));
        assert_eq!(
            (by_patient.n_patients, by_patient.p_value, by_patient.significant),
            (Some(10), 0.125, false)
        );
        assert!(contains_zero(&by_patient), "{by_patient:?}");
        let unknown = |lines: &[RecordedPrediction]| -> Vec<RecordedPrediction> {
            lines.iter().map(|line| RecordedPrediction { patient: None, ..line.clone() }).collect()
        };
        let by_image = Comparison::of(&pair(&unknown(&first), &unknown(&second)).expect("the same images"));
        assert!(by_image.p_value < 1e-6);
        let width = |interval: Option<Interval>| interval.map(|[low, high]| high - low).expect("an interval");
        let [clustered, plain] =
            [&by_patient, &by_image].map(|found| width(found.accuracy_difference_interval));
        assert!(clustered > 1.8 * plain, "{clustered} against {plain}");
    }

    /// As above, with ten images instead of patients, each of them six times.
    #[test]
    fn copies_of_an_image_are_not_independent() {
        let compared = |change: &dyn Fn(usize, &mut RecordedPrediction)| {
            let [first, second] = [4, 8].map(|n_correct| {
                let mut lines: Vec<RecordedPrediction> =
                    (0..60).map(|i| recorded(i, i / 6 < n_correct)).collect();
                lines.iter_mut().enumerate().for_each(|(i, line)| change(i / 6, line));
                lines
            });
            Comparisons::of(&pair(&first, &second).expect("the same images"))
        };
        let equal = compared(&|image, line| line.digest = format!("{image:016x}"));
        let alike = compared(&|image, line| line.group = Some(image as u32));
        for comparisons in [equal, alike] {
            let found = &comparisons.main;
            assert_eq!((found.n_patients, found.n_groups, found.p_value), (None, Some(10), 0.125));
            assert!(contains_zero(found) && found.verdict().contains("copies of an image together"));
            assert_eq!(comparisons.tested(), "60 images (10 without duplicates), the same for both");
        }
    }

    #[test]
    fn runs_with_different_test_images_are_not_compared() {
        let first = [recorded(0, true), recorded(1, true)];
        let reason_for = |change: &dyn Fn(&mut RecordedPrediction)| {
            let mut other = first.clone();
            change(&mut other[1]);
            pair(&first, &other).expect_err("they are not the same").to_string()
        };
        let other_image = |line: &mut RecordedPrediction| {
            (line.path, line.digest) = ("2".to_owned(), "another".to_owned());
        };
        assert!(reason_for(&other_image).contains("only one of them was tested on 1"));
        assert!(reason_for(&|line| line.path = "0".into()).contains("several images with the path 0"));
        assert!(
            reason_for(&|line| line.class = "well".into())
                .contains("the class of 1 is ill in one and well in the other")
        );
        let other_pixels = reason_for(&|line| line.digest = "another".into());
        assert!(other_pixels.contains("1 is not the same image in both"), "{other_pixels}");
        assert!(!other_pixels.contains("  "), "{other_pixels}");
        assert!(pair(&first, &first[..1]).is_err() && pair(&[], &[]).is_err());
    }

    #[test]
    fn a_run_with_pseudonyms_is_compared_by_the_digests_of_its_images() {
        let first: Vec<RecordedPrediction> = (0..6).map(|i| recorded(i, i % 2 == 0)).collect();
        let renamed = |(i, line): (usize, RecordedPrediction)| RecordedPrediction {
            path: format!("image {:05}.png", 6 - i),
            ..line
        };
        let second = (0..6).map(|i| recorded(i, true)).enumerate().map(renamed);
        let second: Vec<RecordedPrediction> = second.rev().collect();
        let comparison = Comparison::of(&pair(&first, &second).expect("the same images"));
        assert_eq!((comparison.n, comparison.only_correct), (6, [0, 3]));
    }

    #[test]
    fn copies_of_an_image_with_other_paths_are_paired_by_their_class() {
        let copy = |path: usize, class: &str| RecordedPrediction {
            digest: "a".to_owned(),
            class: class.to_owned(),
            ..recorded(path, true)
        };
        let (first, second) = ([copy(0, "ill"), copy(1, "well")], [copy(2, "well"), copy(3, "ill")]);
        assert!(pair(&first, &second).is_ok());
        assert!(pair(&first, &[copy(2, "well"), copy(3, "well")]).is_err());
        // A partner with the same path is not given to another copy.
        let other = RecordedPrediction { digest: "b".to_owned(), ..copy(4, "ill") };
        let error = pair(&[copy(0, "ill"), copy(1, "ill")], &[copy(1, "ill"), other]).unwrap_err();
        assert!(error.to_string().contains("only one of them was tested on 0"), "{error}");
    }
}
