//! What comes to the pages without a file dialog: files and folders that are dropped, and pictures of the camera.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::{Server, check_logs, check_page};
use crate::program::{train, write_images};
use crate::webdriver::{Browser, ENTER, SPACE};

/// The images of a class in the only set of a folder of runs.
fn images_of(runs: &Path, class: &str) -> Vec<PathBuf> {
    let list = |path: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let sets = list(&runs.join(".sets"));
    let [set] = &sets[..] else { panic!("one set: {sets:?}") };
    list(&set.join("train").join(class))
}

#[test]
fn a_dropped_folder_becomes_a_set() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    // A browser lists a hundred files of a folder at a time.
    write_images(folder.path(), "films", &[("normal", 101), ("pneumonia", 12)]);
    std::fs::write(folder.path().join("films/normal/list.csv"), "a,b").unwrap();
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/data", server.origin));
    browser.drop_paths("#drop", &[&folder.path().join("films")]);
    browser.wait("document.querySelector('#status').textContent === '113 images sent'");
    assert_eq!(browser.text("#refused"), "Left out: 1 file that is no image.");
    assert_eq!(browser.text("#title"), "films");
    browser.wait("document.querySelector('#findings a.main')");
    check_page(&browser);
    let runs = folder.path().join("runs");
    assert_eq!([images_of(&runs, "normal").len(), images_of(&runs, "pneumonia").len()], [101, 12]);
    check_logs(&browser, &server);
}

#[test]
fn folders_that_would_become_one_class_are_named_and_nothing_is_sent() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "sizes", &[("a+b", 1), ("a-b", 1)]);
    write_images(folder.path(), "signs", &[("+", 1), ("-", 1)]);
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/data", server.origin));
    for (dropped, words) in
        [("sizes", "would both become the class a-b"), ("signs", "has no letter or digit")]
    {
        browser.drop_paths("#drop", &[&folder.path().join(dropped)]);
        browser.wait(&format!("document.querySelector('#refused').textContent.includes('{words}')"));
    }
    assert!(!folder.path().join("runs/.sets").exists());
    check_page(&browser);
    check_logs(&browser, &server);
}

#[test]
fn folders_that_are_dropped_on_a_class_are_those_of_patients() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "films", &[("p1", 2), ("p2/images", 1), ("normal/p5", 1), ("masks", 2)]);
    write_images(folder.path(), "more", &[("p3", 1), ("p4", 1)]);
    let set = folder.path().join("runs/.sets/set/train/normal");
    std::fs::create_dir_all(&set).unwrap();
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/data?data=set:set", server.origin));
    browser.wait("document.querySelector('#editor .card')");
    let [films, p3, p4] = ["films", "more/p3", "more/p4"].map(|name| folder.path().join(name));
    browser.drop_paths("#editor .card", &[&films]);
    browser.wait("document.querySelector('#editor .card .n').textContent === '4 images'");
    assert_eq!(browser.text("#refused"), "Left out: 2 files in a folder of masks.");
    browser.drop_paths("#editor .card", &[&p3, &p4]);
    browser.wait("document.querySelector('#editor .card .n').textContent === '6 images'");
    for path in ["p1/film01.png", "p2/film00.png", "p5/film00.png", "p3/film00.png", "p4/film00.png"] {
        assert!(set.join(path).is_file(), "{path}");
    }
    check_logs(&browser, &server);
}

/// Lets the browser find no entries of any folder `name`.
fn make_unreadable(browser: &Browser, name: &str) {
    let script = "const entryOf = DataTransferItem.prototype.webkitGetAsEntry;
        DataTransferItem.prototype.webkitGetAsEntry = function () {
            const entry = entryOf.call(this);
            const kind = Object.getPrototypeOf(entry);
            const create = kind.createReader;
            kind.createReader = function () {
                const reader = create.call(this);
                if (this.name === name) reader.readEntries = (done, failed) => failed(new Error('denied'));
                return reader;
            };
            return entry;
        }";
    browser.run(&format!("const name = arguments[0]; {script}"), &Value::from(name));
}

