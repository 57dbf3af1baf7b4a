//! The machine and the program that a result was measured with.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::{bandwidth, peak, round_trip};
use crate::cpu;

/// The commit of a program that was built to be handed out (`cargo xtask dist`). It runs on other machines, where it has no
/// repository.
const HANDED_OUT: Option<&str> = option_env!("ROENTGEN_COMMIT");

/// The repository that this program was built from; nothing for one that was built to be handed out.
pub(super) const REPOSITORY: Option<&str> = match HANDED_OUT {
    Some(_) => None,
    None => Some(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")),
};

/// The machine and the program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Machine {
    /// Name of the processor.
    pub(super) cpu: String,
    /// Number of threads.
    pub(super) threads: usize,
    /// Vector registers of the build.
    pub(super) vectors: String,
    /// What the program was built for, such as `x86-64-v3` or `native`; empty in records of before.
    #[serde(default)]
    pub(super) build_target: String,
    /// Peak of multiply-adds in registers on all threads.
    pub(super) peak_gflops: f64,
    /// Peak of memory copies on all threads, counting bytes read and bytes written.
    pub(super) copy_gb_per_s: f64,
    /// For a cache line from one core to another and back; none with one thread, where the system kept two on one core, and in
    /// records of before.
    #[serde(default)]
    pub(super) round_trip_ns: Option<f64>,
    /// Commit of the program, followed by `+` if there are uncommitted changes, and by `?` if the program was built before a file of
    /// its source was last changed; empty outside a repository.
    pub(super) commit: String,
}

impl Machine {
    /// Measures the machine, on the threads of the pool that this runs in.
    pub(super) fn measure() -> Self {
        let threads = rayon::current_num_threads();
        Self {
            cpu: cpu::name(),
            threads,
            vectors: cpu::vector_width().to_owned(),
            build_target: cpu::build_target().to_owned(),
            peak_gflops: peak::measure_gflops(threads),
            copy_gb_per_s: bandwidth::measure_copy_gb_per_s(threads),
            round_trip_ns: round_trip::measure_ns(threads),
            commit: commit(),
        }
    }
}

fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(REPOSITORY?).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else {
        return HANDED_OUT.unwrap_or_default().to_owned();
    };
    // Records and documents do not change what is measured.
    let is_modified = git(&["status", "--porcelain", "--", ":!docs"]).is_some_and(|list| !list.is_empty());
    let sources = git(&["ls-files", "--", "Cargo.lock", "crates/*/src/*", "crates/*/Cargo.toml"]);
    let is_older = std::env::current_exe().is_ok_and(|program| {
        let sources = sources.as_deref().unwrap_or_default().lines();
        is_older_than_any(&program, sources.map(|name| Path::new(REPOSITORY.unwrap_or_default()).join(name)))
    });
    let mark = |is_set: bool, mark: &'static str| if is_set { mark } else { "" };
    commit + mark(is_modified, "+") + mark(is_older, "?")
}

/// Whether a program was built before one of its source files was last changed: after a checkout, say.
fn is_older_than_any(program: &Path, sources: impl Iterator<Item = PathBuf>) -> bool {
    let time = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
    let built = time(program);
    sources.filter_map(|path| time(&path)).any(|changed| Some(changed) > built)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn a_program_that_is_older_than_its_source_is_recognised() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [program, source] = ["program", "source.rs"].map(|name| folder.path().join(name));
        for path in [&program, &source] {
            fs::write(path, "").expect("a file");
        }
        let is_older =
            || is_older_than_any(&program, [source.clone(), folder.path().join("removed.rs")].into_iter());
        let now = SystemTime::now();
        File::options().write(true).open(&source).and_then(|file| file.set_modified(now)).expect("a time");
        for (seconds, expected) in [(1, false), (0, false)] {
            let built = now + Duration::from_secs(seconds);
            File::options()
                .write(true)
                .open(&program)
                .and_then(|file| file.set_modified(built))
                .expect("a time");
            assert_eq!(is_older(), expected);
        }
        let later = now + Duration::from_secs(5);
        File::options().write(true).open(&source).and_then(|file| file.set_modified(later)).expect("a time");
        assert!(is_older());
    }
}
