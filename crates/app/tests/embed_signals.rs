//! Signals of a program that embeds the trainer, after it has trained.
#![forbid(unsafe_code)]
#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use roentgen::{Screen, TrainConfig};

/// What the child process prints when it has trained.
const TRAINED: &str = "trained";
/// In the environment of a child process.
const CHILD: &str = "ROENTGEN_TEST_CHILD";
/// The exit code of a child whose own handler was called.
const HANDLED: i32 = 42;

fn train() {
    let config = TrainConfig { films: 24, width: 8, size: 8, epochs: Some(1), ..TrainConfig::default() };
    let folder = tempfile::tempdir().unwrap();
    let data = roentgen::load(&config, &Screen::silent()).unwrap();
    roentgen::train(&config, &data, &folder.path().join("run"), &Screen::silent()).unwrap();
}

/// Starts the test `name` in a process of its own, and sends it SIGTERM once it has trained: SIGINT is ignored from
/// the start where a shell has put the tests in the background.
fn interrupted_after_training(name: &str) -> ExitStatus {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.ends_with(TRAINED)), "it did not train");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    child.wait().unwrap()
}

#[test]
fn a_signal_ends_the_program_again() {
    if std::env::var_os(CHILD).is_some() {
        // Twice: the second run listens anew.
        train();
        train();
        println!("{TRAINED}");
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    assert_eq!(interrupted_after_training("a_signal_ends_the_program_again").signal(), Some(15));
}

#[test]
fn a_handler_of_the_program_stays() {
    if std::env::var_os(CHILD).is_some() {
        let is_called = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&is_called)).unwrap();
        train();
        println!("{TRAINED}");
        for _ in 0..600 {
            std::thread::sleep(Duration::from_millis(100));
            if is_called.load(Ordering::Relaxed) {
                std::process::exit(HANDLED);
            }
        }
        return;
    }
    assert_eq!(interrupted_after_training("a_handler_of_the_program_stays").code(), Some(HANDLED));
}
