//! A batch of the Python version: a pickled dictionary with `labels`, a list, and `data`, a NumPy array of
//! `(n, 3072)` bytes.
//!
//! Nothing in the file is ever executed: an array is known by the arguments that it would be rebuilt from. They are
//! the state `(1, (n, 3072), dtype, False, bytes)`, or from pickle's fifth protocol on `(bytes, dtype, (n, 3072), "C")`.

use std::borrow::Cow;

use self::machine::{Index, Pickle, Value, latin_1};
use super::VALUES;

mod machine;

/// Labels and values of the pictures.
pub(super) fn batch(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let (pickle, root) = Pickle::read(bytes)
        .map_err(|reason| format!("it is no CIFAR-10 batch, or a damaged one ({reason}); fetch it again"))?;
    let Value::Dict(entries) = pickle.value(root) else {
        return Err("it is no CIFAR-10 batch: expected a dictionary with `data` and `labels`".to_owned());
    };
    let entry = |key: &str| {
        // The last of a key, as in Python.
        let found = entries.chunks_exact(2).rfind(|entry| name(&pickle, entry[0]) == Some(key.as_bytes()));
        found.map(|entry| entry[1]).ok_or_else(|| {
            format!("it has no `{key}`: expected a dictionary with `data` and `labels`; fetch CIFAR-10 again")
        })
    };
    let labels = labels(&pickle, entry("labels")?)?;
    let values = values(&pickle, entry("data")?)?;
    if values.len() != labels.len() * VALUES {
        return Err(format!(
            "`data` has {} values for {} labels, expected {VALUES} each; fetch it again",
            values.len(),
            labels.len()
        ));
    }
    Ok((labels, values))
}

fn labels(pickle: &Pickle<'_>, at: Index) -> Result<Vec<u8>, String> {
    let expected = || "`labels` is no list of the numbers 0 to 9; fetch CIFAR-10 again".to_owned();
    let Value::List(labels) = pickle.value(at) else { return Err(expected()) };
    let label = |&label: &Index| match pickle.value(label) {
        Value::Int(label) => u8::try_from(*label).map_err(|_| expected()),
        _ => Err(expected()),
    };
    labels.iter().map(label).collect()
}

