//! The pages of `roentgen serve` in Chromium: each step, by keyboard, on a phone, light and dark.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{roentgen, train, write_images};
use crate::webdriver::{Browser, ENTER, ESCAPE, RIGHT};

mod corrections;
mod drops;
mod interrupted;
#[cfg(target_os = "linux")]
mod opened;
mod sets;

/// The file of axe-core, which finds what keeps people from using a page: `npm pack axe-core` has one.
const AXE: &str = "ROENTGEN_AXE";

/// The server as a program, in a folder.
struct Server {
    program: Child,
    /// Where it is, as in `http://127.0.0.1:8080`.
    origin: String,
    link: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
        command.args(["serve", "--no-open", "--threads", "1"]).current_dir(folder);
        Self::of(command)
    }

    /// Of a command that serves.
    fn of(mut command: Command) -> Self {
        let mut program = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut link = String::new();
        BufReader::new(program.stdout.take().unwrap()).read_line(&mut link).unwrap();
        let link = link.trim().to_owned();
        let (origin, _) = link.split_once("/?token=").expect("a link");
        Self { origin: origin.to_owned(), program, link }
    }

    /// Opens the link, which leads to a page without the token.
    fn open_in(&self, browser: &Browser) {
        browser.open(&self.link);
        browser.wait(&format!("location.href === '{}/' && document.readyState === 'complete'", self.origin));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill_process(Pid::from_child(&self.program), Signal::TERM).unwrap();
        self.program.wait().unwrap();
    }
}

/// What holds for every page, as it is now: nothing to scroll sideways, and no finding of axe-core. What follows is on a phone.
fn check_page(browser: &Browser) {
    for (width, height, scheme) in [(1280, 800, "light"), (360, 640, "dark")] {
        browser.resize(width, height);
        browser.prefer(scheme);
        check_width(browser, width);
        let Some(axe) = std::env::var_os(AXE) else { continue };
        let axe = std::fs::read_to_string(axe).unwrap();
        let found = browser.run_async(&format!(
            "const done = arguments[0]; {axe};
            axe.run(document, {{ iframes: false }}).then(({{ violations }}) => done(violations.map(({{ id, help, nodes }}) =>
                [id, help, ...nodes.map((node) => `${{node.html}} ${{node.failureSummary}}`)].join('\\n'))));"
        ));
        assert_eq!(found, serde_json::json!([]), "{} at {width} pixels, {scheme}", browser.address());
    }
}

fn check_width(browser: &Browser, width: u32) {
    let script = "return document.scrollingElement.scrollWidth - window.innerWidth";
    let beyond = browser.run(script, &Value::Null);
    assert!(beyond.as_i64() <= Some(0), "{beyond} pixels beyond {width} on {}", browser.address());
}

/// What holds for all that was done: no error of a script, and no request to anything but the server.
fn check_logs(browser: &Browser, server: &Server) {
    assert_eq!(browser.log("browser"), [""; 0]);
    let mut n_requests = 0;
    for line in browser.log("performance") {
        let event: Value = serde_json::from_str(&line).unwrap();
        let event = &event["message"];
        if event["method"] == "Network.requestWillBeSent" {
            let address = event["params"]["request"]["url"].as_str().unwrap();
            let is_own = address.starts_with(&format!("{}/", server.origin));
            assert!(is_own || address.starts_with("blob:") || address.starts_with("data:"), "{address}");
            n_requests += 1;
        }
    }
    assert!(n_requests > 3, "{n_requests} requests were logged");
}

/// From the list of models, by keyboard, to the answers for `images`.
fn try_images(browser: &Browser, run: &str, images: &[PathBuf]) {
    browser.tab_to(&format!("a[href='/runs/{run}/try']"));
    browser.press(ENTER);
    answer_for(browser, images);
}

