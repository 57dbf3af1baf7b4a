//! Compares the fast passes with their simple versions, over odd shapes.

use proptest::prelude::*;

use super::*;
use crate::batch_norm_max_pool::{MaxPool2dGeometry, max_pool2d};
use crate::reference;
use crate::rng::{CounterRng, Purpose};

fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut rng = CounterRng::new(seed, Purpose::Synthetic, len as u64, 0);
    (0..len).map(|_| rng.range(-1.0, 1.0)).collect()
}

/// Compares with the simple version in f64, with the tolerance of the algorithm that the geometry gets.
///
/// A sum of `terms` random products of numbers up to 1 is rounded `terms` times, each time by up to half an epsilon of a
/// partial sum of about `sqrt(terms) / 3`. As a random walk that is `epsilon * terms / 6`; six times this is the bound.
/// Winograd's transforms round more: see [`assert_near`].
fn assert_close(g: &Conv2dGeometry, fast: &[f32], naive: &[f64], terms: usize, what: &str) {
    match g.algorithm() {
        Conv2dAlgorithm::Im2col => {
            assert_within(f64::from(f32::EPSILON) * terms.max(6) as f64, fast, naive, what);
        }
        winograd => assert_near(fast, naive, &format!("{what} by {}", winograd.name())),
    }
}

/// Compares with the simple version in f64. Winograd's transforms increase rounding errors, so the tolerance is 1e-5 of
/// the largest value, a hundredth of what training tolerates.
fn assert_near(fast: &[f32], naive: &[f64], what: &str) {
    let scale = naive.iter().fold(0.0f64, |max, n| max.max(n.abs()));
    assert_within(1e-5 * scale, fast, naive, what);
}

fn assert_within(tolerance: f64, fast: &[f32], naive: &[f64], what: &str) {
    assert_eq!(fast.len(), naive.len());
    assert!(!fast.is_empty());
    for (i, (f, n)) in fast.iter().zip(naive).enumerate() {
        let err = (f64::from(*f) - n).abs();
        assert!(err <= tolerance, "{what}[{i}]: {f} against {n}");
    }
}

fn check_all_passes(g: &Conv2dGeometry, seed: u64) {
    let (x, weight, grad_y) =
        (random(g.x_len(), seed), random(g.weight_len(), seed + 1), random(g.y_len(), seed + 2));
    let bias = random(g.c_out, seed + 3);
    let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let (x64, weight64, grad_y64) = (wide(&x), wide(&weight), wide(&grad_y));

    let mut y = vec![f32::NAN; g.y_len()];
    conv2d_forward(g, &x, &weight, &bias, &mut y);
    let expected = reference::conv2d_forward(g, &x64, &weight64, &wide(&bias));
    assert_close(g, &y, &expected, TAPS * g.c_in, "y");

    let mut grad_x = vec![f32::NAN; g.x_len()];
    conv2d_backward_input(g, &grad_y, &weight, &mut grad_x);
    let expected = reference::conv2d_backward_input(g, &grad_y64, &weight64);
    assert_close(g, &grad_x, &expected, TAPS * g.c_out, "grad_x");

    let mut grad_weight = vec![f32::NAN; g.weight_len()];
    conv2d_backward_weight(g, &x, &grad_y, &mut grad_weight);
    let expected = reference::conv2d_backward_weight(g, &x64, &grad_y64);
    assert_close(g, &grad_weight, &expected, g.pixels(), "grad_weight");
}

/// Numbers of channels: any, or whole vectors, for which Winograd's algorithms are chosen.
fn channels() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..70, (1usize..5).prop_map(|vectors| vectors * LANES)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn conv2d_passes_match_reference(
        n in 1usize..4, h in 1usize..10, w in 1usize..10, c_in in channels(), c_out in channels(), seed: u64,
    ) {
        check_all_passes(&Conv2dGeometry::new(n, h, w, c_in, c_out), seed >> 8);
    }
}

#[test]
fn conv2d_passes_match_reference_past_every_block_boundary() {
    // 9 * 65 crosses two blocks of k and two tasks of rows; 1300 pixels cross tasks, chunks and runs; 141 maps of 1168
    // channels are two runs of Winograd's forward pass (by_panels), 416 tiles of 6x6 several of its pass to the
    // weight, 524 and 528 two groups.
    let shapes = [
        (13, 10, 10, 65, 33),
        (1, 24, 24, 1, 64),
        (3, 9, 11, 3, 130),
        (2, 3, 3, 130, 40),
        (1, 1, 1, 5, 7),
        (141, 3, 3, 1168, 16),
        (104, 12, 12, 16, 16),
        (131, 12, 12, 16, 16),
        (33, 32, 32, 16, 48),
    ];
    for (seed, (n, h, w, c_in, c_out)) in shapes.into_iter().enumerate() {
        check_all_passes(&Conv2dGeometry::new(n, h, w, c_in, c_out), seed as u64);
    }
}

