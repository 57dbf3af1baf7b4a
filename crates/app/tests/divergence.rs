//! Numbers that are none stop a run within the step, and the last good checkpoint stays.
#![forbid(unsafe_code)]

use roentgen::config::TrainConfig;
use roentgen::trainer::{Diverged, EpochProgress, Trainer};
use roentgen_data::{LoadOptions, Normalization, PhantomOptions, phantom_dataset, silent};
use roentgen_layers::{LossHead, ResNet9, ResNet9Config};
use tempfile::TempDir;

use program::{roentgen, text};

#[path = "support/program.rs"]
mod program;

#[test]
fn a_loss_or_a_weight_that_is_no_number_names_its_pictures() {
    let films = PhantomOptions { train: 24, val: 3, test: 3, ..PhantomOptions::default() };
    let data = phantom_dataset(&films, &LoadOptions::default(), &silent).unwrap();
    let config = TrainConfig { batch: Some(8), epochs: Some(2), width: 8, ..TrainConfig::default() };
    let trainer = || {
        let model = ResNet9::new(&ResNet9Config { width: 8, ..ResNet9Config::new(1, 3) }, 0);
        Trainer::new(&config, model, Normalization::of(&data.train), LossHead::default(), 24)
    };
    // A step, then a weight or a moment that went bad, as by a broken memory.
    let broken = |spoil: &dyn Fn(&mut roentgen::trainer::TrainerState)| {
        let (mut trainer, mut progress) = (trainer(), EpochProgress::default());
        assert_eq!(trainer.train_epoch(&data.train, 0, &mut progress, |step| step.step < 1), Ok(false));
        let mut state = trainer.state();
        spoil(&mut state);
        trainer.restore(state).unwrap();
        trainer.train_epoch(&data.train, 0, &mut progress, |_| true).unwrap_err()
    };
    let loss = broken(&|state| state.values[0][3] = f32::NAN);
    assert!(matches!(loss.what, Diverged::Loss(loss) if loss.is_nan()), "{loss:?}");
    assert_eq!((loss.epoch, loss.batch, loss.images.len()), (1, 2, 8));
    let weight = broken(&|state| state.adam.1[0].m[3] = f32::INFINITY);
    assert_eq!((weight.what, weight.epoch, weight.batch), (Diverged::Weight, 1, 2));
    let said = loss.into_error(&config, &data.train).to_string();
    let name = data.train.name(weight.images[0]);
    for words in ["the loss became NaN", "epoch 1, batch 2", name, "4 more", "--max-lr", "--clip"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_run_that_ends_no_better_than_guessing_says_so() {
    let folder = TempDir::new().unwrap();
    let ends = |flags: &[&str], out: &str| {
        let fixed = ["train", "--films", "120", "--width", "8", "--epochs", "12", "--out", out];
        let output = roentgen(&[&fixed[..], flags].concat(), folder.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for rate in ["30", "1000"] {
        let wild = ends(&["--max-lr", rate, "--clip", "off"], rate);
        for words in ["WARNING", "no better than guessing (1.0986)", "--max-lr (it is", "--clip (it is off)"]
        {
            assert!(wild.contains(words), "{words}: {wild}");
        }
    }
    assert!(!ends(&[], "tame").contains("WARNING"));
}

#[test]
fn a_run_that_diverges_keeps_its_last_good_checkpoint() {
    let folder = TempDir::new().unwrap();
    let wild = ["--max-lr", "1000", "--clip", "off", "--decay", "decoupled", "--weight-decay", "1"];
    let fixed = ["train", "--quiet", "--films", "120", "--width", "8", "--epochs", "20", "--out", "run"];
    let output = roentgen(&[&fixed[..], &wild].concat(), folder.path());
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("became") && said.contains("epoch") && said.contains("lower --max-lr"), "{said}");
    let bytes = std::fs::read(folder.path().join("run/checkpoint.bin")).unwrap();
    let (_, state) = roentgen::checkpoint::from_bytes(&bytes).unwrap();
    assert!(state.step > 0 && state.values.iter().flatten().all(|value| value.is_finite()));
}
