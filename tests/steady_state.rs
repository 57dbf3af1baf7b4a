//! A training step allocates no memory after the first two steps.
#![forbid(unsafe_code)]

use ndarray::Array4;
use roentgen::TrainingStep;
use roentgen_layers::{LossHead, Pass, ResNet9, ResNet9Config};
use roentgen_optim::{AdamConfig, OneCycle};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// On one thread, so that the growth of scratch memory does not depend on which thread runs which task.
#[test]
fn a_training_step_allocates_nothing_after_the_first_two() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let (n, size) = (16, 24);
        let config = ResNet9Config { width: 16, ..ResNet9Config::new(1, 3) };
        let x =
            Array4::from_shape_fn((n, size, size, 1), |(n, h, w, _)| ((n * 7 + h * 3 + w) % 11) as f32 - 5.0);
        let labels: Vec<u32> = (0..n as u32).map(|image| image % 3).collect();
        let mut training =
            TrainingStep::new(ResNet9::new(&config, 0), LossHead::default(), AdamConfig::default());
        let schedule = OneCycle::new(0.01, 10);

        let profiler = dhat::Profiler::builder().testing().build();
        let mut allocated = Vec::new();
        for step in 0..6 {
            let before = dhat::HeapStats::get().total_bytes;
            let pass = Pass::Train { seed: 0, step: step as u64 };
            let outcome = training.take(&x, &labels, schedule.at(step), pass);
            assert!(outcome.loss.is_finite());
            allocated.push(dhat::HeapStats::get().total_bytes - before);
        }
        drop(profiler);
        assert!(allocated[0] > 0, "the first step allocates: {allocated:?}");
        assert_eq!(allocated[2..], [0; 4], "bytes of each step: {allocated:?}");
    });
}