/// Every algorithm that computes the sizes, even where it would not be chosen, for all three passes.
#[test]
fn winograd_matches_reference() {
    // Whole tiles and partial ones, tiles of two sizes side by side, one block and several, more channels than
    // one panel.
    let shapes = [
        (3, 9, 10, 16, 48),
        (1, 8, 8, 16, 16),
        (3, 12, 9, 16, 48),
        (2, 7, 5, 48, 16),
        (60, 3, 3, 16, 32),
        (3, 2, 3, 32, 16),
        (40, 2, 2, 16, 48),
        (1, 1, 1, 16, 16),
    ];
    for (seed, (n, h, w, c_in, c_out)) in shapes.into_iter().enumerate() {
        let g = Conv2dGeometry::new(n, h, w, c_in, c_out);
        let seed = seed as u64 + 100;
        let (x, weight) = (random(g.x_len(), seed), random(g.weight_len(), seed + 1));
        let (bias, grad_y) = (random(c_out, seed + 2), random(g.y_len(), seed + 3));
        let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
        let expected = reference::conv2d_forward(&g, &wide(&x), &wide(&weight), &wide(&bias));
        let expected_grad = reference::conv2d_backward_weight(&g, &wide(&x), &wide(&grad_y));
        let expected_grad_x = reference::conv2d_backward_input(&g, &wide(&grad_y), &wide(&weight));
        for algorithm in Conv2dAlgorithm::ALL.into_iter().filter(|algorithm| algorithm.fits(&g)) {
            let mut y = vec![f32::NAN; g.y_len()];
            correlate(&g, algorithm, &x, Filter::Plain(&weight), Epilogue::bias(&bias), &mut y);
            assert_near(&y, &expected, algorithm.name());
            let mut grad_weight = vec![f32::NAN; g.weight_len()];
            correlate_patches(&g, algorithm, &x, &grad_y, &mut grad_weight);
            assert_near(&grad_weight, &expected_grad, algorithm.name());
            let mut grad_x = vec![f32::NAN; g.x_len()];
            correlate(
                &g.reversed(),
                algorithm,
                &grad_y,
                Filter::Reversed(&weight),
                Epilogue::NONE,
                &mut grad_x,
            );
            assert_near(&grad_x, &expected_grad_x, algorithm.name());
        }
    }
}

