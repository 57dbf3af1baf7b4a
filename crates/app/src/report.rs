//! `report.html` of a run: one file that opens offline, without a script and without a request to anywhere.
//!
//! The verdict comes first, then what the data are, how training went, how far the figures can be believed, and the films
//! to look at; what the model is for, and how to repeat the run, come last.

use std::fmt::Write as _;
use std::path::PathBuf;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use roentgen_data::{Dataset, ImageSet, SubsetOrigin};
use roentgen_layers::ResNet9;
use roentgen_optim::OneCycle;

use crate::config::TrainConfig;
use crate::cpu;
use crate::data_loading::phantom;
use crate::metrics::{PartMetrics, Predictions, Scorer};
use crate::model::explain::grad_cam;
use crate::model::model_file::ModelCard;
use crate::run_dir::records::{LogLine, Metrics};
use crate::terminal::screen::{counted, thousands};
use figures::{confusion_table, figures_table};
use images::{Originals, figure, most_unsure, most_wrong, samples};
use plot::{Axis, Scale, Series, Tip, plot};

mod figures;
mod images;
pub(crate) mod overlay;
pub(crate) mod plot;

/// Films of each kind that are shown, and of each class of the samples.
const MOST_FILMS: usize = 12;
const SAMPLES: usize = 4;
/// Classes from which on fewer samples are shown, and no matrix or table of classes fits.
const MANY_CLASSES: usize = 24;
/// Entries of a list; `data.json` has all.
const MOST_LISTED: usize = 10;
/// Places of the learning rate's curve.
const RATE_POINTS: usize = 80;

/// What a report is about.
pub(crate) struct Subject<'a> {
    /// Settings, all decided.
    pub config: &'a TrainConfig,
    /// What was trained and tested on.
    pub data: &'a Dataset,
    /// Steps of an epoch.
    pub steps_per_epoch: usize,
    /// The model that is kept.
    pub model: &'a ResNet9,
    /// What belongs to it.
    pub card: &'a ModelCard,
    /// Digest of its file.
    pub model_digest: &'a str,
    /// All figures.
    pub metrics: &'a Metrics,
    /// What was said of the test pictures.
    pub test: Option<&'a Predictions>,
    /// Every epoch.
    pub log: &'a [LogLine],
}

/// The whole page.
#[must_use]
pub(crate) fn page(mut subject: Subject<'_>) -> String {
    let title = format!("Roentgen: {}", subject.source());
    let films = subject.films();
    let s = &subject;
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                // Whatever a name from outside may try: nothing is fetched, and no script runs.
                meta http-equiv="Content-Security-Policy" content="script-src 'none'; img-src data:; connect-src 'none'; font-src 'none'; object-src 'none'; frame-src 'none'";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(include_str!("report/style.css"))) (PreEscaped(include_str!("report/plot.css"))) }
            }
            body {
                header {
                    h1 { (title) }
                    p.verdict { (s.verdict()) }
                    (s.remarks())
                    nav {
                        @for (id, name) in [
                            ("data", "Data"), ("training", "Training"), ("test", "Test"), ("films", "Films"),
                            ("card", "Model card"), ("run", "This run"),
                        ] { a href=(format!("#{id}")) { (name) } }
                    }
                }
                (s.data_section())
                (s.training_section())
                (s.test_section())
                (films)
                (s.card_section())
                (s.run_section())
            }
        }
    };
    markup.into_string()
}

