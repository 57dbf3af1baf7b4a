//! Compares gradients with finite differences in f64: those of the simple version of every layer, and those of a small
//! ResNet9.
//!
//! The output of each layer is multiplied by a random upstream gradient: a plain sum would hide errors in batch norm,
//! whose outputs always have the same sum.

use std::collections::HashMap;

use ndarray::Array4;
use roentgen_layers::{BlockSpec, LossHead, Pass, RESNET9, ResNet9Config};
use roentgen_tensor::batch_norm::EPS;
use roentgen_tensor::batch_norm_max_pool::MaxPool2dGeometry;
use roentgen_tensor::conv2d::Conv2dGeometry;
use roentgen_tensor::reference;
use roentgen_tensor::rng::{CounterRng, Purpose};

fn random(len: usize, seed: u64) -> Vec<f64> {
    let mut rng = CounterRng::new(seed, Purpose::Synthetic, len as u64, 3);
    (0..len).map(|_| f64::from(rng.range(-1.0, 1.0))).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The central difference of `f` for element `i` of `at`.
fn difference(at: &[f64], i: usize, f: &dyn Fn(&[f64]) -> f64) -> f64 {
    const STEP: f64 = 1e-6;
    let mut moved = at.to_vec();
    moved[i] = at[i] + STEP;
    let above = f(&moved);
    moved[i] = at[i] - STEP;
    (above - f(&moved)) / (2.0 * STEP)
}

/// Compares every element of `grad` with the finite difference of `f` at `at`.
fn check(at: &[f64], grad: &[f64], what: &str, f: impl Fn(&[f64]) -> f64) {
    assert_eq!(at.len(), grad.len(), "{what}");
    assert!(!at.is_empty(), "{what}: nothing compared");
    for (i, grad) in grad.iter().enumerate() {
        let expected = difference(at, i, &f);
        assert!(
            (grad - expected).abs() <= 1e-6 * expected.abs().max(1.0),
            "{what}[{i}]: {grad} against {expected}"
        );
    }
}

#[test]
fn conv2d_backward_matches_finite_differences() {
    for (seed, (h, w)) in [(8, 8), (3, 5), (1, 2)].into_iter().enumerate() {
        let g = Conv2dGeometry::new(2, h, w, 3, 2);
        let seed = seed as u64 * 10;
        let (x, weight) = (random(g.x_len(), seed), random(g.weight_len(), seed + 1));
        let (bias, up) = (random(g.c_out, seed + 2), random(g.y_len(), seed + 3));
        let loss = |x: &[f64], weight: &[f64]| dot(&reference::conv2d_forward(&g, x, weight, &bias), &up);
        check(&x, &reference::conv2d_backward_input(&g, &up, &weight), "x", |x| loss(x, &weight));
        check(&weight, &reference::conv2d_backward_weight(&g, &x, &up), "weight", |weight| loss(&x, weight));
    }
}

#[test]
fn batch_norm_backward_matches_finite_differences() {
    let (rows, c) = (9, 4);
    let (x, gamma, beta) = (random(rows * c, 20), random(c, 21), random(c, 22));
    let up = random(rows * c, 23);
    let loss = |x: &[f64], gamma: &[f64], beta: &[f64]| {
        dot(&reference::batch_norm_forward(x, gamma, beta, f64::from(EPS)), &up)
    };
    let (grad_x, grad_gamma, grad_beta) = reference::batch_norm_backward(&x, &gamma, f64::from(EPS), &up);
    check(&x, &grad_x, "x", |x| loss(x, &gamma, &beta));
    check(&gamma, &grad_gamma, "gamma", |gamma| loss(&x, gamma, &beta));
    check(&beta, &grad_beta, "beta", |beta| loss(&x, &gamma, beta));
}

#[test]
fn relu_backward_matches_finite_differences() {
    let (x, up) = (random(50, 30), random(50, 31));
    let grad = reference::relu_backward(&reference::relu_forward(&x), &up);
    check(&x, &grad, "x", |x| dot(&reference::relu_forward(x), &up));
}

#[test]
fn pooling_backward_matches_finite_differences() {
    let g = MaxPool2dGeometry::new(2, 5, 6, 3);
    let x = random(2 * 5 * 6 * 3, 40);
    let forward = |x: &[f64]| reference::pool_forward(x, &reference::max_pool2d_argmax(&g, x));
    let up = random(forward(&x).len(), 41);
    let grad = reference::pool_backward(x.len(), &reference::max_pool2d_argmax(&g, &x), &up);
    check(&x, &grad, "max_pool2d x", |x| dot(&forward(x), &up));

    let forward = |x: &[f64]| reference::pool_forward(x, &reference::global_max_pool2d_argmax(2, 3, x));
    let up = random(2 * 3, 42);
    let grad = reference::pool_backward(x.len(), &reference::global_max_pool2d_argmax(2, 3, &x), &up);
    check(&x, &grad, "global_max_pool2d x", |x| dot(&forward(x), &up));
}

#[test]
fn linear_backward_matches_finite_differences() {
    let (n, c_in, c_out) = (3, 7, 4);
    let (x, weight, bias) = (random(n * c_in, 50), random(c_in * c_out, 51), random(c_out, 52));
    let up = random(n * c_out, 53);
    let loss =
        |x: &[f64], weight: &[f64], bias: &[f64]| dot(&reference::linear_forward(x, weight, bias), &up);
    let (grad_x, grad_weight, grad_bias) = reference::linear_backward(&x, &weight, c_out, &up);
    check(&x, &grad_x, "x", |x| loss(x, &weight, &bias));
    check(&weight, &grad_weight, "weight", |weight| loss(&x, weight, &bias));
    check(&bias, &grad_bias, "bias", |bias| loss(&x, &weight, bias));
}

#[test]
fn softmax_cross_entropy_backward_matches_finite_differences() {
    let logits = random(5 * 4, 60);
    let labels = [0, 3, 1, 1, 2];
    for (weights, smoothing) in
        [(vec![1.0; 4], 0.0), (vec![0.3, 1.0, 2.5, 0.7], 0.0), (vec![0.3, 1.0, 2.5, 0.7], 0.1)]
    {
        let loss = |z: &[f64]| reference::softmax_cross_entropy(z, &labels, &weights, smoothing).0;
        let (_, grad) = reference::softmax_cross_entropy(&logits, &labels, &weights, smoothing);
        check(&logits, &grad, "logits", loss);
    }
}

/// The parameters of a ResNet9 in f64, by name.
type Weights = HashMap<String, Vec<f64>>;

/// The feature maps of a batch in the reference network.
#[derive(Clone)]
struct Maps {
    n: usize,
    h: usize,
    w: usize,
    values: Vec<f64>,
}

/// Convolution, batch norm and ReLU, from the simple versions.
fn conv_block(maps: &Maps, name: &str, weights: &Weights) -> Maps {
    let get = |suffix: &str| &weights[&format!("{name}.{suffix}")][..];
    let (c_in, c_out) = (maps.values.len() / (maps.n * maps.h * maps.w), get("0.bias").len());
    let g = Conv2dGeometry::new(maps.n, maps.h, maps.w, c_in, c_out);
    let y = reference::conv2d_forward(&g, &maps.values, get("0.weight"), get("0.bias"));
    let y = reference::batch_norm_forward(&y, get("1.weight"), get("1.bias"), f64::from(EPS));
    Maps { values: reference::relu_forward(&y), ..*maps }
}

fn pool(maps: &Maps) -> Maps {
    let c = maps.values.len() / (maps.n * maps.h * maps.w);
    let g = MaxPool2dGeometry::new(maps.n, maps.h, maps.w, c);
    let values = reference::pool_forward(&maps.values, &reference::max_pool2d_argmax(&g, &maps.values));
    Maps { n: maps.n, h: g.h_out(), w: g.w_out(), values }
}

fn residual(maps: &Maps, name: &str, weights: &Weights) -> Maps {
    let body = conv_block(&conv_block(maps, &format!("{name}.0"), weights), &format!("{name}.1"), weights);
    Maps { values: body.values.iter().zip(&maps.values).map(|(a, b)| a + b).collect(), ..body }
}

/// The loss of a ResNet9 without dropout, from the simple versions.
fn resnet9_loss(x: &Maps, labels: &[u32], n_classes: usize, weights: &Weights) -> f64 {
    let maps = RESNET9.iter().fold(x.clone(), |x, spec| match *spec {
        BlockSpec::Block { name, pool: true, .. } => pool(&conv_block(&x, name, weights)),
        BlockSpec::Block { name, pool: false, .. } => conv_block(&x, name, weights),
        BlockSpec::Residual { name } => residual(&x, name, weights),
    });
    let c = maps.values.len() / (maps.n * maps.h * maps.w);
    let argmax = reference::global_max_pool2d_argmax(maps.n, c, &maps.values);
    let features = reference::pool_forward(&maps.values, &argmax);
    let logits =
        reference::linear_forward(&features, &weights["classifier.weight"], &weights["classifier.bias"]);
    reference::softmax_cross_entropy(&logits, labels, &vec![1.0; n_classes], 0.0).0
}

#[test]
fn resnet9_gradients_match_finite_differences() {
    let config = ResNet9Config { width: 3, dropout: 0.0, ..ResNet9Config::new(1, 3) };
    let (n, h, w) = (4, 9, 10);
    let labels = [0, 2, 1, 1];
    let mut model = config.build(7);
    let pixels: Vec<f32> = random(n * h * w, 70).iter().map(|&v| v as f32).collect();
    let x = Array4::from_shape_vec((n, h, w, 1), pixels).unwrap();
    let mut grad = Array4::zeros((0, 0, 0, 0));
    let loss = {
        let logits = model.forward(&x, Pass::Train { seed: 0, step: 0, shard: 0 });
        LossHead::default().forward_backward(logits, &labels, &mut grad)
    };
    model.backward(&x, &grad);

    let maps = Maps { n, h, w, values: x.iter().map(|&v| f64::from(v)).collect() };
    let (mut weights, mut grads) = (Weights::new(), Vec::new());
    model.for_each_parameter(&mut |p| {
        weights.insert(p.name.clone(), p.value.iter().map(|&v| f64::from(v)).collect());
        grads.push((p.name.clone(), p.grad.clone()));
    });
    let expected = resnet9_loss(&maps, &labels, config.n_classes, &weights);
    assert!((f64::from(loss) - expected).abs() <= 1e-5, "{loss} against {expected}");

    // Only a few elements of every parameter: each needs two passes through the slow network.
    const SAMPLES: usize = 6;
    let n_convolutions = model.architecture().convolutions().len();
    assert_eq!(
        grads.len(),
        4 * n_convolutions + 2,
        "filter, bias, gamma, beta; weight and bias of the linear layer"
    );
    let mut rng = CounterRng::new(1, Purpose::Synthetic, 0, 4);
    for (name, grad) in grads {
        for _ in 0..SAMPLES {
            let i = rng.below(grad.len() as u32) as usize;
            let at = weights[&name].clone();
            let expected = difference(&at, i, &|moved| {
                let mut weights = weights.clone();
                weights.insert(name.clone(), moved.to_vec());
                resnet9_loss(&maps, &labels, config.n_classes, &weights)
            });
            let err = (f64::from(grad[i]) - expected).abs();
            assert!(err <= 1e-4 * expected.abs().max(0.1), "{name}[{i}]: {} against {expected}", grad[i]);
        }
    }
}
