//! The pages: to start a training, and to watch one.

use clap::ValueEnum as _;
use maud::{Markup, html};

use super::super::data::sets::SetInfo;
use super::super::data_set::DataSet;
use super::super::layout::{encoded, page};
use super::super::page_words::without_flags;
use super::order::SETTINGS;
use super::progress::{Progress, Stage};
use super::samples::{N_EPOCHS, N_IMAGES};
use crate::config::{Preset, TrainConfig, settings};
use crate::report::{accuracy_plot, loss_plot};
use crate::run_dir::records::LogLine;
use crate::terminal::screen::counted;

/// Most epochs that a plot has points of: more than it has pixels, in a few hundred kilobytes.
const MAX_POINTS: usize = 1000;
/// What the page of an interrupted training says.
const RESUMABLE: &str = "Nothing trains it now. Resume goes on from its checkpoint; a training that ended in its first seconds has no \
                         checkpoint, and begins again. The result is that of a training without interruption.";

/// A page with `body`, and with `train.js` where it `starts` a training.
fn train_page(starts: bool, body: &Markup) -> Markup {
    page(
        "/train",
        "Roentgen: train",
        starts.then_some("train.js"),
        html! {
            link rel="stylesheet" href="/static/train.css";
            h1 { "Train" }
            (body)
        },
    )
}

/// The page to start a training on the images that `text` names, and the user `title`; `at_work` is the run that is in training.
pub(super) fn start(
    text: &str,
    data: &DataSet,
    title: &str,
    at_work: Option<&str>,
    skip_bad: bool,
) -> Markup {
    train_page(
        true,
        &html! {
            p.verdict { "Train a model on " (title) }
            @if *data == DataSet::Phantoms {
                p.soft { "These are chest films that the program draws, to try everything out: it takes about a minute. "
                    "Images of your own are chosen on the page " a href="/data" { "Data" } "." }
            } @else {
                p.soft { a href="/data" { "Choose other images" } }
            }
            @if let Some(name) = at_work {
                p.remark { a href=(format!("/runs/{}/training", encoded(name))) { (name) }
                    " is in training. One training runs at a time." }
            }
            form #start {
                input type="hidden" name="data" value=(text);
                button.main type="submit" { "Start the training" }
                p #problem .remark.bad role="alert" hidden {}
                details open[skip_bad] { summary { "More" } (more(data, skip_bad)) }
            }
        },
    )
}

/// The page of a server that has no place for another run.
pub(super) fn of_single_run() -> Markup {
    train_page(
        false,
        &html! {
            p.remark { "This server shows a single run, and trains no other one. To train, start roentgen serve with a folder of "
                "runs." }
        },
    )
}

/// The page where the images have to be fixed first.
pub(super) fn to_fix(text: &str, title: &str) -> Markup {
    train_page(
        false,
        &html! {
            p.verdict { "Train a model on " (title) }
            p.remark.bad { "The check of these images found something that has to be fixed before a training." }
            p { a.main href=(format!("/data?data={}", encoded(text))) { "Show what it is" } }
        },
    )
}

/// The page where no images have been chosen.
pub(super) fn choice(sets: &[SetInfo]) -> Markup {
    train_page(
        false,
        &html! {
            p.verdict { "Which images should a model be trained on?" }
            p { a.main href="/data" { "Choose images" } }
            @if !sets.is_empty() {
                h2 { "Your sets" }
                ul.runs { @for set in sets {
                    li { a href=(format!("/data?data={}", encoded(&set.data))) { (set.title) }
                        " " span.soft { (counted(set.contents.n_images, "image")) } }
                } }
            }
            p.soft { "To try everything out, there are chest films that the program draws: "
                a href="/data?data=phantoms" { "example films" } "." }
        },
    )
}

/// The settings, with the help texts of the command line.
fn more(data: &DataSet, skip_bad: bool) -> Markup {
    let offered = SETTINGS.iter().filter(|name| **name != "films" || *data == DataSet::Phantoms);
    html! {
        div.field {
            label for="name" { "name" }
            input #name name="name" maxlength="100" autocomplete="off" aria-describedby="about-name";
            p.soft id="about-name" { "Name of the model [default: that of the images]" }
        }
        div.field {
            label for="preset" { "preset" }
            select #preset name="preset" aria-describedby="about-preset" {
                option value="" { "default" }
                @for value in Preset::value_variants().iter().filter_map(|preset| preset.to_possible_value()) {
                    option value=(value.get_name()) { (value.get_name()) }
                }
            }
            p.soft id="about-preset" {
                @for value in Preset::value_variants().iter().filter_map(|preset| preset.to_possible_value()) {
                    @if let Some(help) = value.get_help() { (value.get_name()) ": " (help.to_string()) " " }
                }
            }
        }
        @for name in offered { (field(name)) }
        @if *data != DataSet::Phantoms {
            div.field {
                label.choice {
                    input type="checkbox" name="skip_bad" value="true" checked[skip_bad] aria-describedby="about-skip_bad";
                    " Leave out bad files"
                }
                p.soft id="about-skip_bad" { "Files that cannot be used are left out; otherwise no training starts." }
            }
        }
    }
}

