//! Reads a pickle without executing any of it.
//!
//! A pickle is a program for a machine with a stack, marks on it and a memo (Python's `pickletools` documents the
//! opcodes of protocols 0 to 5). Here each opcode adds a value or two to one flat list, in which they refer to each
//! other by index: what is repeated, nested a million deep or part of itself costs no more than its opcodes, and nothing
//! walks it by recursion. What numbers, text and arrays in a dictionary do not need is refused.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Most opcodes that are read; a batch of CIFAR-10 has some 120,000 at most.
const MOST_OPCODES: usize = 1 << 20;

/// Of a value among [`Pickle::values`].
pub(super) type Index = usize;

/// What an opcode makes.
#[derive(Debug)]
pub(super) enum Value<'a> {
    /// Also `False` and `True`, as 0 and 1.
    Int(i64),
    Bytes(Cow<'a, [u8]>),
    Text(Cow<'a, str>),
    Tuple(Vec<Index>),
    List(Vec<Index>),
    /// Keys and values in turn.
    Dict(Vec<Index>),
    /// A function or class.
    Global {
        module: Index,
        name: Index,
    },
    /// What a call would have made, and the state that it would have been given afterwards.
    Call {
        function: Index,
        arguments: Index,
        state: Option<Index>,
    },
    /// `None`, floating point numbers, integers beyond 64 bits.
    Other,
}

/// A pickle that was read.
#[derive(Debug, Default)]
pub(super) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    stack: Vec<Index>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Index>,
    rest: &'a [u8],
}

impl<'a> Pickle<'a> {
    /// The values and the index of the last one on the stack.
    ///
    /// # Errors
    /// The first byte that is not understood.
    pub(super) fn read(bytes: &'a [u8]) -> Result<(Self, Index), String> {
        let mut pickle = Self { rest: bytes, ..Self::default() };
        for _ in 0..MOST_OPCODES {
            let at = bytes.len() - pickle.rest.len();
            let opcode = *pickle.take(1).and_then(<[u8]>::first).ok_or("it stops before its end")?;
            let done = match opcode {
                b'.' => pickle.stack.pop().map(Some),
                _ => pickle.step(opcode).map(|()| None),
            };
            match done {
                Some(Some(root)) => return Ok((pickle, root)),
                Some(None) => {}
                None => return Err(format!("opcode 0x{opcode:02x} at byte {at} is wrong there")),
            }
        }
        Err(format!("it has more than {MOST_OPCODES} opcodes"))
    }

