//! How the layers behave and how they are connected. (The tests of `roentgen-tensor` check the numbers that the kernels
//! compute; the tests of the workspace check those of the whole network.)

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use ndarray::{Array4, ArrayView4, Axis, Slice, concatenate};
use roentgen_layers::{
    ConvBlock, Dropout, GlobalMaxPool2d, Initializer, Layer, Linear, LossHead, Pass, ResNet, ResNet9Config,
    Residual, Sequential, Workspace, reshape,
};
use roentgen_tensor::batch_norm::{
    Affine, AffineGrad, ChannelStatistics, Running, batch_norm_relu_backward, batch_norm_relu_forward,
    batch_norm_statistics,
};
use roentgen_tensor::conv2d::{
    Conv2dGeometry, conv2d_backward_input, conv2d_backward_weight, conv2d_forward,
};
use roentgen_tensor::parameter::{Buffer, Parameter};
use roentgen_tensor::rng::{CounterRng, Purpose};

use crate::models::{TRAIN, bits, logits, model_bits, random, slice, small, used_model};

/// The images `range` of a batch.
fn images(x: &Array4<f32>, range: Range<usize>) -> ArrayView4<'_, f32> {
    x.slice_axis(Axis(0), Slice::from(range))
}

/// Forward and backward of one layer. Returns the output and the gradient of `x`; both arrays are NaN before.
fn both_passes(layer: &mut impl Layer, x: &Array4<f32>, up: &Array4<f32>) -> (Array4<f32>, Array4<f32>) {
    let mut y = Array4::from_elem(layer.out_shape(x.dim().into()), f32::NAN);
    layer.forward(x, &mut y, TRAIN);
    let mut grad_x = Array4::from_elem(x.dim(), f32::NAN);
    layer.backward(x, up, Some(&mut grad_x));
    (y, grad_x)
}

/// The output of one layer in evaluation; the array is NaN before.
fn infer(layer: &impl Layer, x: &Array4<f32>) -> Array4<f32> {
    let mut y = Array4::from_elem(layer.out_shape(x.dim().into()), f32::NAN);
    layer.infer(x, &mut y, &mut Workspace::default());
    y
}

/// Values and gradients of all parameters, in order.
fn parameters(layer: &impl Layer) -> Vec<Parameter> {
    let mut all = Vec::new();
    layer.for_each_parameter(&mut |parameter| all.push(parameter.clone()));
    all
}

/// The message of the panic of `work`.
fn panic_message<T>(work: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(work)).err().expect("a panic");
    panic.downcast_ref::<String>().expect("a message").clone()
}

/// Gives every parameter random values, because the initial gamma 1 and beta 0 would hide mistakes.
fn randomise(layer: &mut impl Layer, seed: u64) {
    let mut rng = CounterRng::new(seed, Purpose::Synthetic, 1, 5);
    layer.for_each_parameter_mut(&mut |parameter| parameter.value.fill_with(|| rng.range(-1.0, 1.0)));
}

/// The results of a block of convolution, batch norm and ReLU, computed with the kernels.
struct ExpectedBlock {
    y: Vec<f32>,
    grad_x: Vec<f32>,
    /// Of filter, bias, gamma and beta.
    grads: [Vec<f32>; 4],
}

fn expected_block(x: &Array4<f32>, up: &[f32], weights: &[Parameter]) -> ExpectedBlock {
    let (n, h, w, c_in) = x.dim();
    let [weight, bias, gamma, beta] = [0, 1, 2, 3].map(|i| &weights[i].value[..]);
    let c = bias.len();
    let g = Conv2dGeometry::new(n, h, w, c_in, c);
    let mut conv = vec![f32::NAN; g.y_len()];
    conv2d_forward(&g, slice(x), weight, bias, &mut conv);
    let (mut statistics, mut mean, mut var) = (ChannelStatistics::default(), vec![0.0; c], vec![1.0; c]);
    let mut running = Running { mean: &mut mean, var: &mut var, momentum: 0.1 };
    batch_norm_statistics(&conv, &mut running, &mut statistics);
    let mut y = vec![f32::NAN; conv.len()];
    let affine = Affine { gamma, beta };
    batch_norm_relu_forward(&conv, &statistics, affine, None, &mut y);

    // The gradient of the bias stays 0, because batch norm subtracts the bias.
    let mut grads = [0, 1, 2, 3].map(|i| vec![0.0; weights[i].value.len()]);
    let [grad_weight, _, grad_gamma, grad_beta] = &mut grads;
    let grad_affine = AffineGrad { gamma: grad_gamma, beta: grad_beta };
    let mut grad = conv;
    batch_norm_relu_backward(&mut grad, &statistics, affine, up, grad_affine);
    conv2d_backward_weight(&g, slice(x), &grad, grad_weight);
    let mut grad_x = vec![f32::NAN; x.len()];
    conv2d_backward_input(&g, &grad, weight, &mut grad_x);
    ExpectedBlock { y, grad_x, grads }
}

