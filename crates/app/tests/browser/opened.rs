//! How the browser is opened.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Server;
use crate::webdriver::Browser;

#[test]
fn the_browser_is_given_a_private_file_which_leads_to_the_page() {
    let folder = TempDir::new().unwrap();
    // In place of the system's program, which finds the user's browser.
    let programs = folder.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let opener = programs.join("xdg-open");
    std::fs::write(&opener, "#!/bin/sh\necho \"$@\" > opened.part && mv opened.part opened\n").unwrap();
    std::fs::set_permissions(&opener, PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
    let path = std::env::var("PATH").unwrap();
    command.arg("serve").env("PATH", format!("{}:{path}", programs.display())).current_dir(folder.path());
    let server = Server::of(command);

    let start = Instant::now();
    let given = folder.path().join("opened");
    while !given.exists() {
        assert!(start.elapsed() < Duration::from_secs(20), "nothing was opened");
        sleep(Duration::from_millis(20));
    }
    let given = std::fs::read_to_string(given).unwrap();
    let file = Path::new(given.trim());
    assert!(file.is_file() && !given.contains("token"), "{given}");
    assert!(std::fs::read_to_string(file).unwrap().contains(&server.link));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(file), mode(file.parent().unwrap())], [0o600, 0o700]);
    if let Some(browser) = Browser::start() {
        browser.open(&format!("file://{}", file.display()));
        browser.wait(&format!("location.href === '{}/' && document.querySelector('main h1')", server.origin));
        assert!(browser.text("main").contains("Trained models"));
    }
    drop(server);
    assert!(!file.exists() && !file.parent().unwrap().exists());
}
