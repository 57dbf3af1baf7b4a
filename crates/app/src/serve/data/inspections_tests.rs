//! Folders and inspections, asked in this process.

use std::fs;
use std::path::Path;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::tests::{SETS, add, json, new_set, png, server};
use crate::commands::inspect::inspect;
use crate::config::TrainConfig;
use crate::serve::site::Site;
use crate::serve::tests::{ask, write_npz};

/// What is found in a data set, once it is done.
async fn findings(site: &Site, data: &str) -> Value {
    let (status, mut answer) =
        json(site, "POST", &format!("/api/v1/data/inspections?data={data}"), Vec::new()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    while answer["state"] != "done" {
        assert!(answer["state"] == "waiting" || answer["state"] == "working", "{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer = json(site, "GET", &format!("/api/v1/data/inspections/{}", answer["id"]), Vec::new()).await.1;
    }
    answer["findings"].take()
}

fn texts(findings: &Value, key: &str) -> String {
    findings[key].to_string()
}

/// A folder of two classes, with a broken file, a duplicate and a test image that is in the training set twice.
fn write_folder(root: &Path) {
    for (index, class) in (0..24).map(|index| (index, ["a", "b"][index as usize % 2])) {
        let folder = root.join("films/train").join(class);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(format!("{index}.png")), png(index)).expect("a file");
    }
    for (path, bytes) in [
        ("test/a/x.png", png(0)),
        ("test/b/y.png", png(100)),
        ("train/a/copy.png", png(2)),
        ("train/a/0-again.png", png(0)),
    ] {
        let path = root.join("films").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }
    fs::write(root.join("films/train/b/broken.png"), &png(5)[..60]).expect("a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspection_finds_what_the_command_finds() {
    let (folder, site) = server();
    let root = folder.path().join("root").canonicalize().expect("a folder");
    write_folder(&root);
    let found = findings(&site, "folder:films").await;
    let blocks = texts(&found, "blocks");
    assert!(blocks.contains("train/b/broken.png: "), "{blocks}");
    assert!(!found.to_string().contains(root.to_str().expect("text")) || found["inspection"].is_object());
    let warnings = texts(&found, "warnings");
    assert!(warnings.contains("Leakage: 1 image") && warnings.contains("test/a/x.png"), "{warnings}");
    assert!(warnings.contains("train/a/copy.png"), "{warnings}");
    assert!(warnings.contains("test/a/x.png = train/a/0-again.png"), "{warnings}");
    let class = |name: &str| {
        found["classes"].as_array().expect("classes").iter().find(|c| c["name"] == name).cloned()
    };
    assert_eq!(class("b").expect("a class")["test"], 1);

    let config = TrainConfig { data: root.join("films"), ..TrainConfig::default() };
    let expected = inspect(&config, &roentgen_data::silent).expect("images").inspection;
    let mut expected = serde_json::to_value(&expected).expect("JSON");
    let mut inspection = found["inspection"].clone();
    for value in [&mut expected, &mut inspection] {
        assert!(value["train_seconds"].take().as_f64().is_some_and(|seconds| seconds > 0.0));
        value["train_memory_bytes"].take();
    }
    assert_eq!(inspection, expected);

    let n_samples = found["samples"].as_array().expect("samples").len();
    assert!(n_samples >= 8, "{n_samples}");
    let path = |index: usize| format!("/api/v1/data/inspections/1/samples/{index}");
    let (status, kind, picture) = ask(&site, "GET", &path(0), Vec::new()).await;
    assert_eq!((status, kind.as_str(), &picture[..2]), (StatusCode::OK, "image/jpeg", &b"\xFF\xD8"[..]));
    assert_eq!(ask(&site, "GET", &path(n_samples), Vec::new()).await.0, StatusCode::NOT_FOUND);

    // The same files are not inspected again, others are.
    let again = |site: Site| async move {
        json(&site, "POST", "/api/v1/data/inspections?data=folder:films", Vec::new()).await.1
    };
    assert_eq!(again(site.clone()).await["id"], 1);
    fs::remove_file(root.join("films/train/b/broken.png")).expect("a file");
    assert_eq!(again(site.clone()).await["id"], 2);
    assert_eq!(findings(&site, "folder:films").await["blocks"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_cannot_be_trained_on_is_told_what_it_lacks() {
    let (folder, site) = server();
    let set = new_set(&site).await;
    let data = format!("set:{set}");
    let empty = findings(&site, &data).await;
    assert!(texts(&empty, "blocks").contains("no class folders"), "{empty}");
    assert!(!empty.to_string().contains(folder.path().to_str().expect("text")), "{empty}");
    add(&site, &set, "class=a", png(1)).await;
    assert!(texts(&findings(&site, &data).await, "blocks").contains("only one class"));
    json(&site, "POST", &format!("{SETS}/{set}/classes?class=b"), Vec::new()).await;
    assert!(texts(&findings(&site, &data).await, "blocks").contains("class `b` has no training image"));
    // What has to be fixed is shown in place of the way to train.
    let train = format!("/train?data={data}");
    let page = |site: Site, path: String| async move { ask(&site, "GET", &path, Vec::new()).await.2 };
    let text = String::from_utf8(page(site.clone(), train.clone()).await).expect("text");
    assert!(text.contains("has to be fixed") && !text.contains("id=\"start\""), "{text}");
    add(&site, &set, "class=b", png(2)).await;
    let found = findings(&site, &data).await;
    assert_eq!(found["blocks"], json!([]), "{found}");
    assert!(texts(&found, "warnings").contains("Fewer than 10 training images"), "{found}");
    let text = String::from_utf8(page(site.clone(), train).await).expect("text");
    assert!(text.contains("id=\"start\"") && !text.contains("has to be fixed"), "{text}");

    // An image in both classes can be removed from the wrong one.
    add(&site, &set, "class=b&name=wrong", png(1)).await;
    let found = findings(&site, &data).await;
    let conflict = &found["warnings"][0];
    assert!(conflict["text"].as_str().is_some_and(|text| text.contains("more than one class")), "{found}");
    assert_eq!(conflict["items"].as_array().map(Vec::len), Some(2), "{conflict}");
    let path = conflict["items"][1]["path"].as_str().expect("a path");
    assert_eq!(path, "train/b/wrong.png");
    let (status, _) = json(&site, "DELETE", &format!("{SETS}/{set}/images?path={path}"), Vec::new()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!texts(&findings(&site, &data).await, "warnings").contains("more than one class"));
}

/// Who sees the page has no command line.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_names_no_flag() {
    let (folder, site) = server();
    let root = folder.path().join("root");
    for index in 0..9 {
        let class = root.join("films").join(if index < 7 { "a" } else { "b" });
        fs::create_dir_all(&class).expect("a folder");
        fs::write(class.join(format!("{index}.png")), png(index)).expect("a file");
    }
    fs::write(root.join("films/a/broken.png"), &png(5)[..60]).expect("a file");
    let found = findings(&site, "folder:films").await;
    assert_eq!(found["can_skip_bad"], true);
    let [blocks, warnings, facts] = ["blocks", "warnings", "facts"].map(|key| texts(&found, key));
    for (texts, words) in [
        (&blocks, "or train without it"),
        (&warnings, "add images of the smallest one"),
        (&facts, "Training splits off 10 % as the validation set and 10 % as the test set; a group"),
    ] {
        assert!(texts.contains(words) && !texts.contains("--"), "{texts}");
    }
    fs::remove_file(root.join("films/a/broken.png")).expect("a file");
    assert_eq!(findings(&site, "folder:films").await["can_skip_bad"], false);
    fs::write(root.join("films.csv"), "path,label\nfilms/a/0.png,a\nfilms/b/8.png,b\n").expect("a file");
    let found = findings(&site, "folder:films.csv").await;
    assert_eq!(found["samples"].as_array().map(Vec::len), Some(2), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn likely_faults_are_explained_without_a_flag() {
    let (folder, site) = server();
    let root = folder.path().join("root");
    for (index, path) in ["few/a/0", "few/b/1", "sites/x/a/2", "sites/x/b/3", "sites/y/a/4", "sites/y/b/5"]
        .into_iter()
        .enumerate()
    {
        let path = root.join(path).with_extension("png");
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, png(index as u32)).expect("a file");
    }
    let long = image::GrayImage::from_fn(200, 40, |x, y| image::Luma([(x * 5 + y * 3) as u8]));
    long.save(root.join("few/a/long.png")).expect("an image");
    let lines = |header: &str| format!("{header}\nfew/a/0.png,a,1\nfew/b/1.png,b,2\n");
    for (name, header) in [("none", "x,y,z"), ("two", "path,label,class"), ("unused", "path,label,age")] {
        fs::write(root.join(name).with_extension("csv"), lines(header)).expect("a file");
    }
    for (data, key, words) in [
        (
            "none.csv",
            "blocks",
            "no column `path`: expected the header path,label[,split][,patient]; found x,y,z",
        ),
        ("two.csv", "blocks", "`label` and `class`; rename one of them"),
        ("unused.csv", "warnings", "call it split or patient"),
        ("sites", "blocks", "put the images of each class into its folder"),
        ("few", "warnings", "10 % of 3 images is not enough to split off an image"),
        ("few", "warnings", "the model sees their centre only; cut them"),
    ] {
        let mut found = findings(&site, &format!("folder:{data}")).await;
        assert!(texts(&found, key).contains(words), "{data}: {found}");
        // The JSON of the command has its own words.
        found["inspection"].take();
        let found = found.to_string();
        let is_flag =
            |(at, _): (usize, &str)| found[at + 2..].starts_with(|next: char| next.is_ascii_lowercase());
        assert!(!found.match_indices("--").any(is_flag), "{data}: {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_of_an_archive_are_shown() {
    let (folder, site) = server();
    write_npz(&folder.path().join("root/set.npz"));
    let found = findings(&site, "folder:set.npz").await;
    assert_eq!(
        (&found["blocks"], found["samples"].as_array().map(Vec::len)),
        (&json!([]), Some(12)),
        "{found}"
    );
    let of = |index: usize| format!("/api/v1/data/inspections/1/samples/{index}");
    let (status, _, first) = ask(&site, "GET", &of(0), Vec::new()).await;
    let picture = image::load_from_memory(&first).expect("a JPEG file");
    assert_eq!((status, picture.width(), picture.height()), (StatusCode::OK, 28, 28));
    assert_ne!(ask(&site, "GET", &of(1), Vec::new()).await.2, first, "another image");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inspection_can_be_stopped_and_nothing_else_can_be_inspected() {
    let (_folder, site) = server();
    for data in ["nosuch", "set:nosuch", "set:..", "folder:..", "folder:%2Fetc", "folder:nosuch", ""] {
        let path = format!("/api/v1/data/inspections?data={data}");
        assert_eq!(json(&site, "POST", &path, Vec::new()).await.0, StatusCode::NOT_FOUND, "{data}");
    }
    let (_, answer) = json(&site, "POST", "/api/v1/data/inspections?data=phantoms", Vec::new()).await;
    let path = format!("/api/v1/data/inspections/{}", answer["id"]);
    assert_eq!(json(&site, "DELETE", &path, Vec::new()).await.0, StatusCode::NO_CONTENT);
    assert_eq!(json(&site, "GET", &path, Vec::new()).await.1["state"], "stopped");
    assert_eq!(json(&site, "GET", "/api/v1/data/inspections/7", Vec::new()).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_folder_of_more_entries_than_are_looked_at_has_more() {
    let (folder, site) = server();
    let root = folder.path().join("root");
    for number in 0..20_000 {
        fs::write(root.join(format!("{number}.png")), "").expect("a file");
    }
    let has_more =
        async || json(&site, "GET", "/api/v1/data/folders", Vec::new()).await.1["has_more"].clone();
    assert_eq!(has_more().await, false);
    fs::write(root.join("one more.png"), "").expect("a file");
    assert_eq!(has_more().await, true);
}

#[tokio::test]
async fn folders_below_the_root_are_listed_and_no_others() {
    let (folder, site) = server();
    let root = folder.path().join("root");
    write_folder(&root);
    fs::write(root.join("set.npz"), "").expect("a file");
    fs::create_dir(root.join(".hidden")).expect("a folder");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path().join("runs"), root.join("outside")).expect("a link");
        std::os::unix::fs::symlink(root.join("films/test"), root.join("inside")).expect("a link");
    }
    let list = |path: &'static str| json(&site, "GET", path, Vec::new());
    let (status, found) = list("/api/v1/data/folders").await;
    let name = |entry: &Value| entry["name"].as_str().unwrap_or_default().to_owned();
    let folders: Vec<String> = found["folders"].as_array().expect("folders").iter().map(name).collect();
    let expected = if cfg!(unix) { vec!["films", "inside"] } else { vec!["films"] };
    assert_eq!((status, folders), (StatusCode::OK, expected.into_iter().map(str::to_owned).collect()));
    assert_eq!(
        (&found["folders"][0]["n_images"], &found["files"][0]["name"]),
        (&29.into(), &"set.npz".into())
    );
    assert_eq!((&found["above"], &found["path"]), (&Value::Null, &"".into()));
    // The runs are no images.
    let above = Site::new(&folder.path().join("runs"), folder.path(), 1).expect("threads");
    let (_, found) = json(&above, "GET", "/api/v1/data/folders", Vec::new()).await;
    let names: Vec<String> = found["folders"].as_array().expect("folders").iter().map(name).collect();
    assert_eq!(names, ["root"]);
    let (_, found) = list("/api/v1/data/folders?path=films/train/a").await;
    assert_eq!((&found["above"], &found["n_images"]), (&"films/train".into(), &14.into()));
    for path in [
        "/api/v1/data/folders?path=..",
        "/api/v1/data/folders?path=%2e%2e",
        "/api/v1/data/folders?path=films%2F..%2F..",
        "/api/v1/data/folders?path=%2Fetc",
        "/api/v1/data/folders?path=outside",
        "/api/v1/data/folders?path=a%00b",
        "/api/v1/data/folders?path=nosuch",
    ] {
        if path.ends_with("outside") && !cfg!(unix) {
            continue;
        }
        assert_eq!(list(path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    let (status, kind, page) = ask(&site, "GET", "/data", Vec::new()).await;
    assert!(status == StatusCode::OK && kind.starts_with("text/html") && !page.is_empty());
}
