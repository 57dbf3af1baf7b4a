//! Sets of images on the page Data: what is asked before they are changed.

use serde_json::Value;
use tempfile::TempDir;

use super::{Server, check_logs};
use crate::program::write_images;
use crate::webdriver::{Browser, ENTER};

#[test]
fn a_yes_to_a_change_holds_for_one_drop() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "films", &[("normal", 4), ("pneumonia", 4)]);
    write_images(folder.path(), "more", &[("normal", 3), ("pneumonia", 3)]);
    let set = folder.path().join("runs/.sets/set");
    write_images(&set, "train", &[("normal", 2), ("pneumonia", 2)]);
    // A training on the set that has not ended.
    std::fs::create_dir(folder.path().join("runs/a")).unwrap();
    std::fs::write(folder.path().join("runs/a/config.toml"), format!("data = {set:?}\n")).unwrap();
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/data?data=set:set", server.origin));
    browser.wait("document.querySelectorAll('#editor .card').length === 2");
    let agree = "window.nAsked = 0; window.confirm = () => { window.nAsked += 1; return true; }";
    browser.run(agree, &Value::Null);
    for (dropped, status, n_asked) in [("films", "8 images sent", 1), ("more", "6 images sent", 2)] {
        browser.drop_paths("#drop", &[&folder.path().join(dropped)]);
        browser.wait(&format!("document.querySelector('#status').textContent === '{status}'"));
        assert_eq!(browser.run("return window.nAsked", &Value::Null), n_asked, "{dropped}");
        // What follows at once is of the same change.
        browser.run("window.dropped = Date.now()", &Value::Null);
        browser.wait("Date.now() - window.dropped > 2500");
    }
    // The requests that were refused before the user agreed.
    let errors = browser.log("browser");
    assert!(errors.iter().all(|error| error.contains("sets/set/images")), "{errors:?}");
    check_logs(&browser, &server);
}

#[test]
fn a_folder_is_one_class_of_the_open_set_or_the_user_agrees_to_new_ones() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "Pneumonia", &[("p1", 1), ("p2", 1)]);
    write_images(folder.path(), "third", &[("p3", 1), ("p4", 1)]);
    let set = folder.path().join("runs/.sets/set/train");
    for class in ["normal", "pneumonia"] {
        std::fs::create_dir_all(set.join(class)).unwrap();
    }
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/data?data=set:set", server.origin));
    browser.wait("document.querySelectorAll('#editor .card').length === 2");
    let ask = "window.confirm = (text) => { window.asked = text; return window.agrees; }";
    browser.run(ask, &Value::Null);
    let drop_folder = |name: &str| browser.drop_paths("#drop", &[&folder.path().join(name)]);
    drop_folder("Pneumonia");
    browser.wait("document.querySelector('#status').textContent === '2 images sent'");
    assert_eq!(browser.run("return window.asked ?? ''", &Value::Null), "");
    assert!(set.join("pneumonia/p1/film00.png").is_file() && set.join("pneumonia/p2/film00.png").is_file());
    drop_folder("third");
    browser.wait("document.querySelector('#refused').textContent.startsWith('Nothing was sent.')");
    let asked = "The set set has no classes p3, p4. Make these 2 classes?";
    assert_eq!(browser.run("return window.asked", &Value::Null), asked);
    assert!(!set.join("p3").exists());
    browser.run("window.agrees = true", &Value::Null);
    drop_folder("third");
    browser.wait("document.querySelectorAll('#editor .card').length === 4");
    assert!(set.join("p3/film00.png").is_file() && set.join("p4/film00.png").is_file());
    check_logs(&browser, &server);
}

#[test]
fn a_set_whose_name_has_other_signs_is_shown_and_removed_and_no_other() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    let sets = folder.path().join("runs/.sets");
    for set in ["a", "a#b"] {
        write_images(&sets.join(set), "train", &[("normal", 2), ("pneumonia", 2)]);
    }
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/data?data=set:a%23b", server.origin));
    browser.wait("document.querySelectorAll('#editor .gallery').length === 2");
    browser.run("document.querySelector('#editor .gallery button').click()", &Value::Null);
    browser.wait("document.querySelector('#editor .shown img')?.naturalWidth > 0");
    let remove =
        "window.confirm = () => true; document.querySelector(\"[aria-label='Remove the set a#b']\").click()";
    browser.run(remove, &Value::Null);
    browser.wait("document.querySelectorAll('#sets li').length === 1");
    assert!(sets.join("a").is_dir() && !sets.join("a#b").exists());
    check_logs(&browser, &server);
}

#[test]
fn after_a_restart_of_the_server_the_rest_of_a_drop_is_not_sent() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "films", &[("normal", 4), ("pneumonia", 4)]);
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/data", server.origin));
    // As of a server that does not know the token of this page.
    let restart = "const fetched = window.fetch;
        window.fetch = (address, options) => address.includes('/images?')
            ? Promise.resolve(new Response('open the link', { status: 401 })) : fetched(address, options)";
    browser.run(restart, &Value::Null);
    browser.drop_paths("#drop", &[&folder.path().join("films")]);
    let seen = "3 files not taken, and 5 more images not sent";
    browser.wait(&format!("document.querySelector('#refused').textContent.includes('{seen}')"));
    assert!(browser.text("#refused").contains("open the link"));
    check_logs(&browser, &server);
}

#[test]
fn a_complaint_goes_with_what_is_done_next() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    let set = folder.path().join("runs/.sets/set");
    write_images(&set, "train", &[("normal", 2), ("pneumonia", 2)]);
    write_images(folder.path(), "films", &[("normal", 3)]);
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/data?data=set:set", server.origin));
    browser.wait("document.querySelectorAll('#editor .card').length === 2");
    let add_class = |name: &str| {
        browser.run("document.querySelector('#editor input').value = ''", &Value::Null);
        browser.send("#editor input", name);
        browser.press(ENTER);
    };
    let [is_shown, is_hidden] =
        ["!document.querySelector('#refused').hidden", "document.querySelector('#refused').hidden"];
    add_class("a.b");
    browser.wait(is_shown);
    add_class("third");
    browser.wait("document.querySelectorAll('#editor .card').length === 3");
    browser.wait(is_hidden);
    add_class("a.b");
    browser.wait(is_shown);
    browser.send("#editor .card input", folder.path().join("films/normal/film02.png").to_str().unwrap());
    browser.wait("document.querySelector('#status').textContent === '1 image sent'");
    browser.wait(is_hidden);
    // The two names that were refused.
    let errors = browser.log("browser");
    assert!(errors.iter().all(|error| error.contains("sets/set/classes")), "{errors:?}");
    check_logs(&browser, &server);
}
