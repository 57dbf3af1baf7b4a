//! What the page asks for, in this process.

use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roentgen_data::ImageSource;
use serde_json::Value;

use super::upload::{Written, with_image};
use crate::commands::predict::predict_files;
use crate::config::TrainConfig;
use crate::model::batch_summary::BatchSummary;
use crate::model::model_file;
use crate::model::shift::Shift;
use crate::serve::site::Site;
use crate::serve::tests::{NeverArrives, ask, png, train_in, trained, trained_on};

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_image_goes_to_the_set_of_its_model_if_there_is_one() {
    let folder = trained();
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let page = |site: Site| async move {
        String::from_utf8(ask(&site, "GET", "/runs/my%20run/try", Vec::new()).await.2).expect("text")
    };
    let of_films = page(site.clone()).await;
    assert!(of_films.contains("a set of its own, “Corrections of my run”"), "{of_films}");
    assert!(!of_films.contains("data-set="), "{of_films}");
    let (_, _, set) = ask(&site, "POST", "/api/v1/data/sets?title=My%20films", Vec::new()).await;
    assert_eq!(json(&set)["name"], "My-films");
    let config = folder.path().join("my run/config.toml");
    let settings = std::fs::read_to_string(&config).expect("a file");
    let data = folder.path().join(".sets/My-films");
    let others = settings.lines().filter(|line| !line.starts_with("data = "));
    let settings = std::iter::once(format!("data = {:?}", data.display().to_string()));
    let settings: Vec<String> = settings.chain(others.map(str::to_owned)).collect();
    std::fs::write(&config, settings.join("\n")).expect("a file");
    let of_set = page(site).await;
    assert!(
        of_set.contains("data-set=\"My-films\"") && of_set.contains("into the set “My films”"),
        "{of_set}"
    );
}

pub(super) const RUN: &str = "/api/v1/runs/my%20run";

pub(super) fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(bytes)))
}

