//! A training that was interrupted, as the pages show it.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{Server, check_logs, check_page};
use crate::program::train;
use crate::webdriver::{Browser, ENTER};

#[test]
fn an_interrupted_training_is_resumed_by_keyboard_from_the_list() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
    command.args(["train", "--films", "200", "--epochs", "20", "--width", "8", "--quiet", "--out", "runs/a"]);
    command.args(["--checkpoint-minutes", "0"]);
    let mut training = command.current_dir(folder.path()).stdin(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    // The file is made before its first line is written.
    while std::fs::read(folder.path().join("runs/a/log.jsonl")).unwrap_or_default().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(60), "no epoch");
        sleep(Duration::from_millis(5));
    }
    training.kill().unwrap();
    training.wait().unwrap();

    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.tab_to(".runs button.resume");
    check_page(&browser);
    let line = browser.text("li:has(button.resume)");
    assert!(line.contains("Stopped after epoch") && line.contains("of 20."), "{line}");
    browser.press(ENTER);
    browser.wait("location.pathname === '/runs/a/training' && document.querySelector('#bar').value > 0");
    browser.wait("document.querySelector('#sentence').textContent.startsWith('Training: epoch')");
    // In one script, so that the training goes on meanwhile.
    let hide_and_show = "const Source = EventSource;
        window.EventSource = class extends Source {
            constructor(address) {
                super(address);
                window.latest = this;
            }
        };
        const show = (isShown) => {
            Object.defineProperty(document, 'hidden', { configurable: true, value: !isShown });
            document.dispatchEvent(new Event('visibilitychange'));
        };
        show(false);
        show(true);
        const opened = window.latest;
        show(false);
        const isClosed = opened?.readyState === Source.CLOSED;
        show(true);
        return isClosed && window.latest !== opened";
    assert_eq!(browser.run(hide_and_show, &Value::Null), true, "a page that is not seen holds no connection");
    check_logs(&browser, &server);
    // It stops with the server, with a checkpoint, and is resumed on its page.
    drop(server);
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.tab_to(".runs a[href='/runs/a/training']");
    browser.press(ENTER);
    browser.wait("document.querySelector('#left')?.textContent.includes('checkpoint')");
    check_page(&browser);
    browser.tab_to("#resume");
    browser.press(ENTER);
    browser.wait("document.querySelector('#resume').hidden");
    // What has no answer beside the events, as where the server has ended, is no error of the script.
    browser.run("window.fetch = () => Promise.reject(new TypeError('no answer'))", &Value::Null);
    browser.wait("document.querySelector('#sentence').textContent === 'Done, after 20 epochs.'");
    check_page(&browser);
    let errors = browser.log("browser");
    assert!(errors.iter().all(|error| !error.contains("Uncaught")), "{errors:?}");
}

#[test]
fn the_page_of_a_stopped_training_keeps_no_connection_and_shows_that_the_run_was_removed() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    train(&["--films", "24", "--out", "runs/a"], folder.path());
    // As of a training that has not come to its end.
    std::fs::remove_file(folder.path().join("runs/a/metrics.json")).unwrap();
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/runs/a/training", server.origin));
    browser.wait("document.querySelector('#left').textContent.includes('checkpoint')");
    // The page asks now and then, and closes the stream with the first event.
    let observed = "const Source = EventSource;
        window.EventSource = class extends Source {
            constructor(address) {
                super(address);
                window.latest = this;
            }
        }";
    browser.run(observed, &Value::Null);
    browser.wait("window.latest?.readyState === EventSource.CLOSED");
    std::fs::remove_dir_all(folder.path().join("runs/a")).unwrap();
    browser.wait("document.querySelector('#left').textContent === 'This run is no longer there.'");
    let errors = browser.log("browser");
    assert!(errors.iter().all(|error| error.contains("runs/a/training")), "{errors:?}");
    check_logs(&browser, &server);
}
