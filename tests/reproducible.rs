//! The weights after two epochs have the same bits with any number of threads, and on every x86-64 CPU with fused
//! multiply-adds.

use ndarray::Array4;
use roentgen::TrainingStep;
use roentgen_layers::{LossHead, Pass, ResNet9Config};
use roentgen_optim::{AdamConfig, Clip, OneCycle};
use roentgen_tensor::rng::{CounterRng, Purpose};

/// Images in each step of an epoch: two sizes, the larger one first, as the data loader makes them. They are too few for several
/// groups in a backward pass to a weight, which a test of that pass compares.
const BATCHES: [usize; 3] = [59, 58, 58];
const EPOCHS: usize = 2;
/// Odd, so that pools ignore pixels and tiles extend over the border.
const SIZE: usize = 19;
const N_CLASSES: u32 = 3;

/// The result of a run as bits: the losses, then parameters and running statistics by name.
#[derive(Debug, PartialEq)]
struct Trained {
    losses: Vec<u32>,
    tensors: Vec<(String, Vec<u32>)>,
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Trains with the recipe on random images, in a pool of `n_threads`.
fn train(seed: u64, clip: Clip, n_threads: usize) -> Trained {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("a thread pool");
    pool.install(|| {
        // 16 channels and more, so that both Winograd and im2col are used and filters are divided into several tasks.
        let config = ResNet9Config { width: 16, ..ResNet9Config::new(1, N_CLASSES as usize) };
        let loss_head = LossHead {
            class_weights: Some(vec![0.5, 1.0, 2.0]),
            label_smoothing: 0.1,
            log_prior: Some(vec![-0.5, -1.0, -2.0]),
        };
        let optimiser = AdamConfig { clip, ..AdamConfig::default() };
        let mut training = TrainingStep::new(config.build(seed), loss_head, optimiser);
        let schedule = OneCycle::new(0.01, EPOCHS * BATCHES.len());
        let mut losses = Vec::new();
        for step in 0..schedule.total_steps() {
            let n = BATCHES[step % BATCHES.len()];
            // The data is the same for every seed; only initial weights and dropout differ.
            let mut rng = CounterRng::new(0, Purpose::Synthetic, step as u64, 6);
            let x = Array4::from_shape_simple_fn((n, SIZE, SIZE, 1), || rng.normal());
            let labels: Vec<u32> = (0..n).map(|_| rng.below(N_CLASSES)).collect();

            let pass = Pass::Train { seed, step: step as u64, shard: 0 };
            losses.push(training.take(&x, &labels, schedule.at(step), pass).loss);
        }
        assert!(losses.iter().all(|loss| loss.is_finite()), "{losses:?}");

        let mut tensors = Vec::new();
        training.model.for_each_parameter(&mut |p| tensors.push((p.name.clone(), bits(&p.value))));
        training.model.for_each_buffer(&mut |b| tensors.push((b.name.clone(), bits(&b.value))));
        Trained { losses: bits(&losses), tensors }
    })
}

/// Reports the first difference instead of printing hundreds of thousands of numbers.
fn assert_same(found: &Trained, expected: &Trained, what: &str) {
    assert_eq!(found.losses, expected.losses, "losses with {what}");
    assert_eq!(found.tensors.len(), expected.tensors.len());
    assert!(!found.tensors.is_empty());
    for ((name, found), (_, expected)) in found.tensors.iter().zip(&expected.tensors) {
        let at = found.iter().zip(expected).position(|(a, b)| a != b);
        assert!(found.len() == expected.len() && at.is_none(), "{name} differs at {at:?} with {what}");
    }
}

#[test]
fn weights_do_not_depend_on_the_number_of_threads() {
    for clip in [Clip::Value(0.1), Clip::Norm(1.0)] {
        let expected = train(0, clip, 1);
        for n_threads in [2, 3, 4, 7, 16] {
            assert_same(&train(0, clip, n_threads), &expected, &format!("{n_threads} threads, {clip:?}"));
        }
    }
}

#[test]
fn another_seed_gives_other_weights() {
    let (one, other) = (train(0, Clip::Value(0.1), 2), train(1, Clip::Value(0.1), 2));
    for ((name, a), (_, b)) in one.tensors.iter().zip(&other.tensors) {
        assert_ne!(a, b, "{name}");
    }
}

/// Builds for AVX2 and for AVX-512 divide the work differently. A change of the kernels that changes the bits changes this
/// number: take the one that the test prints, and run the test for the other kind of vectors too, with
/// `RUSTFLAGS="-C target-cpu=x86-64-v3"` or `x86-64-v4`.
#[cfg(all(target_arch = "x86_64", target_feature = "fma"))]
#[test]
fn weights_do_not_depend_on_the_width_of_the_vectors() {
    let trained = train(0, Clip::Norm(1.0), 2);
    let all = trained.losses.iter().chain(trained.tensors.iter().flat_map(|(_, bits)| bits));
    // FNV-1a (Fowler, Noll and Vo), of words in place of bytes.
    let digest = all.fold(0xcbf2_9ce4_8422_2325_u64, |hash, &bits| {
        (hash ^ u64::from(bits)).wrapping_mul(0x0100_0000_01b3)
    });
    assert_eq!(digest, 0xd3b3_8938_80db_5fa2, "found {digest:#018x}");
}