impl Subject<'_> {
    fn source(&self) -> String {
        if self.config.uses_phantom() {
            phantom::describe(self.config.seed)
        } else {
            self.config.data.display().to_string()
        }
    }

    /// The figures that count: of the test pictures that are new to the model, as far as there are any.
    fn decisive(&self) -> Option<(&PartMetrics, &'static str)> {
        let Metrics { test_deduplicated, test, val, .. } = self.metrics;
        let clean = test_deduplicated.as_ref().map(|part| (part, "test pictures that are new to it"));
        clean
            .or(test.as_ref().map(|part| (part, "test pictures")))
            .or(val.as_ref().map(|part| (part, "validation pictures")))
    }

    /// One sentence.
    fn verdict(&self) -> String {
        let Some((part, what)) = self.decisive() else {
            return "The model was trained on all pictures; nothing was left to test it on.".to_owned();
        };
        let (n, right) = (part.confusion.n(), part.confusion.n_right());
        let most_frequent =
            (0..part.class_names.len()).map(|class| part.confusion.n_of(class)).max().unwrap_or(0);
        let guessing = most_frequent as f64 / n as f64;
        let [low, high] = part.accuracy_interval().unwrap_or([0.0, 1.0]);
        let beside = if low > guessing {
            format!("always naming the most frequent class would have {}", percent(guessing))
        } else {
            format!(
                "no better, as far as so many pictures can tell, than always naming the most frequent class ({})",
                percent(guessing)
            )
        };
        format!(
            "The model named the right class of {right} of {n} {what}: {}, with a 95 % interval of {} to {}; {beside}.",
            percent(part.confusion.accuracy()),
            percent(low),
            percent(high)
        )
    }

    /// What one must know to read the verdict rightly.
    fn remarks(&self) -> Markup {
        let Metrics { n_leaked, test, test_deduplicated, n_rejected, .. } = self.metrics;
        let (leaks, crossing) = self.leaks();
        html! {
            p.caution { strong { "Not for clinical use. " } "A high figure may come from where the pictures were taken "
                "rather than from what they show; " code { "roentgen audit" } " looks for that." }
            @if let (Some(test), true) = (test, *n_leaked > 0) {
                p.remark.bad {
                    (counted(*n_leaked, "test picture")) " or their patients also occur in an earlier part"
                    @if self.config.init.is_some() { ", or in the training of the model that this one started from" } ". "
                    @if test_deduplicated.is_some() { "The figures above leave them out; with all of them, as given, the accuracy is "
                        (percent(test.confusion.accuracy())) " of " (test.confusion.n()) "." }
                }
            } @else if leaks == 0 && crossing == 0 {
                p.remark.good { "No picture occurs in two parts"
                    @if self.data.findings.patients.is_some() { ", and no patient" } "." }
            }
            @if self.metrics.test.is_none() && self.metrics.val.is_some() {
                p.remark.bad { "There was no test part: the epoch was chosen on these same validation pictures, which flatters." }
            }
            @if let Some((part, _)) = self.decisive() {
                @if let Some([low, high]) = part.accuracy_interval() {
                    @if high - low > 0.1 { p.remark { "The interval is wide because the pictures are few: "
                        "a difference of some points from another model says nothing here." } }
                }
            }
            @if let (Some(refused), Some(test)) = (n_rejected.test, test) {
                @if refused > 0 { p.remark { "Asked without their labels, " code { "roentgen predict" } " would refuse "
                    (refused) " of the " (test.confusion.n()) " test pictures as too unlike its training pictures." } }
            }
        }
    }

    fn leaks(&self) -> (usize, usize) {
        let findings = &self.data.findings;
        (findings.leakage.len(), findings.patients.as_ref().map_or(0, |patients| patients.crossing.len()))
    }

    fn parts(&self) -> [(&'static str, &ImageSet, SubsetOrigin); 3] {
        let Dataset { train, val, test, val_origin, test_origin, .. } = self.data;
        [
            ("train", train, SubsetOrigin::Given),
            ("validation", val, *val_origin),
            ("test", test, *test_origin),
        ]
    }

    fn data_section(&self) -> Markup {
        let findings = &self.data.findings;
        let n_classes = self.data.class_names.len();
        html! {
            h2 id="data" { "Data" }
            div.scroll { table {
                thead { tr { th { "part" } th { "pictures" }
                    @if n_classes <= MANY_CLASSES { @for name in &self.data.class_names { th { (name) } } } } }
                tbody { @for (name, set, origin) in self.parts() { @if !set.is_empty() {
                    tr { td { (name) @if origin == SubsetOrigin::SplitOff { span.soft { ", split off" } } } td { (set.len()) }
                        @if n_classes <= MANY_CLASSES { @for count in set.class_counts(n_classes) { td { (count) } } } }
                } } }
            } }
            ul {
                li { (if self.data.channels == 1 { "Grey" } else { "Colour" }) ", brought to a short side of "
                    (self.config.resize()) " pixels; the model sees " (self.config.size) "x" (self.config.size) " of it." }
                li { @if let Some(patients) = &findings.patients {
                        (patients.n) " patients known by " (patients.source.to_string())
                        @if patients.n_unknown > 0 { "; " (counted(patients.n_unknown, "picture")) " without one" }
                        ". Splits keep each on one side; intervals are drawn by patient."
                    } @else { "Nothing tells the patients apart: should several pictures be of one patient, the intervals are too narrow." } }
                li { @if findings.duplicates.is_empty() { "No two pictures show the same." } @else {
                    (counted(findings.duplicates.len(), "group")) " of pictures that show the same." } }
                @if !findings.bad.is_empty() { li { (counted(findings.bad.len(), "file")) " could not be used and were left out." } }
                @for note in &findings.notes { li { (note) } }
            }
            @if !findings.leakage.is_empty() {
                h3 { "Pictures that occur in two parts" }
                div.scroll { table.pairs { tbody {
                    @for leak in findings.leakage.iter().take(MOST_LISTED) {
                        tr { td { (leak.image.subset.name()) } td { (leak.image.path) } td { (leak.original.path) } }
                    }
                } } }
                @if findings.leakage.len() > MOST_LISTED { p.soft { "All " (findings.leakage.len()) " pairs are in data.json." } }
            }
            @if let Some(patients) = &findings.patients { @if !patients.crossing.is_empty() {
                p.remark.bad { "Patients with pictures in more than one part: "
                    (patients.crossing[..patients.crossing.len().min(MOST_LISTED)].join(", "))
                    @if patients.crossing.len() > MOST_LISTED { ", and " (patients.crossing.len() - MOST_LISTED) " more" } }
            } }
            @if !findings.duplicates.is_empty() {
                details { summary { (counted(findings.duplicates.len(), "group")) " of copies" }
                    ul { @for group in findings.duplicates.iter().take(3 * MOST_LISTED) {
                        li.soft { @for (index, place) in group.iter().take(6).enumerate() { @if index > 0 { " = " } (place.path) } }
                    } } }
            }
        }
    }

    fn training_section(&self) -> Markup {
        let epochs = Axis::new("epoch", [1.0, (self.metrics.epochs.max(2)) as f64]);
        let of = |name, value: &dyn Fn(&LogLine) -> Option<f64>| Series {
            name,
            points: self.log.iter().filter_map(|line| Some([line.epoch as f64, value(line)?])).collect(),
            dots: self.log.len() < 12,
        };
        let with_val = |train: Series<'static>, val: Series<'static>| -> Vec<Series<'static>> {
            if val.points.is_empty() { vec![train] } else { vec![train, val] }
        };
        let tips = |text: &dyn Fn(&LogLine) -> String| -> Vec<Tip> {
            self.log
                .iter()
                .map(|line| Tip {
                    x: line.epoch as f64,
                    text: format!("epoch {}\n{}", line.epoch, text(line)),
                })
                .collect()
        };
        let shown =
            |value: Option<f64>| value.map_or_else(String::new, |value| format!("\nvalidation {value:.3}"));
        let loss =
            with_val(of("training", &|line| Some(line.train_loss)), of("validation", &|line| line.val_loss));
        let loss_axis = Axis::around(
            "loss",
            Scale::Log,
            loss.iter().flat_map(|series| series.points.iter().map(|point| point[1])),
        );
        let accuracy = with_val(
            of("training", &|line| Some(line.train_accuracy)),
            of("validation", &|line| line.val_accuracy),
        );
        let (epochs_planned, n_steps) = (self.config.epochs(self.data.train.len()), self.steps_per_epoch);
        let schedule = OneCycle::new(self.config.max_lr, n_steps * epochs_planned);
        let rate_at = |at: usize| {
            let step = at * (schedule.total_steps() - 1) / (RATE_POINTS - 1);
            [step as f64 / n_steps as f64, schedule.at(step).lr]
        };
        let rates: Vec<[f64; 2]> = (0..RATE_POINTS).map(rate_at).collect();
        let rate_tips = rates
            .iter()
            .map(|&[x, rate]| Tip { x, text: format!("after {x:.1} epochs\nrate {rate:.5}") })
            .collect::<Vec<_>>();
        let rate_axis = Axis::around("learning rate", Scale::Linear, rates.iter().map(|point| point[1]));
        let rate = Series { name: "", points: rates, dots: false };
        html! {
            h2 id="training" { "Training" }
            p { "ResNet9, " (thousands(self.metrics.n_parameters)) " parameters; " (counted(self.metrics.epochs, "epoch")) " of "
                (counted(n_steps, "step")) " in " (format!("{:.0} s", self.metrics.train_seconds)) " at "
                (format!("{:.0}", self.metrics.train_images_per_s)) " images/s. The weights of epoch "
                (self.metrics.best_epoch) " are kept." }
            div.plots {
                (plot("Loss", &epochs, &loss_axis, &loss,
                    &tips(&|line| format!("training {:.3}{}", line.train_loss, shown(line.val_loss))), false))
                (plot("Accuracy", &epochs, &Axis::new("accuracy", [0.0, 1.0]), &accuracy,
                    &tips(&|line| format!("training {:.3}{}", line.train_accuracy, shown(line.val_accuracy))), false))
                (plot("Learning rate", &Axis::new("epoch", [0.0, epochs_planned as f64]), &rate_axis, &[rate], &rate_tips, false))
            }
        }
    }

    fn test_section(&self) -> Markup {
        let (Some(predictions), Some(part)) = (self.test, &self.metrics.test) else {
            return html! { h2 id="test" { "Test" } p { "There was no test part." } };
        };
        let names = &part.class_names;
        let scorer = Scorer::new(predictions);
        let shown = names.len().min(8);
        let curves: Vec<Series<'_>> = (0..shown)
            .map(|class| Series { name: &names[class], points: scorer.roc_curve(class), dots: false })
            .filter(|series| !series.points.is_empty())
            .collect();
        let bins = scorer.reliability();
        let reliability =
            Series { name: "", points: bins.iter().map(|&(p, share, _)| [p, share]).collect(), dots: true };
        let bin_tips: Vec<Tip> = bins
            .iter()
            .map(|&(p, share, n)| Tip {
                x: p,
                text: format!("promised {p:.2}\nkept {share:.2}\n{}", counted(n, "picture")),
            })
            .collect();
        let unit = |label| Axis::new(label, [0.0, 1.0]);
        html! {
            h2 id="test" { "Test" }
            @if let Some(clean) = &self.metrics.test_deduplicated {
                h3 { "Without the " (counted(self.metrics.n_leaked, "picture")) " that leaked" }
                (figures_table(clean))
                h3 { "All test pictures, as given" }
            }
            (figures_table(part))
            @if names.len() <= MANY_CLASSES { (confusion_table(part)) }
            @if self.metrics.test_deduplicated.is_some() {
                p.soft { "Matrix and curves are of all test pictures as given, the "
                    (counted(self.metrics.n_leaked, "picture")) " that leaked among them." }
            }
            @if shown < names.len() { p.soft { "The ROC curves are those of the first " (shown) " of " (names.len()) " classes." } }
            div.plots {
                (plot("ROC: each class against the rest", &unit("false positive rate"), &unit("true positive rate"), &curves,
                    &roc_tips(&curves), true))
                (plot("Reliability: how often an answer of this probability was right", &unit("probability of the answer"),
                    &unit("share of right answers"), &[reliability], &bin_tips, true))
            }
            @if let Some(calibration) = &self.metrics.calibration {
                p.soft { "Logits are divided by the temperature " (format!("{:.2}", calibration.temperature))
                    ", fitted on the validation part." }
            }
            @if let Some(words) = self.config.prior.in_words() { p.soft { "How common the classes are: " (words) "." } }
        }
    }

    /// The samples, and the films that the model had most trouble with.
    fn films(&mut self) -> Markup {
        let config = self.config;
        let folders: Vec<PathBuf> = config.test.iter().chain([&config.data]).cloned().collect();
        let originals = Originals { folders };
        let crop = config.size as usize;
        let Dataset { train, test, class_names, .. } = self.data;
        let of_each = if class_names.len() > MANY_CLASSES { 1 } else { SAMPLES };
        let (mut wrong, mut unsure) = (Vec::new(), Vec::new());
        if let Some(predictions) = self.test {
            wrong = most_wrong(predictions, MOST_FILMS);
            unsure = most_unsure(predictions, MOST_FILMS, &wrong);
        }
        let shown = |images: &[usize]| -> Markup {
            let predictions = self.test.expect("images are chosen from the test part");
            let answers: Vec<(usize, usize)> = predictions.pairs().collect();
            let pictures = images.iter().map(|&image| {
                let (truth, answer) = answers[image];
                let heat = grad_cam(self.model, self.card, test, image, answer);
                let film = originals.film(test, image, crop);
                let of = |class: usize| format!("{} {}", class_names[class], percent(predictions.probabilities(image)[class]));
                let said = html! {
                    p { "said " strong { (of(answer)) } @if truth != answer { "; is " strong { (of(truth)) } } @else { "; right" } }
                    p.soft { (test.name(image)) }
                };
                figure(&film, Some(&heat), test.name(image), &said)
            });
            let pictures: Vec<Markup> = pictures.collect();
            html! { div.films { @for picture in &pictures { (picture) } } }
        };
        html! {
            h2 id="films" { "Films" }
            h3 { "Examples to train on" }
            div.films.small { @for image in samples(train, class_names.len().min(MANY_CLASSES), of_each) {
                (figure(&originals.film(train, image, crop), None, train.name(image),
                    &html! { p { (class_names[train.labels()[image] as usize]) } }))
            } }
            @if self.test.is_some() {
                h3 { "Most wrong" }
                @if wrong.is_empty() { p { "None: every test picture was answered rightly." } } @else {
                    p.soft { "The surest of the wrong answers. Beside each film where the evidence for the answer lies "
                        "(Grad-CAM, " (crop / 8) "x" (crop / 8) " cells); what is dark the model does not see." }
                    (shown(&wrong))
                }
                h3 { "Most unsure" }
                @if unsure.is_empty() { p { "None." } } @else {
                    p.soft { "Films whose two likeliest classes are closest." }
                    (shown(&unsure))
                }
            }
        }
    }

    fn card_section(&self) -> Markup {
        let n = self.data.train.len();
        let names = self.data.class_names.join(", ");
        html! {
            h2 id="card" { "Model card" }
            table.pairs { tbody {
                tr { td { "Intended use" } td { "Research and teaching: to learn how far these classes can be told apart in pictures "
                    "like these. Not for clinical use, and for no decision about a person." } }
                tr { td { "Input" } td { "One picture, " (if self.card.channels == 1 { "grey" } else { "colour" }) ", png or jpeg; brought to a short side of "
                    (self.card.resize) " pixels, the centre " (self.card.size) "x" (self.card.size) " of it, normalised per channel." } }
                tr { td { "Output" } td { "A calibrated probability for each of: " (names) "; or a refusal, where the picture is unlike those it was trained on." } }
                tr { td { "Trained on" } td { (self.source()) ", " (counted(n, "picture")) "." } }
                tr { td { "Limits" } td {
                    "Pictures of this size show no detail finer than a " (self.card.size) "th of what the model sees. "
                    "It knows no class but these, and must name one of them unless it refuses. "
                    "Figures hold for pictures from the same places, taken the same way; elsewhere they are unknown until measured. "
                    @if self.data.findings.patients.is_none() { "Patients are not known, so pictures of one may be in several parts. " }
                    @if self.metrics.test.as_ref().is_some_and(|test| test.confusion.n() < 300) { "The test part is small. " }
                } }
            } }
        }
    }

    fn run_section(&self) -> Markup {
        let digest = |set: &ImageSet| if set.is_empty() { "none".to_owned() } else { set.digest() };
        let machine =
            format!("{}, {}, {}", counted(self.metrics.threads, "thread"), cpu::vector_width(), cpu::name());
        html! {
            h2 id="run" { "This run" }
            p { code { "roentgen train --config config.toml" } " with the file below repeats it to the bit." }
            pre { (self.config.to_toml()) }
            div.scroll { table.pairs { tbody {
                tr { td { "Program" } td { "roentgen " (env!("CARGO_PKG_VERSION")) } }
                tr { td { "Machine" } td { (machine) } }
                tr { td { "Model" } td { "model.safetensors, BLAKE3 " (self.model_digest) } }
                @for (name, set, _) in self.parts() { tr { td { "Data: " (name) } td { (digest(set)) } } }
            } } }
        }
    }
}

fn roc_tips(curves: &[Series<'_>]) -> Vec<Tip> {
    let reached = |curve: &Series<'_>, rate: f64| {
        let below = curve.points.iter().rev().find(|point| point[0] <= rate + 1e-9);
        below.map_or(0.0, |point| point[1])
    };
    let rates = (0..=20).map(|at| f64::from(at) / 20.0);
    let tip = |rate: f64| {
        let mut text = format!("false positives {rate:.2}");
        curves.iter().for_each(|curve| {
            let _ = write!(text, "\n{} {:.2}", curve.name, reached(curve, rate));
        });
        Tip { x: rate, text }
    };
    rates.map(tip).collect()
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
