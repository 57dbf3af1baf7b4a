//! Developer commands: `cargo xtask COMMAND`.
//!
//! `check` and `tidy` are done here, and `dist` in a crate of its own, which needs libraries; every other command is one of the
//! app's: it is built in release mode and gets the command with all its arguments. One file per command, the standard
//! library only.
#![forbid(unsafe_code)]

mod check;
mod floors;
mod forward;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

const HELP: &str = "\
Usage: cargo xtask COMMAND [ARGUMENTS]

Commands for work on Roentgen itself:
  check       run all checks of CI: format, tidy, licences, clippy, tests, documentation
  tidy        check only the rules that no other tool knows: which module may import which, and
              file sizes
  dist        make the archive and the wheel for distribution

Every other command is passed on to the program, which is built in release mode first:
  train       train a model, on your images or on phantom films
  inspect     check a data set before training
  audit       check whether a model could classify by a shortcut
  evaluate    test a trained model on other images
  predict     classify images
  bench       measure how fast this machine trains and predicts
  ...         `cargo xtask help` lists all of them, `cargo xtask train --help` explains one
";

fn main() -> ExitCode {
    // The manifest is one folder below the root of the workspace.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace");
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let command = arguments.first().and_then(|command| command.to_str()).unwrap_or("--help");
    match (command, arguments.len()) {
        ("--help" | "-h", _) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        ("check", 1) => check::run(root),
        ("tidy", 1) => tidy::run(root),
        ("check" | "tidy", _) => {
            eprintln!("error: `cargo xtask {command}` takes no arguments");
            ExitCode::from(2)
        }
        ("dist", _) => forward::dist(root, &arguments[1..]),
        _ => forward::run(root, &arguments),
    }
}