/// From the page to try a model, by keyboard, to the answers for `images`.
fn answer_for(browser: &Browser, images: &[PathBuf]) {
    browser.wait("document.querySelector('#files')");
    check_page(browser);
    browser.tab_to("#files");
    let paths: Vec<&str> = images.iter().map(|path| path.to_str().unwrap()).collect();
    // The window in which files are chosen is not of the page, so that no key of ours gets there.
    browser.send("#files", &paths.join("\n"));
    let done =
        if images.len() == 1 { "1 image done".to_owned() } else { format!("{} images done", images.len()) };
    browser.wait(&format!("document.querySelector('#status').textContent === '{done}'"));
    check_page(browser);
    for width in [360, 1280] {
        browser.resize(width, 800);
        let script =
            "const box = document.querySelector('.scroll'); return box.scrollWidth - box.clientWidth";
        let beyond = browser.run(script, &Value::Null);
        assert_eq!(beyond, 0, "pixels of the answers are beyond {width}");
    }
    // A single answer cannot be sorted, nor compared.
    let script = "return document.querySelector('#results th button').disabled";
    assert_eq!(browser.run(script, &Value::Null), images.len() == 1);
    browser.wait(&format!("document.querySelector('#together').hidden === {}", images.len() == 1));
    assert!(browser.text("#meaning").contains("calibrated"));
    browser.tab_to("#save");
}

/// By keyboard: the table is sorted, an answer is explained, and corrected.
fn use_answers(browser: &Browser) {
    browser.tab_to("#results th:nth-child(2) button");
    browser.press(ENTER);
    browser.wait("document.querySelector('#results th[aria-sort=ascending]')");

    browser.tab_to("button[aria-label^='Why is']");
    browser.press(ENTER);
    browser.wait("document.querySelectorAll('#near img').length === 5");
    let maps = "[...document.querySelectorAll('#why .text')].map((text) => text.textContent)";
    let maps = browser.run(&format!("return {maps}"), &Value::Null).to_string().to_lowercase();
    assert!(maps.contains("evidence for") && maps.contains("hid") && !maps.contains('…'), "{maps}");
    let opacity = "getComputedStyle(document.querySelector('#why .overlay')).opacity";
    browser.wait(&format!("{opacity} === '0.65' && document.activeElement.id === 'opacity'"));
    browser.press(RIGHT);
    browser.wait(&format!("{opacity} === '0.7'"));
    check_page(browser);
    browser.press(ESCAPE);
    browser.wait("document.activeElement.matches(`button[aria-label^='Why is']`)");

    browser.tab_to("button[aria-label^='Wrong']");
    browser.press(ENTER);
    browser.wait("document.querySelector('#correct').open");
    check_page(browser);
    browser.send("#right", "another class");
    browser.tab_to("#other");
    browser.send("#other", "a new one");
    browser.press(ENTER);
    browser.wait("document.querySelector('#results .correction')");
    assert_eq!(browser.text("#results .correction strong"), "a new one");
}

/// Answers stay when the page is loaded again, without what needs their images, until they are cleared.
fn load_answers_again(browser: &Browser, image: &Path) {
    let answers = browser.text("#results tbody").replace("Why?", "").replace("Wrong? Correct it", "");
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let address = browser.address();
    browser.open(&address);
    browser.wait("document.querySelectorAll('#results tbody tr').length > 1");
    check_page(browser);
    assert!(browser.text("#kept").contains("without their images"));
    let (mut again, mut before) = (words(&browser.text("#results tbody")), words(&answers));
    again.sort();
    before.sort();
    assert_eq!(again, before, "the table was sorted");
    another_is_compared_with_those_that_were_kept(browser, image);
    browser.tab_to("#clear");
    browser.press(ENTER);
    browser.wait("['#results', '#kept', '#together'].every((name) => document.querySelector(name).hidden)");
    browser.open(&address);
    browser.wait("document.querySelector('#results').hidden");
}

