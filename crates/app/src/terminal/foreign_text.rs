//! Text that others wrote (names of files and classes, cells of tables, texts of errors) on its way to a person.
//!
//! A control character can change what a terminal does, and a bidirectional override the order in which letters are read
//! (Boucher & Anderson 2021, "Trojan Source"), so that a name shows as another one.

/// A text without characters that change how the text around them is shown; each becomes U+FFFD.
#[must_use]
pub(crate) fn printable(text: &str) -> String {
    text.replace(is_deceptive, "\u{FFFD}")
}

/// The same for a text of several lines.
#[must_use]
pub(crate) fn printable_lines(text: &str) -> String {
    text.replace(|character| is_deceptive(character) && !matches!(character, '\n' | '\t'), "\u{FFFD}")
}

/// A cell of a CSV file. A spreadsheet takes a cell for a formula that begins with one of these characters, so an apostrophe
/// goes before it, which it shows as text.
#[must_use]
pub(crate) fn csv_cell(text: &str) -> String {
    let text = printable(text);
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

fn is_deceptive(character: char) -> bool {
    let is_bidirectional = matches!(character, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    character.is_control() || is_bidirectional || matches!(character, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_changes_how_other_text_is_shown() {
        assert_eq!(printable("a\u{1b}[31mb\nc\u{202E}gnp.exe"), "a\u{FFFD}[31mb\u{FFFD}c\u{FFFD}gnp.exe");
        assert_eq!(printable_lines("a\n\tb\u{9b}\u{2066}"), "a\n\tb\u{FFFD}\u{FFFD}");
        assert_eq!(printable("Größe – 肺"), "Größe – 肺");
        let cells = ["=1+1", "+1", "-1", "@x", "film.png", "\t=1"].map(csv_cell);
        assert_eq!(cells, ["'=1+1", "'+1", "'-1", "'@x", "film.png", "\u{FFFD}=1"]);
    }
}
