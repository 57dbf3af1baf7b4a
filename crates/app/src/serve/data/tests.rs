//! The requests of the data page, asked in this process.

use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use roentgen_data::disk::{Operation, faults};
use serde_json::Value;
use tempfile::TempDir;

use crate::commands::inspect::inspect;
use crate::config::TrainConfig;
use crate::serve::site::Site;
use crate::serve::tests::{NeverArrives, ask, ask_with};

pub(super) const SETS: &str = "/api/v1/data/sets";

/// A server with runs and a root in a folder of its own.
pub(super) fn server() -> (TempDir, Site) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["runs", "root"] {
        fs::create_dir(folder.path().join(name)).expect("a folder");
    }
    let site = Site::new(&folder.path().join("runs"), &folder.path().join("root"), 1).expect("threads");
    (folder, site)
}

/// An image file, another one for each number.
pub(super) fn png(number: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let value = |x: u32, y: u32| ((x * x * (number % 13 + 1) + y * (number * 7 % 31) + x * y) % 251) as u8;
    image::GrayImage::from_fn(36, 32, |x, y| image::Luma([value(x, y)]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .expect("an image");
    bytes.into_inner()
}

/// The answer of the server, and its body as JSON, or as text.
pub(super) async fn json(site: &Site, method: &str, path: &str, body: Vec<u8>) -> (StatusCode, Value) {
    let (status, _, body) = ask(site, method, path, body).await;
    let value = serde_json::from_slice(&body);
    (status, value.unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned())))
}

/// The name of a new set.
pub(super) async fn new_set(site: &Site) -> String {
    let (status, set) = json(site, "POST", SETS, Vec::new()).await;
    assert_eq!(status, StatusCode::CREATED, "{set}");
    set["name"].as_str().expect("a name").to_owned()
}

pub(super) async fn add(site: &Site, set: &str, parameters: &str, body: Vec<u8>) -> (StatusCode, Value) {
    json(site, "POST", &format!("{SETS}/{set}/images?{parameters}"), body).await
}

/// All files below a folder but those with titles, as paths in it, sorted.
fn files(folder: &Path) -> Vec<String> {
    let all = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.expect("an entry"));
    let all = all.filter(|entry| !entry.file_type().is_dir() && entry.file_name() != ".title");
    let mut all: Vec<String> = all
        .map(|entry| entry.path().strip_prefix(folder).expect("a path below").display().to_string())
        .collect();
    all.sort();
    all
}