/// What was kept is compared with what is added; if the browser has no room for it, the line says that it is not.
fn another_is_compared_with_those_that_were_kept(browser: &Browser, image: &Path) {
    let not_compared =
        "document.querySelector('#together').textContent.includes('are not in this comparison')";
    let add = |is_compared: bool| {
        let rows = "document.querySelectorAll('#results tbody tr').length";
        let n = browser.run(&format!("return {rows}"), &Value::Null).as_u64().unwrap() + 1;
        browser.send("#files", image.to_str().unwrap());
        browser.wait(&format!("document.querySelector('#status').textContent === '{n} images done'"));
        browser.wait(&format!("{not_compared} === {}", !is_compared));
    };
    let kept = "return Object.values(sessionStorage).every((answers) => answers.includes('summary'))";
    assert_eq!(browser.run(kept, &Value::Null), true, "what a comparison needs");
    add(true);
    let full = "const set = Storage.prototype.setItem; \
                Storage.prototype.setItem = function (key, value) { \
                    if (value.includes('summary')) throw new Error('full'); \
                    set.call(this, key, value); \
                }";
    browser.run(full, &Value::Null);
    browser.open(&browser.address());
    browser.wait("document.querySelectorAll('#results tbody tr').length > 1");
    add(false);
}

/// From the list of models, by keyboard, to the page to train on the phantom films.
fn choose_phantoms(browser: &Browser) {
    browser.tab_to("nav a[href='/data']");
    browser.press(ENTER);
    browser.wait("document.querySelector('#phantoms')");
    check_page(browser);
    browser.tab_to("#phantoms");
    browser.press(ENTER);
    browser.wait("document.querySelectorAll('#findings .samples img').length > 0");
    check_page(browser);
    browser.tab_to("#findings a.main");
    browser.press(ENTER);
    browser.wait("document.querySelector('#start [name=data]')?.value === 'phantoms'");
}

/// From the page to train, by keyboard, to the end of a small training and its report.
fn train_small(browser: &Browser, name: &str) {
    check_page(browser);
    browser.tab_to("#start summary");
    browser.press(ENTER);
    browser.wait("document.querySelector('#start details').open");
    check_page(browser);
    // In the order of the page.
    for (setting, value) in [("name", name), ("epochs", "2"), ("width", "8"), ("films", "24")] {
        browser.tab_to(&format!("#{setting}"));
        browser.type_text(value);
    }
    // As in any form.
    browser.press(ENTER);
    browser.wait("location.pathname.endsWith('/training') && !document.querySelector('#try').hidden");
    browser.wait(
        "document.querySelector('#report iframe')?.contentDocument?.body?.innerText.includes('accuracy')",
    );
    browser.wait("document.querySelector('#samples img').naturalWidth > 0");
    assert_eq!(browser.text("#sentence"), "Done, after 2 epochs.");
    let result = browser.text("#result");
    assert!(result.contains("test images correctly: accuracy "), "{result}");
    check_page(browser);
}

/// From any page, by keyboard, to what is found in the first folder below the root: what `found` selects.
fn choose_first_folder(browser: &Browser, found: &str) {
    browser.tab_to("nav a[href='/data']");
    browser.press(ENTER);
    browser.wait("document.querySelector('#browse')");
    check_page(browser);
    browser.tab_to("#browse");
    browser.press(ENTER);
    browser.wait("document.querySelector('#browser li:first-child button')");
    check_page(browser);
    browser.tab_to("#browser li:first-child button");
    browser.press(ENTER);
    browser.wait("document.querySelector('#browser h2').textContent === 'films'");
    browser.tab_to("#browser button.main");
    browser.press(ENTER);
    browser.wait(&format!("document.querySelector('#findings {found}')"));
    check_page(browser);
}

fn axe_is_given() {
    if std::env::var_os(AXE).is_none() {
        println!("skipped in part: {AXE} names no axe.min.js, so that pages are not searched for barriers");
    }
}

