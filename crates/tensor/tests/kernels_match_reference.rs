//! Compares the element-wise and reducing kernels with their simple versions in f64, over odd shapes. (The tests of the
//! convolutions are next to them.)
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use roentgen_tensor::add::add_assign;
use roentgen_tensor::batch_norm::*;
use roentgen_tensor::batch_norm_max_pool::*;
use roentgen_tensor::dropout::{dropout_backward, dropout_forward};
use roentgen_tensor::global_max_pool2d::*;
use roentgen_tensor::lanes::LANES;
use roentgen_tensor::linear::{linear_backward, linear_forward};
use roentgen_tensor::reference;
use roentgen_tensor::rng::{CounterRng, Purpose};
use roentgen_tensor::softmax_cross_entropy::{softmax_cross_entropy, total_weight};

fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = CounterRng::new(seed, Purpose::Synthetic, len as u64, 1);
    (0..len).map(|_| rng.range(-2.0, 2.0)).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn assert_close(fast: &[f32], naive: &[f64], tolerance: f64, what: &str) {
    assert_eq!(fast.len(), naive.len(), "{what}");
    assert!(!fast.is_empty(), "{what}: nothing compared");
    for (i, (f, n)) in fast.iter().zip(naive).enumerate() {
        let err = (f64::from(*f) - n).abs();
        assert!(err <= tolerance * n.abs().max(1.0), "{what}[{i}]: {f} against {n}");
    }
}

fn check_batch_norm(rows: usize, c: usize, offset: f32, seed: u64) {
    let x: Vec<f32> = random(rows * c, seed).iter().map(|x| x + offset).collect();
    let (gamma, beta, upstream) = (random(c, seed + 1), random(c, seed + 2), random(rows * c, seed + 3));
    let mut batch = ChannelStatistics::default();
    let (mut mean, mut var) = (vec![0.5; c], vec![2.0; c]);
    let mut running = Running { mean: &mut mean, var: &mut var, momentum: 0.1 };
    batch_norm_statistics(&x, &mut running, &mut batch);

    let (true_mean, true_var) = reference::channel_moments(c, &wide(&x));
    let correction = rows as f64 / (rows as f64 - 1.0).max(1.0);
    let blend = |old: f64, new: f64| 0.9 * old + 0.1 * new;
    let expected: Vec<f64> = true_mean.iter().map(|m| blend(0.5, *m)).collect();
    assert_close(&mean, &expected, 1e-6, "running mean");
    let expected: Vec<f64> = true_var.iter().map(|v| blend(2.0, v * correction)).collect();
    assert_close(&var, &expected, 1e-5, "running variance");

    let mut y = vec![f32::NAN; x.len()];
    let affine = Affine { gamma: &gamma, beta: &beta };
    batch_norm_relu_forward(&x, &batch, affine, None, &mut y);
    let skip = random(x.len(), seed + 9);
    let mut with_skip = vec![f32::NAN; x.len()];
    batch_norm_relu_forward(&x, &batch, affine, Some(&skip), &mut with_skip);
    assert!(with_skip.iter().zip(y.iter().zip(&skip)).all(|(sum, (y, skip))| *sum == y + skip));
    let plain = reference::batch_norm_forward(&wide(&x), &wide(&gamma), &wide(&beta), f64::from(EPS));
    let expected = reference::relu_forward(&plain);
    // The offset loses digits; dividing nearly equal numbers by their small deviation makes that error larger.
    let spread = batch.inv_std.iter().fold(1.0f64, |max, s| max.max(f64::from(*s)));
    let tolerance = 2e-6 * spread * f64::from(1.0 + offset.abs());
    assert_close(&y, &expected, tolerance, "y");

    let (mut grad, mut grad_gamma, mut grad_beta) = (x.clone(), vec![f32::NAN; c], vec![f32::NAN; c]);
    let sums = AffineGrad { gamma: &mut grad_gamma, beta: &mut grad_beta };
    batch_norm_relu_backward(&mut grad, &batch, affine, &upstream, sums);
    let passed = reference::relu_backward(&wide(&y), &wide(&upstream));
    let (grad_x, gamma_64, beta_64) =
        reference::batch_norm_backward(&wide(&x), &wide(&gamma), f64::from(EPS), &passed);
    // Of a single row nothing is left in the root but eps, so inv_std is 316 in every channel, but no deviation is divided: it is
    // exactly 0. With its square, an error of 0.2 would pass for a gradient that is 0.
    let growth = if rows == 1 { 1.0 } else { spread * (rows as f64).sqrt() };
    let tolerance = tolerance * growth;
    assert_close(&grad, &grad_x, tolerance, "grad_x");
    assert_close(&grad_gamma, &gamma_64, tolerance, "grad_gamma");
    assert_close(&grad_beta, &beta_64, tolerance, "grad_beta");
}