fn block(c_in: usize, c_out: usize) -> ConvBlock {
    ConvBlock::new(&mut Initializer::new(4), "block", c_in, c_out)
}

fn array(values: &[f32], like: &Array4<f32>) -> Array4<f32> {
    Array4::from_shape_vec(like.dim(), values.to_vec()).unwrap()
}

#[test]
fn sequential_chains_its_layers() {
    let (x, up) = (random((2, 9, 7, 3), 20), random((2, 9, 7, 5), 21));
    let mut chain = Sequential::new().then(block(3, 4)).then(block(4, 5));
    randomise(&mut chain, 22);
    let weights = parameters(&chain);
    let first = expected_block(&x, &vec![0.0; 2 * 9 * 7 * 4], &weights[..4]);
    let between = array(&first.y, &Array4::zeros((2, 9, 7, 4)));
    let second = expected_block(&between, slice(&up), &weights[4..]);
    let first = expected_block(&x, &second.grad_x, &weights[..4]);
    let (y, grad_x) = both_passes(&mut chain, &x, &up);
    assert_eq!(bits(&y), bits(&second.y));
    assert_eq!(bits(&grad_x), bits(&first.grad_x));
    let found = parameters(&chain);
    assert_eq!(found.len(), 8);
    for (parameter, expected) in found.iter().zip(first.grads.iter().chain(&second.grads)) {
        assert_eq!(bits(&parameter.grad), bits(expected), "{}", parameter.name);
    }
}

#[test]
fn residual_adds_its_input_and_both_gradients() {
    let (x, up) = (random((2, 6, 5, 4), 30), random((2, 6, 5, 4), 31));
    let mut residual = Residual::around(block(4, 4), block(4, 4));
    randomise(&mut residual, 32);
    let weights = parameters(&residual);
    let first = expected_block(&x, slice(&up), &weights[..4]);
    let second = expected_block(&array(&first.y, &x), slice(&up), &weights[4..]);
    let first = expected_block(&x, &second.grad_x, &weights[..4]);
    let (y, grad_x) = both_passes(&mut residual, &x, &up);
    let sum = |a: &[f32], b: &Array4<f32>| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<_>>();
    assert_eq!(bits(&y), bits(&sum(&second.y, &x)));
    assert_eq!(bits(&grad_x), bits(&sum(&first.grad_x, &up)));
    for (parameter, expected) in parameters(&residual).iter().zip(first.grads.iter().chain(&second.grads)) {
        assert_eq!(bits(&parameter.grad), bits(expected), "{}", parameter.name);
    }
}

#[test]
fn a_pooled_block_takes_the_largest_of_each_window() {
    let (x, whole, up) = (random((2, 5, 4, 3), 33), random((2, 5, 4, 5), 34), random((2, 2, 2, 5), 34));
    let (mut plain, mut pooled) = (block(3, 5), block(3, 5).with_pool());
    randomise(&mut plain, 35);
    randomise(&mut pooled, 35);
    let (trained, trained_pooled) =
        (both_passes(&mut plain, &x, &whole).0, both_passes(&mut pooled, &x, &up).0);
    for (mode, whole, y) in
        [("training", trained, trained_pooled), ("evaluation", infer(&plain, &x), infer(&pooled, &x))]
    {
        for ((n, i, j, c), y) in y.indexed_iter() {
            let window = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(u, v)| whole[[n, 2 * i + u, 2 * j + v, c]]);
            assert_eq!(*y, window.into_iter().fold(0.0, f32::max), "{mode} {n} {i} {j} {c}");
        }
    }
}

#[test]
fn gradients_are_overwritten_not_added_to() {
    let (x, up) = (random((2, 4, 4, 16), 40), random((2, 4, 4, 16), 41));
    let mut layer =
        Sequential::new().then(block(16, 16)).then(Linear::new(&mut Initializer::new(4), "l", 16, 16));
    let (_, grad_x) = both_passes(&mut layer, &x, &up);
    let once = parameters(&layer);
    let (_, grad_x_again) = both_passes(&mut layer, &x, &up);
    assert_eq!(bits(&grad_x), bits(&grad_x_again));
    for (once, twice) in once.iter().zip(parameters(&layer)) {
        assert_eq!(bits(&once.grad), bits(&twice.grad), "{}", once.name);
    }
}