    pub(super) fn value(&self, index: Index) -> &Value<'a> {
        &self.values[index]
    }

    /// `None` if the opcode is none of ours, or lacks what it takes.
    fn step(&mut self, opcode: u8) -> Option<()> {
        match opcode {
            // PROTO, FRAME
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            // PUT, BINPUT, LONG_BINPUT, MEMOIZE
            b'p' => self.text_number().and_then(|key| self.put(key))?,
            b'q' => self.number(1).and_then(|key| self.put(key))?,
            b'r' => self.number(4).and_then(|key| self.put(key))?,
            0x94 => self.put(self.memo.len() as u64)?,
            // GET, BINGET, LONG_BINGET
            b'g' => self.text_number().and_then(|key| self.get(key))?,
            b'h' => self.number(1).and_then(|key| self.get(key))?,
            b'j' => self.number(4).and_then(|key| self.get(key))?,

            // NONE, FLOAT, BINFLOAT
            b'N' => self.push(Value::Other),
            b'F' => self.line().map(|_| self.push(Value::Other))?,
            b'G' => self.take(8).map(|_| self.push(Value::Other))?,
            // NEWFALSE, NEWTRUE; INT, LONG, BININT, BININT1, BININT2, LONG1, LONG4
            0x89 => self.push(Value::Int(0)),
            0x88 => self.push(Value::Int(1)),
            b'I' | b'L' => {
                let line = std::str::from_utf8(self.line()?).ok()?;
                let int = line.strip_suffix('L').unwrap_or(line).parse();
                self.push(int.map_or(Value::Other, Value::Int));
            }
            b'J' => self.take(4).map(|bytes| self.push(int(bytes)))?,
            b'K' => self.number(1).map(|number| self.push(Value::Int(number as i64)))?,
            b'M' => self.number(2).map(|number| self.push(Value::Int(number as i64)))?,
            0x8a => self.counted(1).map(|bytes| self.push(int(bytes)))?,
            0x8b => self.counted(4).map(|bytes| self.push(int(bytes)))?,

            // SHORT_BINBYTES, SHORT_BINSTRING; BINBYTES, BINSTRING; BINBYTES8, BYTEARRAY8; STRING
            b'C' | b'U' => self.counted(1).map(|bytes| self.push(Value::Bytes(bytes.into())))?,
            b'B' | b'T' => self.counted(4).map(|bytes| self.push(Value::Bytes(bytes.into())))?,
            0x8e | 0x96 => self.counted(8).map(|bytes| self.push(Value::Bytes(bytes.into())))?,
            b'S' => {
                let quoted = self.line()?;
                let text = unescaped(quoted.get(1..quoted.len().checked_sub(1)?)?)?;
                self.push(Value::Bytes(latin_1(&text).into()));
            }
            // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8, UNICODE
            0x8c => self.counted(1).and_then(|bytes| self.push_text(bytes))?,
            b'X' => self.counted(4).and_then(|bytes| self.push_text(bytes))?,
            0x8d => self.counted(8).and_then(|bytes| self.push_text(bytes))?,
            b'V' => self.line().and_then(unescaped).map(|text| self.push(Value::Text(text.into())))?,

            // EMPTY_TUPLE, TUPLE1 to 3, TUPLE
            b')' => self.push(Value::Tuple(Vec::new())),
            0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(opcode - 0x84))?;
                let items = self.stack.split_off(from);
                self.push(Value::Tuple(items));
            }
            b't' => self.marked().map(|items| self.push(Value::Tuple(items)))?,
            // EMPTY_LIST, LIST, EMPTY_DICT, DICT
            b']' => self.push(Value::List(Vec::new())),
            b'l' => self.marked().map(|items| self.push(Value::List(items)))?,
            b'}' => self.push(Value::Dict(Vec::new())),
            b'd' => self.marked().map(|items| self.push(Value::Dict(items)))?,
            // APPEND, SETITEM; APPENDS, SETITEMS
            b'a' | b's' => {
                let from = self.stack.len().checked_sub(if opcode == b'a' { 1 } else { 2 })?;
                let items = self.stack.split_off(from);
                self.extend(items)?;
            }
            b'e' | b'u' => self.marked().and_then(|items| self.extend(items))?,

            // GLOBAL, STACK_GLOBAL, REDUCE, BUILD
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push_text(module)?;
                self.push_text(name)?;
                self.push_global()?;
            }
            0x93 => self.push_global()?,
            b'R' => {
                let (arguments, function) = (self.stack.pop()?, self.stack.pop()?);
                self.push(Value::Call { function, arguments, state: None });
            }
            b'b' => {
                let built = self.stack.pop()?;
                let Value::Call { state, .. } = &mut self.values[*self.stack.last()?] else { return None };
                *state = Some(built);
            }
            _ => return None,
        }
        Some(())
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(taken)
    }

    /// Without its end.
    fn line(&mut self) -> Option<&'a [u8]> {
        let line = self.take(self.rest.iter().position(|&byte| byte == b'\n')?)?;
        self.take(1)?;
        Some(line)
    }

    /// A number of `width` bytes, little endian.
    fn number(&mut self, width: usize) -> Option<u64> {
        Some(self.take(width)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// A number in decimal digits, on a line.
    fn text_number(&mut self) -> Option<u64> {
        std::str::from_utf8(self.line()?).ok()?.parse().ok()
    }

    /// As many bytes as a number of `width` bytes before them says.
    fn counted(&mut self, width: usize) -> Option<&'a [u8]> {
        let n = self.number(width)?;
        self.take(usize::try_from(n).ok()?)
    }

    fn push(&mut self, value: Value<'a>) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn push_text(&mut self, bytes: &'a [u8]) -> Option<()> {
        self.push(Value::Text(std::str::from_utf8(bytes).ok()?.into()));
        Some(())
    }

    fn push_global(&mut self) -> Option<()> {
        let (name, module) = (self.stack.pop()?, self.stack.pop()?);
        self.push(Value::Global { module, name });
        Some(())
    }

    fn put(&mut self, key: u64) -> Option<()> {
        self.memo.insert(u32::try_from(key).ok()?, *self.stack.last()?);
        Some(())
    }

    fn get(&mut self, key: u64) -> Option<()> {
        self.stack.push(*self.memo.get(&u32::try_from(key).ok()?)?);
        Some(())
    }

    /// All above the last mark.
    fn marked(&mut self) -> Option<Vec<Index>> {
        let from = self.marks.pop()?;
        (from <= self.stack.len()).then(|| self.stack.split_off(from))
    }

    /// Adds to the list or dictionary on the stack.
    fn extend(&mut self, items: Vec<Index>) -> Option<()> {
        let (Value::List(all) | Value::Dict(all)) = &mut self.values[*self.stack.last()?] else {
            return None;
        };
        all.extend(items);
        Some(())
    }
}

