//! What all pages have: the head, the way to the other pages, and addresses.

use maud::{DOCTYPE, Markup, html};

/// The pages that every page leads to.
const PAGES: [(&str, &str); 3] = [("/data", "Data"), ("/train", "Train"), ("/", "Models")];

/// A page with its title in the tab, and `content`; `place` is the one of the three that it is, or belongs to.
pub(super) fn page(place: &str, title: &str, script: Option<&str>, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="icon" href="/static/icon.svg";
                link rel="stylesheet" href="/static/report.css";
                link rel="stylesheet" href="/static/style.css";
                @if let Some(name) = script { script type="module" src=(format!("/static/{name}")) {} }
            }
            body {
                nav.steps aria-label="Pages" { @for (path, name) in PAGES {
                    a href=(path) aria-current=[(path == place).then_some("true")] { (name) }
                } }
                main { (content) }
            }
        }
    }
}

/// A part of a path, with every byte that an address cannot have as it is.
pub(super) fn encoded(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let part = |byte: u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_navigation_says_where_a_page_belongs() {
        let page = page("/train", "Roentgen: train", None, html! {}).into_string();
        assert!(page.contains(r#"<a href="/train" aria-current="true">Train</a><a href="/">"#), "{page}");
        assert_eq!(page.matches("aria-current").count(), 1);
    }

    #[test]
    fn a_name_is_one_part_of_an_address() {
        assert_eq!(encoded("run_1-a.b~"), "run_1-a.b~");
        assert_eq!(encoded("a/../b c?é"), "a%2F..%2Fb%20c%3F%C3%A9");
    }
}
