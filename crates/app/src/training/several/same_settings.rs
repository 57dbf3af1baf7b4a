//! Whether a training in the folder of several has the settings that it is to have: they may have been edited since it began.

use std::path::Path;

use crate::config::error::ConfigError;
use crate::config::{TrainConfig, settings};
use crate::run_dir::error::RunDirError;
use crate::run_dir::file_names::CONFIG;
use crate::training::error::TrainingError;

/// Settings that change no figure, and paths, which may be written in another way.
const NOT_COMPARED: [&str; 7] =
    ["data", "test", "init", "threads", "audit", "checkpoint-minutes", "tensorboard"];

/// Fails if the training in the folder `path`, where it has begun, has other settings than `expected`.
///
/// # Errors
/// [`RunDirError::NotResumable`], or settings that cannot be read.
pub(super) fn check_begun(path: &Path, expected: &TrainConfig) -> Result<(), TrainingError> {
    let file = path.join(CONFIG);
    if !file.is_file() {
        return Ok(());
    }
    Ok(check(path, &TrainConfig::read(&file)?, expected)?)
}

/// As [`check_begun`], of a training whose settings are in the text `found`.
///
/// # Errors
/// As [`check_begun`].
pub(super) fn check_text(path: &Path, found: &str, expected: &TrainConfig) -> Result<(), TrainingError> {
    let invalid = |error: ConfigError| {
        let reason =
            format!("its settings cannot be read: {error}; remove its folder, and it is trained again");
        RunDirError::not_resumable(path, reason)
    };
    Ok(check(path, &TrainConfig::from_toml(found).map_err(invalid)?, expected)?)
}

fn check(path: &Path, found: &TrainConfig, expected: &TrainConfig) -> Result<(), RunDirError> {
    let Some((name, [found, expected])) = difference(found, expected) else { return Ok(()) };
    let reason = format!(
        "its {name} is {found}, and the settings or the search space now have {expected}; restore that, or remove the \
         folder of this training, and it is trained again"
    );
    Err(RunDirError::not_resumable(path, reason))
}

/// The first setting that differs, with both values. What is left to the program is the same in both: it follows from the rest,
/// and from the images.
fn difference(found: &TrainConfig, expected: &TrainConfig) -> Option<(&'static str, [String; 2])> {
    let compared = settings::all().filter(|setting| !NOT_COMPARED.contains(&setting.name()));
    compared.map(|setting| (setting.name(), setting.text(found), setting.text(expected))).find_map(
        |(name, found_text, expected_text)| {
            let is_left = expected_text.is_none() && found.derived.contains(&name);
            let text = |value: Option<String>| value.unwrap_or_else(|| "the default".to_owned());
            (!is_left && found_text != expected_text).then(|| (name, [text(found_text), text(expected_text)]))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_was_edited_is_named_and_what_the_program_chose_is_not_compared() {
        let expected = TrainConfig { width: 16, ..TrainConfig::default() };
        let differs = |found: &TrainConfig| difference(found, &expected).map(|(name, _)| name);
        let trained = expected.resolved(226, 0.1);
        let elsewhere =
            TrainConfig { threads: Some(9), data: "/moved".into(), audit: false, ..trained.clone() };
        assert_eq!((differs(&expected), differs(&trained), differs(&elsewhere)), (None, None, None));
        assert_eq!(differs(&TrainConfig { width: 8, ..trained.clone() }), Some("width"));
        // Given for one of them, left to the program for the other.
        let given = TrainConfig { epochs: Some(39), ..expected.clone() };
        assert_eq!(differs(&given), Some("epochs"));
        assert_eq!(difference(&trained, &given), None, "the same number");
        let other = TrainConfig { epochs: Some(5), ..expected.clone() };
        let found = difference(&trained, &other).expect("39 and 5");
        assert_eq!(found, ("epochs", ["39".to_owned(), "5".to_owned()]));
    }
}
