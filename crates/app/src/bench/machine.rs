//! The machine and the program that a result was measured with.

use std::process::Command;

use serde::{Deserialize, Serialize};

use super::{bandwidth, peak};
use crate::cpu;

/// The repository that this program was built from.
pub(super) const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The machine and the program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Machine {
    /// Name of the processor.
    pub(super) cpu: String,
    /// Number of threads.
    pub(super) threads: usize,
    /// Vector registers of the build.
    pub(super) vectors: String,
    /// Peak of multiply-adds in registers on all threads.
    pub(super) peak_gflops: f64,
    /// Peak of memory copies on all threads, counting bytes read and bytes written.
    pub(super) copy_gb_per_s: f64,
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
            peak_gflops: peak::measure_gflops(threads),
            copy_gb_per_s: bandwidth::measure_copy_gb_per_s(threads),
            commit: commit(),
        }
    }
}

fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(REPOSITORY).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else { return String::new() };
    // Records and documents do not change what is measured.
    let is_modified = git(&["status", "--porcelain", "--", ":!docs"]).is_some_and(|list| !list.is_empty());
    if is_modified { commit + "+" } else { commit }
}
