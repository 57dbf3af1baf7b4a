//! Records: results saved under `docs/bench`, and compared with new ones.

use std::io;
use std::path::{Path, PathBuf};

use roentgen_data::disk::write_new;
use roentgen_data::read_file;

use super::machine::REPOSITORY;
use super::{BenchResult, Mode};
use crate::config::error::ConfigError;
use crate::error::bench::BenchError;
use crate::run_dir::error::WriteError;

/// Largest record that is read.
const MAX_BYTES: u64 = 1 << 24;

/// Saves the result under `docs/bench`, named after its time and commit, so that records are in the order of their
/// times, and returns the path.
///
/// # Errors
/// [`WriteError`].
pub(super) fn save(figures: &BenchResult) -> Result<PathBuf, WriteError> {
    let not_in_a_repository = || {
        let source = io::Error::other("this program was built without a repository; save what --json prints");
        WriteError { path: "docs/bench".into(), source }
    };
    let folder = Path::new(REPOSITORY.ok_or_else(not_in_a_repository)?).join("docs/bench");
    let folder = folder.canonicalize().map_err(|source| WriteError { path: folder, source })?;
    let time = jiff::Zoned::now().strftime("%Y-%m-%dT%H%M").to_string();
    let commit = if figures.machine.commit.is_empty() { "unknown" } else { &figures.machine.commit };
    let json = serde_json::to_string_pretty(figures).expect("figures are plain numbers and names") + "\n";
    // Some systems allow no `?` in a name.
    let commit = commit.trim_end_matches('?');
    write_numbered(&folder, &format!("{time}-{commit}"), json.as_bytes())
}

/// Writes a new file, and returns its path: no record is overwritten, the next one of the same minute and commit gets a number,
/// also where two end at the same moment.
fn write_numbered(folder: &Path, stem: &str, bytes: &[u8]) -> Result<PathBuf, WriteError> {
    let mut path = folder.join(format!("{stem}.json"));
    for number in 2_u32.. {
        match write_new(folder, &path, bytes) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                path = folder.join(format!("{stem}-{number}.json"));
            }
            Err(source) => return Err(WriteError { path, source }),
        }
    }
    Ok(path)
}

/// Reads a record.
///
/// # Errors
/// [`BenchError::RecordInvalid`].
pub(super) fn read(path: &Path) -> Result<BenchResult, BenchError> {
    let invalid = |reason: String| BenchError::RecordInvalid { path: path.into(), reason };
    let text = read_file(path, MAX_BYTES).map_err(|error| invalid(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))
}

/// What both results contain, as a table with headings: name, before, now, speed-up.
///
/// # Errors
/// [`ConfigError::Conflict`] if the images or the network are not of the same size.
pub(super) fn compare(before: &BenchResult, now: &BenchResult) -> Result<Vec<Vec<String>>, ConfigError> {
    let work = |result: &BenchResult| (result.size, result.channels, result.classes, result.width);
    if work(before) != work(now) {
        let reason = "it was measured on other work; give the same --size, --channels, --classes and --width";
        return Err(ConfigError::Conflict { first: "the record", second: "this bench", reason });
    }
    let mut rows = vec![["", "before", "now", "speed-up"].map(str::to_owned).to_vec()];
    let speeds_before = speeds(before);
    for (name, unit, speed) in speeds(now) {
        if let Some((_, _, old)) = speeds_before.iter().find(|(old, ..)| *old == name) {
            let ratio = format!("{:.2}", speed / old);
            // A time is shown in milliseconds, but compared as a speed.
            let shown = |speed: f64| if unit == "ms" { 1e3 / speed } else { speed };
            let cell = |speed: f64| format!("{:.1} {unit}", shown(speed));
            rows.push(vec![name, cell(*old), cell(speed), ratio]);
        }
    }
    Ok(rows)
}

/// Everything as a speed, of which more is better: name, unit, value; a time becomes its inverse, per second.
fn speeds(figures: &BenchResult) -> Vec<(String, &'static str, f64)> {
    let machine = &figures.machine;
    let mut speeds = vec![
        ("peak".to_owned(), "GFLOP/s", machine.peak_gflops),
        ("copy".to_owned(), "GB/s", machine.copy_gb_per_s),
    ];
    for (mode, rates) in
        [(Mode::Train, &figures.train_images_per_s), (Mode::Infer, &figures.infer_images_per_s)]
    {
        speeds.extend(rates.iter().map(|(batch, rate)| (format!("{mode} {batch}"), "images/s", *rate)));
    }
    for layer in &figures.conv_layers {
        let passes = layer.passes();
        speeds.extend(passes.map(|(pass, found)| (format!("{} {pass}", layer.name), "ms", 1e3 / found.ms)));
    }
    speeds
}