#[tokio::test(flavor = "multi_thread")]
async fn heat_maps_are_as_large_as_the_picture_and_explain_the_predicted_class() {
    let folder = trained();
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let film = png(&folder.path().join("film.png"));
    let (_, _, prediction) = ask(&site, "POST", &format!("{RUN}/predict"), film.clone()).await;
    let probabilities = json(&prediction)["probabilities"].clone();
    let (status, kind, jpeg) = ask(&site, "POST", &format!("{RUN}/picture?side=400"), film.clone()).await;
    assert!(status == StatusCode::OK && kind == "image/jpeg", "{status} {kind}");
    let picture = image::load_from_memory(&jpeg).expect("a picture");
    assert_eq!((picture.width(), picture.height()), (400, 360), "an image of 40 by 36 pixels");
    for side in [15, 1601] {
        let (status, _, reason) =
            ask(&site, "POST", &format!("{RUN}/picture?side={side}"), film.clone()).await;
        let expected = format!("side is {side}: expected 16 to 1600 pixels");
        assert_eq!((status, String::from_utf8(reason)), (StatusCode::BAD_REQUEST, Ok(expected)));
    }

    let mut n_maps = 0;
    for method in ["grad-cam", "occlusion"] {
        for class in ["", "&class=normal", "&class=covid", "&class=pneumonia"] {
            let path = format!("{RUN}/explain?method={method}{class}");
            let (status, _, body) = ask(&site, "POST", &path, film.clone()).await;
            let answer = json(&body);
            assert!(status == StatusCode::OK && answer["method"] == method, "{path}: {answer}");
            let explained = answer["class"].as_str().expect("a class");
            assert_eq!(answer["probability"], probabilities[explained], "{path}");
            assert!(answer["text"].as_str().is_some_and(|text| text.contains(explained)), "{answer}");
            let largest = probabilities
                .as_object()
                .expect("classes")
                .values()
                .all(|p| p.as_f64() <= answer["probability"].as_f64());
            assert!(largest || !class.is_empty(), "{path} explains the predicted class");
            assert_eq!(answer["overlay"].is_null(), answer["greatest"].is_null(), "{answer}");
            let Some(overlay) = answer["overlay"].as_str() else { continue };
            let overlay = image::load_from_memory(&STANDARD.decode(overlay).expect("base64")).expect("a PNG");
            let overlay = overlay.as_rgba8().expect("a transparent ground");
            assert_eq!(overlay.dimensions(), (800, 720), "as the picture, where no side is asked for");
            let opacities = || overlay.pixels().map(|pixel| pixel.0[3]);
            assert!(opacities().max() > Some(200) && opacities().min() < Some(100), "{path}");
            n_maps += 1;
        }
    }
    assert!(n_maps >= 4, "{n_maps} maps");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_explained_says_why() {
    let folder = trained();
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let film = png(&folder.path().join("film.png"));
    for (path, body, status, text) in [
        ("explain?method=grad-cam", b"no image".to_vec(), StatusCode::UNPROCESSABLE_ENTITY, "not an image"),
        ("picture", Vec::new(), StatusCode::UNPROCESSABLE_ENTITY, "not an image"),
        ("explain?method=magic", film.clone(), StatusCode::BAD_REQUEST, "grad-cam"),
        ("explain?method=occlusion&class=cat", film.clone(), StatusCode::BAD_REQUEST, "normal"),
        ("explain", film, StatusCode::BAD_REQUEST, "method"),
    ] {
        let (found, _, answer) = ask(&site, "POST", &format!("{RUN}/{path}"), body).await;
        let answer = String::from_utf8(answer).expect("text");
        assert!(found == status && answer.contains(text), "{path}: {found}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_images_are_compared_as_predict_compares_them() {
    let folder = trained_on(168);
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let shift = format!("{RUN}/shift");
    let (mut sources, mut summaries, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..21u32 {
        let image =
            image::GrayImage::from_fn(60, 50, |x, y| image::Luma([(x * y / (1 + number) + number) as u8]));
        let path = folder.path().join("image.png");
        image.save(&path).expect("an image");
        let bytes = std::fs::read(path).expect("an image");
        let (_, _, answer) = ask(&site, "POST", &format!("{RUN}/predict?summary=true"), bytes.clone()).await;
        summaries.push(json(&answer)["summary"].clone());
        answers.push(String::from_utf8(answer).expect("text"));
        sources.push(ImageSource::Bytes { name: String::new(), bytes });
    }
    let model = model_file::read(&folder.path().join("my run")).expect("a model");
    let mut batch = BatchSummary::new(model.card.class_names.len());
    let results = predict_files(&model, &sources, &mut batch).results;
    for (answer, result) in answers.iter().zip(&results) {
        // As text, which has every bit: an answer does not depend on the images that are predicted with it.
        let result = serde_json::to_string(result).expect("JSON");
        assert!(answer.starts_with(result.trim_end_matches('}')), "{answer}, expected {result}");
    }
    let expected = Shift::of(&batch, &model.card).expect("enough images");
    assert!(expected.detected, "drawings are no films");
    let (status, _, body) = ask(&site, "POST", &shift, serde_json::to_vec(&summaries).expect("JSON")).await;
    assert_eq!(status, StatusCode::OK);
    let body = String::from_utf8(body).expect("text");
    let expected = format!("{{\"shift\":{}", serde_json::to_string(&expected).expect("JSON"));
    assert!(body.starts_with(&expected), "{body}, expected {expected}");
    let text = json(body.as_bytes())["text"].as_str().expect("words").to_owned();
    let has_terms = ["(p = ", "quantisation", "MONOCHROME1"].iter().any(|term| text.contains(term));
    assert!(text.contains("these 21 images differ from") && !has_terms, "{text}");

    let few = serde_json::to_vec(&summaries[..3]).expect("JSON");
    let (_, _, body) = ask(&site, "POST", &shift, few).await;
    let answer = json(&body);
    assert!(
        answer["shift"].is_null() && answer["text"].as_str().is_some_and(|text| text.contains("20")),
        "{answer}"
    );
    summaries[0]["n_images"] = 7.into();
    for body in [serde_json::to_vec(&summaries).expect("JSON"), b"[{}]".to_vec(), b"no JSON".to_vec()] {
        let (status, _, answer) = ask(&site, "POST", &shift, body).await;
        assert!(status.is_client_error(), "{status}: {}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_gets_no_answers_of_a_model_that_was_written_after_it() {
    let folder = trained();
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let film = png(&folder.path().join("film.png"));
    let (_, _, page) = ask(&site, "GET", "/runs/my%20run/try", Vec::new()).await;
    let page = String::from_utf8(page).expect("text");
    let (_, written) = page.split_once("data-written=\"").expect("when the model was written");
    let (written, _) = written.split_once('"').expect("the end of it");
    let requests = [
        ("predict?name=film.png", film.clone()),
        ("explain?method=grad-cam", film.clone()),
        ("picture?side=100", film.clone()),
        ("shift?", b"[]".to_vec()),
    ];
    let post = async |path: &str, body: &[u8]| {
        let path = format!("{RUN}/{path}&written={written}");
        let (status, _, answer) = ask(&site, "POST", &path, body.to_vec()).await;
        (status, String::from_utf8_lossy(&answer).into_owned())
    };
    for (path, body) in &requests {
        let (status, answer) = post(path, body).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    }
    let other = tempfile::tempdir().expect("a temporary folder");
    train_in(&other, &TrainConfig { films: 24, seed: 2, ..TrainConfig::default() });
    let [new, model] = [&other, &folder].map(|folder| folder.path().join("my run/model.safetensors"));
    std::fs::copy(new, &model).expect("a file");
    let file = std::fs::File::options().append(true).open(model).expect("a file");
    file.set_modified(SystemTime::now() + Duration::from_secs(60)).expect("a time");
    for (path, body) in &requests {
        let (status, answer) = post(path, body).await;
        let is_refused = status == StatusCode::CONFLICT && answer.contains("load the page again");
        assert!(is_refused, "{path}: {status}: {answer}");
    }
    let (status, ..) = ask(&site, "POST", &format!("{RUN}/predict?written=abc"), film.clone()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "it is no time");
    let (status, ..) = ask(&site, "POST", &format!("{RUN}/predict"), film).await;
    assert_eq!(status, StatusCode::OK, "for a script");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_warns_of_a_model_as_its_report_does() {
    let folder = trained();
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let get = async |path: &str| {
        let (status, _, body) = ask(&site, "GET", path, Vec::new()).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        String::from_utf8(body).expect("text")
    };
    let [page, report] = [get("/runs/my%20run/try").await, get("/runs/my%20run/report").await];
    assert!(!page.contains("Nothing is known"), "the metrics of a run are read: {page}");
    assert!(report.contains("not significantly better"), "a model of one epoch: {report}");
    let warning = "is not clearly better than that of always answering";
    assert!(page.contains(warning) && page.contains(r#"<a href="/runs/my%20run/report">"#), "{page}");
    let runs = get("/api/v1/runs").await;
    assert!(
        json(runs.as_bytes())[0]["warning"].as_str().is_some_and(|text| text.contains(warning)),
        "{runs}"
    );

    std::fs::remove_file(folder.path().join("my run/metrics.json")).expect("a file");
    let page = get("/runs/my%20run/try").await;
    assert!(page.contains("Nothing is known") && !page.contains(warning), "{page}");
    assert!(get("/api/v1/runs").await.contains("Nothing is known"));
}

#[test]
fn the_legend_has_the_colours_of_the_maps() {
    let style = include_str!("../static/try.css");
    let gradient = crate::report::overlay::css_gradient();
    assert!(style.contains(&gradient), "try.css needs {gradient}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_do_not_arrive_keep_no_other_waiting() {
    let folder = trained();
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let film = png(&folder.path().join("film.png"));
    let send = |n_bytes| {
        let (site, request) = (site.clone(), Request::new(Body::new(NeverArrives(n_bytes))));
        tokio::spawn(async move {
            with_image(&site, "my run", Written::default(), String::new(), request, |_, _| ()).await
        })
    };
    let slow: Vec<_> = (0..20).map(|_| send(9 << 20)).collect();
    while site.n_waiting() < slow.len() {
        tokio::task::yield_now().await;
    }
    let predict = format!("{RUN}/predict");
    let (status, ..) = ask(&site, "POST", &predict, film.clone()).await;
    assert_eq!(status, StatusCode::OK);
    // Four of the longest take all the memory that there is for files.
    slow.iter().for_each(tokio::task::JoinHandle::abort);
    while site.n_waiting() > 0 {
        tokio::task::yield_now().await;
    }
    let greatest: Vec<_> = (0..4).map(|_| send(u64::MAX)).collect();
    while site.n_waiting() < greatest.len() {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let waiting =
        tokio::time::timeout(Duration::from_millis(300), ask(&site, "POST", &predict, film.clone())).await;
    assert!(waiting.is_err(), "there is no memory for it");
    greatest.iter().for_each(tokio::task::JoinHandle::abort);
    let (status, ..) = ask(&site, "POST", &predict, film).await;
    assert_eq!(status, StatusCode::OK);
}