#[test]
fn images_are_tried_by_keyboard() {
    let Some(browser) = Browser::start() else { return };
    axe_is_given();
    let folder = TempDir::new().unwrap();
    train(&["--films", "24", "--out", "runs/a"], folder.path());
    write_images(folder.path(), "new", &[("any", 1)]);
    std::fs::write(folder.path().join("new/text.png"), "no image").unwrap();
    let server = Server::start(folder.path());

    browser.open(&format!("{}/", server.origin));
    assert!(browser.text("body").contains("open the link"), "{}", browser.text("body"));
    browser.log("browser");
    server.open_in(&browser);
    check_page(&browser);
    let images = ["new/any/film00.png", "new/text.png"].map(|name| folder.path().join(name));
    try_images(&browser, "a", &images);
    let rows = browser.text("#results");
    assert!(rows.contains("film00.png") && rows.contains("text.png") && rows.contains("not read"), "{rows}");
    use_answers(&browser);
    load_answers_again(&browser, &images[0]);
    let sets = std::fs::read_dir(folder.path().join("runs/.sets")).unwrap();
    let of_set = sets.map(|set| set.unwrap().path().join("train/a new one/film00.png"));
    let sent = std::fs::read(folder.path().join("new/any/film00.png")).unwrap();
    let kept: Vec<Vec<u8>> = of_set.map(|path| std::fs::read(path).unwrap()).collect();
    assert!(kept == [sent], "the image is in the set of the corrections");
    check_logs(&browser, &server);
}

#[test]
fn from_an_empty_folder_to_a_verdict_by_keyboard() {
    let Some(browser) = Browser::start() else { return };
    axe_is_given();
    let [folder, elsewhere] = [(); 2].map(|()| TempDir::new().unwrap());
    let films =
        roentgen(&["data", "phantom", "--films", "24", "--seed", "7", "--out", "new"], elsewhere.path());
    assert!(films.status.success());
    let film = std::fs::read_dir(elsewhere.path().join("new/test/pneumonia"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let server = Server::start(folder.path());

    server.open_in(&browser);
    check_page(&browser);
    assert!(browser.text("main").contains("There is no model yet"));
    choose_phantoms(&browser);
    train_small(&browser, "first");
    browser.tab_to("#try");
    browser.press(ENTER);
    browser.wait("location.pathname === '/runs/first/try'");
    answer_for(&browser, &[film]);
    let row = browser.text("#results tbody");
    assert!(row.contains("rejected") || row.contains("pneumonia") && row.contains(" %"), "{row}");

    browser.tab_to("nav a[href='/']");
    browser.press(ENTER);
    browser.tab_to("a[href='/runs/first/report']");
    browser.press(ENTER);
    browser.wait("location.pathname === '/runs/first/report'");
    // Its policy allows no script, and so not that of axe-core.
    check_width(&browser, 360);
    assert!(browser.text("body").contains("accuracy"), "{}", browser.text("body"));
    check_logs(&browser, &server);
}

#[test]
fn images_are_chosen_and_checked_by_keyboard() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "films", &[("normal", 12), ("pneumonia", 12)]);
    let broken = folder.path().join("films/normal/broken.png");
    std::fs::write(&broken, "no image").unwrap();
    let server = Server::start(folder.path());
    server.open_in(&browser);
    choose_first_folder(&browser, ".remark.bad");
    let found = browser.text("#findings");
    assert!(found.contains("has to be fixed") && found.contains("broken.png"), "{found}");
    browser.tab_to("#findings a.main");
    browser.press(ENTER);
    browser.wait("document.querySelector('#start [name=skip_bad]')?.checked");
    check_page(&browser);
    assert_eq!(browser.text("nav [aria-current]"), "Train");
    assert!(!browser.text("#start").contains("--"), "{}", browser.text("#start"));
    std::fs::remove_file(broken).unwrap();
    choose_first_folder(&browser, "a.main");
    browser.tab_to("#findings a.main");
    browser.press(ENTER);
    browser.wait(
        "location.pathname === '/train' && document.querySelector('[name=data]').value === 'folder:films'",
    );

    // A whole folder that is chosen in the browser.
    browser.open(&format!("{}/data", server.origin));
    browser.send("#folder", folder.path().join("films").to_str().unwrap());
    browser.wait("document.querySelector('#status').textContent === '24 images sent'");
    browser.wait("document.querySelector('#findings a.main')");
    check_page(&browser);
    let found = browser.text("#findings");
    assert!(["normal", "pneumonia", "12"].iter().all(|text| found.contains(text)), "{found}");
    let link = "document.querySelector('#findings a.main')";
    let set = browser.run(&format!("return {link}.href"), &Value::Null);
    assert!(set.as_str().unwrap().ends_with("/train?data=set%3Afilms"), "{set}");
    // On the first screen, where it was sent from; and the navigation leads to it.
    browser.resize(1280, 800);
    browser.wait(&format!("{link}.getBoundingClientRect().bottom + scrollY < innerHeight"));
    let page = browser.address();
    browser.tab_to("nav a[href^='/train']");
    browser.press(ENTER);
    browser.wait("document.querySelector('[name=data]').value === 'set:films'");
    browser.open(&format!("{}/train", server.origin));
    assert!(browser.text("main").contains("Train a model on films"), "{}", browser.text("main"));
    browser.open(&page);
    browser.wait(link);

    // A class by hand.
    browser.tab_to("#by-hand");
    browser.press(ENTER);
    browser.wait("document.activeElement.matches('#editor input')");
    browser.send("#editor input", "any class");
    browser.press(ENTER);
    browser.wait("document.querySelector('#editor .card')");
    check_page(&browser);
    assert!(browser.text("#editor").contains("any class"));
    check_logs(&browser, &server);
}