#[tokio::test]
async fn images_are_added_to_the_classes_of_a_set_and_removed_again() {
    let (folder, site) = server();
    let sets = folder.path().join("runs/.sets");
    let (_, none) = json(&site, "GET", SETS, Vec::new()).await;
    assert!(none.as_array().is_some_and(Vec::is_empty) && !sets.exists(), "{none}");
    let (status, set) = json(&site, "POST", &format!("{SETS}?title=My%20films"), Vec::new()).await;
    assert_eq!((status, &set["title"]), (StatusCode::CREATED, &"My films".into()));
    let set = set["name"].as_str().expect("a name").to_owned();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = sets.metadata().expect("a folder").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "for its owner alone");
    }
    let other = new_set(&site).await;
    for (parameters, path, was_there, n) in [
        (
            "class=Viral%20Pneumonia&name=person1_virus_2.jpeg",
            "train/Viral Pneumonia/person1_virus_2.png",
            false,
            1,
        ),
        (
            "class=viral_pneumonia&name=person1_virus_2.jpeg",
            "train/Viral Pneumonia/person1_virus_2.png",
            true,
            1,
        ),
        ("class=normal&part=test", "test/normal/image.png", false, 2),
        ("class=normal&folder=patient%207&name=a%20b.png", "train/normal/patient 7/a_b.png", false, 3),
    ] {
        let (status, added) = add(&site, &set, parameters, png(1)).await;
        assert_eq!(status, StatusCode::CREATED, "{added}");
        assert_eq!((&added["path"], &added["was_there"]), (&path.into(), &was_there.into()));
        assert_eq!(added["n_images"], n);
        assert!(sets.join(&set).join(path).is_file(), "{path}");
    }
    // Another image of the same name stays beside the first.
    let (_, added) = add(&site, &set, "class=normal&part=test", png(2)).await;
    let second = added["path"].as_str().expect("a path").to_owned();
    assert!(second.starts_with("test/normal/image-") && second.ends_with(".png"), "{second}");
    let (_, found) = json(&site, "GET", &format!("{SETS}/{set}"), Vec::new()).await;
    let classes = serde_json::json!([
        { "name": "Viral Pneumonia", "train": 1, "val": 0, "test": 0 },
        { "name": "normal", "train": 1, "val": 0, "test": 2 },
    ]);
    assert_eq!((&found["classes"], &found["data"]), (&classes, &format!("set:{set}").into()));
    // A new server counts the same.
    let again = Site::new(&folder.path().join("runs"), folder.path(), 1).expect("threads");
    assert_eq!(json(&again, "GET", &format!("{SETS}/{set}"), Vec::new()).await.1, found);

    let path = format!("{SETS}/{set}/images?path={second}");
    assert_eq!(json(&site, "DELETE", &path, Vec::new()).await.1["n_images"], 3);
    assert_eq!(json(&site, "DELETE", &path, Vec::new()).await.0, StatusCode::NOT_FOUND);
    let path = format!("{SETS}/{set}/classes/Viral%20Pneumonia");
    assert_eq!(json(&site, "DELETE", &path, Vec::new()).await.1["n_images"], 2);
    assert_eq!(add(&site, &other, "class=a", png(1)).await.0, StatusCode::CREATED);
    // What somebody copies into the folder is counted, too. The clock of some disks has steps of milliseconds.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    fs::write(sets.join(&set).join("test/normal/by-hand.png"), png(5)).expect("a file");
    assert_eq!(json(&site, "GET", &format!("{SETS}/{set}"), Vec::new()).await.1["n_images"], 3);
    assert_eq!(json(&site, "DELETE", &format!("{SETS}/{set}"), Vec::new()).await.0, StatusCode::NO_CONTENT);
    assert_eq!(files(&sets), [format!("{other}/train/a/image.png")], "the other set stays");
}

#[tokio::test]
async fn the_same_file_in_other_classes_is_found_where_it_is_asked_for() {
    let (_folder, site) = server();
    let set = new_set(&site).await;
    for (parameters, number) in [
        ("class=normal&name=a.png&part=test&folder=p1", 1),
        ("class=normal&name=b.png", 2),
        ("class=third&name=c.png", 1),
    ] {
        let (status, added) = add(&site, &set, parameters, png(number)).await;
        assert_eq!((status, &added["equal"]), (StatusCode::CREATED, &serde_json::json!([])));
    }
    for (parameters, equal) in [
        ("class=pneumonia&name=new.png&find_equal=true", &["test/normal/p1/a.png", "train/third/c.png"][..]),
        ("class=normal&name=new.png&find_equal=true", &["train/pneumonia/new.png", "train/third/c.png"]),
        ("class=normal&name=new.png", &[]),
    ] {
        let (_, added) = add(&site, &set, parameters, png(1)).await;
        assert_eq!(added["equal"], serde_json::json!(equal), "{parameters}");
    }
}

/// Two folders would be one class for the loader, with a note.
#[tokio::test]
async fn names_that_the_loader_takes_for_one_class_are_one_class_of_a_set() {
    let (folder, site) = server();
    let set = new_set(&site).await;
    // Other names for a disk: upper case, a C of full width, a Cyrillic o.
    for (number, class) in (0..).zip(["Covid", "COVID", "%EF%BC%A3ovid", "C%D0%BEvid", "normal", "A"]) {
        let (status, added) = add(&site, &set, &format!("class={class}&name={number}"), png(number)).await;
        assert_eq!(status, StatusCode::CREATED, "{class}: {added}");
    }
    // Two classes of handwriting for the loader, but one folder on some disks.
    let class_path = format!("{SETS}/{set}/classes?class=a");
    for (status, reason) in
        [add(&site, &set, "class=a", png(9)).await, json(&site, "POST", &class_path, Vec::new()).await]
    {
        let reason = reason.as_str().expect("a sentence");
        assert!(status == StatusCode::CONFLICT && reason.starts_with("the set has a class `A`"), "{reason}");
    }
    let (_, found) = json(&site, "GET", &format!("{SETS}/{set}"), Vec::new()).await;
    let classes = found["classes"].as_array().expect("classes").iter();
    let counts: Vec<_> = classes.map(|class| (class["name"].as_str(), class["train"].as_u64())).collect();
    assert_eq!(counts, [(Some("A"), Some(1)), (Some("Covid"), Some(4)), (Some("normal"), Some(1))]);
    let data = folder.path().join("runs/.sets").join(&set);
    let config = TrainConfig { data, ..TrainConfig::default() };
    let loaded = inspect(&config, &roentgen_data::silent).expect("images").data;
    assert_eq!(loaded.class_names, ["A", "Covid", "normal"]);
}

