//! Developer commands: `cargo xtask VERB`.
//!
//! `check` and `tidy` are done here; every other verb is one of the app's: it is built in release mode and
//! takes the verb with all its arguments. One file per verb, the standard library only.
#![forbid(unsafe_code)]

mod check;
mod floors;
mod forward;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask VERB [ARGUMENTS]

Verbs for work on Roentgen itself:
  check       all that CI runs: fmt, tidy, deny, clippy, tests, docs
  tidy        only the rules on layers and files that no other tool knows

Every other verb is passed on to the app, built in release mode:
  train       train on a folder of images, or on the phantom films if none is given
  evaluate    test a trained model on a folder
  compare     compare two runs, with a test of significance
  bench       measure how fast this machine trains and infers
  data        draw the phantom films as a folder of png files
  ...         `cargo xtask --help` shows this; `cargo xtask train --help` explains one verb
              and `cargo xtask help` lists all of them
";

fn main() -> ExitCode {
    // The manifest lies one folder below the root of the workspace.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace");
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let verb = arguments.first().and_then(|verb| verb.to_str()).unwrap_or("--help");
    match (verb, arguments.len()) {
        ("--help" | "-h", _) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        ("check", 1) => check::run(root),
        ("tidy", 1) => tidy::run(root),
        ("check" | "tidy", _) => {
            eprintln!("error: `cargo xtask {verb}` takes no arguments");
            ExitCode::from(2)
        }
        _ => forward::run(root, &arguments),
    }
}
