//! How the name of a class looks: what nobody would tell apart.

use unicode_normalization::UnicodeNormalization as _;

/// How a name looks: without differences in blanks, hyphens and underscores, case, Unicode form and invisible characters. A
/// whole number looks like itself with decimals of zero, which programs add where a column has empty cells.
pub(crate) fn look_of(name: &str) -> String {
    let visible: String = name.nfkc().filter(|&letter| !is_invisible(letter)).collect();
    let words: Vec<&str> = visible.split(is_separator).filter(|word| !word.is_empty()).collect();
    let joined = words.join(" ");
    let spelled = if joined.is_empty() { visible } else { joined };
    let whole = without_zero_decimals(&spelled);
    if whole.len() < spelled.len() {
        return whole.to_owned();
    }
    // Single letters may be classes of handwriting, where case matters.
    if spelled.chars().nth(1).is_none() { spelled } else { spelled.to_lowercase().nfkc().collect() }
}

/// A whole number without decimals of zero; any other text as it is.
pub(crate) fn without_zero_decimals(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, decimals))
            if !whole.is_empty()
                && whole.bytes().all(|digit| digit.is_ascii_digit())
                && decimals.bytes().all(|digit| digit == b'0') =>
        {
            whole
        }
        _ => text,
    }
}

fn is_separator(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '_' | '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
}

/// Zero-width characters, marks of the direction of text, soft hyphens, selectors of variants, fillers, tags, controls.
pub(crate) fn is_invisible(letter: char) -> bool {
    letter.is_control() && !letter.is_whitespace()
        || matches!(letter, '\u{AD}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}')
        || matches!(letter, '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{34F}' | '\u{61C}')
        || matches!(
            letter,
            '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{2800}' | '\u{3164}' | '\u{FFA0}'
        )
        || matches!(letter, '\u{E0000}'..='\u{E0FFF}')
}
