//! What CI runs, cheapest first; stops at the first step that fails.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use crate::forward::cargo;
use crate::tidy;

/// The address space of a test, and of the program that it starts.
const ADDRESS_SPACE_KIB: u32 = 2_000_000;
/// The files that they may have open. Two tests at a time need 15 of them while they start the program.
const OPEN_FILES: u32 = 16;
/// The tests that run once more under these limits: names begin with these words.
const UNDER_LIMITS: [&str; 7] =
    ["cli::a_folder_of", "dicom::", "predict::bad", "resume::a_cross", "arrays::", "folders::", "formats::"];

/// The variable with which a missing MPI is a failure: for a machine that is to have one.
const CHECK_ALL: &str = "ROENTGEN_CHECK_ALL";

/// Runs every step.
pub(crate) fn run(root: &Path) -> ExitCode {
    let start = Instant::now();
    let mut fmt = cargo(root, "fmt");
    fmt.args(["--all", "--", "--check"]);
    let mpis = installed_mpis();
    let mut clippy = cargo(root, "clippy");
    // Where there is an MPI, with the program's part for it.
    match mpis.first() {
        Some([compiler, _]) => clippy.args(OF_WORKSPACE_WITH_MPI).env("MPICC", compiler),
        None => clippy.arg("--workspace"),
    };
    clippy.args(["--all-targets", "--", "-D", "warnings"]);
    let mut tests = cargo(root, "test");
    tests.arg("--workspace");
    // On a CPU with AVX-512, the kernels once more as a CPU without it runs them: another register tile, half the vector.
    let mut avx2 = cargo(root, "test");
    avx2.args(["--package", "roentgen-tensor", "--target-dir"]).arg(root.join("target/avx2"));
    avx2.env("RUSTFLAGS", "-C target-cpu=haswell");
    let mut limited = under_limits(root);
    let mut doc = cargo(root, "doc");
    // With private items: modules explain themselves by links to their parts.
    doc.args(["--workspace", "--no-deps", "--document-private-items"]);
    doc.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links");

    let mut totals = Totals::default();
    let passed = step("fmt", || succeeds(&mut fmt))
        && step("tidy", || tidy::run(root) == ExitCode::SUCCESS)
        && check_dependencies(root)
        && step("clippy", || succeeds(&mut clippy))
        && step("test", || run_tests(&mut tests, &mut totals))
        && (!has_avx512() || step("test kernels with AVX2", || run_tests(&mut avx2, &mut totals)))
        && (!cfg!(target_os = "linux")
            || step("test under limits", || run_filtered(&mut limited, &UNDER_LIMITS, &mut totals)))
        && step("doc", || succeeds(&mut doc))
        && check_mpi(root, &mpis, &mut totals);
    if !passed {
        return ExitCode::FAILURE;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("check: everything passed in {seconds:.0} s; {totals}");
    ExitCode::SUCCESS
}

/// Tests of what takes memory and files, once more where there is little of both: reading every kind of data, training and
/// prediction.
fn under_limits(root: &Path) -> Command {
    let runner = format!(
        "target.'cfg(unix)'.runner = ['sh', '-c', 'ulimit -v {ADDRESS_SPACE_KIB} && ulimit -n {OPEN_FILES} && exec \"$@\"', 'sh']"
    );
    let mut tests = cargo(root, "test");
    // Of the whole workspace, so that what the tests before were built from is not built anew with other features.
    tests.args(["--config", &runner, "--workspace", "--test", "all", "--"]);
    tests.args(["--test-threads", "2"]).args(UNDER_LIMITS);
    tests
}

/// Licences, duplicate versions and sources of all dependencies, by the rules of `deny.toml`. The tool is not part of
/// Rust: where it is missing, this step prints one line and passes. Hosted CI has it.
fn check_dependencies(root: &Path) -> bool {
    let mut version = cargo(root, "deny");
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    if !version.status().is_ok_and(|status| status.success()) {
        println!("check: deny skipped: cargo-deny is not installed (`cargo install cargo-deny --locked`)");
        return true;
    }
    let mut deny = cargo(root, "deny");
    deny.args(["check", "licenses", "bans", "sources"]);
    step("deny", || succeeds(&mut deny))
}

/// The compilers of MPI programs that may be installed, and the launcher of each: both of Debian's, or the only one.
const MPIS: [[&str; 2]; 2] = [["mpicc.openmpi", "mpirun.openmpi"], ["mpicc.mpich", "mpirun.mpich"]];
const ONLY_MPI: [[&str; 2]; 1] = [["mpicc", "mpirun"]];
/// Of the whole workspace for the reason in [`under_limits`]: of the package alone it takes 132 s of processor time in place
/// of 40 to build the tests.
const OF_WORKSPACE_WITH_MPI: [&str; 3] = ["--workspace", "--features", "roentgen/mpi"];

/// Those of [`MPIS`] whose compiler is there; without any, [`ONLY_MPI`] if its compiler is.
fn installed_mpis() -> Vec<[&'static str; 2]> {
    let is_installed = |[compiler, _]: &[&str; 2]| {
        let mut version = Command::new(compiler);
        version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    };
    let mut found: Vec<_> = MPIS.into_iter().filter(is_installed).collect();
    if found.is_empty() {
        found.extend(ONLY_MPI.into_iter().filter(is_installed));
    }
    found
}

/// The program with the feature `mpi`, with each of these MPIs. Last, because it replaces what was built without.
fn check_mpi(root: &Path, mpis: &[[&str; 2]], totals: &mut Totals) -> bool {
    if mpis.is_empty() {
        return without_mpi(std::env::var_os(CHECK_ALL).as_deref());
    }
    mpis.iter().all(|[compiler, launcher]| {
        let mut tests = cargo(root, "test");
        // The app is built for these few tests alone, in half the time without optimisation.
        tests.args(["--config", "profile.dev.package.roentgen.opt-level=0"]);
        tests.args(OF_WORKSPACE_WITH_MPI).args(["--test", "mpi"]);
        // Four at a time, for the ranks of half of them wait.
        tests.args(["--", "--test-threads", "4"]);
        tests.env("ROENTGEN_TEST_MPIRUN", launcher).env("MPICC", compiler);
        step(&format!("test with {launcher}"), || run_tests(&mut tests, totals))
    })
}

/// Leaves the step out, with a line; fails if `check_all`, the value of [`CHECK_ALL`], asks for every step.
fn without_mpi(check_all: Option<&OsStr>) -> bool {
    let is_needed = check_all.is_some_and(|value| !value.is_empty());
    let verdict = if is_needed { format!("FAILED, for {CHECK_ALL} is set") } else { "skipped".to_owned() };
    println!("check: MPI {verdict}: there is no mpicc (on Debian: libopenmpi-dev and openmpi-bin)");
    !is_needed
}

/// Whether the build for this machine uses AVX-512.
fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = std::is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    let has = false;
    has
}

