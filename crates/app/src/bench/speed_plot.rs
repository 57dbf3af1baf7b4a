//! Training speed by commit: a plot of the records in a folder. Only figures of one processor compare, so each processor, with
//! its threads and the vectors of the build, has a line of its own.

use std::path::{Path, PathBuf};

use roentgen_data::disk;

use super::{BenchResult, record};
use crate::error::AppError;
use crate::error::bench::BenchError;
use crate::report::plot::{self, Axis, Scale, Series, SeriesStyle};
use crate::run_dir::error::WriteError;

/// Name of the plot in the folder of the records.
const FILE: &str = "images-per-second.svg";
const TITLE: &str = "Training, batch 128, 1x24x24, width 64";

/// Draws the plot of all records in `folder`, and returns its path.
///
/// # Errors
/// A file that is no record, a folder that cannot be read or written.
pub(super) fn draw(folder: &Path) -> Result<PathBuf, AppError> {
    let (path, svg) = (folder.join(FILE), svg(&records(folder)?));
    disk::write_atomically(folder, &path, svg.as_bytes())
        .map_err(|source| WriteError { path: path.clone(), source })?;
    Ok(path)
}

/// The records in a folder by name, which begins with day and time.
fn records(folder: &Path) -> Result<Vec<BenchResult>, BenchError> {
    let entries = disk::list(folder)
        .map_err(|error| BenchError::RecordInvalid { path: folder.into(), reason: error.to_string() })?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    paths.sort_unstable();
    paths.iter().map(|path| record::read(path)).collect()
}

fn svg(records: &[BenchResult]) -> String {
    let mut commits: Vec<String> = Vec::new();
    let mut lines: Vec<(String, Vec<[f64; 2]>)> = Vec::new();
    for record in records {
        let Some(rate) = rate(record) else { continue };
        let commit: String = record.machine.commit.chars().take(7).collect();
        let at = commits.iter().position(|known| *known == commit).unwrap_or_else(|| {
            commits.push(commit);
            commits.len() - 1
        });
        let name = line_name(record);
        let line = lines.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            lines.push((name, Vec::new()));
            lines.len() - 1
        });
        lines[line].1.push([at as f64, rate]);
    }
    let rates = lines.iter().flat_map(|(_, points)| points.iter().map(|point| point[1]));
    let y = Axis::around("images/s", Scale::Linear, rates);
    let series: Vec<Series<'_>> = lines
        .iter()
        .map(|(name, points)| {
            let mut points = points.clone();
            points.sort_by(|a, b| a[0].total_cmp(&b[0]));
            Series { name, points, style: SeriesStyle::LineWithDots }
        })
        .collect();
    plot::file(TITLE, &Axis::of_names("commit", commits), &y, &series, &[]) + "\n"
}

/// Images per second of the work that is plotted.
fn rate(record: &BenchResult) -> Option<f64> {
    let is_plotted = (record.size, record.channels, record.width) == (24, 1, 64);
    let alone = record.train_images_per_s.get(&128).copied();
    let contest = || record.torch.iter().find_map(|contest| contest.own_images_per_s("train:128"));
    alone.or_else(contest).filter(|_| is_plotted)
}

fn line_name(record: &BenchResult) -> String {
    let machine = &record.machine;
    let vectors = machine.vectors.split(',').next().unwrap_or_default();
    format!("{}, {} threads, {vectors}", machine.cpu, machine.threads)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::machine::REPOSITORY;
    use super::*;

    fn record(cpu: &str, commit: &str, rate: f64) -> BenchResult {
        let text = format!(
            r#"{{"cpu": "{cpu}", "threads": 2, "vectors": "AVX2, 8 wide", "peak_gflops": 1, "copy_gb_per_s": 1,
            "commit": "{commit}", "size": 24, "channels": 1, "classes": 3, "train_images_per_s": {{"128": {rate}}},
            "infer_images_per_s": {{}}, "batch1_latency_ms": null, "peak_rss_mib": null, "first_step_s": null,
            "conv_layers": []}}"#
        );
        serde_json::from_str(&text).expect("a record")
    }

    #[test]
    fn each_processor_has_a_line_and_each_commit_a_place() {
        let other_work = BenchResult { width: 32, ..record("third", "cccccccccc", 300.0) };
        let records = [
            record("first", "aaaaaaaaaa", 100.0),
            record("second", "aaaaaaaaaa", 50.0),
            record("first", "bbbbbbbbbb+", 200.0),
            other_work,
        ];
        let svg = svg(&records);
        for words in [">first, 2 threads, AVX2<", ">second, 2 threads, AVX2<", ">aaaaaaa<", ">bbbbbbb<"] {
            assert!(svg.contains(words), "{words}: {svg}");
        }
        assert!(!svg.contains("third") && !svg.contains("ccccccc"), "{svg}");
        assert_eq!((svg.matches("<polyline").count(), svg.matches("<circle").count()), (2, 3));
    }

    #[test]
    fn the_plot_of_the_repository_shows_its_records() {
        let folder = Path::new(REPOSITORY.expect("tests are built in the repository")).join("docs/bench");
        let Ok(saved) = fs::read_to_string(folder.join(FILE)) else {
            eprintln!("skipped: there is no {}", folder.join(FILE).display());
            return;
        };
        assert!(
            saved == svg(&records(&folder).expect("records")),
            "run `cargo xtask bench --plot docs/bench`"
        );
    }

    #[test]
    fn a_folder_of_other_files_is_not_plotted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(draw(&folder.path().join("missing")).is_err());
        fs::write(folder.path().join("other.json"), "{}").expect("a file");
        assert!(draw(folder.path()).expect_err("no record").to_string().contains("other.json"));
    }
}
