//! What a server knows of the training that it started, without a process.

use serde_json::Value;

use super::*;
use crate::run_dir::error::RunDirError;
use crate::run_dir::file_names::{METRICS, MODEL};
use crate::serve::site::Site;
use crate::serve::tests::ask;

/// A training of the run in a folder, which gives the run its name.
fn started(folder: &Path, arguments: &[OsString]) -> Started {
    Started {
        name: folder.file_name().expect("a name").to_string_lossy().into_owned(),
        folder: folder.to_owned(),
        images: images_of(folder, arguments),
        input: None,
        output: VecDeque::new(),
        errors: VecDeque::new(),
        bar: None,
        end: None,
    }
}

/// The end of a training with this error.
fn failed(reason: &str) -> End {
    end_of(Err(io::Error::other(reason)), &[])
}

#[tokio::test]
async fn a_training_has_the_name_of_its_run_and_is_forgotten_with_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("a")).expect("a folder");
    std::fs::write(path("a").join(CONFIG), "data = \"films\"\n").expect("a file");
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let rename = async |from: &str, to: &str| {
        let body = format!(r#"{{"name": "{to}"}}"#).into_bytes();
        ask(&site, "PATCH", &format!("/api/v1/runs/{from}"), body).await.0
    };
    let state = async |name: &str| {
        let (status, _, body) = ask(&site, "GET", &format!("/api/v1/runs/{name}/training"), Vec::new()).await;
        let answer = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        (status, answer["state"].as_str().unwrap_or_default().to_owned())
    };
    let gone = (StatusCode::NOT_FOUND, String::new());

    site.trainings().latest().training = Some(started(&path("b"), &[]));
    assert_eq!(rename("a", "b").await, StatusCode::CONFLICT, "it has no folder yet, but its name");
    site.trainings().latest().training =
        Some(Started { end: Some(failed("no images")), ..started(&path("b"), &[]) });
    assert_eq!(rename("a", "b").await, StatusCode::OK);
    assert_eq!(state("b").await, (StatusCode::OK, "stopped".to_owned()), "the other one has failed");

    site.trainings().latest().training =
        Some(Started { end: Some(failed("no images")), ..started(&path("b"), &[]) });
    assert_eq!(rename("b", "c").await, StatusCode::OK);
    assert_eq!(state("c").await, (StatusCode::OK, "failed".to_owned()));
    assert_eq!(state("b").await, gone);
    let (status, ..) = ask(&site, "DELETE", "/api/v1/runs/c", Vec::new()).await;
    assert_eq!((status, state("c").await), (StatusCode::NO_CONTENT, gone));
}

async fn models_page(site: &Site) -> String {
    let (_, _, page) = ask(site, "GET", "/", Vec::new()).await;
    String::from_utf8_lossy(&page).into_owned()
}

/// How often the list of models has a run in bold.
async fn n_listed(site: &Site, name: &str) -> usize {
    models_page(site).await.matches(&format!("<strong>{name}</strong>")).count()
}

#[tokio::test]
async fn a_training_that_failed_before_it_had_a_folder_is_listed_with_the_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let path = folder.path().join("a");
    let end = |end| site.trainings().latest().training = Some(Started { end, ..started(&path, &[]) });
    end(Some(failed("no images")));
    let page = models_page(&site).await;
    assert!(page.contains("The training failed.") && page.contains("no images"), "{page}");
    assert!(!page.contains("Rename"), "there is no folder: {page}");
    std::fs::create_dir(&path).expect("a folder");
    for name in [CONFIG, METRICS, MODEL] {
        std::fs::write(path.join(name), "").expect("a file");
    }
    let page = models_page(&site).await;
    assert!(page.contains("try it on images") && !page.contains("no images"), "another run: {page}");
    std::fs::remove_dir_all(&path).expect("a folder");
    for other in [End::Stopped, End::Done] {
        end(Some(other));
        assert_eq!(n_listed(&site, "a").await, 0);
    }
}

#[tokio::test]
async fn a_training_that_failed_has_resume_unless_the_run_cannot_be_resumed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let site = Site::new(folder.path(), folder.path(), 1).expect("threads");
    let path = folder.path().join("a");
    std::fs::create_dir(&path).expect("a folder");
    std::fs::write(path.join(CONFIG), "data = \"films\"\n").expect("a file");
    let changed = RunDirError::not_resumable("/home/me/a", "the images have changed").to_string();
    for (reason, shown, can_resume) in [
        ("the disk is full", "the disk is full", true),
        (changed.as_str(), "it cannot be resumed: the images have changed", false),
    ] {
        let end = Some(failed(reason));
        site.trainings().latest().training = Some(Started { end, ..started(&path, &[]) });
        let (_, _, body) = ask(&site, "GET", "/api/v1/runs/a/training", Vec::new()).await;
        let state = serde_json::from_slice::<Value>(&body).expect("JSON");
        assert_eq!((&state["reason"], &state["can_resume"]), (&shown.into(), &can_resume.into()));
        let page = models_page(&site).await;
        assert!(page.contains(shown) && page.contains("Resume a") == can_resume, "{page}");
    }
    let (status, _, body) = ask(&site, "POST", "/api/v1/runs/a/training/resume", Vec::new()).await;
    let reason = String::from_utf8_lossy(&body);
    assert!(status == StatusCode::CONFLICT && reason.contains("the images have changed"), "{reason}");
}

#[tokio::test]
async fn a_training_at_work_is_listed_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("a")).expect("a folder");
    // Not the path without links and dots that a list of the folder has.
    let runs = folder.path().join("a/..");
    let site = Site::new(&runs, folder.path(), 1).expect("threads");
    site.trainings().latest().training = Some(started(&runs.join("a"), &[]));
    assert_eq!(n_listed(&site, "a").await, 1, "it reads its images");
    std::fs::write(runs.join("a").join(CONFIG), "data = \"films\"\n").expect("a file");
    assert_eq!(n_listed(&site, "a").await, 1);
}

#[test]
fn images_are_in_use_until_the_training_has_read_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(path("set")).expect("a folder");
    let arguments: [OsString; 4] = ["--data".into(), path("set").into(), "--out".into(), path("a").into()];
    let trainings = Trainings::new().expect("a program");
    trainings.latest().training = Some(started(&path("a"), &arguments));
    let is_free = |name: &str| trainings.check_unread(&path(name)).is_ok();
    assert!(!is_free("set") && is_free("other"));
    let change = |change: fn(&mut Started)| trainings.latest().training.as_mut().map(change);
    change(|training| training.output.push_back("data".to_owned()));
    assert!(is_free("set"), "they are read");
    change(|training| training.output.clear());
    change(|training| training.end = Some(End::Stopped));
    assert!(is_free("set"));
    // A run that is resumed has them in its settings.
    std::fs::create_dir(path("b")).expect("a folder");
    std::fs::write(path("b").join(CONFIG), "data = \"films\"\n").expect("a file");
    let resumed = ["--resume".into(), path("b").into()];
    assert_eq!(images_of(&path("b"), &resumed), Some("films".into()));
}

#[test]
fn a_server_that_ends_names_what_can_be_done_with_its_training() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = |end: &End| after(end, folder.path()).unwrap_or_default();
    assert!(text(&End::Stopped).contains("start it again"), "it has no folder");
    std::fs::write(folder.path().join(CONFIG), "").expect("a file");
    assert!(text(&End::Stopped).contains("train --resume"));
    assert_eq!([text(&failed("the disk is full")), text(&End::Done)], ["it failed: the disk is full", ""]);
}