#[test]
fn dropout_depends_on_seed_step_and_shard_and_is_off_in_evaluation() {
    let x = random((50, 1, 1, 40), 50).mapv(|v| v + 2.0);
    let mut layer = Dropout::new(0.2);
    let mut run = |pass| {
        let mut y = Array4::from_elem(x.dim(), f32::NAN);
        layer.forward(&x, &mut y, pass);
        y
    };
    let y = run(Pass::Train { seed: 1, step: 7, shard: 0 });
    assert_eq!(bits(&y), bits(&run(Pass::Train { seed: 1, step: 7, shard: 0 })));
    assert_ne!(bits(&y), bits(&run(Pass::Train { seed: 1, step: 8, shard: 0 })));
    assert_ne!(bits(&y), bits(&run(Pass::Train { seed: 2, step: 7, shard: 0 })));
    assert_ne!(bits(&y), bits(&run(Pass::Train { seed: 1, step: 7, shard: 1 })));

    let dropped = y.iter().filter(|y| **y == 0.0).count();
    assert!((340..460).contains(&dropped), "{dropped} of 2000 dropped");
    for (y, x) in y.iter().zip(&x) {
        assert!(*y == 0.0 || (y - 1.25 * x).abs() <= 1e-5, "{x} became {y}");
    }
    assert_eq!(bits(&infer(&layer, &x)), bits(&x));
    // The gradient is masked and scaled in the same way.
    let (y, grad_x) = both_passes(&mut layer, &x, &Array4::ones(x.dim()));
    for (y, grad) in y.iter().zip(&grad_x) {
        assert_eq!(*grad, if *y == 0.0 { 0.0 } else { 1.25 });
    }
}

