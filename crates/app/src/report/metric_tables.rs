//! The metrics of a set as tables of the report.

use maud::{Markup, html};

use super::input::{sentence, with_code};
use crate::metrics::{Metric, SubsetMetrics};
use crate::terminal::figures::{number, range};
use crate::terminal::screen::counted;
use crate::terminal::tables::missing_classes_in_words;

/// All metrics of a set with their intervals: of the whole set, then by class; and the classes that it has no image of.
pub(super) fn metric_tables(metrics: &SubsetMetrics) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { (counted(metrics.confusion.n() as usize, "image")) } th { "value" } th { "95 % interval" } } }
            tbody { @for Metric { name, value, interval, .. } in std::iter::once(metrics.accuracy).chain(metrics.overall()) {
                tr { td { (name) } td { (number(value)) } td { (range(interval)) } }
            } }
        } }
        div.scroll { table {
            thead { tr { th { "class" } th { "images" }
                @for metric in metrics.per_class[0].all() { th { (metric.name) } } } }
            tbody { @for (name, class) in metrics.class_names.iter().zip(&metrics.per_class) {
                tr { td { (name) } td { (class.n) }
                    @for Metric { value, interval, .. } in class.all() { td { (number(value)) div.soft { (range(interval)) } } } }
            } }
        } }
        @if let Some(text) = missing_classes_in_words(metrics) { p.remark { (with_code(&sentence(&text))) } }
    }
}

/// The confusion matrix: a row for each true class, a column for each predicted class.
pub(super) fn confusion_table(metrics: &SubsetMetrics) -> Markup {
    let names = &metrics.class_names;
    let shade = |truth: usize, predicted: usize| {
        let share =
            metrics.confusion.count(truth, predicted) as f64 / metrics.confusion.support(truth).max(1) as f64;
        let colour = if truth == predicted { "--good" } else { "--bad" };
        format!("background: color-mix(in srgb, var({colour}) {:.0}%, transparent)", 55.0 * share)
    };
    html! {
        h3 { "Confusion matrix" }
        div.scroll { table.matrix {
            thead { tr { th { "true \\ predicted" } @for name in names { th { (name) } } } }
            tbody { @for (truth, name) in names.iter().enumerate() {
                tr { th { (name) } @for predicted in 0..names.len() {
                    td style=(shade(truth, predicted)) { (metrics.confusion.count(truth, predicted)) } } }
            } }
        } }
    }
}