#[test]
fn what_the_browser_cannot_read_is_named_and_the_rest_is_sent_when_the_user_agrees() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "films", &[("normal", 3), ("other", 2), ("pneumonia", 2)]);
    std::fs::write(folder.path().join("films/list.csv"), "a,b").unwrap();
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/data", server.origin));
    make_unreadable(&browser, "pneumonia");
    // One image that the server does not take hides nothing of the rest.
    let refused = "const fetched = window.fetch;
        window.fetch = (address, options) => address.includes('film02')
            ? Promise.resolve(new Response('full', { status: 400 })) : fetched(address, options);
        window.confirm = (text) => { window.asked = text; return window.agrees }";
    browser.run(refused, &Value::Null);
    let drop_films = |agrees: bool, seen: &str| {
        browser.run("window.agrees = arguments[0]", &Value::from(agrees));
        browser.drop_paths("#drop", &[&folder.path().join("films")]);
        browser.wait(&format!("document.querySelector('#refused').textContent.includes('{seen}')"));
        assert!(browser.text("#refused").contains("cannot read films/pneumonia."), "{seen}");
    };
    drop_films(false, "Nothing of it was sent");
    let asked = browser.run("return window.asked", &Value::Null);
    assert!(asked.as_str().unwrap().contains("films/pneumonia"), "{asked}");
    assert!(!folder.path().join("runs/.sets").exists());
    drop_films(true, "film02.png: full");
    assert!(browser.text("#refused").contains("Left out: 1 file that is no image."));
    browser.wait("document.querySelector('#status').textContent === '4 images sent'");
    let runs = folder.path().join("runs");
    assert_eq!([images_of(&runs, "normal").len(), images_of(&runs, "other").len()], [2, 2]);
    check_page(&browser);
    check_logs(&browser, &server);
}

#[test]
fn after_a_link_to_a_set_that_was_removed_dropped_images_become_a_new_set() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "films", &[("normal", 2), ("pneumonia", 2)]);
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/data?data=set:gone", server.origin));
    browser
        .wait("document.querySelector('#refused').textContent.includes('The set gone is no longer there.')");
    browser.drop_paths("#drop", &[&folder.path().join("films")]);
    browser.wait("document.querySelector('#status').textContent === '4 images sent'");
    let runs = folder.path().join("runs");
    assert_eq!([images_of(&runs, "normal").len(), images_of(&runs, "pneumonia").len()], [2, 2]);
    // The request for the set.
    let errors = browser.log("browser");
    assert!(errors.iter().all(|error| error.contains("sets/gone")), "{errors:?}");
    check_logs(&browser, &server);
}

#[test]
fn images_of_a_set_that_is_opened_again_are_shown_and_removed_by_keyboard() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    // As a set of before.
    write_images(&folder.path().join("runs/.sets/films"), "train", &[("normal", 70), ("pneumonia", 1)]);
    std::fs::write(folder.path().join("runs/.sets/films/train/pneumonia/broken.png"), "no image").unwrap();
    server.open_in(&browser);
    browser.open(&format!("{}/data?data=set:films", server.origin));
    browser.wait("document.querySelectorAll('#editor .gallery').length === 2");
    browser.tab_to("#editor .gallery button");
    browser.press(ENTER);
    let n_shown = "document.querySelectorAll('#editor .card:first-child .shown img').length";
    browser.wait(&format!("{n_shown} === 60"));
    browser.wait("document.querySelector('#editor .shown img').naturalWidth > 0");
    check_page(&browser);
    // The first image has the focus, and then the one after it.
    browser.press(ENTER);
    browser.wait(&format!("{n_shown} === 59"));
    browser.wait("document.activeElement.getAttribute('aria-label') === 'Remove film01.png'");
    browser.tab_to("#editor .gallery > button");
    assert_eq!(browser.text("#editor .gallery > button"), "Show more (10 left)");
    browser.press(ENTER);
    browser.wait(&format!("{n_shown} === 69 && document.querySelector('#editor .gallery > button').hidden"));
    browser.tab_to("#editor .card:last-child .gallery > button");
    browser.press(ENTER);
    // What cannot be shown has its name, and can be removed.
    browser.tab_to("[aria-label='Remove broken.png']");
    browser.press(ENTER);
    browser.wait("document.querySelector('#editor .card:last-child .n').textContent === '1 image'");
    let runs = folder.path().join("runs");
    assert_eq!([images_of(&runs, "normal").len(), images_of(&runs, "pneumonia").len()], [69, 1]);
    // The address of the image that cannot be shown.
    let errors = browser.log("browser");
    assert!(errors.iter().all(|error| error.contains("broken.png")), "{errors:?}");
    check_logs(&browser, &server);
}

