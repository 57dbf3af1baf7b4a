//! A run on several ranks, from its beginning to its report.

use std::fs;

use roentgen_data::{Dataset, LoadOptions, PhantomOptions, phantom_dataset, silent};

use super::follower::follow;
use super::leader::{Leader, ObservedSet};
use super::shared_observation::observe_on_all;
use crate::config::TrainConfig;
use crate::model::model_file::tests::card;
use crate::model::observation::observe;
use crate::model::trained_model::Model;
use crate::ranks::Ranks;
use crate::ranks::error::RankError;
use crate::ranks::in_threads::on_ranks;
use crate::run_dir::file_names::{LAST_MODEL, LOG, MODEL};
use crate::run_dir::planned_folder::PlannedFolder;
use crate::run_dir::predictions_file;
use crate::terminal::screen::Screen;
use crate::training::pipeline::train_led;

const FILES: [&str; 5] = [MODEL, LAST_MODEL, LOG, predictions_file::FILE, predictions_file::VAL_FILE];

/// Fewer validation images than ranks, and more test images than go through the network together.
fn films() -> Dataset {
    let phantom = PhantomOptions { train: 24, val: 3, test: 150, ..PhantomOptions::default() };
    phantom_dataset(&phantom, &LoadOptions::default(), &silent).unwrap()
}

/// The files of a run that `ranks` have trained and evaluated, on the first of them.
fn files_of_run(data: &Dataset, ranks: &Ranks) -> Option<Vec<Vec<u8>>> {
    let plain = TrainConfig {
        batch: Some(12),
        epochs: Some(1),
        width: 8,
        micro_batches: 4,
        ..TrainConfig::default()
    };
    let config = TrainConfig { tta: true, zoom: 0.2, audit: false, ..plain }
        .resolved(data.train.len(), data.val_fraction);
    if !ranks.is_first() {
        follow(&config, data, ranks).unwrap();
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let planned = PlannedFolder::new(Some(&out)).unwrap();
    train_led(&config, data, planned, &Leader::of(ranks), &Screen::silent()).unwrap();
    Some(FILES.map(|name| fs::read(out.join(name)).unwrap()).into())
}

#[test]
fn a_run_on_several_ranks_has_the_files_of_one_process() {
    let data = films();
    let alone = files_of_run(&data, &Ranks::one()).unwrap();
    for size in [2, 4] {
        let found = on_ranks(size, |ranks| files_of_run(&data, &ranks)).remove(0).unwrap();
        for ((name, expected), found) in FILES.iter().zip(&alone).zip(found) {
            assert!(*expected == found, "{name} of {size} ranks");
        }
    }
}

fn untrained() -> Model {
    let card = card();
    Model { network: card.config().build(1), card }
}

#[test]
fn the_first_rank_gets_what_all_have_observed_or_an_error() {
    let (data, model) = (films(), untrained());
    let alone: Vec<_> = observe(&model.network, &data.test, model.card.preprocessing()).collect();
    let observed_by = |ranks: &Ranks| observe_on_all(ranks, &model, ObservedSet::Test, &data.test);
    for size in 1..=4 {
        let observed = on_ranks(size, |ranks| observed_by(&ranks).unwrap().unwrap());
        assert!(observed[0] == alone && observed[1..].iter().all(Vec::is_empty), "{size} ranks");
    }
    on_ranks(2, |ranks| {
        // The other one has ended.
        if ranks.is_first() {
            assert!(matches!(observed_by(&ranks), Err(RankError::Lost { .. })));
        }
    });
}

#[test]
fn the_views_of_training_images_do_not_matter_to_what_they_look_like() {
    let (data, model) = (films(), untrained());
    let all_views: Vec<_> = observe(&model.network, &data.train, model.card.preprocessing()).collect();
    let observed = observe_on_all(&Ranks::one(), &model, ObservedSet::Train, &data.train).unwrap().unwrap();
    assert_eq!(observed.len(), data.train.len());
    for (observed, expected) in observed.iter().zip(&all_views) {
        assert!(observed.vector == expected.vector && observed.logits != expected.logits);
    }
}
