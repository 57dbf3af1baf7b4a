//! The page as a whole: head, verdict, links to the sections, and the sections.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::data_section::data_section;
use super::image_section::image_section;
use super::input::ReportInput;
use super::model_card_section::model_card_section;
use super::run_section::run_section;
use super::test_section::test_section;
use super::training_section::training_section;
use super::verdict::{Verdict, remarks, verdict};
use crate::terminal::foreign_text::printable_lines;

/// What the page may do: fetch nothing and run no script, whatever a class name or a file name tries.
const CONTENT_SECURITY_POLICY: &str = "script-src 'none'; img-src data:; connect-src 'none'; font-src 'none'; \
                                       object-src 'none'; frame-src 'none'";

/// The style of this page, and of others of the program.
pub(crate) const STYLE: &str = include_str!("style.css");
/// The style of plots.
pub(crate) const PLOT_STYLE: &str = include_str!("plot.css");

/// The sections: anchor, and the name of the link to it.
const SECTIONS: [(&str, &str); 6] = [
    ("data", "Data"),
    ("training", "Training"),
    ("test", "Test"),
    ("images", "Images"),
    ("card", "Model card"),
    ("run", "This run"),
];

/// The whole page.
#[must_use]
pub(crate) fn page(input: &ReportInput<'_>) -> String {
    let Verdict { headline, detail } = verdict(input.metrics, input.config, input.model.card.medical);
    // Not the name of the run, which may get another one.
    let title = format!("Roentgen: model trained on {}", input.title());
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            (head(&title))
            body {
                header {
                    h1 { (title) }
                    p.verdict { (headline) }
                    @if !detail.is_empty() { p.detail { (detail) } }
                    (remarks(input))
                    nav { @for (anchor, name) in SECTIONS { a href=(format!("#{anchor}")) { (name) } } }
                }
                (data_section(input))
                (training_section(input))
                (test_section(input))
                (image_section(input))
                (model_card_section(input))
                (run_section(input))
            }
        }
    };
    // Names of files and classes are anywhere on the page.
    printable_lines(&markup.into_string())
}

pub(super) fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(CONTENT_SECURITY_POLICY);
            meta name="viewport" content="width=device-width, initial-scale=1";
            title { (title) }
            style { (PreEscaped(STYLE)) (PreEscaped(PLOT_STYLE)) }
        }
    }
}
