//! One model, evaluated by several threads at once.

use std::thread;

use ndarray::{Array4, Axis};
use rayon::prelude::*;
use roentgen_layers::{Architecture, BlockSpec, ResNet, Workspace};
use roentgen_tensor::linear::linear_forward;

use crate::models::{bits, logits, random, slice, small, used_model};

#[test]
fn threads_share_one_model_and_get_the_same_bits() {
    // Wide enough for Winograd. The batches need several algorithms, so threads prepare several filters at once.
    let model = used_model(&small(16));
    let batches: Vec<Array4<f32>> = [1, 2, 7, 30].map(|n| random((n, 13, 12, 1), n as u64)).into();
    let expected: Vec<Vec<u32>> = batches.iter().map(|x| bits(&logits(&used_model(&small(16)), x))).collect();
    let (model, batches) = (&model, &batches);
    let found: Vec<Vec<Vec<u32>>> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..6).map(|first| scope.spawn(move || in_turn(model, batches, first))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(found.len(), 6);
    for found in found {
        assert_eq!(found, expected);
    }
}

/// The bits of the logits of every batch, computed in an order that begins with batch `first` and in one workspace.
fn in_turn(model: &ResNet, batches: &[Array4<f32>], first: usize) -> Vec<Vec<u32>> {
    let mut workspace = Workspace::default();
    let mut found = vec![Vec::new(); batches.len()];
    for step in 0..3 * batches.len() {
        let batch = (first + step) % batches.len();
        found[batch] = bits(model.infer(&batches[batch], &mut workspace));
    }
    found
}

#[test]
fn tasks_of_one_pool_share_one_model() {
    // A thread that waits for subtasks runs other tasks of the pool, also while it prepares a filter.
    let model = used_model(&small(16));
    let x = random((3, 13, 12, 1), 71);
    let expected = bits(&logits(&used_model(&small(16)), &x));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
    let found: Vec<Vec<u32>> =
        pool.install(|| (0..16).into_par_iter().map(|_| bits(&logits(&model, &x))).collect());
    assert!(found.len() == 16 && found.iter().all(|found| *found == expected));
}

/// What is stored beside the logits must not change them, nor depend on what the workspace held before.
#[test]
fn a_workspace_has_the_output_of_the_first_block() {
    const ONE_BLOCK: &[BlockSpec] = &[BlockSpec::Block { name: "conv1", width_multiple: 1, pool: true }];
    let x = random((3, 16, 24, 1), 72);
    let mut workspace = Workspace::default();
    used_model(&small(8)).infer(&x, &mut workspace);
    assert_eq!(workspace.first_block().shape(), [3, 16, 24, 8]);
    assert!(
        workspace.first_block().iter().any(|&y| y > 0.0) && workspace.first_block().iter().all(|&y| y >= 0.0)
    );
    let tiny = ResNet::new(Architecture { blocks: ONE_BLOCK, ..small(8).architecture() }, 1);
    tiny.infer(&x, &mut workspace);
    assert_eq!(workspace.first_block().shape(), [3, 8, 12, 8]);
    assert_eq!(workspace.first_block(), workspace.feature_map(), "the first block is the last");
}

#[test]
fn a_workspace_has_the_features_that_the_logits_were_computed_from() {
    let model = used_model(&small(8));
    let x = random((3, 17, 25, 1), 72);
    let mut workspace = Workspace::default();
    model.infer(&random((5, 16, 16, 1), 73), &mut workspace);
    let logits = model.infer(&x, &mut workspace).clone();
    assert_eq!(bits(workspace.logits()), bits(&logits));
    assert_eq!(workspace.feature_map().shape(), [3, 2, 3, 64]);
    assert_eq!(workspace.features().shape(), [3, 1, 1, 64]);
    for (map, features) in workspace.feature_map().outer_iter().zip(workspace.features().outer_iter()) {
        let largest = map.lanes(Axis(2)).into_iter().fold(vec![f32::NEG_INFINITY; 64], |largest, pixel| {
            largest.iter().zip(pixel).map(|(a, b)| a.max(*b)).collect()
        });
        assert_eq!(bits(&largest), bits(features));
    }
    let mut expected = vec![f32::NAN; 3 * 3];
    model.for_each_parameter(&mut |parameter| {
        if parameter.name == "classifier.weight" {
            let features = slice(workspace.features());
            linear_forward(features, &parameter.value, &[0.0; 3], &mut expected);
        }
    });
    model.for_each_parameter(&mut |parameter| {
        if parameter.name == "classifier.bias" {
            expected.iter_mut().zip(parameter.value.iter().cycle()).for_each(|(y, bias)| *y += bias);
        }
    });
    for (logit, expected) in logits.iter().zip(&expected) {
        assert!((logit - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{logit} against {expected}");
    }
}
