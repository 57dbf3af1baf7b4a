//! The figures of a report as tables.

use maud::{Markup, html};

use crate::metrics::{Interval, PartMetrics};
use crate::terminal::screen::counted;

/// All figures of a part, with their intervals.
pub(super) fn figures_table(part: &PartMetrics) -> Markup {
    let range = |interval: Option<Interval>| {
        interval.map_or_else(|| "-".to_owned(), |[low, high]| format!("{low:.3} to {high:.3}"))
    };
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let accuracy = ("", "accuracy", Some(part.confusion.accuracy()), part.accuracy_interval());
    html! {
        div.scroll { table {
            thead { tr { th { (counted(part.confusion.n() as usize, "picture")) } th { "value" } th { "95 % interval" } } }
            tbody { @for (_, name, value, interval) in std::iter::once(accuracy).chain(part.overall()) {
                tr { td { (name) } td { (number(value)) } td { (range(interval)) } }
            } }
        } }
        div.scroll { table {
            thead { tr { th { "class" } th { "pictures" }
                @for name in ["recall", "precision", "specificity", "ROC AUC"] { th { (name) } } } }
            tbody { @for (class, name) in part.class_names.iter().enumerate() {
                tr { td { (name) } td { (part.confusion.n_of(class)) }
                    @for (_, value, interval) in part.of_class(class) { td { (number(value)) div.soft { (range(interval)) } } } }
            } }
        } }
    }
}

/// Who was taken for whom.
pub(super) fn confusion_table(part: &PartMetrics) -> Markup {
    let names = &part.class_names;
    let shade = |class: usize, answer: usize| {
        let share = part.confusion.count(class, answer) as f64 / part.confusion.n_of(class).max(1) as f64;
        let colour = if class == answer { "--good" } else { "--bad" };
        format!("background: color-mix(in srgb, var({colour}) {:.0}%, transparent)", 55.0 * share)
    };
    html! {
        h3 { "Confusion matrix" }
        div.scroll { table.matrix {
            thead { tr { th { "is \\ said" } @for name in names { th { (name) } } } }
            tbody { @for (class, name) in names.iter().enumerate() {
                tr { th { (name) } @for answer in 0..names.len() {
                    td style=(shade(class, answer)) { (part.confusion.count(class, answer)) } } }
            } }
        } }
    }
}
