//! `pseudonyms.csv` of a run with `--pseudonyms`: the name behind each number. No other file of the run has names.

use roentgen_data::{Dataset, read_file};

use super::run_folder::RunFolder;
use crate::config::TrainConfig;
use crate::config::pseudonyms::{KEY_FILE, MAX_BYTES, PATH, key_file};
use crate::run_dir::error::RunDirError;
use crate::terminal::foreign_text::csv_cell;

/// The content of the file.
fn text(config: &TrainConfig, data: &Dataset) -> Vec<u8> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut write = |row: [&str; 3]| csv.write_record(row).expect("written to memory");
    write(["kind", "pseudonym", "name"]);
    // Paths as they are: a resumed run reads them.
    for (word, path) in config.path_pseudonyms() {
        write([PATH, word, &path.to_string_lossy()]);
    }
    for pseudonym in &data.pseudonyms {
        write([pseudonym.kind, &pseudonym.pseudonym, &csv_cell(&pseudonym.original)]);
    }
    csv.into_inner().expect("written to memory")
}

/// The rows of a key that have to stay: notes depend on the settings too, the paths of unusable files on the folder that the
/// program was called in, and images may be moved.
fn names(key: &[u8]) -> Option<Vec<csv::ByteRecord>> {
    let rows: Result<Vec<csv::ByteRecord>, csv::Error> =
        csv::Reader::from_reader(key).byte_records().collect();
    let is_name = |row: &csv::ByteRecord| !matches!(row.get(0), Some(b"note" | b"file" | b"path"));
    rows.ok().map(|rows| rows.into_iter().filter(is_name).collect())
}

/// Writes the key of a new run, unless the folder is that of a fold, whose key is in the folder above.
///
/// # Errors
/// As [`RunFolder::write`].
pub(crate) fn write(config: &TrainConfig, data: &Dataset, folder: &RunFolder) -> Result<(), RunDirError> {
    let is_above = key_file(folder.path()) != folder.file(KEY_FILE);
    if !config.pseudonyms || is_above {
        return Ok(());
    }
    folder.write_private(KEY_FILE, &text(config, data))
}

/// Fails where the names in the data are no longer those of the key: the numbers would stand for other images.
///
/// # Errors
/// [`RunDirError::NotResumable`].
pub(crate) fn check(config: &TrainConfig, data: &Dataset, folder: &RunFolder) -> Result<(), RunDirError> {
    let path = key_file(folder.path());
    let has_same_names = |bytes: Vec<u8>| names(&bytes) == names(&text(config, data));
    if !config.pseudonyms || read_file(&path, MAX_BYTES).is_ok_and(has_same_names) {
        return Ok(());
    }
    let reason = "it is missing, or its names are not those of the data; restore the file, and the names of the images";
    Err(RunDirError::not_resumable(path, reason))
}
