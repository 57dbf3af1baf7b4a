//! Tables of a data set, and of the metrics of a test set.

use roentgen_data::{BadFile, Dataset, Findings, ImageSet, SubsetOfData, SubsetOrigin};

use crate::cpu;
use crate::metrics::test_metrics::TestMetrics;
use crate::metrics::{ClassMetrics, Confusion, Metric, SubsetMetrics, WIDE_INTERVAL};
use crate::terminal::figures::{colour_word, number, or_dash, percent, range};
use crate::terminal::foreign_text::error_line;
use crate::terminal::screen::{INDENT, Screen, counted, listed, table, wrap};

/// Most classes whose confusion matrix is shown; `metrics.json` has it of more.
const MAX_SHOWN_CLASSES: usize = 24;

/// Heading of the first column of a confusion matrix.
const CONFUSION_CORNER: &str = r"true \ predicted";
/// Shown under every test table.
const CAUTION: &str =
    "A high accuracy may come from where the images were taken rather than from what they show.";
/// Shown before that, and with predictions, where the images are medical.
pub(crate) const MEDICAL_CAUTION: &str = "Not a medical device. ";

/// Where the data come from, and the number of images per set and class.
pub(crate) fn show_data(screen: &Screen, source: &str, data: &Dataset) {
    screen.field("data", source);
    let mut rows = vec![vec![String::new(), "images".to_owned()]];
    rows[0].extend(data.class_names.iter().cloned());
    for SubsetOfData { subset, set, origin } in data.subsets().into_iter().filter(|of| !of.set.is_empty()) {
        let split = if origin == SubsetOrigin::SplitOff { ", split off" } else { "" };
        let mut row = vec![format!("{}{split}", subset.in_words()), set.len().to_string()];
        row.extend(set.class_counts(data.class_names.len()).iter().map(ToString::to_string));
        rows.push(row);
    }
    let mut lines = table(&rows);
    // Many or long names: a class per line instead of a class per column.
    if lines.iter().any(|line| line.chars().count() + INDENT > screen.width()) {
        lines = table(&transposed(rows));
    }
    for line in lines {
        screen.line(&format!("{:INDENT$}{line}", ""));
    }
}

/// Unusable files, each with its reason, and the notes of the loader.
pub(crate) fn show_remarks(screen: &Screen, findings: &Findings) {
    let Findings { bad, notes, .. } = findings;
    if !bad.is_empty() {
        screen.field("skipped", &counted(bad.len(), "unusable file"));
    }
    for BadFile { path, reason } in bad {
        screen.line(&error_line(&format!("{:INDENT$}{}: {reason}", "", path.display())));
    }
    for note in notes {
        screen.field("note", note);
    }
}

fn transposed(rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let column = |index: usize| rows.iter().map(|row| row[index].clone()).collect();
    (0..rows[0].len()).map(column).collect()
}

/// Threads and vector registers; of several ranks, those of the first.
pub(crate) fn show_machine(screen: &Screen, n_ranks: usize, n_threads: usize) {
    let threads = counted(n_threads, "thread");
    let workers = if n_ranks == 1 { threads } else { format!("{n_ranks} ranks, {threads} in the first") };
    screen.field("machine", &format!("{workers}, {}", cpu::vector_width()));
}

/// How images are prepared for the model, and how they are augmented in training.
pub(crate) fn show_images(screen: &Screen, set: &ImageSet, resizing: &str, augmentation: &str) {
    screen.field("images", &format!("{}, {resizing}", colour_word(set.channels())));
    screen.field("augmented", augmentation);
}

/// The tables of the main test images; below them, how the accuracy is on all images if some leaked, and without those that
/// the model rejects.
pub(crate) fn show_test_tables(screen: &Screen, heading: &str, metrics: &TestMetrics) {
    let TestMetrics { test_deduplicated, test, n_leaked, .. } = metrics;
    let main = metrics.main();
    let without =
        test_deduplicated.as_ref().map_or_else(String::new, |_| format!(", without {n_leaked} that leaked"));
    show_test(screen, &format!("{heading}{without}"), main);
    if test_deduplicated.is_some() {
        let text = format!("{}, with the {n_leaked} that leaked: {}", of_all_images(test), accuracy_of(test));
        screen.field("as given", &text);
    } else if *n_leaked > 0 {
        screen.field("LEAKAGE", "every test image leaked, so these metrics say nothing about other images");
    }
    if let Some(n_rejected) = metrics.n_main_rejected {
        screen.field("rejected", &rejection_line(metrics, n_rejected));
    }
}

