//! Images whose answers are corrected: the class and the set that they go to.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::{Server, check_logs};
use crate::program::{train, write_images};
use crate::webdriver::Browser;

/// The page of the run `a`, with the answer for an image.
fn try_image(browser: &Browser, server: &Server, image: &Path) {
    server.open_in(browser);
    browser.open(&format!("{}/runs/a/try", server.origin));
    browser.drop_paths(".drop", &[image]);
    browser.wait("document.querySelector('#status').textContent === '1 image done'");
}

const OPEN: &str = "document.querySelector(\"#results button[aria-label^='Wrong']\").click()";

#[test]
fn a_class_that_a_set_cannot_have_gets_the_name_that_the_page_data_gives_it() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "films", &[("normal", 12), ("Pneumonia (viral)", 12)]);
    train(&["films", "--out", "runs/a"], folder.path());
    let server = Server::start(folder.path());
    try_image(&browser, &server, &folder.path().join("films/normal/film00.png"));
    let chosen = "document.querySelector('#right').value";
    let save = format!(
        "{OPEN}; {chosen} = 'Pneumonia (viral)'; document.querySelector('#correct form').requestSubmit()"
    );
    browser.run(&save, &Value::Null);
    browser.wait("document.querySelector('.correction strong')?.textContent === 'Pneumonia -viral'");
    let set = folder.path().join("runs/.sets/Corrections-of-a");
    assert!(set.join("train/Pneumonia -viral/film00.png").is_file());
    browser.wait("!document.querySelector('#correct').open");
    browser.run(OPEN, &Value::Null);
    browser.wait(&format!("{chosen} === 'Pneumonia (viral)'"));
    check_logs(&browser, &server);
}

#[test]
fn a_correction_for_a_set_that_was_removed_shows_that() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    let set = folder.path().join("runs/.sets/films");
    write_images(&set, "train", &[("normal", 12), ("pneumonia", 12)]);
    train(&["runs/.sets/films", "--out", "runs/a"], folder.path());
    let film = folder.path().join("film.png");
    std::fs::copy(set.join("train/normal/film00.png"), &film).unwrap();
    let server = Server::start(folder.path());
    try_image(&browser, &server, &film);
    std::fs::remove_dir_all(&set).unwrap();
    browser.run(&format!("{OPEN}; document.querySelector('#correct form').requestSubmit()"), &Value::Null);
    browser.wait("document.querySelector('#problem').textContent.startsWith('The set films was removed.')");
    let errors = browser.log("browser");
    assert!(errors.iter().all(|error| error.contains("sets/films/images")), "{errors:?}");
    check_logs(&browser, &server);
}

#[test]
fn a_correction_keeps_the_folder_of_the_patient() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    train(&["--films", "24", "--out", "runs/a"], folder.path());
    write_images(folder.path(), "new", &[("test/Normal/p1/study", 1), ("test/Normal/p2/study", 1)]);
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/runs/a/try", server.origin));
    browser.drop_paths(".drop", &[&folder.path().join("new")]);
    browser.wait("document.querySelector('#status').textContent === '2 images done'");
    for row in [1, 2] {
        let cell = format!("#results tbody tr:nth-child({row})");
        let save = format!(
            "document.querySelector(\"{cell} button[aria-label^='Wrong']\").click();
            document.querySelector('#right').value = 'pneumonia';
            document.querySelector('#correct form').requestSubmit()"
        );
        browser.run(&save, &Value::Null);
        browser.wait(&format!(
            "document.querySelector('{cell} .correction') && !document.querySelector('#correct').open"
        ));
    }
    let class = folder.path().join("runs/.sets/Corrections-of-a/train/pneumonia");
    for path in ["p1/film00.png", "p2/film00.png"] {
        assert!(class.join(path).is_file(), "{path}");
    }
    check_logs(&browser, &server);
}

#[test]
fn a_training_image_that_is_corrected_is_removed_from_its_wrong_class_if_the_user_agrees() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    let set = folder.path().join("runs/.sets/films");
    write_images(&set, "train", &[("normal", 12), ("pneumonia", 12)]);
    train(&["runs/.sets/films", "--out", "runs/a"], folder.path());
    let film = folder.path().join("film.png");
    let in_set = set.join("train/normal/film00.png");
    std::fs::copy(&in_set, &film).unwrap();
    let server = Server::start(folder.path());
    try_image(&browser, &server, &film);
    let confirm = "window.confirm = (text) => { window.asked = text; return window.agrees; }";
    browser.run(confirm, &Value::Null);
    let correct = |agrees: bool, seen: &str| {
        let save = format!(
            "window.agrees = {agrees}; {OPEN}; document.querySelector('#right').value = 'pneumonia';
            document.querySelector('#correct form').requestSubmit()"
        );
        browser.run(&save, &Value::Null);
        browser.wait(&format!("document.querySelector('.correction')?.textContent.endsWith('{seen}')"));
        browser.wait("!document.querySelector('#correct').open");
    };
    correct(false, "the data for the next training, which have it as normal, too");
    assert!(in_set.is_file());
    correct(true, "the data for the next training");
    let asked = "The set has film.png as normal, too. Remove it there, so that it is pneumonia alone?";
    assert_eq!(browser.run("return window.asked", &Value::Null), asked);
    assert!(!in_set.exists() && set.join("train/pneumonia/film.png").is_file());
    check_logs(&browser, &server);
}
