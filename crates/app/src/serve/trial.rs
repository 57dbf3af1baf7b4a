//! The page on which a model is tried, and what it asks for.

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::routing::get;
use maud::{Markup, html};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use super::data::sets::SetInfo;
use super::layout::{encoded, page};
use super::problem::Problem;
use super::quality::Quality;
use super::runs::RunEntry;
use super::site::Site;
use crate::config::TrainConfig;
use crate::report::overlay::STRENGTH;
use crate::run_dir::file_names::CONFIG;

#[cfg(test)]
mod batch_tests;
mod compare;
mod heat;
mod nearest;
#[cfg(test)]
mod nearest_tests;
mod predict;
#[cfg(test)]
mod tests;
pub(super) mod training_images;
mod upload;

/// Most classes that are listed at once.
const MAX_LISTED: usize = 20;

/// What is answered here.
pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::default()
        .route("/runs/{run}/try", get(try_images))
        .routes(routes!(predict::predict))
        .routes(routes!(compare::shift).layer(DefaultBodyLimit::max(compare::MAX_BYTES)))
        .routes(routes!(heat::explain))
        .routes(routes!(heat::picture))
        .routes(routes!(nearest::nearest))
        .routes(routes!(nearest::training_images))
        .routes(routes!(nearest::training_image))
}

/// `GET /runs/{run}/try`: predictions for images that the user drops.
async fn try_images(State(site): State<Site>, Path(name): Path<String>) -> Result<Markup, Problem> {
    let (run, loaded) = nearest::with_model(&site, &name).await?;
    let path = run.path.clone();
    let quality_and_set = move |site: &Site| {
        let config = TrainConfig::read(&path.join(CONFIG)).ok();
        let set = config.and_then(|config| site.collection().at(&config.data));
        Ok((Quality::read(&path), set))
    };
    let (quality, set) = site.beside(quality_and_set).await?;
    let card = &loaded.model.card;
    Ok(page(
        "/",
        &format!("{name}: try"),
        Some("try.js"),
        html! {
            link rel="stylesheet" href="/static/try.css";
            div #trial data-api=(format!("/api/v1/runs/{}", encoded(&name))) data-written=(loaded.written) {
                h1 { (name) }
                p.verdict { "Which class is an image?" }
                @if card.class_names.len() <= MAX_LISTED {
                    p.soft { "Classes: " (card.class_names.join(", ")) "." }
                } @else {
                    details.soft { summary { (card.class_names.len()) " classes" } (card.class_names.join(", ")) }
                }
                @if card.medical { p.caution { "Not a medical device." } }
                (how_good(&run, &quality))
                @if card.ood_detector.is_none() { p.remark { "This model rejects no image, however unlike its training images." } }
                label.drop for="files" {
                    span { "Drop images or a folder here" }
                    span.choose { "Choose images" }
                    span.soft { "png, jpeg, DICOM, tiff, bmp, webp or gif; they stay on this machine" }
                    input #files type="file" multiple;
                }
                p #status role="status" aria-live="polite" {}
                p #unread .remark.bad role="alert" hidden {}
                button #again type="button" hidden { "Send the rest again" } " " button #leave type="button" hidden { "Leave the rest out" }
                p #kept.soft hidden { "Answers from before this page was loaded are shown without their images, which are not kept. \
                    Add an image again to see why, or to correct its answer." }
                div #earlier {}
                p.soft #together role="status" hidden {}
                div.scroll { table #results hidden {
                    thead { tr { @for column in ["image", "answer", "probability", "remark"] {
                        th scope="col" { button type="button" disabled { (column) } }
                    } } }
                    tbody {}
                } }
                p #meaning.soft hidden { (card.meaning_of_probability()) }
                button #save hidden { "Save as CSV" } " " button #clear hidden { "Clear" }
            }
            (why_dialog(card.medical))
            (correct_dialog(&name, &card.class_names, set.as_ref()))
        },
    ))
}

/// What a reader of the answers has to know of the model.
fn how_good(run: &RunEntry, Quality { result, warnings }: &Quality) -> Markup {
    let link = html! { @if run.has_report {
        a href=(format!("/runs/{}/report", encoded(&run.name))) { "More in its report" }
    } };
    html! {
        @if let [others @ .., last] = warnings.as_slice() {
            div #warnings.remark.bad {
                @for warning in others { p { (warning) } }
                p { (last) " " (link) }
            }
        }
        @if let Some(result) = result {
            p.soft { (result) @if warnings.is_empty() { " " (link) } }
        }
    }
}

/// The dialog that a script fills with the heat maps of an image.
fn why_dialog(medical: bool) -> Markup {
    let methods = [("grad-cam", "Evidence (Grad-CAM)"), ("occlusion", "Hidden parts (occlusion)")];
    html! {
        dialog #why aria-labelledby="why-title" {
            h2 #why-title {}
            p.remark.rejected hidden { span.reason {} " A rejected image has no class. The maps explain the class that it is most like." }
            div.fade {
                label for="opacity" { "Opacity of the colours" }
                input #opacity type="range" min="0" max="100" step="5" value=(format!("{:.0}", 100.0 * STRENGTH));
            }
            div.maps { @for (method, name) in methods {
                figure data-method=(method) {
                    h3 { (name) }
                    div.stack { img.picture alt=""; img.overlay alt=""; div.window hidden {} }
                    p.heat-legend hidden { "0 " span.bar {} " " span.greatest {} }
                    p.text aria-live="polite" {}
                }
            } }
            p.soft {
                "A map shows what the network uses" @if medical { ", not where a disease is" } ". The frame is what it sees of the image."
            }
            h3 { "The training images that look to the network most like this one" }
            p #near-text.soft role="status" {}
            div #near {}
            button.close type="button" { "Close" }
        }
    }
}

/// Where a corrected image goes: to the images of the model if they are a set of this server, which the next training is to have.
fn destination(title: &str, set: Option<&SetInfo>) -> Markup {
    html! {
        @if let Some(set) = set {
            "The image is copied into the set “" (set.title) "”, which this model was trained on: the next training on it has the \
             image, with its right class. If the set has the same file in another class, you can remove it there."
        } @else {
            "The image is copied into a set of its own, “" (title) "”, on this machine. The folder that this model was trained on is \
             not changed: for a training on all, add that folder to the set, on the page " a href="/data" { "Data" } "."
        }
    }
}

/// The dialog in which the user names the right class of an image.
fn correct_dialog(run: &str, class_names: &[String], set: Option<&SetInfo>) -> Markup {
    // A title has 80 letters at most.
    let title = format!("Corrections of {}", run.chars().take(60).collect::<String>());
    html! {
        dialog #correct aria-labelledby="correct-title" data-title=(title) data-set=[set.map(|set| &set.name)] {
            h2 #correct-title {}
            form {
                p { label for="right" { "Right class" } " " select #right {
                    @for name in class_names { option value=(name) { (name) } }
                    option value="" { "another class" }
                } }
                p hidden { label for="other" { "Its name" } " " input #other autocomplete="off"; }
                p.remark { (destination(&title, set)) }
                p #problem role="alert" {}
                button { "Save" } " " button.close type="button" { "Cancel" }
            }
        }
    }
}