#[tokio::test]
async fn a_change_that_an_interrupted_training_does_not_survive_is_confirmed() {
    let (folder, site) = server();
    let (set, other) = (new_set(&site).await, new_set(&site).await);
    let run = folder.path().join("runs/interrupted");
    fs::create_dir(&run).expect("a folder");
    let data = folder.path().join("runs/.sets").join(&set);
    let config = TrainConfig { data, ..TrainConfig::default() };
    fs::write(run.join("config.toml"), config.to_toml()).expect("a file");
    let of_set = |rest: &str| format!("{SETS}/{set}{rest}");
    for (method, path, confirmed) in [
        ("POST", of_set("/images?class=a&name=1.png"), StatusCode::CREATED),
        ("POST", of_set("/images?class=b&name=2.png"), StatusCode::CREATED),
        ("POST", of_set("/classes?class=c"), StatusCode::OK),
        ("DELETE", of_set("/images?path=train/a/1.png"), StatusCode::OK),
        ("DELETE", of_set("/classes/b?"), StatusCode::OK),
        ("DELETE", of_set("?"), StatusCode::NO_CONTENT),
    ] {
        let before = files(folder.path());
        let (status, answer) = json(&site, method, &path, png(1)).await;
        let reason = answer.as_str().unwrap_or_default();
        let expected = "interrupted can no longer be resumed after this change";
        assert!(
            status == StatusCode::PRECONDITION_REQUIRED && reason.starts_with(expected),
            "{path}: {status} {answer}"
        );
        assert_eq!(files(folder.path()), before, "{path}");
        let (status, answer) = json(&site, method, &format!("{path}&anyway=true"), png(1)).await;
        assert_eq!(status, confirmed, "{path}: {answer}");
    }
    assert_eq!(add(&site, &other, "class=a", png(1)).await.0, StatusCode::CREATED, "of no training");
}

