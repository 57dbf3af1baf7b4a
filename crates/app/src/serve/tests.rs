//! The whole server, asked in this process.

use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::{Request, StatusCode, header};
use hyper::body::{Frame, SizeHint};
use roentgen_data::ImageSource;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::guard::Guard;
use super::router;
use super::site::{MAX_MODELS, Site};
use crate::commands::predict::predict_files;
use crate::config::TrainConfig;
use crate::data_loading::load::load;
use crate::model::batch_summary::BatchSummary;
use crate::model::model_file;
use crate::run_dir::planned_folder::PlannedFolder;
use crate::run_dir::run_folder::RunFolder;
use crate::terminal::screen::Screen;
use crate::training::pipeline::train;

/// A folder of runs with one that is trained, and its path.
pub(super) fn trained() -> TempDir {
    trained_on(24)
}

/// The same with a number of training images.
pub(super) fn trained_on(films: u32) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    train_in(&folder, &TrainConfig { films, ..TrainConfig::default() });
    folder
}

/// Trains a small model in a folder.
pub(super) fn train_in(folder: &TempDir, config: &TrainConfig) {
    let config = TrainConfig { width: 8, epochs: Some(1), ..config.clone() };
    let screen = Screen::silent();
    let data = load(&config, &screen).expect("films");
    let planned = PlannedFolder::new(Some(&folder.path().join("my run"))).expect("a new folder");
    train(&config, &data, planned, &screen).expect("a run");
}

/// A file of some bytes of which none arrives.
pub(super) struct NeverArrives(pub(super) u64);