#[test]
fn a_class_takes_dropped_images_and_pictures_of_the_camera() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "films", &[("normal", 2)]);
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/data", server.origin));
    browser.tab_to("#by-hand");
    browser.press(ENTER);
    browser.wait("document.activeElement.matches('#editor input')");
    browser.send("#editor input", "cup");
    browser.press(ENTER);
    browser.wait("document.querySelector('#editor .card')");
    // Onto a class, a folder is as good as the files in it.
    browser.drop_paths("#editor .card", &[&folder.path().join("films/normal")]);
    browser.wait("document.querySelector('#editor .card .n').textContent === '2 images'");

    browser.tab_to("#editor .camera");
    browser.press(ENTER);
    browser.wait("document.querySelector('#editor video').videoWidth > 0");
    browser.tab_to("#editor .shutter");
    let n_thumbs = "document.querySelectorAll('#editor .thumb').length";
    browser.hold(SPACE, || browser.wait(&format!("{n_thumbs} >= 5")));
    browser.wait("document.querySelector('#findings').innerText !== ''");
    let count = || {
        browser.run("return parseInt(document.querySelector('#editor .card .n').textContent)", &Value::Null)
    };
    let held = count();
    check_page(&browser);
    assert_eq!(count(), held, "no picture without the shutter");

    let pictures = images_of(&folder.path().join("runs"), "cup");
    assert_eq!(Some(pictures.len() as u64), held.as_u64(), "{pictures:?}");
    let of_camera = pictures.iter().filter(|path| path.to_str().unwrap().contains("camera"));
    let colours = of_camera.map(|path| {
        let picture = image::open(path).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (128, 128));
        picture.pixels().any(|pixel| pixel.0.iter().any(|&level| level != pixel.0[0]))
    });
    assert!(colours.clone().count() >= 3 && colours.clone().all(|has_colours| has_colours));

    browser.tab_to("#editor .thumb");
    browser.press(ENTER);
    browser.wait(&format!("parseInt(document.querySelector('#editor .card .n').textContent) === {held} - 1"));
    browser.tab_to("#editor .camera");
    browser.press(ENTER);
    browser.wait("document.querySelector('#editor video').hidden");
    let is_off =
        browser.run("return document.querySelector('#editor video').srcObject === null", &Value::Null);
    assert_eq!(is_off, true);
    check_logs(&browser, &server);
}

/// The table that a button saves, without a download.
fn saved_table(browser: &Browser, button: &str) -> String {
    let save = "window.saved = undefined;
        HTMLAnchorElement.prototype.click = () => {};
        const addressOf = URL.createObjectURL;
        URL.createObjectURL = (blob) => {
            blob.text().then((text) => { window.saved = text; });
            return addressOf.call(URL, blob);
        };
        document.querySelector(arguments[0]).click()";
    browser.run(save, &Value::from(button));
    browser.wait("window.saved");
    browser.run("return window.saved", &Value::Null).as_str().unwrap().to_owned()
}

