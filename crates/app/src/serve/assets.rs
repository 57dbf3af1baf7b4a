//! The files that pages load, which are in the program.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::report;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
/// Each file with its name, its type and its text.
const FILES: &[(&str, &str, &str)] = &[
    ("icon.svg", "image/svg+xml", include_str!("static/icon.svg")),
    // The style of reports, and what pages have besides.
    ("report.css", STYLE, report::STYLE),
    ("plot.css", STYLE, report::PLOT_STYLE),
    ("style.css", STYLE, include_str!("static/style.css")),
    ("data.css", STYLE, include_str!("static/data.css")),
    ("data.js", SCRIPT, include_str!("static/data.js")),
    ("data_camera.js", SCRIPT, include_str!("static/data_camera.js")),
    ("data_common.js", SCRIPT, include_str!("static/data_common.js")),
    ("data_findings.js", SCRIPT, include_str!("static/data_findings.js")),
    ("data_editor.js", SCRIPT, include_str!("static/data_editor.js")),
    ("data_files.js", SCRIPT, include_str!("static/data_files.js")),
    ("data_gallery.js", SCRIPT, include_str!("static/data_gallery.js")),
    ("data_upload.js", SCRIPT, include_str!("static/data_upload.js")),
    ("runs.css", STYLE, include_str!("static/runs.css")),
    ("runs.js", SCRIPT, include_str!("static/runs.js")),
    ("train.css", STYLE, include_str!("static/train.css")),
    ("train.js", SCRIPT, include_str!("static/train.js")),
    ("training.js", SCRIPT, include_str!("static/training.js")),
    ("common.js", SCRIPT, include_str!("static/common.js")),
    ("try.css", STYLE, include_str!("static/try.css")),
    ("try.js", SCRIPT, include_str!("static/try.js")),
    ("try_correct.js", SCRIPT, include_str!("static/try_correct.js")),
    ("try_kept.js", SCRIPT, include_str!("static/try_kept.js")),
    ("try_near.js", SCRIPT, include_str!("static/try_near.js")),
    ("try_table.js", SCRIPT, include_str!("static/try_table.js")),
    ("try_why.js", SCRIPT, include_str!("static/try_why.js")),
];

/// `GET /static/{name}`
pub(super) async fn file(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, text)) => ([(header::CONTENT_TYPE, *kind)], *text).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder may be called `a#b`, and an address in which that is not encoded is of the set `a`.
    #[test]
    fn scripts_encode_the_names_of_sets_in_addresses() {
        let scripts = FILES.iter().filter(|(_, kind, _)| *kind == SCRIPT);
        let mut n = 0;
        for (name, _, script) in scripts {
            for rest in script.split("sets/${").skip(1) {
                assert!(rest.starts_with("encodeURIComponent("), "{name}: sets/${{{rest:.40}");
                n += 1;
            }
        }
        assert!(n > 8, "{n} addresses");
    }
}