fn of_all_images(metrics: &SubsetMetrics) -> String {
    format!("all {}", counted(metrics.confusion.n() as usize, "test image"))
}

fn accuracy_of(metrics: &SubsetMetrics) -> String {
    let SubsetMetrics { confusion, .. } = metrics;
    let (n, n_correct) = (confusion.n(), confusion.n_correct());
    format!("accuracy {} ({n_correct} of {n})", percent(confusion.accuracy()))
}

/// How many of the main images `predict` would reject, and the accuracy with and without them.
fn rejection_line(metrics: &TestMetrics, n_rejected: usize) -> String {
    let main = metrics.main();
    let images = counted(main.confusion.n() as usize, "test image");
    match &metrics.test_accepted {
        Some(accepted) => format!(
            "{n_rejected} of {images} would be rejected; without them {}, with them {}",
            accuracy_of(accepted),
            accuracy_of(main)
        ),
        None if n_rejected == 0 => format!("none of {images} would be rejected"),
        None => format!("all {images} would be rejected"),
    }
}

/// Accuracy, the metrics of each class, every other metric with its interval, and the confusion matrix.
fn show_test(screen: &Screen, heading: &str, metrics: &SubsetMetrics) {
    let SubsetMetrics { class_names, confusion, .. } = metrics;
    let (n, n_correct) = (confusion.n(), confusion.n_correct());
    screen.line("");
    let accuracy = format!("accuracy {}", percent(confusion.accuracy()));
    screen.field("test", &format!("{heading}: {accuracy} ({n_correct} of {n} images)"));
    if let Some([low, high]) = metrics.accuracy.interval {
        let few = if high - low > WIDE_INTERVAL {
            "; the interval is wide because there are few independent images"
        } else {
            ""
        };
        let interval = format!("{} to {}", percent(low), percent(high));
        screen.field("", &format!("{}: the 95 % interval is {interval}{few}", counted(n as usize, "image")));
    }
    screen.line("");
    let width = screen.width().saturating_sub(2);
    let (lines, left_out) = class_table(metrics, width);
    screen.indented(&lines);
    if !left_out.is_empty() {
        let text = format!("not shown in this width: {}; --json has all metrics", left_out.join(", "));
        screen.indented(&wrap(&text, width));
    }
    screen.line("");
    screen.indented(&overall_table(metrics));
    if let Some(text) = missing_classes_in_words(metrics) {
        screen.line("");
        screen.field("note", &text);
    }
    if class_names.len() <= MAX_SHOWN_CLASSES {
        screen.line("");
        let heading = "confusion matrix: rows are the true classes, columns the predicted ones";
        screen.indented(&wrap(heading, width));
        screen.indented(&confusion_table(class_names, confusion, width));
    }
}

/// Which classes the means over classes leave out, since the set has no image of them.
pub(crate) fn missing_classes_in_words(metrics: &SubsetMetrics) -> Option<String> {
    let classes = metrics.class_names.iter().zip(&metrics.per_class);
    let missing: Vec<String> =
        classes.filter(|(_, class)| class.n == 0).map(|(name, _)| format!("`{name}`")).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "there is no image of {}: balanced accuracy, macro F1 and macro ROC AUC are means over the other classes",
            listed(&missing)
        )
    })
}

/// What a reader must not take from a test table.
pub(crate) fn show_caution(screen: &Screen, is_medical: bool) {
    screen.line("");
    screen.field("caution", &format!("{}{CAUTION}", if is_medical { MEDICAL_CAUTION } else { "" }));
}