#[test]
fn evaluation_normalises_with_running_statistics() {
    // Narrow: im2col. Wide: Winograd.
    for c in [3, 16] {
        let mut layer = block(c, c);
        randomise(&mut layer, 60);
        let mut buffers = Vec::new();
        layer.for_each_buffer_mut(&mut |buffer| {
            let (base, step) = if buffer.name.ends_with("var") { (0.5, 0.3) } else { (0.1, -0.2) };
            buffer.value.iter_mut().enumerate().for_each(|(i, value)| *value = base + step * i as f32);
            buffers.push(buffer.value.clone());
        });
        let weights = parameters(&layer);
        let g = Conv2dGeometry::new(32, 8, 9, c, c);
        assert_eq!(g.algorithm(), g.inference_algorithm(), "else they would be rounded differently");
        let x = random((g.n, g.h, g.w, c), 61);
        let y = infer(&layer, &x);
        let mut conv = vec![f32::NAN; g.y_len()];
        conv2d_forward(&g, slice(&x), &weights[0].value, &weights[1].value, &mut conv);
        for ((index, y), conv) in y.indexed_iter().zip(&conv) {
            let c = index.3;
            let normal = (conv - buffers[0][c]) / (buffers[1][c] + 1e-5).sqrt();
            let expected = (weights[2].value[c] * normal + weights[3].value[c]).max(0.0);
            assert!((y - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{y} against {expected}");
        }
    }
}

#[test]
fn evaluation_uses_changed_weights() {
    let mut layer = block(3, 5);
    let x = random((2, 8, 9, 3), 62);
    let before = bits(&infer(&layer, &x));
    assert_eq!(before, bits(&infer(&layer, &x)));
    randomise(&mut layer, 63);
    assert_ne!(before, bits(&infer(&layer, &x)));
}

#[test]
fn a_step_between_two_evaluations_changes_the_second() {
    let mut model = used_model(&small(8));
    let x = random((5, 9, 10, 1), 70);
    let (weights, first) = (model_bits(&model), bits(&logits(&model, &x)));
    assert_eq!(weights, model_bits(&model));

    let mut old = Vec::new();
    model.for_each_buffer(&mut |buffer: &Buffer| old.push(buffer.value.clone()));
    model.forward(&x, TRAIN);
    model.for_each_buffer(&mut |buffer| assert_ne!(old.remove(0), buffer.value, "{}", buffer.name));
    assert_ne!(first, bits(&logits(&model, &x)));
}

#[test]
fn evaluation_of_an_image_does_not_depend_on_the_other_images_of_its_batch() {
    // Narrow: im2col only. Wide: Winograd too.
    for width in [3, 16] {
        let model = used_model(&small(width));
        let (x, others) = (random((30, 13, 12, 1), 80), random((30, 13, 12, 1), 81));
        let expected = logits(&model, &x);
        // The first images, moved to the end of a batch of other images.
        let mixed = concatenate(Axis(0), &[images(&others, 0..23), images(&x, 0..7)]).unwrap();
        let moved = logits(&model, &mixed);
        assert_eq!(bits(images(&moved, 23..30)), bits(images(&expected, 0..7)));
    }
}

/// Sizes at which a single image, a small batch and a large one would each get other algorithms, if the batch had a say.
#[test]
fn evaluation_of_an_image_does_not_depend_on_the_size_of_its_batch() {
    for (width, h, w, n) in
        [(64, 24, 24, 18), (32, 16, 16, 33), (16, 48, 48, 12), (16, 13, 12, 30), (3, 13, 12, 30)]
    {
        let model = used_model(&small(width));
        let x = random((n, h, w, 1), 82);
        let all = in_groups(&model, &x, n, 2);
        for (group, n_threads) in [(1, 2), (3, 3), (n, 1)] {
            let logits = in_groups(&model, &x, group, n_threads);
            assert_eq!(bits(&logits), bits(&all), "{width}, {h}x{w}, groups of {group}, {n_threads} threads");
        }
    }
}

/// The logits of the images of `x`, evaluated `group` at a time.
fn in_groups(model: &ResNet, x: &Array4<f32>, group: usize, n_threads: usize) -> Array4<f32> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("threads");
    let of_groups: Vec<Array4<f32>> = pool.install(|| {
        x.axis_chunks_iter(Axis(0), group).map(|images| logits(model, &images.to_owned())).collect()
    });
    let views: Vec<_> = of_groups.iter().map(|logits| logits.view()).collect();
    concatenate(Axis(0), &views).expect("as many logits for each group")
}

#[test]
fn a_too_small_image_panics() {
    let model = small(2).build(0);
    let min_size = model.architecture().min_size();
    for (h, w) in [(min_size - 1, min_size), (min_size, min_size - 1)] {
        let text = panic_message(|| logits(&model, &random((2, h, w, 1), 90)));
        assert!(text.contains("at least 8x8") && text.contains(&format!("{h}x{w}")), "{text}");
    }
}

#[test]
fn an_empty_batch_and_images_of_other_channels_panic() {
    let model = small(2).build(0);
    let text = panic_message(|| logits(&model, &random((0, 24, 24, 1), 90)));
    assert!(text.contains("at least one image"), "{text}");
    let text = panic_message(|| logits(&model, &random((2, 24, 24, 3), 90)));
    assert!(text.contains("images of 3 channels, expected 1"), "{text}");
}

#[test]
fn a_log_prior_is_added_to_the_logits_in_the_loss_only() {
    let (logits, labels) = (random((5, 1, 1, 3), 92), [0, 2, 1, 1, 2]);
    let log_prior = vec![-0.1, -3.0, -2.5];
    let of = |head: LossHead, logits: &Array4<f32>| {
        let mut grad = Array4::zeros((0, 0, 0, 0));
        let loss = head.forward_backward(logits, &labels, &mut grad);
        (loss, grad)
    };
    let weighted =
        LossHead { class_weights: Some(vec![0.5, 1.0, 2.0]), label_smoothing: 0.1, log_prior: None };
    let shifted = &logits + &ndarray::arr1(&log_prior);
    let adjusted = LossHead { log_prior: Some(log_prior), ..weighted.clone() };
    assert_eq!(of(adjusted, &logits), of(weighted.clone(), &shifted));
    assert_ne!(of(weighted.clone(), &logits), of(weighted, &shifted));
}

#[test]
fn a_loss_head_for_other_sizes_panics() {
    let logits = random((4, 1, 1, 3), 93);
    let message = |n_classes: usize, labels: &[u32]| {
        let head = LossHead { log_prior: Some(vec![-1.0; n_classes]), ..LossHead::default() };
        panic_message(|| head.forward_backward(&logits, labels, &mut Array4::zeros((0, 0, 0, 0))))
    };
    for n_classes in [2, 4, 6] {
        let text = message(n_classes, &[0, 1, 2, 0]);
        let numbers = format!("left: {n_classes}\n right: 3");
        assert!(text.contains("log_prior") && text.contains(&numbers), "{text}");
    }
    let text = message(3, &[0, 1]);
    assert!(text.contains("labels") && text.contains("left: 2\n right: 4"), "{text}");
}

#[test]
fn one_image_of_the_smallest_size_works_in_both_passes() {
    for width in [3, 16] {
        let mut model = ResNet9Config { dropout: 0.0, ..small(width) }.build(0);
        let x = random((1, 8, 8, 1), 91);
        let mut grad = Array4::zeros((0, 0, 0, 0));
        let loss = LossHead::default().forward_backward(model.forward(&x, TRAIN), &[2], &mut grad);
        model.backward(&x, &grad);
        assert!(loss.is_finite() && loss > 0.0, "{loss}");
        model.for_each_parameter(&mut |p| {
            assert!(p.grad.iter().all(|g| g.is_finite()), "{}", p.name);
            // The last blocks have one pixel for each channel. It is normalised to 0, so no gradient passes the batch
            // norms of res2; the layers before them get theirs through the residual connection.
            let has_gradient =
                ["conv1.0.weight", "conv4.1.weight", "classifier.weight"].contains(&&p.name[..]);
            assert!(!has_gradient || p.grad.iter().any(|g| *g != 0.0), "{}", p.name);
        });
    }
}

#[test]
fn the_recipe_has_the_number_of_parameters_of_the_published_resnet9() {
    assert_eq!(ResNet9Config::new(3, 10).architecture().n_parameters(), 6_575_370);
    let model = ResNet9Config::new(3, 10).build(0);
    let (mut n_numbers, mut names) = (0, BTreeSet::new());
    model.for_each_parameter(&mut |p| {
        assert_eq!(p.value.len(), p.shape.iter().product::<usize>(), "{}", p.name);
        n_numbers += p.value.len();
        assert_eq!(p.index, names.len(), "{}", p.name);
        assert!(names.insert(p.name.clone()), "{} occurs twice", p.name);
    });
    assert_eq!(n_numbers, 6_575_370);
    // Filter, bias, gamma and beta of each block; weight and bias of the linear layer.
    assert_eq!(names.len(), 4 * model.architecture().convolutions().len() + 2);
}

/// The identity; it records the addresses of the arrays that it gets.
#[derive(Clone, Default)]
struct Spy(Arc<Mutex<BTreeSet<usize>>>);

impl Spy {
    fn record(&self, arrays: &[&Array4<f32>]) {
        self.0.lock().unwrap().extend(arrays.iter().map(|array| array.as_ptr() as usize));
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Layer for Spy {
    fn out_shape(&self, x: [usize; 4]) -> [usize; 4] {
        x
    }

    fn forward(&mut self, x: &Array4<f32>, y: &mut Array4<f32>, _pass: Pass) {
        self.record(&[x, y]);
        y.assign(x);
    }

    fn backward(&mut self, _x: &Array4<f32>, grad_y: &Array4<f32>, grad_x: Option<&mut Array4<f32>>) {
        let grad_x = grad_x.expect("the spy is not the first layer");
        self.record(&[grad_y, grad_x]);
        grad_x.assign(grad_y);
    }

    fn infer(&self, x: &Array4<f32>, y: &mut Array4<f32>, _workspace: &mut Workspace) {
        y.assign(x);
    }
}

#[test]
fn buffers_are_reused_when_batch_sizes_alternate() {
    let spy = Spy::default();
    let init = &mut Initializer::new(0);
    let mut net = Sequential::new()
        .then(ConvBlock::new(init, "a", 1, 4))
        .then(spy.clone())
        .then(ConvBlock::new(init, "b", 4, 4).with_pool())
        .then(spy.clone())
        .then(Residual::around(block(4, 4), block(4, 4)))
        .then(spy.clone())
        .then(GlobalMaxPool2d::default())
        .then(Dropout::new(0.2))
        .then(spy.clone())
        .then(Linear::new(init, "c", 4, 3));
    let (mut logits, mut grad) = (Array4::default((0, 0, 0, 0)), Array4::default((0, 0, 0, 0)));
    let mut step = |n: usize| {
        let x = random((n, 10, 11, 1), n as u64);
        reshape(&mut logits, [n, 1, 1, 3]);
        net.forward(&x, &mut logits, TRAIN);
        reshape(&mut grad, [n, 1, 1, 3]);
        grad.assign(&logits);
        net.backward(&x, &grad, None);
    };
    // During the first step, the arrays of gradients grow.
    (0..2).for_each(|_| step(40));
    let n_buffers = spy.count();
    assert!(n_buffers > 8, "{n_buffers} buffers");
    for n in [17, 40, 1, 40, 39, 16, 40] {
        step(n);
        assert_eq!(spy.count(), n_buffers, "new memory for a batch of {n}");
    }
}