/// Runs one step between two lines that name it and its time.
fn step(name: &str, work: impl FnOnce() -> bool) -> bool {
    println!("check: {name} ...");
    let start = Instant::now();
    let passed = work();
    let verdict = if passed { "passed" } else { "FAILED" };
    println!("check: {name} {verdict} after {:.1} s", start.elapsed().as_secs_f64());
    passed
}

fn succeeds(command: &mut Command) -> bool {
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("error: cannot start {}: {error}", command.get_program().display());
            false
        }
    }
}

/// Whether a line such as `test cli::a_folder_of_images ... ok` is of a test with this filter.
fn is_result_of(line: &str, filter: &str) -> bool {
    line.strip_prefix("test ").is_some_and(|name| name.contains(filter))
}

/// Sums over the test runner's `test result:` lines.
#[derive(Default)]
struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Totals {
    /// Adds `test result: ok. 7 passed; 0 failed; 0 ignored; ...`; any other line is left alone.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        let words: Vec<&str> = counts.split_whitespace().collect();
        for pair in words.windows(2) {
            let count = pair[0].parse().unwrap_or(0);
            match pair[1] {
                "passed;" => self.passed += count,
                "failed;" => self.failed += count,
                "ignored;" => self.ignored += count,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "tests: {} passed, {} failed, {} ignored", self.passed, self.failed, self.ignored)
    }
}

/// Runs the tests, passes their output through and adds up their results.
fn run_tests(command: &mut Command, totals: &mut Totals) -> bool {
    run_filtered(command, &[], totals)
}

/// As [`run_tests`], where the names of some tests have each of these words: a test may have got another name.
fn run_filtered(command: &mut Command, filters: &[&str], totals: &mut Totals) -> bool {
    let mut child = match command.stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("error: cannot start cargo test: {error}");
            return false;
        }
    };
    let output = child.stdout.take().expect("the output is piped");
    let n_before = totals.passed;
    let mut unused = filters.to_vec();
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        println!("{line}");
        totals.add(&line);
        unused.retain(|filter| !is_result_of(&line, filter));
    }
    let passed = child.wait().is_ok_and(|status| status.success());
    println!("check: {totals}");
    // After a failure, Cargo leaves out the tests of the next crates.
    if passed && !unused.is_empty() {
        println!("check: no test has the name {}; change the names in xtask/src/check.rs", unused.join(", "));
        return false;
    }
    passed && totals.failed == 0 && totals.passed > n_before
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::{Totals, is_result_of, without_mpi};

    #[test]
    fn a_filter_without_a_test_is_noticed() {
        assert!(is_result_of("test cli::a_folder_of_images ... ok", "cli::a_folder_of"));
        assert!(!is_result_of("test predict::bad_files ... ok", "cli::a_folder_of"));
        assert!(!is_result_of("test result: ok. 7 passed; 0 failed", "predict::bad"));
    }

    #[test]
    fn a_missing_mpi_fails_only_where_every_step_has_to_run() {
        assert!(without_mpi(None) && without_mpi(Some(OsStr::new(""))));
        assert!(!without_mpi(Some(OsStr::new("1"))));
    }

    #[test]
    fn totals_add_up_the_result_lines_alone() {
        let mut totals = Totals::default();
        totals.add("test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        totals.add("test counts_3_passed ... ok");
        totals.add("test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out");
        assert_eq!((totals.passed, totals.failed, totals.ignored), (9, 4, 1));
    }
}
