//! Fast and direct convolutions give the same gradients of a network.

use ndarray::Array4;
use roentgen_layers::{LossHead, Pass, ResNet9Config};
use roentgen_tensor::conv2d::ConvChoice;
use roentgen_tensor::rng::{CounterRng, Purpose};

const N: usize = 16;
const SIZE: usize = 24;

fn images() -> (Array4<f32>, Vec<u32>) {
    let mut rng = CounterRng::new(3, Purpose::Synthetic, 0, 0);
    let x = Array4::from_shape_simple_fn((N, SIZE, SIZE, 1), || rng.normal());
    (x, (0..N as u32).map(|image| image % 3).collect())
}

/// The gradient of every parameter, by name.
fn gradients(conv: ConvChoice) -> Vec<(String, Vec<f32>)> {
    let (x, labels) = images();
    let config = ResNet9Config { width: 32, conv, ..ResNet9Config::new(1, 3) };
    let mut model = config.build(5);
    let mut grad = Array4::zeros((0, 0, 0, 0));
    let logits = model.forward(&x, Pass::Train { seed: 0, step: 0, shard: 0 });
    LossHead::default().forward_backward(logits, &labels, &mut grad);
    model.backward(&x, &grad);
    let mut gradients = Vec::new();
    model.for_each_parameter(&mut |p| gradients.push((p.name.clone(), p.grad.clone())));
    gradients
}

/// The bound is on the Euclidean norm of the difference: where rounding makes another pixel of a pool the largest, single
/// elements differ by more.
#[test]
fn gradients_match_those_of_the_direct_algorithm() {
    let direct = gradients(ConvChoice::Im2col);
    for choice in [ConvChoice::Auto, ConvChoice::Winograd] {
        let fast = gradients(choice);
        let n_convolutions = ResNet9Config::new(1, 3).architecture().convolutions().len();
        assert_eq!(fast.len(), 4 * n_convolutions + 2, "filter, bias, gamma, beta; the linear layer");
        let (mut n_compared, mut n_different) = (0, 0);
        for ((name, fast), (_, direct)) in fast.iter().zip(&direct) {
            let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
            let size = norm(&mut direct.iter().map(|&v| f64::from(v)));
            let error = norm(&mut fast.iter().zip(direct).map(|(&f, &d)| f64::from(f) - f64::from(d)));
            assert!(error <= 1e-3 * size, "{choice:?} {name}: off by {error:e} of {size:e}");
            n_compared += usize::from(size > 0.0);
            n_different += usize::from(error > 0.0);
        }
        // All except the biases of the convolutions, whose gradient is 0.
        assert_eq!(n_compared, fast.len() - n_convolutions);
        assert!(n_different > 0, "{choice:?} is another algorithm");
    }
}