/// The three passes by one algorithm, in a pool of `n_threads`: `y`, `grad_x` and `grad_weight`.
fn bits_of_passes(g: &Conv2dGeometry, algorithm: Conv2dAlgorithm, n_threads: usize) -> [Vec<u32>; 3] {
    let (x, weight, grad_y) = (random(g.x_len(), 1), random(g.weight_len(), 2), random(g.y_len(), 3));
    let (mut y, mut grad_x, mut grad_weight) =
        (vec![f32::NAN; g.y_len()], vec![f32::NAN; g.x_len()], vec![f32::NAN; g.weight_len()]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().expect("a thread pool");
    pool.install(|| {
        correlate(g, algorithm, &x, Filter::Plain(&weight), Epilogue::NONE, &mut y);
        correlate(&g.reversed(), algorithm, &grad_y, Filter::Reversed(&weight), Epilogue::NONE, &mut grad_x);
        correlate_patches(g, algorithm, &x, &grad_y, &mut grad_weight);
    });
    [y, grad_x, grad_weight].map(|values| values.iter().map(|value| value.to_bits()).collect())
}

#[test]
fn every_algorithm_has_the_same_bits_with_more_threads_than_panels() {
    // Several threads share the tiles of a panel, also where a map has tiles of two sizes; tasks are a few images; whole maps.
    let shapes = [
        (40, 6, 6, 32, 64),
        (13, 10, 10, 16, 64),
        (31, 12, 12, 16, 32),
        (60, 3, 3, 16, 64),
        (40, 2, 2, 16, 48),
    ];
    for (n, h, w, c_in, c_out) in shapes {
        let g = Conv2dGeometry::new(n, h, w, c_in, c_out);
        for algorithm in Conv2dAlgorithm::ALL.into_iter().filter(|algorithm| algorithm.fits(&g)) {
            let expected = bits_of_passes(&g, algorithm, 1);
            for n_threads in [3, 16] {
                let found = bits_of_passes(&g, algorithm, n_threads);
                assert!(found == expected, "{g:?} by {}, {n_threads} threads", algorithm.name());
            }
        }
    }
}

/// A network may see images of several sizes; whichever filter was prepared first, the others get the same results.
#[test]
fn a_prepared_filter_serves_every_size() {
    let (c_in, c_out) = (32, 16);
    let weight = random(TAPS * c_in * c_out, 1);
    let (scale, shift) = (random(c_out, 2), random(c_out, 3));
    let sides = [(24, 32), (32, 24), (32, 32), (24, 24), (10, 12), (8, 8), (3, 3), (2, 2)];
    let infer = |(h, w): (usize, usize), prepared: &PreparedFilter| {
        let g = Conv2dGeometry::new(2, h, w, c_in, c_out);
        let (x, mut y) = (random(g.x_len(), 4), vec![f32::NAN; g.y_len()]);
        let after = AfterConv2d { scale: &scale, shift: &shift, is_pooled: false };
        conv2d_inference(&g, &x, (&weight, prepared), after, &mut y);
        y.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
    };
    for first in sides {
        let shared = PreparedFilter::default();
        infer(first, &shared);
        for side in sides {
            let alone = infer(side, &PreparedFilter::default());
            assert!(infer(side, &shared) == alone, "{side:?} after {first:?}");
        }
    }
}

/// The memory of a filter is used again; nothing of the old weights may be left in it.
#[test]
fn a_filter_prepared_again_is_that_of_the_new_weights() {
    let (c_in, c_out) = (32, 19);
    let mut prepared = PreparedFilter::default();
    let (scale, shift) = (random(c_out, 2), random(c_out, 3));
    for (seed, side) in [(5, 24), (6, 24), (7, 3), (8, 12), (9, 24)] {
        let g = Conv2dGeometry::new(2, side, side, c_in, c_out);
        let (x, weight) = (random(g.x_len(), 4), random(g.weight_len(), seed));
        let infer = |prepared: &PreparedFilter| {
            let mut y = vec![f32::NAN; g.y_len()];
            let after = AfterConv2d { scale: &scale, shift: &shift, is_pooled: false };
            conv2d_inference(&g, &x, (&weight, prepared), after, &mut y);
            y.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
        };
        prepared.clear();
        assert!(prepared.is_empty());
        assert!(infer(&prepared) == infer(&PreparedFilter::default()), "{side}x{side}, weights {seed}");
    }
}

/// `relu(scale * (x * weight) + shift)`.
fn naive_inference(
    g: &Conv2dGeometry,
    x: &[f32],
    weight: &[f32],
    (scale, shift): (&[f32], &[f32]),
) -> Vec<f64> {
    let wide = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>();
    let mut y = reference::conv2d_forward(g, &wide(x), &wide(weight), &vec![0.0; g.c_out]);
    for (y, channel) in y.iter_mut().zip((0..g.c_out).cycle()) {
        *y = *y * f64::from(scale[channel]) + f64::from(shift[channel]);
    }
    reference::relu_forward(&y)
}

/// Evaluation has several orders of work and two forms of the filter, chosen by the number of tiles; the bits are those of one,
/// which is compared with the simple version.
#[test]
fn an_image_has_the_same_bits_in_every_batch() {
    // Maps with few tiles of each kind and with many, of two sizes side by side, and for im2col.
    let sides = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 3), (6, 6), (7, 9), (10, 10), (12, 12), (16, 20)];
    // Half a block of the product that transforms the filter in registers, a whole one, and one and a half.
    let channels = [(16, 48), (32, 16), (32, 5), (48, 16), (48, 48)];
    for ((h, w), (c_in, c_out)) in sides.into_iter().flat_map(|side| channels.map(|c| (side, c))) {
        // Maps of one tile need many images for more tiles than the order of work for few takes.
        let n_most = if h.max(w) <= 3 { 40 } else { 7 };
        let all = Conv2dGeometry::new(n_most, h, w, c_in, c_out);
        let (x, weight) = (random(all.x_len(), 1), random(all.weight_len(), 2));
        let (scale, shift) = (random(c_out, 3), random(c_out, 4));
        let infer = |images: std::ops::Range<usize>, is_pooled: bool| {
            let g = Conv2dGeometry { n: images.len(), ..all };
            let stride = if is_pooled { 2 } else { 1 };
            let x = &x[images.start * h * w * c_in..images.end * h * w * c_in];
            let mut y = vec![f32::NAN; g.n * (h / stride) * (w / stride) * c_out];
            let after = AfterConv2d { scale: &scale, shift: &shift, is_pooled };
            conv2d_inference(&g, x, (&weight, &PreparedFilter::default()), after, &mut y);
            y
        };
        let bits = |y: &[f32]| y.iter().map(|y| y.to_bits()).collect::<Vec<u32>>();
        let whole = infer(0..n_most, false);
        let naive = naive_inference(&all, &x, &weight, (&scale, &shift));
        assert_near(&whole, &naive, &format!("{h}x{w}, {c_out} channels"));
        for n in 1..n_most {
            let parts = [infer(0..n, false), infer(n..n_most, false)].concat();
            assert_eq!(
                bits(&parts),
                bits(&whole),
                "{h}x{w}, {c_out} channels, {n} and {} images",
                n_most - n
            );
        }
        if h >= 2 && w >= 2 {
            let mut pooled = vec![f32::NAN; n_most * (h / 2) * (w / 2) * c_out];
            let geometry = MaxPool2dGeometry::new(n_most, h, w, c_out);
            max_pool2d(&geometry, &whole, &mut pooled);
            let argmax = reference::max_pool2d_argmax(&geometry, &naive);
            let naive = reference::pool_forward(&naive, &argmax);
            assert_near(&pooled, &naive, &format!("{h}x{w}, {c_out} channels, pooled"));
            for n in [1, n_most] {
                let fused =
                    (0..n_most / n).flat_map(|i| infer(i * n..(i + 1) * n, true)).collect::<Vec<f32>>();
                assert_eq!(
                    bits(&fused),
                    bits(&pooled),
                    "{h}x{w}, {c_out} channels, pooled, {n} images at once"
                );
            }
        }
    }
}