/// The bytes of an array, if it is one of `(n, 3072)` in C order.
fn values(pickle: &Pickle<'_>, at: Index) -> Result<Vec<u8>, String> {
    let expected =
        || format!("`data` is no array of uint8 of the shape (n, {VALUES}) in C order; save it so");
    let array = match *pickle.value(at) {
        Value::Call { function, arguments, state } => match (global(pickle, function), state) {
            (Some(b"_reconstruct"), Some(state)) => match tuple(pickle, state) {
                [_, shape, dtype, is_fortran, bytes] => {
                    Some((*shape, *dtype, matches!(pickle.value(*is_fortran), Value::Int(0)), *bytes))
                }
                _ => None,
            },
            (Some(b"_frombuffer"), None) => match tuple(pickle, arguments) {
                [bytes, dtype, shape, order] => {
                    Some((*shape, *dtype, name(pickle, *order) == Some(b"C"), *bytes))
                }
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    let (shape, dtype, is_c_order, bytes) = array.ok_or_else(expected)?;
    let is_shape = match tuple(pickle, shape) {
        [_, values] => matches!(pickle.value(*values), Value::Int(values) if *values == VALUES as i64),
        _ => false,
    };
    if !is_c_order || !is_shape || !is_uint8(pickle, dtype) {
        return Err(expected());
    }
    Ok(byte_string(pickle, bytes).ok_or_else(expected)?.into_owned())
}

/// Whether it is `numpy.dtype("u1", ...)`, by any of the names of uint8.
fn is_uint8(pickle: &Pickle<'_>, at: Index) -> bool {
    let Value::Call { function, arguments, .. } = *pickle.value(at) else { return false };
    let kind = tuple(pickle, arguments).first().and_then(|&kind| name(pickle, kind));
    global(pickle, function) == Some(b"dtype")
        && kind.is_some_and(|kind| [&b"u1"[..], b"|u1", b"B", b"uint8"].contains(&kind))
}

fn tuple<'a>(pickle: &'a Pickle<'_>, at: Index) -> &'a [Index] {
    if let Value::Tuple(items) = pickle.value(at) { items } else { &[] }
}

/// The name of a function or class of NumPy, whose modules change theirs.
fn global<'a>(pickle: &'a Pickle<'_>, at: Index) -> Option<&'a [u8]> {
    let Value::Global { module, name: function } = *pickle.value(at) else { return None };
    name(pickle, module)?.starts_with(b"numpy").then(|| name(pickle, function))?
}

/// What Python 3 writes for bytes where a protocol has none: the text of their characters, to be encoded.
fn to_encode<'a>(pickle: &'a Pickle<'_>, at: Index) -> Option<&'a str> {
    let Value::Call { function, arguments, state: None } = *pickle.value(at) else { return None };
    let Value::Global { module, name } = *pickle.value(function) else { return None };
    let text = |at: Index| if let Value::Text(text) = pickle.value(at) { Some(&**text) } else { None };
    match tuple(pickle, arguments) {
        [characters, _] if (text(module), text(name)) == (Some("_codecs"), Some("encode")) => {
            text(*characters)
        }
        _ => None,
    }
}

/// A name, as text or as bytes. All that are asked for are ASCII.
fn name<'a>(pickle: &'a Pickle<'_>, at: Index) -> Option<&'a [u8]> {
    match pickle.value(at) {
        Value::Bytes(bytes) => Some(bytes),
        Value::Text(text) => Some(text.as_bytes()),
        _ => to_encode(pickle, at).map(str::as_bytes),
    }
}

fn byte_string<'a>(pickle: &'a Pickle<'_>, at: Index) -> Option<Cow<'a, [u8]>> {
    match pickle.value(at) {
        Value::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
        _ => to_encode(pickle, at).map(|text| latin_1(text).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python and NumPy 2 write of `{"labels": [7], "data": ...}` before and after the bytes of the array.
    const PROTOCOLS: [(&[u8], &[u8]); 3] = [
        (
            b"(dp0\nVlabels\np1\n(lp2\nI7\nasVdata\np3\ncnumpy._core.multiarray\n_reconstruct\np4\n(cnumpy\nndarray\n\
              p5\n(I0\ntp6\nc_codecs\nencode\np7\n(Vb\np8\nVlatin1\np9\ntp10\nRp11\ntp12\nRp13\n(I1\n(I1\nI3072\ntp14\n\
              cnumpy\ndtype\np15\n(Vu1\np16\nI00\nI01\ntp17\nRp18\n(I3\nV|\np19\nNNNI-1\nI-1\nI0\ntp20\nbI00\ng7\n(V",
            b"\np21\ng9\ntp22\nRp23\ntp24\nbs.",
        ),
        (
            b"\x80\x02}q\x00(X\x06\x00\x00\x00labelsq\x01]q\x02K\x07aX\x04\x00\x00\x00dataq\x03\
              cnumpy._core.multiarray\n_reconstruct\nq\x04cnumpy\nndarray\nq\x05K\x00\x85q\x06c_codecs\nencode\nq\x07\
              X\x01\x00\x00\x00bq\x08X\x06\x00\x00\x00latin1q\t\x86q\nRq\x0b\x87q\x0cRq\r(K\x01K\x01M\x00\x0c\x86q\x0e\
              cnumpy\ndtype\nq\x0fX\x02\x00\x00\x00u1q\x10\x89\x88\x87q\x11Rq\x12(K\x03X\x01\x00\x00\x00|q\x13NNN\
              J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x14b\x89h\x07X\x00\x0c\x00\x00",
            b"q\x15h\t\x86q\x16Rq\x17tq\x18bu.",
        ),
        (
            b"\x80\x05\x95\x90\x0c\x00\x00\x00\x00\x00\x00}\x94(\x8c\x06labels\x94]\x94K\x07a\x8c\x04data\x94\
              \x8c\x13numpy._core.numeric\x94\x8c\x0b_frombuffer\x94\x93\x94(\x96\x00\x0c\x00\x00\x00\x00\x00\x00",
            b"\x94\x8c\x05numpy\x94\x8c\x05dtype\x94\x93\x94\x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNN\
              J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94bK\x01M\x00\x0c\x86\x94\x8c\x01C\x94t\x94R\x94u.",
        ),
    ];

    #[test]
    fn every_protocol_gives_the_same_batch() {
        for (before, after) in PROTOCOLS {
            let bytes = [before, &[b'a'; VALUES], after].concat();
            assert_eq!(batch(&bytes), Ok((vec![7], vec![b'a'; VALUES])));
        }
    }

    #[test]
    fn only_uint8_is_an_array_of_pictures() {
        let of_type = |name: &[u8; 2]| {
            let (before, after) = PROTOCOLS[0];
            let at = before.windows(3).position(|window| window == b"Vu1").expect("the type");
            let before = [&before[..=at], name, &before[at + 3..]].concat();
            batch(&[&before, &[b'a'; VALUES][..], after].concat())
        };
        assert!(of_type(b"u1").is_ok());
        for other in [b"i1", b"u2", b"b1", b"S1"] {
            assert!(of_type(other).is_err_and(|told| told.contains("no array of uint8")));
        }
    }

    #[test]
    fn bytes_that_a_line_cannot_hold_are_escaped_in_protocol_0() {
        let (before, after) = PROTOCOLS[0];
        let line = [&b"\\u000a\\u005c\xff"[..], &[b'a'; VALUES - 3]].concat();
        let (_, values) = batch(&[before, &line, after].concat()).expect("a batch");
        assert_eq!(values[..4], [b'\n', b'\\', 0xff, b'a']);
    }
}
