//! Text that others wrote (names of files and classes, cells of tables, texts of errors) on its way to a person.
//!
//! A control character can change what a terminal does, and a bidirectional override the order in which letters are read
//! (Boucher & Anderson 2021, "Trojan Source"), so that a name shows as another one.

use std::fmt::Display;

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

/// The same for JSON, in whose texts it writes such a character as its number, so that a program reads the same text. Below U+0020
/// JSON has them as numbers anyway.
#[must_use]
pub(crate) fn printable_json(json: &str) -> String {
    let mut printable = String::with_capacity(json.len());
    for character in json.chars() {
        if character >= '\u{7F}' && is_deceptive(character) {
            printable.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            printable.push(character);
        }
    }
    printable
}

/// A cell of a CSV file. A spreadsheet takes a cell for a formula that begins with one of these characters, so an apostrophe
/// goes before it, which it shows as text.
#[must_use]
pub(crate) fn csv_cell(text: &str) -> String {
    let text = printable(text);
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

/// A path or a value for a command that the user types: in quotes where a shell would divide or change it.
#[must_use]
pub(crate) fn shell_word(word: impl Display) -> String {
    let word = word.to_string();
    shlex::try_quote(&word).map(|quoted| quoted.into_owned()).unwrap_or(word)
}

/// Characters of a line of an error, at most.
const MAX_ERROR_LEN: usize = 290;
/// Characters of its end that are shown where it is longer: what to do is said last.
const ERROR_END_LEN: usize = 120;

/// A line of an error as it is shown. The middle of a longer one is left out: names, and what is wrong in a file, may have any
/// length.
#[must_use]
pub(crate) fn error_line(text: &str) -> String {
    let text = printable(text);
    let n = text.chars().count();
    if n <= MAX_ERROR_LEN {
        return text;
    }
    let begin: String = text.chars().take(MAX_ERROR_LEN - ERROR_END_LEN - 5).collect();
    let end: String = text.chars().skip(n - ERROR_END_LEN).collect();
    format!("{begin} ... {end}")
}

fn is_deceptive(character: char) -> bool {
    let is_bidirectional = matches!(character, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let is_invisible = matches!(character, '\u{200B}' | '\u{2060}' | '\u{FEFF}');
    character.is_control() || is_bidirectional || is_invisible || matches!(character, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_reads_as_before_without_deceptive_characters() {
        let text = "a\u{202E}b\u{9B}c\u{200B}d\u{7F}\n\u{e9}";
        let json = serde_json::to_string_pretty(&[text]).expect("a text");
        let printed = printable_json(&json);
        assert!(
            printed.lines().count() == 3 && !printed.contains(|c| c != '\n' && is_deceptive(c)),
            "{printed}"
        );
        assert_eq!(serde_json::from_str::<[String; 1]>(&printed).expect("JSON"), [text]);
        assert!(printed.contains('\u{e9}'));
    }

    #[test]
    fn a_long_error_is_cut_in_its_middle() {
        let short = "ä".repeat(MAX_ERROR_LEN);
        assert_eq!(error_line(&short), short);
        let long = error_line(&format!("cannot read {}: rename it", "\u{1b}ä".repeat(50_000)));
        assert_eq!(long.chars().count(), MAX_ERROR_LEN);
        assert!(long.starts_with("cannot read \u{FFFD}ä") && long.ends_with("ä: rename it"), "{long}");
    }

    #[test]
    fn nothing_changes_how_other_text_is_shown() {
        assert_eq!(printable("a\u{1b}[31mb\nc\u{202E}gnp.exe"), "a\u{FFFD}[31mb\u{FFFD}c\u{FFFD}gnp.exe");
        assert_eq!(printable_lines("a\n\tb\u{9b}\u{2066}"), "a\n\tb\u{FFFD}\u{FFFD}");
        assert_eq!(printable("Größe – 肺"), "Größe – 肺");
        let cells = ["=1+1", "+1", "-1", "@x", "film.png", "\t=1"].map(csv_cell);
        assert_eq!(cells, ["'=1+1", "'+1", "'-1", "'@x", "film.png", "\u{FFFD}=1"]);
    }
}
