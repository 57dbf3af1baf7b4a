//! Runs are compared, renamed, exported and deleted, and nothing else is touched.

use std::fs;

use axum::http::StatusCode;
use serde_json::Value;

use super::site::Site;
use super::tests::{ask, trained};
use crate::commands::export::to_onnx;
use crate::model::model_file;

fn json(name: &str) -> Vec<u8> {
    serde_json::json!({ "name": name }).to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_exported_compared_renamed_and_deleted() {
    let folder = trained();
    let run = folder.path().join("my run");
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let model = model_file::read(&run).expect("a model");
    let exports = [
        ("onnx", to_onnx(&model).expect("a model")),
        ("safetensors", fs::read(run.join("model.safetensors")).expect("a model")),
    ];
    for (format, expected) in exports {
        let path = format!("/api/v1/runs/my%20run/export?format={format}");
        let (status, _, bytes) = ask(&site, "GET", &path, Vec::new()).await;
        assert!(status == StatusCode::OK && bytes == expected, "{format}: {status}");
    }
    let (status, ..) = ask(&site, "GET", "/api/v1/runs/my%20run/export?format=pickle", Vec::new()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);

    let two = "first=my%20run&second=my%20run";
    let (status, _, body) = ask(&site, "GET", &format!("/api/v1/compare?{two}"), Vec::new()).await;
    let compared: Value = serde_json::from_slice(&body).expect("JSON");
    assert!(status == StatusCode::OK && compared["accuracy_difference"] == 0.0, "{compared}");
    let (_, _, page) = ask(&site, "GET", &format!("/compare?{two}"), Vec::new()).await;
    assert!(String::from_utf8_lossy(&page).contains("Both runs predict equally many images correctly"));
    let (status, ..) = ask(&site, "GET", "/compare?first=my%20run&second=..%2Fx", Vec::new()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let (status, _, body) = ask(&site, "PATCH", "/api/v1/runs/my%20run", json("my model")).await;
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    assert!(!run.exists() && folder.path().join("my model/model.safetensors").is_file());
    assert!(!folder.path().join("my model/.lock").exists());
    let (status, ..) = ask(&site, "GET", "/runs/my%20model/try", Vec::new()).await;
    assert_eq!(status, StatusCode::OK);
    let (status, ..) = ask(&site, "DELETE", "/api/v1/runs/my%20model", Vec::new()).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_lead_nowhere_else_and_a_run_in_training_stays() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runs = folder.path().join("runs");
    for run in ["runs/a", "runs/b", "outside"] {
        fs::create_dir_all(folder.path().join(run)).expect("a folder");
        fs::write(folder.path().join(run).join("model.safetensors"), "").expect("a file");
    }
    fs::create_dir(runs.join("no run")).expect("a folder");
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.path().join("outside"), runs.join("link")).expect("a link");
    let site = Site::new(&runs, folder.path(), 1).expect("threads");
    for name in ["..%2Foutside", "%2e%2e%2Foutside", "link", "no%20run", "nosuch", ".sets"] {
        let path = format!("/api/v1/runs/{name}");
        for (method, body) in [("DELETE", Vec::new()), ("PATCH", json("c"))] {
            let (status, ..) = ask(&site, method, &path, body).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{method} {name}");
        }
    }
    for (name, expected) in [
        ("b", StatusCode::CONFLICT),
        ("no run", StatusCode::CONFLICT),
        ("", StatusCode::BAD_REQUEST),
        ("..", StatusCode::BAD_REQUEST),
        ("../c", StatusCode::BAD_REQUEST),
        ("/tmp/c", StatusCode::BAD_REQUEST),
        (".c", StatusCode::BAD_REQUEST),
        ("a\0b", StatusCode::BAD_REQUEST),
        ("a\\b", StatusCode::BAD_REQUEST),
    ] {
        let (status, ..) = ask(&site, "PATCH", "/api/v1/runs/a", json(name)).await;
        assert_eq!(status, expected, "{name}");
    }
    let lock = fs::File::create(runs.join("a/.lock")).expect("a file");
    lock.try_lock().expect("it is free");
    for (method, body) in [("DELETE", Vec::new()), ("PATCH", json("c"))] {
        let (status, _, text) = ask(&site, method, "/api/v1/runs/a", body).await;
        assert_eq!(status, StatusCode::CONFLICT, "{method} while it is trained");
        assert!(String::from_utf8_lossy(&text).contains("in training"));
    }
    assert!(
        runs.join("a/model.safetensors").is_file()
            && folder.path().join("outside/model.safetensors").is_file()
    );
    // A server of one run does not lose it.
    let single = Site::new(&runs.join("b"), folder.path(), 1).expect("threads");
    let (status, ..) = ask(&single, "DELETE", "/api/v1/runs/b", Vec::new()).await;
    assert_eq!(status, StatusCode::CONFLICT);
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_are_beside_a_single_run_and_not_deleted_with_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = folder.path().join("a");
    fs::create_dir(&run).expect("a folder");
    fs::write(run.join("model.safetensors"), "").expect("a file");
    let single = Site::new(&run, folder.path(), 1).expect("threads");
    let (status, ..) = ask(&single, "POST", "/api/v1/data/sets?title=films", Vec::new()).await;
    assert_eq!(status, StatusCode::CREATED);
    assert!(folder.path().join(".sets/films").is_dir() && !run.join(".sets").exists());
    let (status, ..) = ask(&single, "GET", "/train?data=set:films", Vec::new()).await;
    assert_eq!(status, StatusCode::OK);
    // As somebody has put it there.
    fs::create_dir(run.join(".sets")).expect("a folder");
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let (status, _, text) = ask(&site, "DELETE", "/api/v1/runs/a", Vec::new()).await;
    let text = String::from_utf8_lossy(&text);
    assert!(status == StatusCode::CONFLICT && text.contains("in its folder .sets"), "{status} {text}");
    assert!(run.join(".sets").is_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_routes_and_no_names() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    ask(&site, "POST", "/api/v1/runs/secret/predict?name=patient.png", Vec::new()).await;
    ask(&site, "GET", "/nosuch/secret", Vec::new()).await;
    let (status, kind, text) = ask(&site, "GET", "/metrics", Vec::new()).await;
    let text = String::from_utf8(text).expect("text");
    assert!(status == StatusCode::OK && kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    for line in [
        "roentgen_requests_total{route=\"/api/v1/runs/{run}/predict\",status=\"404\"} 1",
        "roentgen_requests_total{route=\"none\",status=\"404\"} 1",
        "# TYPE roentgen_request_seconds_total counter",
        "roentgen_queue_length 0",
        "roentgen_training_running 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
    assert!(!text.contains("secret") && !text.contains("patient"), "{text}");
}