fn check_batch_norm_max_pool(g: &MaxPool2dGeometry, seed: u64) {
    let MaxPool2dGeometry { n, h, w, c } = *g;
    // On a grid, because rounding may reverse the order of two values that are nearly equal.
    let x: Vec<f32> = random(n * h * w * c, seed).iter().map(|x| (x * 1024.0).round() / 1024.0).collect();
    let (gamma, beta) = (random(c, seed + 1), random(c, seed + 2));
    let affine = Affine { gamma: &gamma, beta: &beta };
    let mut batch = ChannelStatistics::default();
    let (mut mean, mut var) = (vec![0.0; c], vec![1.0; c]);
    batch_norm_statistics(&x, &mut Running { mean: &mut mean, var: &mut var, momentum: 0.1 }, &mut batch);
    let normal = reference::batch_norm_forward(&wide(&x), &wide(&gamma), &wide(&beta), f64::from(EPS));
    let active = reference::relu_forward(&normal);
    let argmax = reference::max_pool2d_argmax(g, &normal);
    let mut y = vec![f32::NAN; argmax.len()];
    batch_norm_max_pool_forward(g, &x, &batch, affine, &mut y);
    // A few pixels can have a small deviation, and dividing by it makes errors larger.
    let spread = batch.inv_std.iter().fold(1.0f64, |max, s| max.max(f64::from(*s)));
    let tolerance = 2e-6 * spread;
    assert_close(&y, &reference::pool_forward(&active, &argmax), tolerance, "y");
    let mut pooled = vec![f32::NAN; y.len()];
    let active_32: Vec<f32> = active.iter().map(|y| *y as f32).collect();
    max_pool2d(g, &active_32, &mut pooled);
    assert_close(&pooled, &reference::pool_forward(&active, &argmax), 1e-6, "pooled alone");

    let upstream = random(y.len(), seed + 3);
    let grad_active = reference::pool_backward(x.len(), &argmax, &wide(&upstream));
    let grad_normal = reference::relu_backward(&active, &grad_active);
    let (grad_x, grad_gamma, grad_beta) =
        reference::batch_norm_backward(&wide(&x), &wide(&gamma), f64::from(EPS), &grad_normal);
    let (mut fast_x, mut fast_gamma, mut fast_beta) = (x.clone(), vec![f32::NAN; c], vec![f32::NAN; c]);
    let sums = AffineGrad { gamma: &mut fast_gamma, beta: &mut fast_beta };
    batch_norm_max_pool_backward(g, &mut fast_x, &batch, affine, &upstream, sums);
    let tolerance = tolerance * spread * ((n * h * w) as f64).sqrt();
    assert_close(&fast_x, &grad_x, tolerance, "grad_x");
    assert_close(&fast_gamma, &grad_gamma, tolerance, "grad_gamma");
    assert_close(&fast_beta, &grad_beta, tolerance, "grad_beta");
}

