//! The page on which images to train on are chosen and put together, and its requests.

use axum::routing::get;
use maud::{Markup, html};
use utoipa_axum::router::OpenApiRouter;

use super::layout::page;
use super::site::Site;

pub(super) mod contents;
mod folders;
mod inspection_findings;
pub(super) mod inspections;
mod inspections_api;
#[cfg(test)]
mod inspections_tests;
mod part;
pub(super) mod sets;
mod sets_api;
mod state;
#[cfg(test)]
mod tests;
mod thumbnail;
mod trainings_on_sets;
mod unused_set;

/// What can be done before anything is chosen.
const DROP: &str = "Drop a folder of images here";

/// What is answered here.
pub(super) fn routes() -> OpenApiRouter<Site> {
    OpenApiRouter::default()
        .route("/data", get(show))
        .merge(sets_api::routes())
        .merge(inspections_api::routes())
}

/// `GET /data`, with `?data=NAME` for images that are chosen already; its script does the rest.
async fn show() -> Markup {
    page(
        "/data",
        "Roentgen: data",
        Some("data.js"),
        html! {
            link rel="stylesheet" href="/static/data.css";
            h1 { "Data" }
            p.verdict { "What should the model learn from?" }
            p #status role="status" aria-live="polite" {}
            progress #sending hidden aria-label="Images that were sent" {}
            div #refused .remark.bad role="alert" hidden {}
            section #chosen hidden {
                div.heading { h2 #title tabindex="-1" {} button #other .small type="button" { "Choose other images" } }
                div #editor hidden {}
                div #findings {}
            }
            section #picker aria-label="Choose images" {
                label #drop .drop for="folder" {
                    span #drop-text { (DROP) }
                    span.choose { "Choose a folder" }
                    span.soft { "one sub-folder of images for each class, such as " code { "normal" } " and " code { "pneumonia" }
                        "; they are copied into a private folder of this machine" }
                    input #folder type="file" webkitdirectory multiple;
                }
                p.choices {
                    button #browse type="button" aria-expanded="false" aria-controls="browser" { "A folder of this machine, without a copy" }
                    button #by-hand type="button" { "Classes by hand or by camera" }
                    button #phantoms type="button" { "Drawn example films, to try it" }
                }
                section #browser hidden aria-label="Folders of this machine" {}
            }
            section #sets-section hidden {
                h2 { "Your sets" }
                ul #sets {}
            }
            noscript { p.remark { "This page needs JavaScript." } }
        },
    )
}
