//! The pages.

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use roentgen_data::read_text_file;

use super::runs::RunEntry;
use super::site::{LoadedModel, Problem, Site};
use crate::run_dir::file_names::REPORT;

/// Largest report.
const MAX_REPORT: u64 = 1 << 28;
/// What a report may do in the browser: its own style and pictures, and nothing else.
const REPORT_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-same-origin";

/// A page with its title in the tab, and `content`.
fn page(title: &str, script: Option<&str>, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="icon" href="/static/icon.svg";
                link rel="stylesheet" href="/static/style.css";
                @if let Some(name) = script { script type="module" src=(format!("/static/{name}")) {} }
            }
            body { (content) }
        }
    }
}

/// A part of a path, with every byte that an address cannot have as it is.
fn encoded(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let part = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(part).collect()
}

/// `GET /`: all runs.
pub(super) async fn runs(State(site): State<Site>) -> Result<Markup, Problem> {
    let runs = site.runs()?;
    Ok(page(
        "Roentgen",
        None,
        html! {
            main {
                h1 { "Roentgen" }
                p.verdict { "Trained models" }
                @if runs.is_empty() {
                    p.remark { "There is no model yet. Train one with " code { "roentgen train DATA" } ", then load this page again." }
                } @else {
                    ul.runs { @for run in &runs { li { (run_line(run)) } } }
                }
            }
        },
    ))
}

fn run_line(RunEntry { name, has_report, .. }: &RunEntry) -> Markup {
    let of_run = |page: &str| format!("/runs/{}/{page}", encoded(name));
    html! {
        strong { (name) }
        " " a href=(of_run("try")) { "try it on images" }
        @if *has_report { " " a href=(of_run("report")) { "report" } }
    }
}

/// `GET /runs/{run}/try`: predictions for images that the user drops.
pub(super) async fn try_images(
    State(site): State<Site>,
    Path(name): Path<String>,
) -> Result<Markup, Problem> {
    let run = site.run(&name)?;
    let (of_site, of_model) = (site.clone(), run.clone());
    let loaded = site.compute(move || of_site.model(&of_model)).await??;
    let LoadedModel { card, .. } = &*loaded;
    Ok(page(
        &format!("{name}: try"),
        Some("try.js"),
        html! {
            main data-predict=(format!("/api/v1/runs/{}/predict", encoded(&name))) {
                nav { a href="/" { "All models" } }
                h1 { (name) }
                p.verdict { "Which class is an image?" }
                p.soft { "Classes: " (card.class_names.join(", ")) "." }
                @if card.medical { p.caution { "Not a medical device." } }
                @if card.ood_detector.is_none() { p.remark { "This model rejects no image, however unlike its training images." } }
                label.drop for="files" {
                    span { "Drop images here, or choose them" }
                    span.soft { "png, jpeg, DICOM, tiff, bmp, webp or gif; they stay on this machine" }
                    input #files type="file" multiple;
                }
                p #status role="status" aria-live="polite" {}
                div.scroll { table #results hidden {
                    thead { tr { th { "image" } th { "answer" } th { "probability" } th { "remark" } } }
                    tbody {}
                } }
                button #save hidden { "Save as CSV" }
            }
        },
    ))
}

/// `GET /runs/{run}/report`: the report of the run, as its file is.
pub(super) async fn report(State(site): State<Site>, Path(name): Path<String>) -> Result<Response, Problem> {
    let run = site.run(&name)?;
    let path = run.path.join(REPORT);
    let text = site.compute(move || read_text_file(&path, MAX_REPORT)).await?;
    let text = text.map_err(|error| Problem::Unreadable(format!("cannot read the report: {error}")))?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, REPORT_POLICY),
    ];
    Ok((headers, text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_an_address() {
        assert_eq!(encoded("run_1-a.b~"), "run_1-a.b~");
        assert_eq!(encoded("a/../b c?é"), "a%2F..%2Fb%20c%3F%C3%A9");
    }
}
