//! What becomes of results that cannot be printed or written.
#![cfg(target_os = "linux")]

use std::fs;

use serde_json::Value;
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
        let output = in_shell(&format!("roentgen {command} > /dev/full"), here);
        let message = text(&output.stderr);
        assert!(output.status.code() == Some(1) && message.contains("No space left"), "{command}: {message}");
        // For the program the same as a null device that another program opened for it: a note, no error.
        let output = in_shell(&format!("roentgen {command} >&-"), here);
        let message = text(&output.stderr);
        let has_note = message.contains("so the result is not shown");
        assert!(output.status.success() && has_note, "{command}, closed: {message}");
        let output = in_shell(&format!("roentgen {command} > /dev/null"), here);
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    }
    for command in ["completions bash", "man", "inspect films", "describe run --json"] {
        let output = in_shell(&format!("roentgen {command} | head -1 > /dev/null"), here);
        let message = text(&output.stderr);
        assert!(output.status.success() && !message.contains("panicked"), "{command}: {message}");
    }
}

#[test]
fn a_path_that_is_not_unicode_ends_no_command() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("ill", 12), ("well", 12)]);
    assert!(in_shell(r"cp films/ill/film00.png $'r\xf6ntgen.png'", here).status.success());
    let run = r"$'l\xe4uf'";
    for (command, key, path) in [
        (format!("train films --width 8 --epochs 1 --out {run}"), "run", "l\u{FFFD}uf"),
        (format!(r"explain {run} $'r\xf6ntgen.png' --out why.png"), "path", "r\u{FFFD}ntgen.png"),
    ] {
        let output = in_shell(&format!("roentgen {command} --json"), here);
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(found[key], path, "{command}");
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_of_the_write_and_not_the_end_without_a_word() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    train(&["--films", "24", "--out", "run"], here);
    let limited = |n_blocks: u32, command: &str| {
        let output = in_shell(&format!("ulimit -f {n_blocks}; exec roentgen {command}"), here);
        (output.status.code(), text(&output.stderr))
    };
    let one_epoch = "train --films 24 --width 8 --epochs 1 --quiet --out";
    let (code, message) = limited(0, &format!("{one_epoch} none"));
    assert!(code == Some(1) && message.contains("cannot write none/"), "{code:?}: {message}");
    // In blocks of 1,024 bytes: the settings can be written, the model cannot.
    let (code, message) = limited(16, &format!("{one_epoch} half"));
    assert!(code == Some(1) && message.contains("cannot write half/"), "{code:?}: {message}");
    assert!(message.contains("then continue with: roentgen train --resume half"), "{message}");
    let resumed = in_shell("roentgen train --quiet --resume half", here);
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    let (code, message) = limited(0, "export run --onnx model.onnx");
    assert!(code == Some(1) && message.contains("cannot write model.onnx"), "{code:?}: {message}");
    assert!(!here.join("model.onnx").exists());
    let (code, message) = limited(0, "data phantom --films 24 --out phantom");
    assert!(code == Some(1) && message.contains("cannot write phantom/"), "{code:?}: {message}");
    assert!(!here.join("phantom").exists());
    let (code, message) = limited(0, "describe run --json > described.json");
    assert!(code == Some(1) && message.contains("cannot write the standard output"), "{code:?}: {message}");
    // The exit code remains where not even the error can be shown.
    assert_eq!(limited(0, "describe missing 2> errors.txt"), (Some(2), String::new()));
}

#[test]
fn a_folder_that_cannot_be_written_is_noticed_before_the_images_are_read() {
    let folder = TempDir::new().unwrap();
    for more in ["", " --seeds 0..1 --task 1/2"] {
        let output = in_shell(&format!("roentgen train missing --out /proc/run{more}"), folder.path());
        let message = text(&output.stderr);
        let is_named = message.contains("cannot write /proc/run: ") && !message.contains("tmp");
        assert!(output.status.code() == Some(1) && is_named, "{message}");
    }
}

#[test]
fn under_any_limit_a_command_succeeds_or_says_what_it_lacks() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    let films = "roentgen data phantom --out films --films 24 --quiet";
    assert!(in_shell(films, here).status.success());
    let train = "train films --width 8 --batch 12 --epochs 1 --no-audit --quiet --out";
    assert!(in_shell(&format!("roentgen {train} whole"), here).status.success());
    let whole = fs::read(here.join("whole/model.safetensors")).unwrap();
    let memory = [60_000, 75_000, 90_000, 150_000, 300_000, 600_000].map(|kib| format!("ulimit -v {kib}"));
    let files = [4, 6, 8].map(|n| format!("ulimit -n {n}"));
    let mut n_failed = 0;
    for limit in memory.iter().chain(&files) {
        for command in [&format!("{train} run"), "predict whole films/test --quiet"] {
            let output = in_shell(&format!("unset RUST_BACKTRACE; {limit}; exec roentgen {command}"), here);
            let (code, message) = (output.status.code(), text(&output.stderr));
            let is_named = message.starts_with("error: ") || message.starts_with("memory allocation of ");
            // A line for each file that could not be opened, or a sentence.
            let is_short = message.lines().count() < 4 || message.contains("files cannot be used");
            let is_error = matches!(code, Some(1 | 2)) && is_named && is_short;
            assert!(code == Some(0) || is_error, "{limit}; {command}: {code:?} {message}");
            n_failed += u32::from(is_error);
            if command.starts_with("train") && code == Some(0) {
                assert!(fs::read(here.join("run/model.safetensors")).unwrap() == whole, "{limit}");
            }
            let _ = fs::remove_dir_all(here.join("run"));
        }
    }
    assert!(n_failed > 3, "{n_failed}");
}
