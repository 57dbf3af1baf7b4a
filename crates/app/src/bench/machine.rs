//! The machine and the program that a result was measured with.

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
    /// Commit of the program, followed by `+` if there are uncommitted changes; empty outside a repository.
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
    if is_modified { commit + "+" } else { commit }
}
