//! `sweep.html`: the trainings of a sweep as a plot and as a table, and the command that trains the best setting.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::page::head;
use super::parallel_coordinates::parallel_coordinates;
use crate::run_dir::sweep_record::{RungRecord, SweepRecord, TrainingRecord};
use crate::terminal::figures::{number, or_dash};
use crate::terminal::foreign_text::printable_lines;

/// The whole page.
#[must_use]
pub(crate) fn sweep_page(record: &SweepRecord, is_medical: bool) -> String {
    let title = "Roentgen: sweep";
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body {
                style { (PreEscaped(include_str!("sweep.css"))) }
                header {
                    h1 { (title) }
                    p.verdict { (verdict(record)) }
                    @if is_medical { p.caution { "Not a medical device." } }
                }
                (parallel_coordinates(record))
                (next_section(record))
                h2 { "Trainings, from the best to the worst" }
                (rungs(&record.rungs))
                div.scroll { table {
                    thead { tr {
                        th { "training" }
                        @for setting in &record.settings { th { (setting.name) } }
                        th { "epochs" } th { "saved epoch" } th { (record.score.name) } th { "log loss" }
                    } }
                    tbody { @for training in &record.trainings { (row(training, record)) } }
                } }
            }
        }
    };
    // Texts of settings and failures are anywhere on the page.
    printable_lines(&markup.into_string())
}

fn verdict(record: &SweepRecord) -> String {
    let best = &record.trainings[0];
    let n = record.trainings.len();
    let Some(score) = best.last().score else {
        return format!("None of the {n} trainings can be used.");
    };
    let settings =
        record.settings.iter().map(|setting| format!("{} {}", setting.name, best.text_of(setting.name)));
    let settings = settings.collect::<Vec<_>>().join(", ");
    format!("Best of {n} settings: {settings}, with a validation {} of {score:.3}.", record.score.name)
}

/// What to do with the result.
fn next_section(record: &SweepRecord) -> Markup {
    html! {
        @if let Some(command) = &record.command {
            h2 { "Next" }
            p {
                "The best of many validation scores is too high by selection, and says little about new images. The test set was \
                 not evaluated. Train the best setting once, and report the test metrics of that run:"
            }
            pre { (command) }
            @if let Some(key) = record.command_key {
                p { "In the command, words such as " code { "data" } " replace the paths: insert those of " (key)
                    " in the folder of the sweep." }
            }
        }
    }
}

/// How many trainings each rung has.
fn rungs(rungs: &[RungRecord]) -> Markup {
    let epochs = |divisor: usize| match divisor {
        1 => "all epochs".to_owned(),
        _ => format!("1/{divisor} of the epochs"),
    };
    html! {
        @if rungs.len() > 1 {
            p.soft {
                "Successive halving: "
                @for (index, rung) in rungs.iter().enumerate() {
                    @if index > 0 { ", then the best " }
                    (rung.n_trainings) " with " (epochs(rung.epochs_divisor))
                }
                ". The figures of a training are those of the last rung that it reached."
            }
        }
    }
}

fn row(training: &TrainingRecord, record: &SweepRecord) -> Markup {
    let last = training.last();
    html! {
        tr {
            td { (training.number) }
            @for setting in &record.settings { td { (training.text_of(setting.name)) } }
            td { (last.epochs) }
            @if let Some(failure) = &last.failure {
                td.reason colspan="3" { "failed: " (failure) }
            } @else {
                td { (or_dash(last.saved_epoch.map(|epoch| epoch.to_string()))) }
                td { (number(last.score)) }
                td { (number(last.log_loss)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parallel_coordinates::tests::record;
    use super::*;

    #[test]
    fn the_page_names_the_best_the_failed_and_the_command() {
        let page = sweep_page(&record(false), true);
        for words in [
            "Best of 3 settings: max-lr 0.01, decay l2, with a validation accuracy of 0.900.",
            "failed: diverged &lt;b&gt;",
            "<pre>roentgen train --max-lr 0.01</pre>",
            "Not a medical device.",
            "script-src 'none'",
        ] {
            assert!(page.contains(words), "{words}: {page}");
        }
        assert!(!page.contains("pseudonyms.csv"), "{page}");
        let with_key =
            sweep_page(&SweepRecord { command_key: Some("pseudonyms.csv"), ..record(false) }, true);
        assert!(with_key.contains("insert those of pseudonyms.csv in the folder of the sweep"), "{with_key}");
        let mut none = record(false);
        none.trainings = none.trainings.split_off(2);
        none.command = None;
        let page = sweep_page(&none, false);
        assert!(page.contains("None of the 1 trainings can be used.") && !page.contains("<pre>"), "{page}");
    }
}