#[cfg(test)]
mod tests {
    use std::fs;

    use roentgen_data::disk::faults::{Failure, fail_each_operation, show_count};

    use super::*;

    const RECORD: &str = r#"{
        "cpu": "a CPU", "threads": 2, "vectors": "wide", "peak_gflops": 500.0, "copy_gb_per_s": 30.0,
        "commit": "0123456789", "size": 24, "channels": 1, "classes": 3,
        "train_images_per_s": {"32": 100.0, "128": 200.0}, "infer_images_per_s": {},
        "batch1_latency_ms": null, "peak_rss_mib": 400.0, "first_step_s": 0.5,
        "conv_layers": [{"name": "conv1", "c_in": 1, "c_out": 64, "h": 24, "w": 24, "batch": 128,
            "algorithm": "im2col", "forward": {"ms": 2.0, "gflops": 40.0, "share_of_peak": 0.1},
            "backward_input": null, "backward_weight": {"ms": 3.0, "gflops": 20.0, "share_of_peak": 0.05}}]
    }"#;

    fn record() -> BenchResult {
        serde_json::from_str(RECORD).expect("a record")
    }

    #[test]
    fn a_record_is_read_back_as_it_was_saved() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("record.json");
        fs::write(&path, serde_json::to_string(&record()).expect("figures")).expect("a file");
        let again = read(&path).expect("a record");
        assert_eq!(serde_json::to_string(&again).ok(), serde_json::to_string(&record()).ok());
    }

    #[test]
    fn more_images_and_fewer_milliseconds_are_faster() {
        let mut now = record();
        now.train_images_per_s.insert(128, 300.0);
        now.conv_layers[0].forward.ms = 1.0;
        let rows = compare(&record(), &now).expect("the same images");
        let ratio = |name: &str| rows.iter().find(|row| row[0] == name).map(|row| row[3].clone());
        assert_eq!(ratio("train 32").as_deref(), Some("1.00"));
        assert_eq!(ratio("train 128").as_deref(), Some("1.50"));
        assert_eq!(ratio("conv1 forward").as_deref(), Some("2.00"));
        now.size = 32;
        assert!(compare(&record(), &now).is_err(), "other images");
        let narrow = BenchResult { width: 32, ..record() };
        assert!(compare(&record(), &narrow).is_err(), "another network");
    }

    #[test]
    fn any_operation_may_fail_while_a_record_is_saved() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let folder = parent.path().join("records");
        for failure in [Failure::Error, Failure::End, Failure::Half] {
            let n = fail_each_operation(&folder, failure, |what, fault| {
                fs::create_dir(&folder).expect("a folder");
                fs::write(folder.join("day.json"), "an earlier one").expect("a file");
                let hooked = fault();
                let saved = write_numbered(&folder, "day", b"a new one");
                drop(hooked);
                let new = fs::read(folder.join("day-2.json")).ok();
                match saved {
                    Ok(_) => assert_eq!(new.as_deref(), Some(&b"a new one"[..]), "{what}"),
                    Err(error) => assert!(error.to_string().contains("cannot write"), "{what}: {error}"),
                }
                assert!(new.is_none_or(|new| new == b"a new one"), "{what}");
                assert_eq!(fs::read(folder.join("day.json")).expect("a file"), b"an earlier one", "{what}");
                fs::remove_dir_all(&folder).expect("the folder of a test");
            });
            show_count(&format!("saving a record, {failure:?}"), n);
            assert!(n > 0, "{failure:?}");
        }
    }

    #[test]
    fn a_record_is_never_overwritten() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let save = |bytes: &[u8]| write_numbered(folder.path(), "day-commit", bytes).expect("a record");
        // Several end at the same moment.
        std::thread::scope(|scope| (0..8).for_each(|number: u8| _ = scope.spawn(move || save(&[number]))));
        let entries = fs::read_dir(folder.path()).expect("a folder").flatten();
        let mut saved: Vec<u8> = entries.flat_map(|entry| fs::read(entry.path()).expect("a file")).collect();
        saved.sort_unstable();
        assert_eq!(saved, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(folder.path().join("day-commit-8.json").is_file());
    }
}