#[test]
fn dropped_images_and_folders_are_tried() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    train(&["--films", "24", "--out", "runs/a"], folder.path());
    // Each patient has a file of this name.
    write_images(folder.path(), "new", &[("p1", 1), ("p2", 1)]);
    let frame = image::RgbaImage::from_fn(40, 36, |x, y| image::Rgba([5 * x as u8, 5 * y as u8, 0, 255]));
    let mut animation = std::fs::File::create(folder.path().join("alone.gif")).unwrap();
    let frames = [frame.clone(), frame].map(image::Frame::new);
    image::codecs::gif::GifEncoder::new(&mut animation).encode_frames(frames).unwrap();
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/runs/a/try", server.origin));
    browser.drop_paths(".drop", &[&folder.path().join("alone.gif"), &folder.path().join("new")]);
    browser.wait("document.querySelector('#status').textContent === '3 images done'");
    let names = ["alone.gif", "new/p1/film00.png", "new/p2/film00.png"];
    let rows = browser.text("#results tbody");
    assert!(names.iter().all(|name| rows.contains(name)), "{rows}");
    assert!(!rows.contains("not read"), "{rows}");
    let saved = saved_table(&browser, "#save");
    assert!(names.iter().all(|name| saved.contains(name)), "{saved}");
    assert!(saved.lines().next().unwrap().ends_with(",\"notes\",\"corrected\""), "{saved}");
    assert!(saved.contains("it holds several images (pages or frames); the first one was read"), "{saved}");
    make_unreadable(&browser, "p1");
    browser.drop_paths(".drop", &[&folder.path().join("new")]);
    browser.wait("document.querySelector('#unread').textContent === 'The browser cannot read new/p1.'");
    browser.wait("document.querySelector('#status').textContent === '4 images done'");
    check_page(&browser);
    check_logs(&browser, &server);
}

/// Whether the page asks before it is left; from then on it does not.
fn asks_before_leaving(browser: &Browser) -> bool {
    let script = "const event = new Event('beforeunload', { cancelable: true });
        dispatchEvent(event);
        addEventListener('beforeunload', (event) => event.stopImmediatePropagation(), true);
        return event.defaultPrevented";
    browser.run(script, &Value::Null) == true
}

#[test]
fn images_without_an_answer_are_sent_or_added_again_before_the_others_can_be_saved() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    train(&["--films", "24", "--out", "runs/a"], folder.path());
    write_images(folder.path(), "new", &[("any", 2)]);
    let films = [0, 1].map(|i| folder.path().join(format!("new/any/film{i:02}.png")));
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/runs/a/try", server.origin));
    let stop_server = "window.fetched = window.fetch;
        window.fetch = (address, options) => address.includes('film01')
            ? Promise.reject(new TypeError('stopped')) : window.fetched(address, options)";
    let shown = || {
        let script = "return ['#save', '#together', '#again', '#leave']
            .filter((name) => !document.querySelector(name).hidden).join(' ')";
        browser.run(script, &Value::Null)
    };
    browser.run(stop_server, &Value::Null);
    browser.drop_paths(".drop", &[&films[0], &films[1]]);
    browser.wait("document.querySelector('#status').textContent === '1 of 2 images answered'");
    assert!(browser.text("#results tbody").contains("not sent"));
    assert_eq!(shown(), "#again #leave");
    assert!(asks_before_leaving(&browser));

    browser.open(&browser.address());
    browser.wait("document.querySelectorAll('#results tbody tr').length === 2");
    assert!(browser.text("#results tbody").contains("add it again"));
    assert_eq!(shown(), "#leave");
    browser.run(stop_server, &Value::Null);
    browser.drop_paths(".drop", &[&films[1]]);
    browser.wait("!document.querySelector('#again').hidden");
    check_page(&browser);
    browser.run("window.fetch = window.fetched", &Value::Null);
    browser.tab_to("#again");
    browser.press(ENTER);
    browser.wait("document.querySelector('#status').textContent === '2 images done'");
    browser.wait("!document.querySelector('#together').hidden");
    assert_eq!(shown(), "#save #together");
    check_logs(&browser, &server);
}