impl HttpBody for NeverArrives {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

pub(super) async fn ask(
    site: &Site,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> (StatusCode, String, Vec<u8>) {
    let is_json = matches!(body.first(), Some(b'[' | b'{'));
    ask_with(site, method, path, Body::from(body), is_json).await
}

/// The same with any body.
pub(super) async fn ask_with(
    site: &Site,
    method: &str,
    path: &str,
    body: Body,
    is_json: bool,
) -> (StatusCode, String, Vec<u8>) {
    let request = Request::builder().method(method).uri(path);
    let request = if is_json { request.header(header::CONTENT_TYPE, "application/json") } else { request };
    let request = request.header(header::HOST, "127.0.0.1:80").header(header::AUTHORIZATION, "Bearer t");
    let router = router(site.clone(), Guard::new("t", 80));
    let response = router.oneshot(request.body(body).expect("a request")).await.expect("an answer");
    let kind =
        response.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().expect("text").to_owned());
    let status = response.status();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    (status, kind.unwrap_or_default(), bytes.to_vec())
}

pub(super) fn png(path: &Path) -> Vec<u8> {
    image::GrayImage::from_fn(40, 36, |x, y| image::Luma([(x * 5 + y * 3) as u8]))
        .save(path)
        .expect("an image");
    fs::read(path).expect("an image")
}

/// An `.npz` file of 40 images of 28x28 in two classes.
pub(super) fn write_npz(path: &Path) {
    let array = |shape: &str, bytes: &[u8]| {
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
        [&b"\x93NUMPY\x01\x00\x76\x00"[..], format!("{header:<117}\n").as_bytes(), bytes].concat()
    };
    let pixels: Vec<u8> = (0..40 * 784_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let labels: Vec<u8> = (0..40).map(|at| at % 2).collect();
    let mut zip = zip::ZipWriter::new(fs::File::create(path).expect("a file"));
    for (name, bytes) in [
        ("train_images.npy", array("(40, 28, 28)", &pixels)),
        ("train_labels.npy", array("(40, 1)", &labels)),
    ] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).expect("an archive");
        std::io::Write::write_all(&mut zip, &bytes).expect("an archive");
    }
    zip.finish().expect("an archive");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_a_run_are_there_and_its_predictions_are_those_of_predict() {
    let folder = trained();
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let (status, kind, page) = ask(&site, "GET", "/", Vec::new()).await;
    let page = String::from_utf8(page).expect("text");
    assert!(status == StatusCode::OK && kind.starts_with("text/html"), "{status} {kind}");
    assert!(page.contains("my run") && page.contains("/runs/my%20run/try"), "{page}");
    for (path, kind) in [
        ("/runs/my%20run/try", "text/html"),
        ("/runs/my%20run/report", "text/html"),
        ("/runs/my%20run/training", "text/html"),
        ("/runs/my%20run/training/curves", "text/html"),
        ("/api/v1/runs/my%20run/training", "application/json"),
        ("/train", "text/html"),
        ("/train?data=folder:my%20run", "text/html"),
        ("/static/train.js", "text/javascript"),
        ("/static/training.js", "text/javascript"),
        ("/static/try.js", "text/javascript"),
        ("/static/style.css", "text/css"),
        ("/static/try.css", "text/css"),
        ("/static/icon.svg", "image/svg+xml"),
    ] {
        let (status, found, body) = ask(&site, "GET", path, Vec::new()).await;
        assert!(status == StatusCode::OK && found.starts_with(kind) && !body.is_empty(), "{path}: {status}");
    }

    let bytes = png(&folder.path().join("film.png"));
    let path = "/api/v1/runs/my%20run/predict?name=film.png";
    let (status, _, body) = ask(&site, "POST", path, bytes.clone()).await;
    assert_eq!(status, StatusCode::OK);
    let model = model_file::read(&folder.path().join("my run")).expect("a model");
    let sources = [ImageSource::Bytes { name: "film.png".to_owned(), bytes }];
    let mut summary = BatchSummary::new(model.card.class_names.len());
    let expected = predict_files(&model, &sources, &mut summary).results;
    // As text: a number that is read again may differ in its last bit.
    let expected = serde_json::to_string(&expected[0]).expect("JSON");
    let answer = String::from_utf8(body).expect("text");
    assert!(answer.starts_with(expected.trim_end_matches('}')), "{answer}, expected {expected}");
    assert!(answer.contains("\"caution\":\"Not a medical device.\""), "{answer}");
}

#[test]
fn the_model_that_is_unused_for_longest_makes_room_for_another() {
    let folder = trained();
    let run = |number: usize| folder.path().join(format!("run {number}"));
    for number in 0..=MAX_MODELS {
        fs::create_dir(run(number)).expect("a folder");
        fs::copy(folder.path().join("my run/model.safetensors"), run(number).join("model.safetensors"))
            .expect("a model");
    }
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let model = |number: usize| {
        let run = site.run(&format!("run {number}")).expect("a run");
        site.model(&run).expect("a model")
    };
    let first: Vec<_> = (0..MAX_MODELS).map(model).collect();
    assert!(Arc::ptr_eq(&model(0), &first[0]), "it is kept");
    model(MAX_MODELS);
    assert!(Arc::ptr_eq(&model(0), &first[0]), "it was used after the others");
    assert!(!Arc::ptr_eq(&model(1), &first[1]), "it made room");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_or_no_image_has_a_clear_answer() {
    let folder = trained();
    fs::write(folder.path().join("secret.txt"), "secret").expect("a file");
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    for path in [
        "/runs/nosuch/try",
        "/runs/..%2F..%2Fetc/report",
        "/runs/%2e%2e/report",
        "/runs/my%20run%2F..%2F..%2Fsecret.txt/report",
        "/static/..%2Ftry.js",
        "/runs/nosuch/training",
        "/runs/..%2F..%2Fetc/training/curves",
        "/api/v1/runs/nosuch/training/events",
        "/train?data=folder:../secret",
        "/train?data=set:..",
        "/train?data=secret.txt",
        "/nosuch",
    ] {
        let (status, _, body) = ask(&site, "GET", path, Vec::new()).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(!String::from_utf8_lossy(&body).contains("secret"), "{path}");
    }
    let predict = "/api/v1/runs/my%20run/predict";
    for body in [Vec::new(), b"no image".to_vec(), b"\x89PNG\r\n\x1a\nrest".to_vec()] {
        let (status, _, answer) = ask(&site, "POST", predict, body).await;
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        assert!(status == StatusCode::OK && answer["error"].is_string(), "{status}: {answer}");
    }
    let (status, _, _) = ask(&site, "POST", predict, vec![0; (64 << 20) + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, _, _) = ask(&site, "GET", predict, Vec::new()).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    for (body, expected, words) in [
        (b"no list".to_vec(), 415, "this request takes JSON; send the header Content-Type: application/json"),
        (b"[".to_vec(), 400, "the request is not JSON: EOF while parsing a list at line 1"),
        (b"[1]".to_vec(), 422, "the request is not the JSON that is expected: [0]: invalid type"),
        (
            [&b"["[..], &vec![b' '; 16 << 20]].concat(),
            413,
            "the request has more than 16 MiB, the limit here",
        ),
    ] {
        let (status, _, answer) = ask(&site, "POST", "/api/v1/runs/my%20run/shift", body).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(status.as_u16() == expected && answer.starts_with(words), "{status}: {answer}");
    }
}

#[tokio::test]
async fn every_refusal_is_a_sentence() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let large = [&b"{"[..], &vec![b' '; 2 << 20]].concat();
    for (method, path, body, expected, sentence) in [
        ("GET", "/nosuch", &b""[..], 404, "there is no such page"),
        ("GET", "/static/nosuch.js", b"", 404, "there is no such page"),
        ("POST", "/", b"", 405, "this address takes no POST request"),
        ("POST", "/api/v1/training", &large, 413, "the request has more than 2 MiB, the limit here"),
        (
            "PATCH",
            "/api/v1/runs/a",
            b"x",
            400,
            "the request is not the JSON that is expected: expected value at line 1 column 1",
        ),
        (
            "POST",
            "/api/v1/data/inspections",
            b"",
            400,
            "a parameter in the address is missing or wrong: missing field `data`",
        ),
        (
            "GET",
            "/api/v1/data/inspections/one",
            b"",
            400,
            "the address is wrong: Cannot parse `one` to a `u64`",
        ),
    ] {
        let (status, kind, answer) = ask(&site, method, path, body.to_vec()).await;
        assert_eq!(
            (status.as_u16(), String::from_utf8_lossy(&answer).as_ref()),
            (expected, sentence),
            "{method} {path}"
        );
        assert_eq!(kind, "text/plain; charset=utf-8", "{method} {path}");
    }
    // A browser has the way to the other pages.
    let request = Request::get("/runs/nosuch/try").header(header::HOST, "127.0.0.1:80");
    let request =
        request.header(header::AUTHORIZATION, "Bearer t").header(header::ACCEPT, "text/html,*/*;q=0.8");
    let answer =
        router(site, Guard::new("t", 80)).oneshot(request.body(Body::empty()).expect("a request")).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let page = to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
    let page = String::from_utf8_lossy(&page).into_owned();
    assert!(page.contains("There is no such run.") && page.contains("href=\"/data\""), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_in_a_terminal_is_shown_and_not_touched() {
    let folder = trained();
    let run = folder.path().join("my run");
    fs::remove_file(run.join("metrics.json")).expect("a file");
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let state = async || {
        let (_, _, body) = ask(&site, "GET", "/api/v1/runs/my%20run/training", Vec::new()).await;
        serde_json::from_slice::<Value>(&body).expect("JSON")
    };
    let interrupted = state().await;
    assert_eq!((&interrupted["state"], &interrupted["can_resume"]), (&"stopped".into(), &true.into()));
    assert_eq!(interrupted["sentence"], "Stopped after epoch 1 of 1.");
    let (_, _, models) = ask(&site, "GET", "/", Vec::new()).await;
    let models = String::from_utf8_lossy(&models).into_owned();
    assert!(
        models.contains("Stopped after epoch 1 of 1.") && models.contains("try it as it is now"),
        "{models}"
    );
    assert_eq!(models.matches("<strong>my run</strong>").count(), 1, "it is in one of the lists");

    let resumed = RunFolder::open(&run).expect("an interrupted run");
    let at_work = state().await;
    assert_eq!((&at_work["state"], &at_work["can_stop"]), (&"evaluating".into(), &false.into()));
    for (what, words) in [("stop", "stop it where it was started"), ("resume", "not an interrupted training")]
    {
        let path = format!("/api/v1/runs/my%20run/training/{what}");
        let (status, _, reason) = ask(&site, "POST", &path, Vec::new()).await;
        let reason = String::from_utf8_lossy(&reason).into_owned();
        assert!(status == StatusCode::CONFLICT && reason.contains(words), "{status} {reason}");
    }
    fs::remove_file(run.join("model-last.safetensors")).expect("a file");
    fs::write(run.join("log.jsonl"), "").expect("a file");
    assert_eq!(state().await["sentence"], "Training: epoch 1 of 1.");
    drop(resumed);
    let order = br#"{"data": "phantoms", "epochs": 0}"#.to_vec();
    let (status, _, reason) = ask(&site, "POST", "/api/v1/training", order.clone()).await;
    assert!(status == StatusCode::BAD_REQUEST && reason.starts_with(b"epochs is 0"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_a_single_run_offers_no_training_and_no_change() {
    let folder = trained();
    let run = folder.path().join("my run");
    let single = Site::new(&run, folder.path(), 1).expect("threads");
    let (status, _, _) = ask(&single, "POST", "/api/v1/training", br#"{"data": "phantoms"}"#.to_vec()).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let page = async |path: &str| {
        let (_, _, page) = ask(&single, "GET", path, Vec::new()).await;
        String::from_utf8(page).expect("text")
    };
    let start = page("/train?data=phantoms").await;
    assert!(start.contains("shows a single run") && !start.contains("<form"), "{start}");
    let finished = page("/").await;
    assert!(finished.contains("more about my run") && !finished.contains("Rename"), "{finished}");
    fs::remove_file(run.join("metrics.json")).expect("a file");
    let interrupted = page("/").await;
    assert!(interrupted.contains("Resume my run") && !interrupted.contains("Rename"), "{interrupted}");
}
