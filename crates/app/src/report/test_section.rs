//! The section on the test set: metrics, confusion matrix, ROC curves, reliability.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::input::{MANY_CLASSES, ReportInput};
use super::metric_tables::{confusion_table, metric_tables};
use super::plot::{Axis, Guide, Series, SeriesStyle, Tip, plot};
use crate::metrics::Scorer;
use crate::model::temperature_limits::is_at_limit;
use crate::terminal::screen::counted;

/// ROC curves at most; more could not be told apart by colour.
const MAX_CURVES: usize = 8;
/// Tips of the ROC plot: false positive rates in steps of 5 %.
const ROC_TIPS: u32 = 20;

/// The whole section: the main images with every figure, and beside them what is different for all images.
pub(super) fn test_section(input: &ReportInput<'_>) -> Markup {
    let metrics = input.metrics;
    let (Some(predicted), Some(test)) = (input.test, &metrics.test) else {
        return html! { h2 id="test" { "Test" } p { "There is no test set." } };
    };
    let main = predicted.main();
    let (names, scorer) = (&test.test.class_names, Scorer::new(&main.predictions));
    html! {
        h2 id="test" { "Test" }
        @if test.test_deduplicated.is_some() {
            h3 { "Test set without leakage (" (counted(test.n_leaked, "image")) " left out)" }
        }
        (metric_tables(test.main()))
        @if names.len() <= MANY_CLASSES { (confusion_table(test.main())) }
        @if names.len() > MAX_CURVES {
            p.soft { "ROC curves are shown for the first " (MAX_CURVES) " of " (names.len()) " classes." }
        }
        div.plots { (roc_plot(names, &scorer)) (reliability_plot(&scorer)) }
        @if let Some(calibration) = &metrics.calibration {
            p.soft { "Calibration: logits are divided by the temperature " (format!("{:.2}", calibration.temperature))
                ", fitted on the validation set."
                @if is_at_limit(calibration.temperature) {
                    " This is a limit of the search, which found no minimum of the loss: the probabilities are not calibrated."
                }
            }
        }
        @if let Some(words) = input.model.card.prior.in_words() { p.soft { "Class prior: " (words) "." } }
        @if test.test_deduplicated.is_some() {
            h3 { "Whole test set, with the " (counted(test.n_leaked, "image")) " that leaked" }
            (metric_tables(&test.test))
            @if names.len() <= MANY_CLASSES { (confusion_table(&test.test)) }
        }
        @if let Some(accepted) = &test.test_accepted {
            h3 { "Without the " (counted(test.n_main_rejected.unwrap_or(0), "image")) " that the model rejects" }
            (metric_tables(accepted))
        }
    }
}

fn roc_plot(names: &[String], scorer: &Scorer<'_>) -> Markup {
    let curve = |(class, name): (usize, &'_ String)| (name.clone(), scorer.roc_curve(class));
    let curves: Vec<(String, Vec<[f64; 2]>)> = names.iter().enumerate().take(MAX_CURVES).map(curve).collect();
    let series: Vec<Series<'_>> = curves
        .iter()
        .filter(|(_, points)| !points.is_empty())
        .map(|(name, points)| Series { name, points: points.clone(), style: SeriesStyle::Line })
        .collect();
    let (x, y) = (unit_axis("false positive rate"), unit_axis("true positive rate"));
    plot("ROC: each class against the rest", &x, &y, &series, &roc_tips(&series), Guide::Diagonal)
}

/// The true positive rate of every curve, at evenly spaced false positive rates.
fn roc_tips(curves: &[Series<'_>]) -> Vec<Tip> {
    let tip = |index: u32| {
        let x = f64::from(index) / f64::from(ROC_TIPS);
        let mut text = format!("false positive rate {x:.2}");
        for curve in curves {
            let _ = write!(text, "\n{} {:.2}", curve.name, true_positive_rate(curve, x));
        }
        Tip { x, text }
    };
    (0..=ROC_TIPS).map(tip).collect()
}

/// The highest true positive rate of a curve at a false positive rate of at most `limit`.
fn true_positive_rate(curve: &Series<'_>, limit: f64) -> f64 {
    let reached = curve.points.iter().rev().find(|point| point[0] <= limit + 1e-9);
    reached.map_or(0.0, |point| point[1])
}

fn reliability_plot(scorer: &Scorer<'_>) -> Markup {
    let bins = scorer.reliability();
    let tip = |&(predicted, observed, n): &(f64, f64, usize)| Tip {
        x: predicted,
        text: format!("predicted {predicted:.2}\nobserved {observed:.2}\n{}", counted(n, "image")),
    };
    let tips: Vec<Tip> = bins.iter().map(tip).collect();
    let points = bins.iter().map(|&(predicted, observed, _)| [predicted, observed]).collect();
    // No line between the dots: a bin of few images would bend it by chance.
    let series = Series { name: "", points, style: SeriesStyle::Dots };
    let (x, y) = (unit_axis("predicted probability"), unit_axis("observed accuracy"));
    plot(
        "Reliability: predicted probability and observed accuracy",
        &x,
        &y,
        &[series],
        &tips,
        Guide::Diagonal,
    )
}

fn unit_axis(label: &'static str) -> Axis {
    Axis::new(label, [0.0, 1.0])
}
