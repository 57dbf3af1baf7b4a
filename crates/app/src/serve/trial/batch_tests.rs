//! Predictions of one batch: as `roentgen predict` makes them, whatever else is in the batch.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use roentgen_data::{ImageSource, LoadedFiles, PhantomOptions, find_files, silent, write_phantom};
use tempfile::TempDir;

use super::predict::serve_queue;
use crate::commands::predict::{PredictedFiles, predict_files};
use crate::config::TrainConfig;
use crate::model::batch_summary::BatchSummary;
use crate::serve::site::{LoadedModel, Site, WaitingImage};
use crate::serve::tests::{ask, train_in};

/// A folder with the runs `a` and `b`, whose models differ.
fn two_models() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, seed) in [("a", 1), ("b", 2)] {
        train_in(&folder, &TrainConfig { films: 24, seed, ..TrainConfig::default() });
        fs::rename(folder.path().join("my run"), folder.path().join(name)).expect("a run");
    }
    folder
}

/// Image files of many kinds, and files that cannot be read as images.
fn files(folder: &TempDir) -> Vec<ImageSource> {
    let films = folder.path().join("films");
    let options = PhantomOptions { seed: 3, train: 3, val: 3, test: 6, ..PhantomOptions::default() };
    write_phantom(&films, &options, &silent).expect("films");
    let path = folder.path().join("drawing.png");
    let mut files: Vec<Vec<u8>> =
        find_files(&films).expect("films").iter().map(|path| fs::read(path).expect("a film")).collect();
    for number in 1..6u32 {
        let colour = image::RgbImage::from_fn(30 + 9 * number, 40, |x, y| {
            image::Rgb([(x * number) as u8, (y * y) as u8, (x * y) as u8])
        });
        colour.save(&path).expect("a drawing");
        files.push(fs::read(&path).expect("a drawing"));
    }
    files.extend([Vec::new(), b"no image".to_vec(), files[0][..200].to_vec()]);
    let named = |(number, bytes)| ImageSource::Bytes { name: format!("{number}.png"), bytes };
    files.into_iter().enumerate().map(named).collect()
}

/// The answers that the server has to give, from `roentgen predict` of all files together.
fn expected(loaded: &LoadedModel, files: &[ImageSource]) -> Vec<String> {
    let model = &loaded.model;
    let new_summary = || BatchSummary::new(model.card.class_names.len());
    let results = predict_files(model, files, &mut new_summary()).results;
    let text = |(file, result)| {
        let mut summary = new_summary();
        let PredictedFiles { results: alone, counts, .. } =
            predict_files(model, std::slice::from_ref(file), &mut summary);
        let result = serde_json::to_string(result).expect("JSON");
        assert_eq!(serde_json::to_string(&alone[0]).expect("JSON"), result, "the same alone");
        let result = result.trim_end_matches('}');
        let notes = counts.notes(&model.card.image_options());
        let notes = serde_json::to_string(&notes.iter().filter_map(|note| note.of_one).collect::<Vec<_>>())
            .expect("JSON");
        let summary = match summary.n_images() {
            0 => String::new(),
            _ => format!(",\"summary\":{}", serde_json::to_string(&summary).expect("JSON")),
        };
        format!("{result},\"notes\":{notes},\"caution\":\"Not a medical device.\"{summary}}}")
    };
    files.iter().zip(&results).map(text).collect()
}

fn model(site: &Site, run: &str) -> Arc<LoadedModel> {
    site.model(&site.run(run).expect("a run")).expect("a model")
}

/// A file as an image of so many channels; the evaluation of one with more than the model has panics.
fn waiting(site: &Site, loaded: &LoadedModel, file: &ImageSource, channels: usize) -> WaitingImage {
    let mut card = loaded.model.card.clone();
    card.channels = channels;
    let LoadedFiles { images: image, .. } = card.read_images(std::slice::from_ref(file));
    WaitingImage { image, _place: site.place().expect("a place") }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_a_batch_are_those_of_predict() {
    let folder = two_models();
    let files = files(&folder);
    let site = Site::new(folder.path(), folder.path(), 2).expect("threads");
    let models = ["a", "b"].map(|run| model(&site, run));
    let expected = [0, 1].map(|number| expected(&models[number], &files));
    assert_ne!(expected[0], expected[1], "two models");
    for part in ["\"rejected\":true", "\"rejected\":false", "\"error\":"] {
        assert!(expected[0].iter().any(|answer| answer.contains(part)), "no answer has {part}");
    }
    // An image that nobody takes out of the queue: all others wait behind it.
    let first = models.each_ref().map(|loaded| loaded.queue.add(waiting(&site, loaded, &files[0], 1)));
    assert!(first.iter().all(|added| added.needs_task));

    let request = |run: &'static str, file: &ImageSource| {
        let ImageSource::Bytes { name, bytes } = file.clone() else { unreachable!("all are in memory") };
        let site = site.clone();
        tokio::spawn(async move {
            let path = format!("/api/v1/runs/{run}/predict?name={name}&summary=true");
            let (status, _, answer) = ask(&site, "POST", &path, bytes).await;
            (status, String::from_utf8(answer).expect("text"))
        })
    };
    let mut requests = Vec::new();
    for (number, file) in files.iter().enumerate().rev() {
        for (run, name) in ["a", "b"].into_iter().enumerate() {
            requests.push((run, number, request(name, file)));
        }
    }
    let gone = request("a", &files[0]);
    let n_bad_files = 3;
    let n_waiting = [1, 0].map(|n_gone| 1 + files.len() - n_bad_files + n_gone);
    for _ in 0..1000 {
        if models.each_ref().map(|loaded| loaded.queue.len()) == n_waiting {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(models.each_ref().map(|loaded| loaded.queue.len()), n_waiting);
    gone.abort();
    assert!(gone.await.is_err_and(|error| error.is_cancelled()));

    // The first 16 are a batch of good images; this one is in the last batch.
    let bad = models.each_ref().map(|loaded| loaded.queue.add(waiting(&site, loaded, &files[0], 3)));

    for loaded in &models {
        tokio::spawn(serve_queue(site.clone(), Arc::clone(loaded)));
    }
    for added in first {
        assert!(added.result.await.is_ok());
    }
    for added in bad {
        assert!(added.result.await.is_err(), "its evaluation panics");
    }
    for (run, number, request) in requests {
        let (status, answer) = request.await.expect("an answer");
        assert_eq!(status, StatusCode::OK);
        assert_eq!(answer, expected[run][number], "file {number} of run {run}");
    }
    assert_eq!(site.n_waiting(), 0, "each has left its place");
    // The queue is as good as new.
    let (_, answer) = request("a", &files[1]).await.expect("an answer");
    assert_eq!(answer, expected[0][1]);
}
