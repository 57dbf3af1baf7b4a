//! What determines the weights and the figures of a run: its settings, its images with their patients and classes, and the file
//! of `--init`. A run is resumed only with the same ones: a checkpoint has a digest of them, and the run folder one of images and
//! file for a run that ends before its first checkpoint.

use std::collections::BTreeMap;
use std::path::PathBuf;

use roentgen_data::{Dataset, ImageSet, read_text_file};

use crate::config::TrainConfig;
use crate::run_dir::error::RunDirError;
use crate::run_dir::file_names::IMAGES;
use crate::run_dir::run_folder::RunFolder;

/// Largest file of digests that is read.
const MAX_BYTES: u64 = 1 << 12;

/// The settings that determine the weights, as a config file. Paths determine nothing: images are compared by their pixels,
/// and the weights of `--init` by their file, or in the checkpoint.
pub(super) fn settings(config: &TrainConfig) -> String {
    let without_paths = TrainConfig { data: PathBuf::new(), test: None, init: None, ..config.clone() };
    TrainConfig { threads: None, ..without_paths }.to_toml()
}

/// Digests of all images with their patients, and of the class names, one after the other.
pub(super) fn images_digest(data: &Dataset) -> String {
    let [train, val, test] = [&data.train, &data.val, &data.test].map(ImageSet::digest);
    [train, val, test, class_names_digest(&data.class_names)].concat()
}

/// Digest of the names of the classes in their order.
pub(super) fn class_names_digest(names: &[String]) -> String {
    let names = serde_json::to_string(names).expect("a list of texts");
    blake3::hash(names.as_bytes()).to_hex()[..32].to_owned()
}

/// Digest of everything that determines weights and figures, from [`settings`] and [`images_digest`].
pub(super) fn digest(settings: &str, images: &str) -> String {
    blake3::hash(format!("{settings}{images}").as_bytes()).to_hex()[..32].to_owned()
}

/// Why a run with other inputs than those of its checkpoint cannot be resumed, and what to do. `begun` has the settings of the
/// checkpoint.
pub(super) fn why_not_the_same(begun: &str, now: &str) -> String {
    let other_settings = "the settings in config.toml are no longer those of the run";
    let what = match edited_setting(begun, now) {
        Some(edited) => format!("{other_settings}: {edited}; restore it"),
        // The same values, and others of them chosen by the program.
        None if begun != now => format!("{other_settings}; restore them"),
        None => {
            let changed = "or their patients or class names have changed";
            format!("the images are no longer those of the run, {changed}; restore them")
        }
    };
    format!("{what}, or start another run")
}

/// The first setting that differs, with both values.
fn edited_setting(begun: &str, now: &str) -> Option<String> {
    let values = |text: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter_map(|line| line.split_once(" = "));
        lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let (begun, now) = (values(begun), values(now));
    let name = begun.keys().chain(now.keys()).find(|name| begun.get(*name) != now.get(*name))?;
    let value = |values: &BTreeMap<String, String>| {
        values.get(name).cloned().unwrap_or_else(|| "the default".to_owned())
    };
    Some(format!("{name} is {}, and was {}", value(&now), value(&begun)))
}

/// Writes the digests of the images and of the file of `--init` into the folder of a new run, or of several trainings.
pub(super) fn write(folder: &RunFolder, images: &str, init: Option<&str>) -> Result<(), RunDirError> {
    let text: String = [Some(images), init].into_iter().flatten().flat_map(|line| [line, "\n"]).collect();
    folder.write(IMAGES, text.as_bytes())
}

/// Fails if the images, by their digest, are not those that a run without a checkpoint began with.
pub(super) fn check_images(folder: &RunFolder, digest: &str) -> Result<(), RunDirError> {
    let reason = "the images are no longer those that it began with, or their patients or class names have changed; restore \
                  them, or start another run";
    check_line(folder, 0, digest, reason)
}

/// As [`check_images`], of the file of `--init` that a run, or the trainings in the folder of several, began with.
pub(super) fn check_init(folder: &RunFolder, digest: &str) -> Result<(), RunDirError> {
    let reason =
        "the file of --init is no longer the one that it began with; restore it, or start another run";
    check_line(folder, 1, digest, reason)
}

fn check_line(folder: &RunFolder, index: usize, digest: &str, reason: &str) -> Result<(), RunDirError> {
    let path = folder.file(IMAGES);
    let begun = read_text_file(&path, MAX_BYTES).map_err(|error| {
        RunDirError::not_resumable(path, format!("it cannot be read ({error}); start another run"))
    })?;
    if begun.lines().nth(index) == Some(digest) {
        return Ok(());
    }
    Err(RunDirError::not_resumable(folder.path(), reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_was_edited_is_named_with_both_values() {
        let begun = TrainConfig::default().resolved(226, 0.1);
        let now = TrainConfig { max_lr: 0.02, data: "moved".into(), threads: Some(9), ..begun.clone() };
        let [begun, now] = [begun, now].map(|config| settings(&config));
        let reason = why_not_the_same(&begun, &now);
        assert!(reason.contains("max-lr is 0.02, and was 0.01; restore it"), "{reason}");
        assert!(why_not_the_same(&begun, &begun).starts_with("the images are"));
        let rewritten = format!("# Other words.\n{begun}");
        let expected = "the settings in config.toml are no longer those of the run; restore them";
        assert!(why_not_the_same(&begun, &rewritten).starts_with(expected));
        let patient = now.replace("max-lr = 0.02", "max-lr = 0.01\npatience = 3");
        assert!(why_not_the_same(&begun, &patient).contains("patience is 3, and was the default"));
    }
}