/// A signed number of any width, little endian.
fn int<'a>(bytes: &[u8]) -> Value<'a> {
    let sign = bytes.last().map_or(0, |&byte| if byte < 128 { 0 } else { -1 });
    match bytes.len() {
        0..=8 => Value::Int(bytes.iter().rev().fold(sign, |int, &byte| int << 8 | i64::from(byte))),
        _ => Value::Other,
    }
}

/// The characters of a line of protocol 0, in which some are escaped: `\u000a`, and in that of Python 2 `\x0a` or `\n`.
fn unescaped(line: &[u8]) -> Option<String> {
    let mut text = String::new();
    let mut rest = line.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'\\' {
            text.push(char::from(byte));
            continue;
        }
        let n_digits = match rest.next()? {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            plain => {
                text.push(match plain {
                    b'n' => '\n',
                    b'r' => '\r',
                    b't' => '\t',
                    _ => char::from(*plain),
                });
                continue;
            }
        };
        let digits = std::str::from_utf8(rest.as_slice().get(..n_digits)?).ok()?;
        let code = u32::from_str_radix(digits, 16).ok()?;
        text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = rest.as_slice()[n_digits..].iter();
    }
    Some(text)
}

/// The bytes that characters up to U+00FF stand for; others become a question mark.
pub(super) fn latin_1(text: &str) -> Vec<u8> {
    text.chars().map(|char| u8::try_from(u32::from(char)).unwrap_or(b'?')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each kind of opcode makes, as Python pickles it by protocols 0 to 5.
    #[test]
    fn text_bytes_and_numbers_are_read_in_every_spelling() {
        let read = |bytes: &'static [u8]| {
            let (pickle, root) = Pickle::read(bytes).expect("a pickle");
            format!("{:?}", pickle.value(root))
        };
        for bytes in [&b"I-7\n."[..], b"L-7L\n.", b"J\xf9\xff\xff\xff.", b"\x80\x02\x8a\x01\xf9."] {
            assert_eq!(read(bytes), "Int(-7)");
        }
        for bytes in [&b"I300\n."[..], b"M\x2c\x01.", b"\x8a\x02\x2c\x01."] {
            assert_eq!(read(bytes), "Int(300)");
        }
        assert_eq!([read(b"I01\n."), read(b"\x80\x02\x88."), read(b"K\x01.")], ["Int(1)"; 3]);
        assert_eq!([read(b"L99999999999999999999L\n."), read(b"G12345678.")], ["Other"; 2]);
        for bytes in [&b"Va\\u000a\xe9\n."[..], b"X\x04\x00\x00\x00a\n\xc3\xa9.", b"\x8c\x04a\n\xc3\xa9."] {
            assert_eq!(read(bytes), "Text(\"a\\né\")");
        }
        for bytes in [&b"S'\\n\\x00\\\\'\n."[..], b"U\x03\n\x00\\.", b"B\x03\x00\x00\x00\n\x00\\."] {
            assert_eq!(read(bytes), "Bytes([10, 0, 92])");
        }
    }

    #[test]
    fn a_list_is_one_wherever_it_is_referred_to() {
        // [x, x] with x = [1], which gets its 1 after it was put into the memo.
        let (pickle, root) = Pickle::read(b"(]q\x00K\x01ah\x00l.").expect("a pickle");
        let Value::List(items) = pickle.value(root) else { panic!("{pickle:?}") };
        assert_eq!(items[0], items[1]);
        assert!(matches!(pickle.value(items[0]), Value::List(items) if items.len() == 1));
    }

    #[test]
    fn nothing_brings_the_machine_down() {
        let nested = [b"N".to_vec(), vec![0x85; 900_000], b".".to_vec()].concat();
        assert!(Pickle::read(&nested).is_ok(), "deep, but no deeper in memory");
        assert!(Pickle::read(b"]q\x00h\x00a.").is_ok(), "a list that holds itself");
        let endless = vec![b'('; MOST_OPCODES + 2];
        let too_long = [b"I".to_vec(), vec![b'9'; 1_000_000]].concat();
        for bytes in [
            &endless[..],
            &too_long,
            b"",
            b"N",
            b".",
            b"t.",
            b"N(0.",
            b"\x85.",
            b"K\x01a.",
            b"K\x01K\x02a.",
            b"N}b.",
            b"h\x00.",
            b"g-1\n.",
            b"S\n.",
            b"S'\n.",
            b"S'\\x1'\n.",
            b"V\\u12\n.",
            b"V\\\n.",
            b"X\x01\x00\x00\x00\xff.",
            b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
            b"N(R(t.",
            b"\xff.",
        ] {
            let told = Pickle::read(bytes).expect_err(&String::from_utf8_lossy(bytes));
            assert!(told.len() < 100, "{told}");
        }
    }
}