#[tokio::test]
async fn the_name_of_a_removed_set_that_a_run_has_is_not_given_again() {
    let (folder, site) = server();
    let create = async |title: &str| {
        let (_, set) = json(&site, "POST", &format!("{SETS}?title={title}"), Vec::new()).await;
        (set["name"].as_str().expect("a name").to_owned(), set["title"].as_str().expect("a title").to_owned())
    };
    let named = |name: &str, title: &str| (name.to_owned(), title.to_owned());
    assert_eq!(create("films").await, named("films", "films"));
    let run = folder.path().join("runs/a");
    fs::create_dir(&run).expect("a folder");
    let data = folder.path().join("runs/.sets/films");
    fs::write(run.join("config.toml"), TrainConfig { data, ..TrainConfig::default() }.to_toml())
        .expect("a file");
    fs::write(run.join("metrics.json"), "{}").expect("a file");
    let (status, _) = json(&site, "DELETE", &format!("{SETS}/films"), Vec::new()).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "the training has ended");
    assert_eq!(create("films").await, named("films-2", "films"));
    assert_eq!(create("films").await, named("films-3", "films 3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_do_not_arrive_keep_no_other_waiting() {
    let (_folder, site) = server();
    let set = new_set(&site).await;
    let send = || {
        let (site, path) = (site.clone(), format!("{SETS}/{set}/images?class=a"));
        let body = Body::new(NeverArrives(9 << 20));
        tokio::spawn(async move { ask_with(&site, "POST", &path, body, false).await })
    };
    let slow: Vec<_> = (0..20).map(|_| send()).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let added = tokio::time::timeout(Duration::from_secs(20), add(&site, &set, "class=a", png(1))).await;
    assert_eq!(added.expect("it has not to wait").0, StatusCode::CREATED);
    slow.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn the_images_of_a_class_are_listed_a_page_at_a_time_and_shown() {
    let (folder, site) = server();
    let set = new_set(&site).await;
    for number in 0..62 {
        let class = if number < 61 { "many" } else { "one&folder=patient" };
        let part = if number == 60 { "test" } else { "train" };
        let parameters = format!("class={class}&part={part}&name={number:02}.png");
        assert_eq!(add(&site, &set, &parameters, png(number)).await.0, StatusCode::CREATED);
    }
    let list = async |query: &str| {
        let path = format!("{SETS}/{set}/images?{query}");
        let (status, found) = json(&site, "GET", &path, Vec::new()).await;
        assert_eq!(status, StatusCode::OK, "{query}: {found}");
        let images: Vec<String> = serde_json::from_value(found["images"].clone()).expect("paths");
        (images, found["n_more"].as_u64())
    };
    let (first, n_more) = list("class=many").await;
    let last = |images: &[String]| images.last().cloned().expect("images");
    assert_eq!((first[0].as_str(), first.len(), n_more), ("test/many/60.png", 60, Some(1)));
    // Also if images of the first page have been removed meanwhile.
    let path = format!("{SETS}/{set}/images?path={}", last(&first));
    assert_eq!(json(&site, "DELETE", &path, Vec::new()).await.0, StatusCode::OK);
    let (second, n_more) = list(&format!("class=many&after={}", last(&first))).await;
    assert_eq!((second, n_more), (vec!["train/many/59.png".to_owned()], Some(0)));
    assert_eq!(list("class=many&after=train/many/59.png").await, (Vec::new(), Some(0)));
    assert_eq!(list("class=one").await.0, ["train/one/patient/61.png"]);

    let thumbnail = async |set: &str, path: &str| {
        ask(&site, "GET", &format!("{SETS}/{set}/thumbnail?path={path}"), Vec::new()).await
    };
    let (status, kind, bytes) = thumbnail(&set, "train/one/patient/61.png").await;
    assert_eq!((status, kind.as_str(), &bytes[..2]), (StatusCode::OK, "image/jpeg", &b"\xFF\xD8"[..]));
    let broken = folder.path().join("runs/.sets").join(&set).join("train/many/broken.png");
    fs::write(broken, &png(3)[..60]).expect("a file");
    let (status, _, reason) = thumbnail(&set, "train/many/broken.png").await;
    let reason = String::from_utf8(reason).expect("text");
    assert!(status == StatusCode::UNPROCESSABLE_ENTITY && reason.contains("cannot be read"), "{reason}");
    fs::write(folder.path().join("runs/secret.png"), png(3)).expect("a file");
    for (set, path) in [
        (set.as_str(), "..%2F..%2Fsecret.png"),
        (&set, "train"),
        (&set, ".title"),
        (&set, ""),
        ("..", "secret.png"),
    ] {
        assert_eq!(thumbnail(set, path).await.0, StatusCode::NOT_FOUND, "{set} {path}");
    }
    for (set, class) in [(set.as_str(), "nosuch"), (&set, ".."), (&set, ""), ("nosuch", "many")] {
        let path = format!("{SETS}/{set}/images?class={class}");
        assert_eq!(json(&site, "GET", &path, Vec::new()).await.0, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn no_request_writes_or_removes_outside_of_its_set() {
    let (folder, site) = server();
    let set = new_set(&site).await;
    add(&site, &set, "class=a&name=kept.png", png(1)).await;
    fs::write(folder.path().join("runs/secret.png"), png(3)).expect("a file");
    let before = files(folder.path());
    let long = "x".repeat(5_000);
    for class in [
        "..",
        "%2e%2e",
        "..%2F..%2Fx",
        "%2Fetc",
        "a%2Fb",
        "a%5Cb",
        "C%3A",
        ".hidden",
        "a%00b",
        "CON",
        "nul",
        "lpt1",
        "-rf",
        "",
        &long,
    ] {
        let (status, answer) = add(&site, &set, &format!("class={class}"), png(2)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{class}: {answer}");
        let (status, _) = add(&site, &set, &format!("class=a&folder={class}"), png(2)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "folder {class}");
        let class_path = format!("{SETS}/{set}/classes?class={class}");
        assert_eq!(json(&site, "POST", &class_path, Vec::new()).await.0, StatusCode::BAD_REQUEST);
    }
    for set in ["..", "%2e%2e", "..%2F..", "..%2Fsecret.png", "nosuch", ".title", "%00", &long] {
        for (method, path) in [
            ("POST", format!("{SETS}/{set}/images?class=a")),
            ("DELETE", format!("{SETS}/{set}")),
            ("DELETE", format!("{SETS}/{set}/classes/a")),
            ("DELETE", format!("{SETS}/{set}/images?path=train/a/kept.png")),
            ("GET", format!("{SETS}/{set}")),
        ] {
            let (status, answer) = json(&site, method, &path, png(2)).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}: {answer}");
        }
    }
    for path in ["..%2F..%2Fsecret.png", "%2Fetc%2Fpasswd", ".title", "train", "", "train%2Fa", "train/a/%00"]
    {
        let (status, answer) =
            json(&site, "DELETE", &format!("{SETS}/{set}/images?path={path}"), Vec::new()).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {answer}");
    }
    assert_eq!(files(folder.path()), before);
    // Names of files lead nowhere: something is left of each, and it is in the folder of the class.
    let names = ["..%2F..%2Fsecret.png", "%2Fetc%2Fpasswd", "..", ".", ".title", "nul.png", "a%00b", &long];
    for (index, name) in names.into_iter().enumerate() {
        let (status, added) = add(&site, &set, &format!("class=a&name={name}"), png(10 + index as u32)).await;
        assert_eq!(status, StatusCode::CREATED, "{name}: {added}");
    }
    let inside = PathBuf::from(format!("runs/.sets/{set}/train/a"));
    let outside: Vec<String> =
        files(folder.path()).into_iter().filter(|file| !Path::new(file).starts_with(&inside)).collect();
    assert_eq!(outside, ["runs/secret.png"]);
    assert_eq!(files(&folder.path().join(inside)).len(), 1 + names.len());
}

#[tokio::test]
async fn what_is_no_image_too_large_or_does_not_fit_on_the_disk_is_refused() {
    let (folder, site) = server();
    let set = new_set(&site).await;
    let before = files(folder.path());
    let heic = b"\0\0\0\x18ftypheic".to_vec();
    for (body, reason) in [(Vec::new(), "not an image"), (b"text".to_vec(), "not an image"), (heic, "HEIC")] {
        let (status, answer) = add(&site, &set, "class=a", body).await;
        let text = answer.as_str().expect("a sentence");
        assert!(status == StatusCode::UNSUPPORTED_MEDIA_TYPE && text.contains(reason), "{status}: {text}");
    }
    let (status, _) = add(&site, &set, "class=a", vec![0; (64 << 20) + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, _) = json(&site, "POST", &format!("{SETS}?title={}", "x".repeat(200)), Vec::new()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let runs = folder.path().join("runs");
    let hooked = faults::hook(&runs, |operation| match operation {
        Operation::Write(..) => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    });
    let (status, answer) = add(&site, &set, "class=a", png(1)).await;
    let text = answer.as_str().expect("a sentence");
    assert!(
        status == StatusCode::INSUFFICIENT_STORAGE && text.contains("the disk is full"),
        "{status}: {text}"
    );
    drop(hooked);
    assert_eq!(files(folder.path()), before, "nothing half-written");
    let (_, added) = add(&site, &set, "class=a", png(1)).await;
    assert_eq!(added["n_images"], 1, "and it was not counted");
}

#[tokio::test]
async fn a_full_disk_is_emptied_by_removing_what_is_on_it() {
    let (folder, site) = server();
    let set = new_set(&site).await;
    for class in ["a", "b"] {
        assert_eq!(add(&site, &set, &format!("class={class}"), png(1)).await.0, StatusCode::CREATED);
    }
    let runs = folder.path().join("runs");
    let _hooked = faults::hook(&runs, |operation| match operation {
        Operation::CreateFolder(_) | Operation::Create(_) | Operation::Write(..) => {
            Err(io::ErrorKind::StorageFull.into())
        }
        _ => Ok(()),
    });
    for (method, path) in [("POST", SETS.to_owned()), ("POST", format!("{SETS}/{set}/classes?class=c"))] {
        let (status, answer) = json(&site, method, &path, Vec::new()).await;
        let text = answer.as_str().expect("a sentence");
        assert!(
            status == StatusCode::INSUFFICIENT_STORAGE && text.contains("nothing was saved"),
            "{path}: {status} {text}"
        );
    }
    let (status, found) = json(&site, "DELETE", &format!("{SETS}/{set}/classes/b"), Vec::new()).await;
    assert!(status == StatusCode::OK && found["n_images"] == 1, "{status}: {found}");
    let (status, answer) = json(&site, "DELETE", &format!("{SETS}/{set}"), Vec::new()).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
    assert_eq!(fs::read_dir(runs.join(".sets")).expect("a folder").count(), 0);
}

#[tokio::test]
async fn what_a_killed_server_was_writing_is_removed_by_the_next_one() {
    let (folder, site) = server();
    let set = new_set(&site).await;
    add(&site, &set, "class=a&name=1.png", png(1)).await;
    let runs = folder.path().join("runs");
    let class = runs.join(".sets").join(&set).join("train/a");
    let (killed, living, doomed) = (class.join(".tmp-1"), class.join(".tmp-2"), runs.join(".sets/.tmp-3"));
    fs::create_dir(&doomed).expect("a folder");
    for path in [&killed, &living, &doomed.join("film.png")] {
        fs::write(path, &png(2)[..50]).expect("a file");
    }
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    for path in if cfg!(unix) { vec![&killed, &doomed] } else { vec![&killed] } {
        let file =
            if path.is_dir() { fs::File::open(path) } else { fs::File::options().append(true).open(path) };
        file.expect("it is there").set_modified(hour_ago).expect("a time");
    }
    let next = Site::new(&runs, &folder.path().join("root"), 1).expect("threads");
    let (_, found) = json(&next, "GET", &format!("{SETS}/{set}"), Vec::new()).await;
    assert_eq!(found["n_images"], 1, "{found}");
    assert!(!killed.exists() && living.exists(), "what is young may have a writer");
    assert_eq!(doomed.exists(), !cfg!(unix));
}

/// Windows sets no times of folders.
#[cfg(unix)]
#[tokio::test]
async fn what_a_killed_server_was_removing_is_removed_by_the_next_one() {
    let (folder, site) = server();
    let set = new_set(&site).await;
    add(&site, &set, "class=a&name=1.png", png(1)).await;
    let runs = folder.path().join("runs");
    let of_set = runs.join(".sets").join(&set);
    let [in_set, in_part, run, other, young] = [
        of_set.join(".tmp-removed-1"),
        of_set.join("train/.tmp-removed-2"),
        runs.join(".tmp-removed-3"),
        runs.join(".tmp-4"),
        runs.join(".tmp-removed-5"),
    ];
    let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    for path in [&in_set, &in_part, &run, &other, &young] {
        fs::create_dir(path).expect("a folder");
        fs::write(path.join("film.png"), png(2)).expect("a file");
        if path != &young {
            fs::File::open(path).and_then(|file| file.set_modified(hour_ago)).expect("a time");
        }
    }
    let next = Site::new(&runs, &folder.path().join("root"), 1).expect("threads");
    let (_, found) = json(&next, "GET", &format!("{SETS}/{set}"), Vec::new()).await;
    assert_eq!(found["n_images"], 1, "{found}");
    for path in [in_set, in_part, run] {
        assert!(!path.exists(), "{}", path.display());
    }
    assert!(other.exists() && young.exists(), "they may be those of another program or server");
}
