//! A loss or a weight that is not finite stops a run within the step.

use crate::config::{ClipChoice, DecayKind, TrainConfig};
use crate::terminal::screen::Screen;
use crate::training::divergence::{Diverged, Divergence, EpochError};
use crate::training::probe_training::train_and_evaluate;
use crate::training::trainer::{EpochProgress, Trainer};
use roentgen_data::{LoadOptions, Normalization, PhantomOptions, phantom_dataset, silent};
use roentgen_layers::{LossHead, ResNet9Config};
use roentgen_optim::Clip;

#[test]
fn a_loss_or_a_weight_that_is_not_finite_names_its_images() {
    let phantom = PhantomOptions { train: 24, val: 3, test: 3, ..PhantomOptions::default() };
    let data = phantom_dataset(&phantom, &LoadOptions::default(), &silent).unwrap();
    let config = TrainConfig { batch: Some(8), epochs: Some(2), width: 8, ..TrainConfig::default() };
    let trainer = || {
        let model = ResNet9Config { width: 8, ..ResNet9Config::new(1, 3) }.build(0);
        Trainer::new(&config, model, Normalization::of(&data.train), LossHead::default(), 24)
    };
    // One step, then a corrupted weight or moment, as by faulty memory.
    let broken = |spoil: &dyn Fn(&mut crate::training::trainer::TrainerState)| {
        let (mut trainer, mut progress) = (trainer(), EpochProgress::default());
        assert!(matches!(
            trainer.train_epoch(&data.train, 0, &mut progress, |step| step.step < 1),
            Ok(false)
        ));
        let mut state = trainer.state();
        spoil(&mut state);
        trainer.restore(state).unwrap();
        match trainer.train_epoch(&data.train, 0, &mut progress, |_| true) {
            Err(EpochError::Diverged(divergence)) => divergence,
            other => panic!("no divergence: {other:?}"),
        }
    };
    let loss = broken(&|state| state.values[0][3] = f32::NAN);
    assert!(matches!(loss.what, Diverged::Loss(loss) if loss.is_nan()), "{loss:?}");
    assert_eq!((loss.epoch, loss.batch, loss.images.len()), (1, 2, 8));
    let weight = broken(&|state| state.moments[0].m[3] = f32::INFINITY);
    assert_eq!((weight.what, weight.epoch, weight.batch), (Diverged::Weight, 1, 2));
    let name = data.train.name(weight.images[0]);
    let message = |loss: Divergence, clip: Clip| {
        let config = TrainConfig { clip: ClipChoice(clip), ..config.clone() };
        EpochError::Diverged(loss).into_error(&config, &data.train).to_string()
    };
    let unclipped = message(loss.clone(), Clip::Off);
    for words in ["the loss became NaN", "epoch 1, batch 2", name, "4 more", "--lr"] {
        assert!(unclipped.contains(words), "{words}: {unclipped}");
    }
    assert!(unclipped.ends_with(" switch --clip on (it is off, and value:0.1 by default)"), "{unclipped}");
    let clipped = message(loss, Clip::Value(0.2));
    assert!(clipped.ends_with(" or use a tighter --clip (it is value:0.2)"), "{clipped}");
}

#[test]
fn a_probe_training_that_diverges_gives_advice_of_its_own() {
    let phantom = PhantomOptions { train: 24, val: 3, test: 3, ..PhantomOptions::default() };
    let train_set = phantom_dataset(&phantom, &LoadOptions::default(), &silent).unwrap().train;
    // Each step multiplies every weight by -1000 and more.
    let wild = TrainConfig {
        batch: Some(8),
        epochs: Some(30),
        max_lr: 1000.0,
        decay: DecayKind::Decoupled,
        weight_decay: 10.0,
        clip: ClipChoice(Clip::Off),
        ..TrainConfig::default()
    };
    let screen = Screen::silent();
    let probed =
        train_and_evaluate(&wild, &train_set, &train_set, 3, "probing", "check these images", &screen);
    let message = probed.unwrap_err().to_string();
    assert!(message.starts_with("the short training (probing) has diverged: "), "{message}");
    assert!(message.ends_with("; check these images") && !message.contains("--"), "{message}");
}