/// Numbers of channels: any, or whole vectors, for which kernels have code of their own.
fn channels() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..40, (1usize..4).prop_map(|vectors| vectors * LANES)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn batch_norm_matches_reference(rows in 8usize..200, c in channels(), offset in -3.0f32..3.0, seed in 0..u64::MAX / 2) {
        check_batch_norm(rows, c, offset, seed);
    }

    #[test]
    fn batch_norm_max_pool_matches_reference(n in 1usize..4, h in 2usize..9, w in 2usize..9, c in channels(), seed in 0..u64::MAX / 2) {
        check_batch_norm_max_pool(&MaxPool2dGeometry::new(n, h, w, c), seed);
    }

    #[test]
    fn global_max_pool2d_matches_reference(n in 1usize..5, pixels in 1usize..17, c in 1usize..20, seed: u64) {
        let x: Vec<f32> = random(n * pixels * c, seed).iter().map(|x| x.round()).collect();
        let argmax_64 = reference::global_max_pool2d_argmax(n, c, &x);
        let (mut y, mut argmax) = (vec![f32::NAN; n * c], vec![9; n * c]);
        global_max_pool2d_forward(c, &x, &mut y, &mut argmax);
        prop_assert_eq!(&y, &reference::pool_forward(&x, &argmax_64));
        let (grad_y, mut grad_x) = (random(n * c, seed ^ 1), vec![f32::NAN; x.len()]);
        global_max_pool2d_backward(c, &grad_y, &argmax, &mut grad_x);
        prop_assert_eq!(grad_x, reference::pool_backward(x.len(), &argmax_64, &grad_y));
    }

    #[test]
    fn linear_matches_reference(n in 1usize..9, c_in in 1usize..150, c_out in 1usize..12, seed in 0..u64::MAX / 2) {
        let (x, weight, bias) = (random(n * c_in, seed), random(c_in * c_out, seed + 1), random(c_out, seed + 2));
        let mut y = vec![f32::NAN; n * c_out];
        linear_forward(&x, &weight, &bias, &mut y);
        assert_close(&y, &reference::linear_forward(&wide(&x), &wide(&weight), &wide(&bias)), 5e-5, "y");
        let grad_y = random(n * c_out, seed + 3);
        let (mut grad_x, mut grad_weight) = (vec![f32::NAN; x.len()], vec![f32::NAN; weight.len()]);
        let mut grad_bias = vec![f32::NAN; c_out];
        linear_backward((&x, &weight), &grad_y, Some(&mut grad_x), &mut grad_weight, &mut grad_bias);
        let (x_64, weight_64, bias_64) =
            reference::linear_backward(&wide(&x), &wide(&weight), c_out, &wide(&grad_y));
        assert_close(&grad_x, &x_64, 1e-5, "grad_x");
        assert_close(&grad_weight, &weight_64, 1e-5, "grad_weight");
        assert_close(&grad_bias, &bias_64, 1e-5, "grad_bias");
    }

    #[test]
    fn softmax_cross_entropy_matches_reference(n in 1usize..20, k in 2usize..12, smoothing in 0.0f32..0.5, seed: u64) {
        let logits = random(n * k, seed);
        let mut rng = CounterRng::new(seed, Purpose::Synthetic, 0, 2);
        let labels: Vec<u32> = (0..n).map(|_| rng.below(k as u32)).collect();
        let weights: Vec<f32> = (0..k).map(|_| rng.range(0.2, 3.0)).collect();
        for (class_weights, reference_weights) in [(None, vec![1.0; k]), (Some(&weights[..]), wide(&weights))] {
            let mut grad = vec![f32::NAN; n * k];
            let total = total_weight(&labels, class_weights);
            let loss = softmax_cross_entropy(&logits, &labels, class_weights, smoothing, total, &mut grad);
            let (loss_64, grad_64) =
                reference::softmax_cross_entropy(&wide(&logits), &labels, &reference_weights, f64::from(smoothing));
            assert_close(&[loss], &[loss_64], 3e-6, "loss");
            assert_close(&grad, &grad_64, 1e-6, "grad");
            // In two parts: losses add up, gradients are the same.
            let (first, second) = (n / 2, n - n / 2);
            let of_part = |images: std::ops::Range<usize>, grad: &mut [f32]| {
                let logits = &logits[images.start * k..images.end * k];
                softmax_cross_entropy(logits, &labels[images], class_weights, smoothing, total, grad)
            };
            let mut grad_of_parts = vec![f32::NAN; n * k];
            let (grad_1, grad_2) = grad_of_parts.split_at_mut(first * k);
            let loss_1 = if first > 0 { of_part(0..first, grad_1) } else { 0.0 };
            let loss_of_parts = loss_1 + of_part(first..first + second, grad_2);
            assert_close(&[loss_of_parts], &[loss_64], 3e-6, "loss of two parts");
            assert_eq!(grad, grad_of_parts);
        }
    }
}

#[test]
fn batch_norm_matches_reference_past_every_block_boundary() {
    check_batch_norm(512 * 2 + 77, 33, 0.5, 4);
    check_batch_norm(512, 1, -0.5, 5);
    check_batch_norm(512 * 2 + 77, 2 * LANES, 0.5, 6);
}

#[test]
fn batch_norm_matches_reference_for_fewer_rows_than_a_block() {
    for (rows, seed) in [(1, 20), (2, 21), (7, 22)] {
        for c in [33, 2 * LANES] {
            check_batch_norm(rows, c, 0.5, seed);
        }
    }
}

/// More windows than small images have, and a last row and column without a window.
#[test]
fn batch_norm_max_pool_matches_reference_for_a_large_image() {
    check_batch_norm_max_pool(&MaxPool2dGeometry::new(1, 150, 151, 3), 30);
    check_batch_norm_max_pool(&MaxPool2dGeometry::new(1, 151, 150, LANES), 31);
}

