//! The header of an array in an `.npz` file, checked before a parser of Python literals reads it.
//!
//! Format: NumPy, `numpy.lib.format`: `\x93NUMPY`, two bytes of version, the length of the text (two bytes in version 1,
//! four later), and a Python dictionary such as `{'descr': '|u1', 'fortran_order': False, 'shape': (40, 28, 28), }`.

use std::io::Read;

use npyz::NpyHeader;

/// Most bytes of the text; NumPy writes about a hundred.
pub(super) const MOST_TEXT: usize = 1 << 12;
/// Most bytes before the text.
const PREFIX: usize = 12;
/// Most digits in the header: with more, the product of the sides might not fit into 64 bits.
const MOST_DIGITS: usize = 18;
/// Most opening brackets: with many, a recursive parser would overflow the stack.
const MOST_BRACKETS: usize = 8;

/// Reads a header: the number of its bytes, and the header itself.
///
/// # Errors
/// The reason why it is not the header of an array of plain numbers, as text that follows "is damaged".
pub(super) fn read(from: &mut impl Read) -> Result<(u64, NpyHeader), String> {
    let unreadable = |error: std::io::Error| format!("its header: {error}");
    let mut bytes = Vec::with_capacity(PREFIX + MOST_TEXT);
    from.take(8).read_to_end(&mut bytes).map_err(unreadable)?;
    let width = match bytes.get(6) {
        Some(1) => 2,
        Some(2 | 3) => 4,
        _ => return Err("it does not start like an array".to_owned()),
    };
    from.take(width).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() < 8 + width as usize {
        return Err("it is truncated".to_owned());
    }
    let length = bytes[8..].iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte));
    if length > MOST_TEXT {
        return Err(format!("its header has {length} bytes, more than the limit of {MOST_TEXT}"));
    }
    from.take(length as u64).read_to_end(&mut bytes).map_err(unreadable)?;
    let text = &bytes[8 + width as usize..];
    let n_digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    let n_brackets = text.iter().filter(|byte| b"([{".contains(byte)).count();
    // Numbers such as 0xFF, which are valid in Python too.
    let has_prefix =
        text.windows(2).any(|pair| pair[0] == b'0' && (pair[1].is_ascii_alphabetic() || pair[1] == b'_'));
    if n_digits > MOST_DIGITS || n_brackets > MOST_BRACKETS || has_prefix {
        return Err(
            "its header is not that of an image array: the shape is too large, or it is nested".to_owned()
        );
    }
    let header = NpyHeader::from_reader(&bytes[..]).map_err(unreadable)?;
    Ok((bytes.len() as u64, header))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len()).expect("a short text");
        [b"\x93NUMPY\x01\x00", &length.to_le_bytes()[..], text.as_bytes()].concat()
    }

    #[test]
    fn a_header_is_read_to_its_last_byte() {
        let bytes = header("{'descr': '|u1', 'fortran_order': False, 'shape': (40, 28, 28), }\n");
        let mut rest = &[&bytes[..], b"pixels"].concat()[..];
        let (n_bytes, header) = read(&mut rest).expect("a header");
        assert_eq!((n_bytes, header.shape(), rest), (bytes.len() as u64, &[40, 28, 28][..], &b"pixels"[..]));
    }

    #[test]
    fn no_header_makes_the_parser_panic() {
        let shaped =
            |shape: &str| header(&format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"));
        for bytes in [
            shaped("(9000000000000000000, 20000, 20000)"),
            shaped("(0xFFFFFFFFFFFFFFFF, 0xFFFF)"),
            shaped(&"(".repeat(3_000)),
            shaped("'\\"),
            shaped("(-1,)"),
            header(""),
            header("{'descr': [[[[[[[[[["),
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(),
            b"\x93NUMPY\x02\x00\xff".to_vec(),
            b"\x93NUMPY\x09\x00\x01\x00 ".to_vec(),
            b"\x93NUM".to_vec(),
            Vec::new(),
        ] {
            assert!(read(&mut &bytes[..]).is_err(), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}
