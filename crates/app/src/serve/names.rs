//! Names of folders and files that are made from what a user calls things: no other name gets onto the disk.

use roentgen_data::is_system_entry;

/// Most letters of a class.
const MAX_CLASS: usize = 60;
/// Most letters of a file, without its extension.
const MAX_STEM: usize = 80;
/// Most letters of the title of a set.
const MAX_TITLE: usize = 80;
/// Names that Windows keeps for devices, whatever their extension.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// The folder of a class, or of a patient in it; `what` is which.
///
/// # Errors
/// What is wrong with the name, in words for the user.
pub(super) fn folder_name(what: &str, text: &str) -> Result<String, String> {
    let name = text.trim();
    let is_allowed = |letter: char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
    if name.is_empty() {
        return Err(format!("the {what} has no name; give it one"));
    }
    if !name.chars().all(is_allowed)
        || !name.starts_with(char::is_alphanumeric)
        || !name.ends_with(char::is_alphanumeric)
    {
        return Err(format!(
            "the name of a {what} has letters, digits, spaces, - and _ only, and begins and ends with a letter or digit; choose \
             another name"
        ));
    }
    if name.chars().count() > MAX_CLASS {
        return Err(format!("the name of a {what} has at most {MAX_CLASS} letters; choose a shorter one"));
    }
    if is_device(name) || is_system_entry(name) {
        return Err(format!("some systems keep the name {name} for themselves; choose another one"));
    }
    Ok(name.to_owned())
}

/// What is left for the name of a file, without extension, of the name that it has on the user's disk. Patients are found by the
/// names of files, and the user recognises bad files by them.
pub(super) fn file_stem(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = match last.rsplit_once('.') {
        Some((stem, extension)) if is_extension(extension) => stem,
        _ => last,
    };
    let plain = |letter: char| match letter {
        '.' | '-' | '_' => letter,
        letter if letter.is_alphanumeric() => letter,
        _ => '_',
    };
    let plain: String = stem.chars().take(MAX_STEM).map(plain).collect();
    let plain = plain.trim_matches(['.', '-', '_']);
    match plain {
        "" => "image".to_owned(),
        device if is_device(device.split('.').next().unwrap_or_default()) => format!("image-{device}"),
        plain => plain.to_owned(),
    }
}

/// The title of a set.
///
/// # Errors
/// What is wrong with it, in words for the user.
pub(super) fn title(text: &str) -> Result<String, String> {
    let title = text.trim();
    if title.chars().any(char::is_control) || title.chars().count() > MAX_TITLE {
        return Err(format!("a title is one line of at most {MAX_TITLE} letters; choose another one"));
    }
    Ok(title.to_owned())
}

/// What is left of a title for the name of a folder, or of a run, with no space, which addresses cannot have.
pub(super) fn set_name(title: &str) -> String {
    let plain = |letter: char| match letter {
        '_' => letter,
        letter if letter.is_alphanumeric() => letter,
        _ => '-',
    };
    let plain: String = title.chars().take(MAX_CLASS).map(plain).collect();
    match plain.trim_matches(['-', '_']) {
        "" => "images".to_owned(),
        device if is_device(device) => format!("images-{device}"),
        plain => plain.to_owned(),
    }
}

/// A name, and the same with 2, 3 and so on behind it.
pub(super) fn numbered(name: String) -> impl Iterator<Item = String> {
    let with_number = name.clone();
    std::iter::once(name).chain((2..).map(move |number| format!("{with_number}-{number}")))
}

/// Whether the end of a name is the extension of a file, and not a number such as in `1.2.840`.
fn is_extension(text: &str) -> bool {
    text.len() <= 5
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn is_device(name: &str) -> bool {
    let name = name.to_lowercase();
    let numbered = name.strip_prefix("com").or_else(|| name.strip_prefix("lpt"));
    let is_number = |rest: &str| rest.chars().count() == 1 && rest.chars().all(char::is_numeric);
    DEVICES.contains(&name.as_str()) || numbered.is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_letters_and_digits_and_no_name_of_a_system() {
        for name in ["normal", "Viral Pneumonia", "covid-19", "a_b", "肺炎", "Größe 2", "test"] {
            assert_eq!(folder_name("class", name).as_deref(), Ok(name));
        }
        assert_eq!(folder_name("class", "  a ").as_deref(), Ok("a"));
        let long = "x".repeat(61);
        for name in [
            "",
            " ",
            ".",
            "..",
            "../a",
            "/etc",
            "a/b",
            "a\\b",
            "C:",
            ".hidden",
            "a.",
            "a\0b",
            "a\nb",
            "_a",
            "-rf",
            "a-",
            "CON",
            "com1",
            "LPT9",
            "COM¹",
            "System Volume Information",
            // The loader passes over them.
            "dicomdir",
            "DICOMDIR",
            "<b>",
            "a\u{202E}b",
            long.as_str(),
        ] {
            assert!(folder_name("class", name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_folder_is_called_as_its_set() {
        for (title, name) in [
            ("My films", "My-films"),
            ("Set of 2026-11-29 07:31", "Set-of-2026-11-29-07-31"),
            ("../../etc", "etc"),
            ("", "images"),
            ("...", "images"),
            ("con", "images-con"),
            ("a\0\n\u{202E}b", "a---b"),
        ] {
            assert_eq!(set_name(title), name, "{title:?}");
            assert_eq!(folder_name("set", name).as_deref(), Ok(name));
        }
        assert_eq!(numbered("films".to_owned()).take(3).collect::<Vec<_>>(), ["films", "films-2", "films-3"]);
    }

    #[test]
    fn a_file_keeps_what_patients_are_found_by_and_nothing_that_leads_elsewhere() {
        for (name, stem) in [
            ("person1_bacteria_2.jpeg", "person1_bacteria_2"),
            ("00000013_005.png", "00000013_005"),
            ("1.2.840.113619", "1.2.840.113619"),
            ("../../etc/passwd", "passwd"),
            ("C:\\films\\a b.png", "a_b"),
            ("..", "image"),
            ("", "image"),
            (".bashrc", "bashrc"),
            ("a\0\n\u{202E}b.png", "a___b"),
            ("nul.png", "image-nul"),
            ("con.x y.png", "image-con.x_y"),
        ] {
            assert_eq!(file_stem(name), stem, "{name:?}");
        }
        assert_eq!(file_stem(&"é".repeat(300)).chars().count(), MAX_STEM);
    }
}