#[test]
fn batch_norm_is_precise_far_from_zero() {
    // The mean is a thousand times the deviation: a difference of squares would lose all digits.
    let (rows, c) = (2000, 3);
    let x: Vec<f32> = random(rows * c, 6).iter().map(|x| x + 1000.0).collect();
    let mut batch = ChannelStatistics::default();
    let (mut mean, mut var) = (vec![0.0; c], vec![0.0; c]);
    let mut running = Running { mean: &mut mean, var: &mut var, momentum: 1.0 };
    batch_norm_statistics(&x, &mut running, &mut batch);
    let (_, var_64) = reference::channel_moments(c, &wide(&x));
    let unbiased: Vec<f64> = var_64.iter().map(|v| v * rows as f64 / (rows - 1) as f64).collect();
    assert_close(&var, &unbiased, 1e-4, "variance");
}

#[test]
fn lengths_that_do_not_fit_panic() {
    let panics = |work: &dyn Fn()| catch_unwind(AssertUnwindSafe(work)).is_err();
    let pool = |len: usize| global_max_pool2d_backward(2, &[1.0; 4], &[0; 4], &mut vec![0.0; len]);
    pool(12);
    assert!(panics(&|| pool(13)), "two images of three pixels and a number");

    let forward =
        |n_x: usize, n_y: usize| linear_forward(&vec![1.0; n_x], &[1.0; 4], &[0.0; 2], &mut vec![0.0; n_y]);
    forward(4, 4);
    assert!(panics(&|| forward(3, 3)), "one row and a half");
    let backward = |n_x: usize, n_y: usize| {
        let (mut grad_weight, mut grad_bias) = ([0.0; 4], [0.0; 2]);
        linear_backward(
            (&vec![1.0; n_x], &[1.0; 4]),
            &vec![1.0; n_y],
            None,
            &mut grad_weight,
            &mut grad_bias,
        );
    };
    backward(4, 4);
    assert!(panics(&|| backward(3, 3)), "one row and a half");

    let statistics = |rows: usize| {
        let (mut mean, mut var) = ([0.0; 2], [0.0; 2]);
        let mut running = Running { mean: &mut mean, var: &mut var, momentum: 0.1 };
        batch_norm_statistics(&vec![1.0; 2 * rows], &mut running, &mut ChannelStatistics::default());
    };
    statistics(1);
    assert!(panics(&|| statistics(0)), "no rows");
}

#[test]
fn add_assign_adds_each_number() {
    let (a, b) = (random(200_000, 7), random(200_000, 8));
    let mut sum = a.clone();
    add_assign(&mut sum, &b);
    assert!(sum.iter().zip(a.iter().zip(&b)).all(|(sum, (a, b))| *sum == a + b));
}

#[test]
fn dropout_keeps_the_mean_and_masks_the_gradient() {
    let x = vec![1.0f32; 100_000];
    let (mut y, mut mask) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
    dropout_forward(0.2, &mut CounterRng::new(1, Purpose::Dropout, 0, 0), &x, &mut y, &mut mask);
    let mean = y.iter().map(|y| f64::from(*y)).sum::<f64>() / y.len() as f64;
    let dropped = y.iter().filter(|y| **y == 0.0).count() as f64 / y.len() as f64;
    // Five standard deviations of the binomial.
    assert!((mean - 1.0).abs() <= 5.0 * 0.5 / (x.len() as f64).sqrt(), "{mean}");
    assert!((dropped - 0.2).abs() <= 5.0 * 0.4 / (x.len() as f64).sqrt(), "{dropped}");
    assert!(y.iter().all(|y| *y == 0.0 || *y == 1.25));
    let mut grad = vec![f32::NAN; x.len()];
    dropout_backward(&mask, &vec![2.0; x.len()], &mut grad);
    assert!(grad.iter().zip(&y).all(|(g, y)| *g == 2.0 * y));
}

#[test]
fn a_nan_is_not_hidden_by_relu_or_pool() {
    let statistics = ChannelStatistics { mean: vec![0.0], inv_std: vec![1.0] };
    let affine = Affine { gamma: &[1.0], beta: &[0.0] };
    for at in 0..4 {
        let mut x = [1.0, 3.0, 0.0, -1.0];
        x[at] = f32::NAN;
        let mut y = [0.0; 4];
        batch_norm_relu_forward(&x, &statistics, affine, None, &mut y);
        assert!(y[at].is_nan());
        let g = MaxPool2dGeometry::new(1, 2, 2, 1);
        let mut pooled = [0.0];
        batch_norm_max_pool_forward(&g, &x, &statistics, affine, &mut pooled);
        assert!(pooled[0].is_nan());
        pooled = [0.0];
        max_pool2d(&g, &x, &mut pooled);
        assert!(pooled[0].is_nan());
        let mut argmax = [0];
        global_max_pool2d_forward(1, &x, &mut pooled, &mut argmax);
        assert!(pooled[0].is_nan());
    }
}