/// The metrics of each class, as many of them as fit into `width`; and the headings of those that do not.
fn class_table(metrics: &SubsetMetrics, width: usize) -> (Vec<String>, Vec<&'static str>) {
    /// Columns that are always shown.
    const MIN_COLUMNS: usize = 3;
    let share = |value: Option<f64>| or_dash(value.map(percent));
    let heading = ["class", "images", "recall", "95 % interval", "precision", "specificity", "ROC AUC"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for (name, class) in metrics.class_names.iter().zip(&metrics.per_class) {
        let ClassMetrics { n, recall, precision, specificity, roc_auc } = class;
        let interval =
            recall.interval.map(|[low, high]| format!("{:.1} to {:.1} %", 100.0 * low, 100.0 * high));
        rows.push(vec![
            name.clone(),
            n.to_string(),
            share(recall.value),
            or_dash(interval),
            share(precision.value),
            share(specificity.value),
            number(roc_auc.value),
        ]);
    }
    let mut lines = table(&rows);
    while lines.iter().any(|line| line.chars().count() > width) && rows[0].len() > MIN_COLUMNS {
        rows.iter_mut().for_each(|row| drop(row.pop()));
        lines = table(&rows);
    }
    let left_out = heading[rows[0].len()..].to_vec();
    (lines, left_out)
}

/// The metrics over all classes besides the accuracy.
fn overall_table(metrics: &SubsetMetrics) -> Vec<String> {
    let mut rows = vec![["", "value", "95 % interval"].map(str::to_owned).to_vec()];
    for Metric { name, value, interval, .. } in metrics.overall() {
        rows.push(vec![name.to_owned(), number(value), range(interval)]);
    }
    table(&rows)
}

/// The matrix with names over its columns, or with numbers where names don't fit into `width`.
fn confusion_table(class_names: &[String], confusion: &Confusion, width: usize) -> Vec<String> {
    let with_heads = |row_names: Vec<String>, column_names: Vec<String>| {
        let mut rows = vec![[vec![CONFUSION_CORNER.to_owned()], column_names].concat()];
        for (name, counts) in row_names.into_iter().zip(confusion.rows()) {
            rows.push(std::iter::once(name).chain(counts.iter().map(ToString::to_string)).collect());
        }
        table(&rows)
    };
    let lines = with_heads(class_names.to_vec(), class_names.to_vec());
    if lines.iter().all(|line| line.chars().count() <= width) {
        return lines;
    }
    let numbers: Vec<String> = (1..=class_names.len()).map(|number| number.to_string()).collect();
    let numbered = numbers.iter().zip(class_names).map(|(number, name)| format!("{number} {name}"));
    with_heads(numbered.collect(), numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Predictions;

    #[test]
    fn the_class_table_names_the_columns_that_do_not_fit() {
        let mut predictions = Predictions::new(2);
        predictions.add(0, [1.0, 0.0].into_iter());
        predictions.add(1, [0.0, 1.0].into_iter());
        let metrics = SubsetMetrics::new(vec!["ill".into(), "well".into()], &predictions, None);
        for (width, last, left_out) in [
            (50, "precision", &["specificity", "ROC AUC"][..]),
            (5, "recall", &["95 % interval", "precision", "specificity", "ROC AUC"]),
            (100, "specificity  ROC AUC", &[]),
        ] {
            let (lines, found) = class_table(&metrics, width);
            assert!(lines[0].ends_with(last) && (lines[0].len() <= width || width == 5), "{}", lines[0]);
            assert_eq!(found, left_out);
        }
    }

    #[test]
    fn classes_that_the_means_leave_out_are_named() {
        let words = |n_classes: usize| {
            let mut predictions = Predictions::new(n_classes);
            predictions.add(0, (0..n_classes).map(|class| class as f64));
            predictions.add(1, (0..n_classes).map(|class| class as f64));
            let names = (0..n_classes).map(|class| format!("c{class}")).collect();
            missing_classes_in_words(&SubsetMetrics::new(names, &predictions, None))
        };
        assert_eq!(words(2), None);
        let two = words(4).expect("two are missing");
        assert!(two.starts_with("there is no image of `c2`, `c3`: balanced accuracy, macro F1"), "{two}");
        let many = words(20).expect("18 are missing");
        assert!(many.contains("`c13`, ...: balanced"), "{many}");
    }

    #[test]
    fn the_confusion_table_numbers_its_columns_if_names_do_not_fit() {
        let names = ["Covid".to_owned(), "Viral Pneumonia".to_owned()];
        let mut confusion = Confusion::new(2);
        confusion.add(0, 1);
        let wide = confusion_table(&names, &confusion, 80);
        assert_eq!(wide[0], r"true \ predicted  Covid  Viral Pneumonia");
        assert_eq!(wide[1], "Covid                 0                1");
        let narrow = confusion_table(&names, &confusion, 30);
        assert_eq!(narrow[0], r"true \ predicted   1  2");
        assert_eq!(narrow[1], "1 Covid            0  1");
    }
}
