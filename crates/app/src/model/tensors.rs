//! The tensors of a model with PyTorch's names, shapes and order of axes.

use roentgen_layers::ResNet;
use roentgen_tensor::parameter::ParameterKind;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::little_endian::from_little_endian;

/// A tensor with PyTorch's name and order of axes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    /// Such as `res1.0.0.weight`.
    pub name: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Row-major: the last axis is contiguous.
    pub values: Vec<f32>,
}

/// The parameters of a model, then its running statistics.
#[must_use]
pub(crate) fn tensors(model: &ResNet) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    model.for_each_parameter(&mut |parameter| {
        let axes = axes_to_torch(parameter.kind);
        let shape = axes.iter().map(|&axis| parameter.shape[axis]).collect();
        let values = if axes.len() > 1 {
            transpose(&parameter.value, parameter.shape[parameter.shape.len() - 1])
        } else {
            parameter.value.to_vec()
        };
        tensors.push(Tensor { name: parameter.name.clone(), shape, values });
    });
    model.for_each_buffer(&mut |buffer| {
        let (name, shape) = (buffer.name.clone(), vec![buffer.value.len()]);
        tensors.push(Tensor { name, shape, values: buffer.value.to_vec() });
    });
    tensors
}

/// The transpose of a matrix of `n_columns` columns: it changes between our order of axes and PyTorch's, since our last axis
/// is PyTorch's first one and the others keep their order.
fn transpose(values: &[f32], n_columns: usize) -> Vec<f32> {
    /// Columns that are read together: as many as a cache line has.
    const BLOCK: usize = 16;
    let n_rows = values.len() / n_columns;
    let mut out = vec![0.0; values.len()];
    for first in (0..n_columns).step_by(BLOCK) {
        for (row, values) in values.chunks_exact(n_columns).enumerate() {
            for (column, &value) in values.iter().enumerate().skip(first).take(BLOCK) {
                out[column * n_rows + row] = value;
            }
        }
    }
    out
}

/// Sets the tensors whose names `takes` accepts to those of a file, which have `prefix` before their names.
pub(super) fn set_weights(
    model: &mut ResNet,
    tensors: &SafeTensors<'_>,
    prefix: &str,
    takes: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let mut outcome = Ok(());
    model.for_each_parameter_mut(&mut |parameter| {
        if !takes(&parameter.name) {
            return;
        }
        let axes = axes_to_torch(parameter.kind);
        let shape: Vec<usize> = axes.iter().map(|&axis| parameter.shape[axis]).collect();
        let read = read_tensor(tensors, &format!("{prefix}{}", parameter.name), &shape)
            .map(|values| parameter.value = from_torch(values, &shape));
        keep_first_error(&mut outcome, read);
    });
    model.for_each_buffer_mut(&mut |buffer| {
        let read = read_statistics(tensors, &format!("{prefix}{}", buffer.name), buffer.value.len());
        keep_first_error(&mut outcome, read.map(|values| buffer.value.copy_from_slice(&values)));
    });
    outcome
}

/// The `values`, of PyTorch's `shape`, in our order of axes.
fn from_torch(values: Vec<f32>, shape: &[usize]) -> Vec<f32> {
    match shape {
        [_] => values,
        [c_out, ..] => transpose(&values, values.len() / c_out),
        [] => unreachable!("a parameter has axes"),
    }
}

fn keep_first_error(outcome: &mut Result<(), String>, next: Result<(), String>) {
    if outcome.is_ok() {
        *outcome = next;
    }
}

/// The running mean or variance of a batch norm; no variance may be negative.
fn read_statistics(tensors: &SafeTensors<'_>, name: &str, len: usize) -> Result<Vec<f32>, String> {
    let values = read_tensor(tensors, name, &[len])?;
    match values.iter().find(|&&value| name.ends_with("running_var") && value < 0.0) {
        Some(value) => Err(format!("tensor {name} holds {value}, expected no negative number")),
        None => Ok(values),
    }
}

fn read_tensor(tensors: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
    let values = from_little_endian(expect_shape(tensors, name, shape)?.data());
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(format!("tensor {name} holds {} at {at}, expected a finite number", values[at])),
        None => Ok(values),
    }
}

/// The tensor `name`, if it is one of floats of this shape.
pub(super) fn expect_shape<'a>(
    tensors: &SafeTensors<'a>,
    name: &str,
    shape: &[usize],
) -> Result<TensorView<'a>, String> {
    let tensor = tensors.tensor(name).map_err(|_| format!("it has no tensor {name}"))?;
    if tensor.dtype() != Dtype::F32 || tensor.shape() != shape {
        let (dtype, found) = (tensor.dtype(), tensor.shape());
        return Err(format!("tensor {name} is {dtype:?} of shape {found:?}, expected F32 of {shape:?}"));
    }
    Ok(tensor)
}

/// Which of our axes is at each place in PyTorch's order.
fn axes_to_torch(kind: ParameterKind) -> &'static [usize] {
    match kind {
        ParameterKind::ConvWeight => &[3, 0, 1, 2],
        ParameterKind::LinearWeight => &[1, 0],
        ParameterKind::Bias | ParameterKind::BatchNormGamma | ParameterKind::BatchNormBeta => &[0],
    }
}