fn field(name: &'static str) -> Markup {
    let setting = settings::named(name).expect("a name of the table");
    let help = setting.args().first().and_then(|flag| flag.get_long_help().map(ToString::to_string));
    let default = setting.text(&TrainConfig::default()).unwrap_or_default();
    html! {
        div.field {
            label for=(name) { (name) }
            input id=(name) name=(name) inputmode="numeric" autocomplete="off" placeholder=(default)
                aria-describedby=(format!("about-{name}"));
            p.soft id=(format!("about-{name}")) { (without_flags(&help.unwrap_or_default())) }
        }
    }
}

/// The page of a run: how far it is, its curves, and its report at the end.
pub(super) fn run(name: &str, progress: &Progress, log: &[LogLine], output: &[String]) -> Markup {
    let of_run = |page: &str| format!("/runs/{}/{page}", encoded(name));
    let report = of_run("report");
    let is_stopping = progress.state == Stage::Stopping;
    html! {
        (page("/train", &format!("{name}: training"), Some("training.js"), html! {
            link rel="stylesheet" href="/static/plot.css";
            link rel="stylesheet" href="/static/train.css";
            div #training data-run=(format!("/runs/{}", encoded(name))) {
                h1 { (name) }
                p.verdict #sentence { (progress.sentence) }
                p #result hidden[progress.result.is_none()] { (progress.result.as_deref().unwrap_or_default()) }
                p #announcement .unseen role="status" aria-live="polite" {}
                progress #bar max="1" value=(progress.fraction.unwrap_or(0.0)) hidden[progress.fraction.is_none()]
                    aria-label="What is done of it" {}
                p.soft #left data-resumable=(RESUMABLE) { @if progress.can_resume { (RESUMABLE) } }
                p #problem .remark.bad role="alert" hidden[progress.reason.is_none()] {
                    (progress.reason.as_deref().unwrap_or_default())
                }
                div.buttons {
                    button #stop hidden[!progress.can_stop && !is_stopping] disabled[is_stopping] { "Stop" }
                    button #resume hidden[!progress.can_resume] { "Resume" }
                    a #mend .button href="/data" hidden[progress.state != Stage::Failed] { "Look at the images" }
                    a #try .button .main[progress.state == Stage::Done] href=(of_run("try")) hidden[!progress.has_model] { "Try it on images" }
                }
                div.plots #curves { (curves(progress, log)) }
                div #report data-report=(report) {
                    @if progress.state == Stage::Done && progress.has_report { (report_frame(&report)) }
                }
                figure #samples hidden {
                    img alt=(format!("{N_IMAGES} training images, each as it is in {N_EPOCHS} epochs"));
                    figcaption { "Training images as the network sees them: scaled, cropped, changed at random in each epoch, normalised. "
                        "Each row is an epoch." }
                }
                details #output hidden[output.is_empty()] { summary { "What the program printed" } pre tabindex="0" { (output.join("\n")) } }
            }
        }))
    }
}

fn report_frame(address: &str) -> Markup {
    html! {
        p { a href=(address) { "The report on a page of its own" } }
        iframe src=(address) title="Report" {}
    }
}

/// What a reader of the plots wonders about.
fn about_curves() -> Markup {
    html! {
        p.soft.about { "An epoch is a pass over all training images. In the first half the network changes in large steps, and the \
            curves of the validation images, which it does not learn from, may jump; towards the end the steps get small." }
    }
}

/// The plots of the epochs that are done.
pub(super) fn curves(progress: &Progress, log: &[LogLine]) -> Markup {
    let epochs = progress.epochs.unwrap_or(log.len());
    let log = &thinned(log);
    html! {
        @if !log.is_empty() { (loss_plot(log, epochs)) (accuracy_plot(log, epochs)) (about_curves()) }
    }
}

/// At most [`MAX_POINTS`] epochs, evenly spaced, with the first and the last one.
fn thinned(log: &[LogLine]) -> Vec<LogLine> {
    let n = log.len().min(MAX_POINTS);
    let last = log.len().saturating_sub(1);
    (0..n).map(|point| log[point * last / (n - 1).max(1)].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_of_many_epochs_have_the_first_and_the_last_one_and_not_all_between() {
        let line = |epoch: usize| {
            let line = serde_json::json!({
                "epoch": epoch, "train_loss": 1.0, "train_accuracy": 0.5, "lr": 0.01, "saved": false,
                "instruction_sets": ["AVX2"]
            });
            serde_json::from_value::<LogLine>(line).expect("a line")
        };
        for n in [0, 1, 2, MAX_POINTS, MAX_POINTS + 1, 5000] {
            let log: Vec<LogLine> = (1..=n).map(line).collect();
            let epochs: Vec<usize> = thinned(&log).iter().map(|line| line.epoch).collect();
            assert_eq!(epochs.len(), n.min(MAX_POINTS));
            assert_eq!((epochs.first(), epochs.last()), ((n > 0).then_some(&1), (n > 0).then_some(&n)));
            assert!(epochs.windows(2).all(|pair| pair[0] < pair[1]), "{epochs:?}");
        }
    }
}
