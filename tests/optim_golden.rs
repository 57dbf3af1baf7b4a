//! Compares the schedule and Adam in every step with the values of `golden/optim_golden.py`.

use roentgen_optim::{Adam, AdamConfig, Clip, OneCycle, WeightDecay, sum_of_squares};
use roentgen_tensor::parameter::{Parameter, ParameterKind};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/optim.json")).expect("optim.json is JSON")
}

fn array(value: &Value) -> &[Value] {
    value.as_array().expect("a JSON array")
}

fn numbers(value: &Value) -> Vec<f64> {
    array(value).iter().map(|x| x.as_f64().expect("a JSON number")).collect()
}

/// A setting that is stored as `[kind, amount]`.
fn setting(value: &Value) -> (&str, f32) {
    (value[0].as_str().expect("a JSON string"), value[1].as_f64().expect("a JSON number") as f32)
}

#[test]
fn one_cycle_matches_pytorch_at_every_step() {
    let golden = golden();
    let schedules = array(&golden["schedules"]);
    assert!(schedules.len() >= 7);
    for expected in schedules {
        let (lr, beta1) = (numbers(&expected["lr"]), numbers(&expected["beta1"]));
        let schedule = OneCycle::new(golden["max_lr"].as_f64().expect("a JSON number"), lr.len());
        for (step, (lr, beta1)) in lr.iter().zip(&beta1).enumerate() {
            let rates = schedule.at(step);
            let total = schedule.total_steps();
            assert!((rates.lr / lr - 1.0).abs() <= 1e-9, "{} against {lr} at {step} of {total}", rates.lr);
            assert!((rates.beta1 - beta1).abs() <= 1e-12, "{} against {beta1} at {step}", rates.beta1);
        }
    }
}

#[test]
fn adam_under_one_cycle_matches_pytorch_at_every_step() {
    let golden = golden();
    let runs = array(&golden["runs"]);
    assert!(runs.len() >= 4);
    for run in runs {
        let clip = match setting(&run["clip"]) {
            ("value", bound) => Clip::Value(bound),
            ("norm", max_norm) => Clip::Norm(max_norm),
            _ => Clip::Off,
        };
        let weight_decay = match setting(&run["weight_decay"]) {
            ("l2", decay) => WeightDecay::L2(decay),
            (_, decay) => WeightDecay::Decoupled(decay),
        };
        let mut adam = Adam::new(AdamConfig { clip, weight_decay, ..AdamConfig::default() });
        let weight = Parameter::filled("weight".into(), ParameterKind::LinearWeight, &[5, 7], 0.0);
        let bias = Parameter::filled("bias".into(), ParameterKind::Bias, &[3], 0.0);
        let mut parameters = [weight, Parameter { index: 1, ..bias }];
        for parameter in &mut parameters {
            copy(&run["start"][&parameter.name], &mut parameter.value);
        }
        let steps = array(&run["steps"]);
        let schedule = OneCycle::new(golden["max_lr"].as_f64().expect("a JSON number"), steps.len());
        for (step, expected) in steps.iter().enumerate() {
            for parameter in &mut parameters {
                copy(&expected["grads"][&parameter.name], &mut parameter.grad);
            }
            let grad_norm = parameters.iter().map(|p| sum_of_squares(&p.grad)).sum::<f64>().sqrt();
            adam.begin_step(schedule.at(step), Some(grad_norm));
            for parameter in &mut parameters {
                adam.update(parameter);
                let expected = numbers(&expected["values"][&parameter.name]);
                assert_eq!(expected.len(), parameter.value.len());
                for (&found, expected) in parameter.value.iter().zip(expected) {
                    let error = (f64::from(found) - expected).abs();
                    assert!(
                        error <= 1e-6 * expected.abs().max(0.1),
                        "{found} against {expected} in {} at step {step} of {clip:?}, {weight_decay:?}",
                        parameter.name
                    );
                }
            }
        }
    }
}

fn copy(from: &Value, to: &mut [f32]) {
    let from = numbers(from);
    assert_eq!(from.len(), to.len());
    for (to, from) in to.iter_mut().zip(from) {
        *to = from as f32;
    }
}
