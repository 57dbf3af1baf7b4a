//! How the name of a class looks: what nobody would tell apart.

use unicode_normalization::UnicodeNormalization as _;

/// Letters of Cyrillic and Greek that look like Latin ones, in their order. The list of Unicode (UTS 39) is not used: in it `0` and
/// `O`, `1` and `l`, `m` and `rn` look alike too, which may well be two classes.
const HOMOGLYPHS: &str = "асеорхуіјѕһԁԛԝАВСЕНІЈКМОРЅТХУοΑΒΕΖΗΙΚΜΝΟΡΤΥΧ";
const LATIN: &str = "aceopxyijshdqwABCEHIJKMOPSTXYoABEZHIKMNOPTYX";

/// How a name looks: without differences in blanks, hyphens and underscores, case, Unicode form, kind of apostrophe, Cyrillic and
/// Greek letters among Latin ones, and invisible characters. A whole number looks like itself with decimals of zero, which programs
/// add where a column has empty cells. The hyphen of `-1` and of `covid-` is a minus, which makes another class.
pub(crate) fn look_of(name: &str) -> String {
    let visible: String =
        name.nfkc().filter(|&letter| !is_invisible(letter)).map(with_usual_apostrophe).collect();
    let visible = in_latin_letters(&visible).unwrap_or(visible);
    let words: Vec<&str> = visible.split(is_separator).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return visible;
    }
    let joined = words.join(" ");
    let [before, after] = minuses(&visible, &joined);
    let whole = without_zero_decimals(&joined);
    if whole.len() < joined.len() {
        return format!("{before}{whole}{after}");
    }
    // Single letters may be classes of handwriting, where case matters.
    let is_letter = joined.chars().nth(1).is_none();
    let spelled = if is_letter { joined } else { joined.to_lowercase().nfkc().collect() };
    format!("{before}{spelled}{after}")
}

/// The minus before a number, and the one at the end of a name; `words` is the name between them.
fn minuses(name: &str, words: &str) -> [&'static str; 2] {
    let name = name.trim_matches(|letter: char| is_separator(letter) && !is_hyphen(letter));
    let is_number = words.trim_start_matches('.').starts_with(|letter: char| letter.is_ascii_digit());
    [is_number && name.starts_with(is_hyphen), name.ends_with(is_hyphen)]
        .map(|is_minus| if is_minus { "-" } else { "" })
}

/// How a name looks where it repeats one that is known: the case of a single letter does not matter then.
pub(crate) fn look_in_any_case(name: &str) -> String {
    look_of(name).to_lowercase()
}

/// Whether two names are those of one class: they look alike, as in `viral pneumonia` and `Viral_Pneumonia`.
///
/// ```
/// use roentgen_data::is_same_class;
///
/// assert!(is_same_class("Covid", "\u{FF23}ovid") && !is_same_class("covid", "covid19"));
/// ```
#[must_use]
pub fn is_same_class(name: &str, other: &str) -> bool {
    look_in_any_case(name) == look_in_any_case(other)
}

/// Whether training takes two names for one class: as [`is_same_class`], but single letters of another case are two classes.
///
/// ```
/// use roentgen_data::is_same_training_class;
///
/// assert!(is_same_training_class("Covid", "covid") && !is_same_training_class("A", "a"));
/// ```
#[must_use]
pub fn is_same_training_class(name: &str, other: &str) -> bool {
    look_of(name) == look_of(other)
}

fn with_usual_apostrophe(letter: char) -> char {
    if matches!(letter, '\u{2018}' | '\u{2019}' | '\u{2BC}' | '\u{2032}') { '\'' } else { letter }
}

/// A name of Latin letters and others that look like them; `None` if it has none, or others too, so that it is a word of their
/// own script.
fn in_latin_letters(name: &str) -> Option<String> {
    let is_other = |letter: char| matches!(letter, '\u{370}'..='\u{52F}');
    if !name.contains(is_other) || !name.contains(|letter: char| letter.is_ascii_alphabetic()) {
        return None;
    }
    let latin_of = |letter: char| {
        let pair = HOMOGLYPHS.chars().zip(LATIN.chars()).find(|&(homoglyph, _)| homoglyph == letter);
        pair.map_or(letter, |(_, latin)| latin)
    };
    let name: String = name.chars().map(latin_of).collect();
    (!name.contains(is_other)).then_some(name)
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
    letter.is_whitespace() || letter == '_' || is_hyphen(letter)
}

fn is_hyphen(letter: char) -> bool {
    matches!(letter, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
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
