//! The program: asks whether this CPU will do, then hands over to the command line.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use roentgen::cli::{self, Cli};
use roentgen::cpu;
use roentgen::screen::printable;

/// Large pages, and tensors that start on cache lines: training is 7 % faster than on glibc's allocator, inference of
/// one image 10 % (medians of four runs in turn, batch 128 at 1x24x24, two AVX-512 cores, November 2026).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let missing = cpu::missing_features();
    if !missing.is_empty() {
        return refuse(&missing);
    }
    run()
}

/// The program proper; apart from `main`, which must run on every CPU.
#[inline(never)]
fn run() -> ExitCode {
    match Cli::read().and_then(cli::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Line by line: only lists have several.
            let lines: Vec<String> = error.to_string().split('\n').map(printable).collect();
            eprintln!("error: {}", lines.join("\n"));
            ExitCode::from(error.exit_code())
        }
    }
}

/// One line instead of an illegal instruction.
#[inline(never)]
fn refuse(missing: &[&str]) -> ExitCode {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(b"error: this program was built for a CPU with");
    for name in missing {
        let _ = out.write_all(b" ");
        let _ = out.write_all(name.as_bytes());
    }
    let _ = out.write_all(b", which this one lacks; build it on this machine with `cargo build --release`\n");
    ExitCode::FAILURE
}