#[test]
fn answers_of_a_model_that_has_changed_can_be_saved_after_the_page_is_loaded_again() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    train(&["--films", "24", "--out", "runs/a"], folder.path());
    write_images(folder.path(), "new", &[("any", 2)]);
    let films = [0, 1].map(|i| folder.path().join(format!("new/any/film{i:02}.png")));
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/runs/a/try", server.origin));
    browser.drop_paths(".drop", &[&films[0]]);
    browser.wait("document.querySelector('#status').textContent === '1 image done'");
    // As a training does after an epoch that is better: another file in its place.
    let [model, new] = ["runs/a/model.safetensors", "new.safetensors"].map(|name| folder.path().join(name));
    std::fs::write(&new, std::fs::read(&model).unwrap()).unwrap();
    std::fs::rename(new, model).unwrap();
    browser.drop_paths(".drop", &[&films[1]]);
    browser.wait("document.querySelector('#status').textContent === '1 of 2 images answered'");
    assert!(browser.text("#results tbody").contains("load the page again"));
    browser.wait("document.querySelector('#again').hidden && !document.querySelector('#leave').hidden");
    assert!(asks_before_leaving(&browser));

    browser.open(&browser.address());
    browser.wait("document.querySelector('#earlier button')");
    assert!(browser.text("#earlier").contains("since it answered 1 image."));
    assert!(browser.text("#results tbody").is_empty(), "it has another model");
    check_page(&browser);
    let saved = saved_table(&browser, "#earlier button");
    assert!(saved.contains("film00.png") && !saved.contains("film01.png"), "{saved}");
    browser.tab_to("#clear");
    browser.press(ENTER);
    browser.wait("document.querySelector('#clear').hidden");
    let errors = browser.log("browser");
    assert!(errors.iter().all(|error| error.contains("409")), "{errors:?}");
    check_logs(&browser, &server);
}

#[test]
fn a_correction_that_is_corrected_removes_only_what_it_added() {
    let Some(browser) = Browser::start() else { return };
    let folder = TempDir::new().unwrap();
    train(&["--films", "24", "--out", "runs/a"], folder.path());
    for once in ["one", "two"] {
        write_images(folder.path(), once, &[("any", 1)]);
    }
    let server = Server::start(folder.path());
    server.open_in(&browser);
    browser.open(&format!("{}/runs/a/try", server.origin));
    // One after the other: of two files of one name in a single drop, the browser renames one.
    for (once, done) in [("one", "1 image done"), ("two", "2 images done")] {
        browser.drop_paths(".drop", &[&folder.path().join(once).join("any/film00.png")]);
        browser.wait(&format!("document.querySelector('#status').textContent === '{done}'"));
    }
    let correct = |row: u32, class: &str| {
        let cell = format!("#results tbody tr:nth-child({row})");
        let script = format!(
            "document.querySelector(\"{cell} button[aria-label^='Wrong']\").click();
            const right = document.querySelector('#right');
            right.selectedIndex = right.options.length - 1;
            document.querySelector('#other').value = '{class}';
            document.querySelector('#correct form').requestSubmit()"
        );
        browser.run(&script, &Value::Null);
        browser
            .wait(&format!("document.querySelector('{cell} .correction strong')?.textContent === '{class}'"));
    };
    // As where the server was started again, and does not know this page.
    let restart = "window.fetched = window.fetch;
        window.fetch = (address, options) => address === '/api/v1/data/sets'
            ? Promise.resolve(new Response('open the link', { status: 401 })) : window.fetched(address, options);
        document.querySelector(\"#results button[aria-label^='Wrong']\").click();
        document.querySelector('#correct form').requestSubmit()";
    browser.run(restart, &Value::Null);
    browser.wait("document.querySelector('#problem').textContent === 'open the link'");
    browser.run(
        "window.fetch = window.fetched; document.querySelector('#correct .close').click()",
        &Value::Null,
    );
    // The page offers to remove the same image from the other class.
    browser.run("window.confirm = () => false", &Value::Null);
    let runs = folder.path().join("runs");
    correct(1, "first");
    // The same image, which is there already: it stays where the other answer has put it.
    correct(2, "first");
    correct(2, "second");
    assert_eq!([images_of(&runs, "first").len(), images_of(&runs, "second").len()], [1, 1]);
    correct(1, "third");
    assert_eq!([images_of(&runs, "first").len(), images_of(&runs, "third").len()], [0, 1]);
    let saved = saved_table(&browser, "#save");
    let corrected: Vec<&str> = saved.lines().skip(1).filter_map(|line| line.rsplit(',').next()).collect();
    assert_eq!(corrected, ["\"third\"", "\"second\""]);
    check_logs(&browser, &server);
}
