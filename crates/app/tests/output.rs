//! What becomes of results that cannot be printed.
#![cfg(target_os = "linux")]

use tempfile::TempDir;

use crate::program::{text, train, write_images};

/// Runs the program in a shell, which redirects its output.
fn in_shell(command: &str, folder: &std::path::Path) -> std::process::Output {
    let script = command.replace("roentgen", env!("CARGO_BIN_EXE_roentgen"));
    std::process::Command::new("bash")
        .args(["-o", "pipefail", "-c", &script])
        .current_dir(folder)
        .output()
        .unwrap()
}

#[test]
fn a_result_that_cannot_be_printed_is_an_error_and_a_closed_pipe_is_not() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    train(&["--films", "24", "--out", "run"], here);
    write_images(here, "films", &[("ill", 12), ("well", 12)]);
    for command in [
        "describe run --json",
        "describe run",
        "predict run films",
        "predict run films --csv",
        "inspect films",
    ] {
        for (target, words) in [("> /dev/full", "No space left"), (">&-", "it is closed")] {
            let output = in_shell(&format!("roentgen {command} {target}"), here);
            let message = text(&output.stderr);
            assert!(
                output.status.code() == Some(1) && message.contains(words),
                "{command} {target}: {message}"
            );
        }
        let output = in_shell(&format!("roentgen {command} > /dev/null"), here);
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    }
    for command in ["completions bash", "man", "inspect films", "describe run --json"] {
        let output = in_shell(&format!("roentgen {command} | head -1 > /dev/null"), here);
        let message = text(&output.stderr);
        assert!(output.status.success() && !message.contains("panicked"), "{command}: {message}");
    }
}
