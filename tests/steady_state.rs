//! A training step, from the pixels to the averaged weights, allocates no memory after the first two steps, also with batches of
//! two sizes.
#![forbid(unsafe_code)]

use ndarray::Array4;
use roentgen::TrainingStep;
use roentgen_data::{
    Augment, Dataset, LoadOptions, Normalization, PhantomOptions, Sample, Transform, fill_batch,
    phantom_dataset, silent,
};
use roentgen_layers::{LossHead, Pass, ResNet9Config};
use roentgen_optim::{AdamConfig, Clip, OneCycle, WeightAverage, WeightDecay};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SIZE: usize = 24;
const CLASSES: usize = 3;
/// Images of a batch in turn: the two sizes into which an epoch is divided, the larger one first.
const BATCHES: [usize; 2] = [16, 15];

/// All options that change a step.
struct Options {
    name: &'static str,
    augment: Augment,
    per_image: bool,
    loss: LossHead,
    optimiser: AdamConfig,
    average: Option<WeightAverage>,
}

impl Options {
    fn default(name: &'static str) -> Self {
        Self {
            name,
            augment: Augment::crop_and_flip(SIZE, SIZE, true),
            per_image: false,
            loss: LossHead::default(),
            optimiser: AdamConfig::default(),
            average: None,
        }
    }
}

/// Each option by itself, then all of them.
fn all_options() -> Vec<Options> {
    let default = Options::default;
    let crop = default("").augment;
    let augment = Augment { rotate: 9.0, zoom: 0.1, aspect: 0.3, jitter: 0.2, erase: 1.0, ..crop };
    let loss = || LossHead {
        class_weights: Some(vec![0.5, 1.0, 2.0]),
        label_smoothing: 0.1,
        log_prior: Some(vec![-0.5, -1.5, -2.0]),
    };
    let LossHead { class_weights, label_smoothing, log_prior } = loss();
    let adam = AdamConfig::default();
    let norm = AdamConfig { clip: Clip::Norm(1.0), ..adam };
    let average = || Some(WeightAverage::new(0.9));
    vec![
        default("the default"),
        Options { augment, ..default("augmentation") },
        Options { per_image: true, ..default("--normalize image") },
        Options { loss: LossHead { class_weights, ..LossHead::default() }, ..default("--class-weights") },
        Options { loss: LossHead { label_smoothing, ..LossHead::default() }, ..default("--label-smoothing") },
        Options { loss: LossHead { log_prior, ..LossHead::default() }, ..default("--prior balanced") },
        Options { optimiser: norm, ..default("--clip norm:1") },
        Options { optimiser: AdamConfig { clip: Clip::Off, ..adam }, ..default("--clip off") },
        Options {
            optimiser: AdamConfig { weight_decay: WeightDecay::Decoupled(0.01), ..adam },
            ..default("--decay decoupled")
        },
        Options { average: average(), ..default("--ema") },
        Options {
            augment,
            per_image: true,
            loss: loss(),
            optimiser: norm,
            average: average(),
            ..default("all of them")
        },
    ]
}

/// The bytes that each of six steps allocates.
fn allocated_bytes(options: Options, data: &Dataset, dropout: f32) -> Vec<u64> {
    let Options { augment, per_image, loss, optimiser, mut average, .. } = options;
    let config = ResNet9Config { width: 16, dropout, ..ResNet9Config::new(1, CLASSES) };
    let mut training = TrainingStep::new(config.build(0), loss, optimiser);
    let schedule = OneCycle::new(0.01, 10);
    let normalization = Normalization { per_image, ..Normalization::of(&data.train) };
    let samples: Vec<Sample> = (0..BATCHES[0] as u32).map(Sample::first).collect();
    let (mut x, mut labels) = (Array4::zeros((0, 0, 0, 0)), Vec::new());

    let _profiler = dhat::Profiler::builder().testing().build();
    let mut allocated = Vec::with_capacity(6);
    for step in 0..6 {
        let before = dhat::HeapStats::get().total_bytes;
        let transform = Transform::Augment { seed: 0, epoch: step as u64, augment: &augment };
        let samples = &samples[..BATCHES[step % BATCHES.len()]];
        fill_batch(&data.train, samples, transform, &normalization, &mut x, &mut labels);
        let outcome = training.take(
            &x,
            &labels,
            schedule.at(step),
            Pass::Train { seed: 0, step: step as u64, shard: 0 },
        );
        assert!(outcome.loss.is_finite());
        if let Some(average) = &mut average {
            average.begin_step();
            training.model.for_each_parameter(&mut |parameter| average.update(parameter));
        }
        allocated.push(dhat::HeapStats::get().total_bytes - before);
    }
    allocated
}

/// On one thread, so that the number of bytes does not depend on which thread runs which task. Scratch memory is pages of the system,
/// which are not counted here; `scratch.rs` tests that it is used again.
#[test]
fn a_training_step_allocates_nothing_after_the_first_two_whatever_the_options() {
    let phantom = PhantomOptions { train: BATCHES[0], val: 3, test: 3, ..PhantomOptions::default() };
    let data = phantom_dataset(&phantom, &LoadOptions::default(), &silent).expect("films");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        for dropout in [0.0, 0.2] {
            for options in all_options() {
                let name = options.name;
                let allocated = allocated_bytes(options, &data, dropout);
                assert!(allocated[0] > 0, "{name}: the first step allocates: {allocated:?}");
                assert_eq!(
                    allocated[2..],
                    [0; 4],
                    "{name}, dropout {dropout}: bytes of each step: {allocated:?}"
                );
            }
        }
    });
}