#[test]
fn runs_are_compared_renamed_and_deleted_by_keyboard() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    for run in ["runs/a", "runs/b"] {
        train(&["--films", "24", "--out", run], folder.path());
    }
    let server = Server::start(folder.path());
    server.open_in(&browser);
    let open_more = |run: &str| {
        browser.tab_to(&format!("summary[aria-label='more about {run}']"));
        browser.press(ENTER);
    };
    open_more("b");
    check_page(&browser);
    browser.tab_to("[data-run=b] input");
    // As long as a name may be, which is wider than a phone.
    let long = "b".repeat(100);
    // Tab selects the old name.
    browser.send("[data-run=b] input", &long);
    browser.press(ENTER);
    browser.wait(&format!("document.querySelector('[data-run={long}]')"));
    assert!(folder.path().join("runs").join(&long).join("model.safetensors").is_file());
    check_page(&browser);

    open_more(&long);
    let delete = || {
        browser.tab_to(&format!("[data-run={long}] .delete"));
        browser.press(ENTER);
        browser.wait("document.querySelector('#deletion').open");
    };
    delete();
    check_page(&browser);
    browser.press(ESCAPE);
    browser.wait("!document.querySelector('#deletion').open");
    delete();
    // What has the focus first keeps it.
    browser.press(ENTER);
    browser.wait("!document.querySelector('#deletion').open");

    browser.tab_to("form.compare button");
    browser.press(ENTER);
    browser.wait("location.pathname === '/compare'");
    check_page(&browser);
    assert!(browser.text("main").contains("Both runs predict equally many images correctly"));
    browser.tab_to("main a[href='/']");
    browser.press(ENTER);
    browser.wait(&format!("document.querySelector('[data-run={long}]')"));
    open_more(&long);
    delete();
    browser.tab_to("#deletion .delete");
    browser.press(ENTER);
    browser.wait(&format!(
        "!document.querySelector('[data-run={long}]') && document.querySelector('[data-run=a]')"
    ));
    let left: Vec<_> =
        std::fs::read_dir(folder.path().join("runs")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["a"]);
    check_logs(&browser, &server);
}
