//! Compares a small ResNet9 with PyTorch: logits, every gradient, running statistics, and ten steps of the recipe.
//!
//! `tests/golden/resnet9_golden.py` computed the values.

use std::collections::HashMap;
use std::path::Path;

use ndarray::{Array4, ArrayD, Ix4};
use roentgen_layers::{LossHead, Pass, ResNet, ResNet9Config, Workspace};
use roentgen_optim::{Adam, AdamConfig, Clip, OneCycle, WeightDecay};
use roentgen_tensor::conv2d::ConvChoice;
use roentgen_tensor::parameter::ParameterKind;
use safetensors::{Dtype, SafeTensors};

const CONFIG: ResNet9Config =
    ResNet9Config { c_in: 3, n_classes: 4, width: 4, dropout: 0.0, conv: ConvChoice::Auto };

struct Golden {
    tensors: HashMap<String, ArrayD<f32>>,
    labels: Vec<u32>,
}

impl Golden {
    fn load() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/resnet9.safetensors");
        let bytes = std::fs::read(path).expect("the golden values are in the repository");
        let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let (mut tensors, mut labels) = (HashMap::new(), Vec::new());
        for (name, view) in file.tensors() {
            if view.dtype() == Dtype::I64 {
                labels.extend(view.data().as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as u32));
            } else {
                let values = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
                tensors.insert(name, ArrayD::from_shape_vec(view.shape(), values).expect("a whole tensor"));
            }
        }
        Self { tensors, labels }
    }

    /// The images as `(n, h, w, c)`.
    fn images(&self) -> Array4<f32> {
        let x = self.tensors["x"].clone().into_dimensionality::<Ix4>().expect("(n, c, h, w)");
        x.permuted_axes([0, 2, 3, 1]).as_standard_layout().into_owned()
    }

    /// A tensor in this program's order of axes.
    fn values(&self, name: &str, kind: ParameterKind) -> Vec<f32> {
        let tensor = self.tensors[name].view();
        let ours = match kind {
            ParameterKind::ConvWeight => tensor.permuted_axes(vec![1, 2, 3, 0]),
            ParameterKind::LinearWeight => tensor.permuted_axes(vec![1, 0]),
            _ => tensor,
        };
        ours.iter().copied().collect()
    }

    /// A ResNet9 with the golden initial weights.
    fn model(&self) -> ResNet {
        let mut model = CONFIG.build(0);
        model.for_each_parameter_mut(&mut |p| p.value = self.values(&format!("init.{}", p.name), p.kind));
        model
    }
}

/// The tolerance is relative to the largest expected value, because single gradients may be tiny differences of large
/// terms.
fn assert_close(actual: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    assert!(!actual.is_empty(), "{what}: nothing compared");
    let scale = expected.iter().fold(0.0f32, |max, e| max.max(e.abs()));
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance * scale, "{what}[{i}]: {a} against {e}, scale {scale}");
    }
}

#[test]
fn forward_and_every_gradient_match_pytorch() {
    let golden = Golden::load();
    let (mut model, x) = (golden.model(), golden.images());
    let mut grad = Array4::zeros((0, 0, 0, 0));
    let logits = model.forward(&x, Pass::Train { seed: 0, step: 0, shard: 0 });
    assert_close(logits.as_slice().unwrap(), &golden.values("logits", ParameterKind::Bias), 1e-5, "logits");
    let loss = LossHead::default().forward_backward(logits, &golden.labels, &mut grad);
    assert_close(&[loss], &golden.values("losses", ParameterKind::Bias)[..1], 1e-5, "loss");
    model.backward(&x, &grad);

    let mut compared = 0;
    model.for_each_parameter(&mut |p| {
        let expected = golden.values(&format!("grad.{}", p.name), p.kind);
        compared += 1;
        if p.name.ends_with(".0.bias") {
            // The batch norm after it subtracts any constant, so the true gradient is 0; both have only rounding errors.
            assert!(p.grad.iter().chain(&expected).all(|g| g.abs() <= 1e-6), "{}", p.name);
        } else {
            assert_close(&p.grad, &expected, 1e-4, &p.name);
        }
    });
    let n_convolutions = model.architecture().convolutions().len();
    assert_eq!(
        compared,
        4 * n_convolutions + 2,
        "filter, bias, gamma, beta; weight and bias of the linear layer"
    );
    model.for_each_buffer(&mut |b| {
        assert_close(
            &b.value,
            &golden.values(&format!("after.{}", b.name), ParameterKind::Bias),
            1e-5,
            &b.name,
        );
    });
}

#[test]
fn ten_steps_of_the_recipe_match_pytorch() {
    let golden = Golden::load();
    let (mut model, x) = (golden.model(), golden.images());
    let expected = golden.values("losses", ParameterKind::Bias);
    let schedule = OneCycle::new(0.01, expected.len());
    let mut adam = Adam::new(AdamConfig {
        clip: Clip::Value(0.1),
        weight_decay: WeightDecay::L2(1e-4),
        ..AdamConfig::default()
    });
    let mut grad = Array4::zeros((0, 0, 0, 0));
    let mut losses = Vec::new();
    for step in 0..expected.len() {
        let logits = model.forward(&x, Pass::Train { seed: 0, step: step as u64, shard: 0 });
        losses.push(LossHead::default().forward_backward(logits, &golden.labels, &mut grad));
        model.backward(&x, &grad);
        adam.begin_step(schedule.at(step), None);
        model.for_each_parameter_mut(&mut |p| {
            adam.update(p);
        });
    }
    assert_eq!(losses.len(), 10);
    for (step, (loss, expected)) in losses.iter().zip(&expected).enumerate() {
        assert!(
            (loss - expected).abs() <= 1e-3 * expected.abs().max(0.1),
            "step {step}: {loss} against {expected}"
        );
    }
    let mut workspace = Workspace::default();
    let logits = model.infer(&x, &mut workspace);
    let expected = golden.values("eval_logits", ParameterKind::Bias);
    assert_close(logits.as_slice().unwrap(), &expected, 5e-3, "logits in evaluation after ten steps");
}
