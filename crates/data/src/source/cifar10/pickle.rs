//! A batch of the Python version: a pickled dictionary with `labels`, a list, and `data`, a NumPy array of
//! `(n, 3072)` bytes.
//!
//! Nothing in the file is ever executed: classes that it names are passed by, and of an array the arguments it
//! would be rebuilt from are left. That is its state `(1, (n, 3072), dtype, False, bytes)`, or from pickle's fifth
//! protocol on `(bytes, dtype, (n, 3072), "C")`.

use serde_pickle::{DeOptions, HashableValue, Value};

use super::VALUES;

/// Labels and values of the pictures.
pub(super) fn batch(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let options = DeOptions::new().replace_unresolved_globals().keep_restore_state();
    let value = serde_pickle::value_from_slice(bytes, options)
        .map_err(|error| format!("it is no CIFAR-10 batch, or a damaged one ({error}); fetch it again"))?;
    let Value::Dict(mut entries) = value else {
        return Err("it is no CIFAR-10 batch: expected a dictionary with `data` and `labels`".to_owned());
    };
    let mut take = |key: &str| {
        let name = [HashableValue::Bytes(key.as_bytes().to_vec()), HashableValue::String(key.to_owned())];
        name.iter().find_map(|name| entries.remove(name)).ok_or_else(|| format!("it has no `{key}`"))
    };
    let labels = labels(take("labels")?)?;
    let values = values(take("data")?)?;
    if values.len() != labels.len() * VALUES {
        return Err(format!(
            "`data` has {} values for {} labels, expected {VALUES} each; fetch it again",
            values.len(),
            labels.len()
        ));
    }
    Ok((labels, values))
}

fn labels(value: Value) -> Result<Vec<u8>, String> {
    let expected = || "`labels` is no list of the numbers 0 to 9".to_owned();
    let Value::List(labels) = value else { return Err(expected()) };
    let label = |value: &Value| match value {
        Value::I64(label) => u8::try_from(*label).map_err(|_| expected()),
        _ => Err(expected()),
    };
    labels.iter().map(label).collect()
}

/// The bytes of an array, if it is one of `(n, 3072)` in C order.
fn values(value: Value) -> Result<Vec<u8>, String> {
    let expected = || format!("`data` is no array of uint8 of the shape (n, {VALUES}) in C order");
    let Value::Tuple(state) = value else { return Err(expected()) };
    let is_shape = |value: &Value| matches!(value, Value::Tuple(sides) if matches!(&sides[..], [Value::I64(_), Value::I64(values)] if *values == VALUES as i64));
    let is_fortran = state.iter().any(|value| match value {
        Value::Bool(is_fortran) => *is_fortran,
        Value::String(order) => order == "F",
        _ => false,
    });
    if is_fortran || !state.iter().any(is_shape) {
        return Err(expected());
    }
    let bytes = |value: Value| if let Value::Bytes(bytes) = value { Some(bytes) } else { None };
    state.into_iter().find_map(bytes).ok_or_else(expected)
}
