//! The bytes of what a cache file holds beside pixels: numbers in little-endian order, texts and lists with their length before
//! them, the fields of a type one after the other.

use std::io::{self, Read};

use crate::cache::CachedImage;
use crate::decode::{Cause, FileTraits, Unusable};
use crate::digest::ImageDigest;
use crate::duplicates::DuplicatePair;
use crate::file_facts::{FileFacts, HeaderPatient, Origin, ViewPosition};
use crate::file_identity::{ContentDigest, FileIdentity, Stamp};
use crate::pixel_file::{Place, StoredImage};

/// Longest text: a reason why a file cannot be used has a line or two.
const MAX_TEXT: u64 = 1 << 20;

/// A type that has a form in bytes.
pub(super) trait Record: Sized {
    fn write(&self, out: &mut Vec<u8>);

    /// # Errors
    /// [`io::ErrorKind::InvalidData`] for bytes that are no value of the type; that of `input`.
    fn read(input: &mut impl Read) -> io::Result<Self>;
}

fn invalid<T>() -> io::Result<T> {
    Err(io::ErrorKind::InvalidData.into())
}

/// Numbers.
macro_rules! numbers {
    ($($number:ty),*) => { $(
        impl Record for $number {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend(self.to_le_bytes());
            }

            fn read(input: &mut impl Read) -> io::Result<Self> {
                Ok(Self::from_le_bytes(Record::read(input)?))
            }
        }
    )* };
}

/// Types by their fields: all of them, in the order of the file.
macro_rules! fields {
    ($($type:ident { $($field:ident),* })*) => { $(
        impl Record for $type {
            fn write(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($field.write(out);)*
            }

            fn read(input: &mut impl Read) -> io::Result<Self> {
                $(let $field = Record::read(input)?;)*
                Ok(Self { $($field),* })
            }
        }
    )* };
}

/// Types of one field without a name.
macro_rules! wrappers {
    ($($type:ident),*) => { $(
        impl Record for $type {
            fn write(&self, out: &mut Vec<u8>) {
                self.0.write(out);
            }

            fn read(input: &mut impl Read) -> io::Result<Self> {
                Ok(Self(Record::read(input)?))
            }
        }
    )* };
}

/// Types of a few values without fields, by their numbers.
macro_rules! choices {
    ($($type:ident { $($value:ident = $number:literal),* })*) => { $(
        impl Record for $type {
            fn write(&self, out: &mut Vec<u8>) {
                out.push(match self { $(Self::$value => $number),* });
            }

            fn read(input: &mut impl Read) -> io::Result<Self> {
                match u8::read(input)? {
                    $($number => Ok(Self::$value),)*
                    _ => invalid(),
                }
            }
        }
    )* };
}

numbers!(u8, i8, u32, u64, f32, f64);
wrappers!(ImageDigest, ContentDigest, Stamp);
choices! {
    ViewPosition { Pa = 0, Ap = 1, Lateral = 2, Other = 3 }
    Cause { BadFile = 0, OtherKind = 1, OpenFiles = 2 }
}
fields! {
    CachedImage { pixels, content, is_coloured, is_small, digest, facts, origin, traits }
    FileFacts {
        width, height, bit_depth, channels, mean, colour, jpeg_quantisation, device, view, is_monochrome1
    }
    FileTraits {
        is_misnamed, is_reoriented, has_several_images, has_ignored_alpha, has_blank_end, is_negative, significant_bits
    }
    Place { start, check }
    StoredImage { place, height, width, channels }
    Origin { patient, device, view, has_burned_in_text }
    FileIdentity { digest, stamp }
    Unusable { reason, cause }
    DuplicatePair { a, b, similarity }
}

impl<const N: usize> Record for [u8; N] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self);
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        let mut bytes = [0; N];
        input.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl Record for usize {
    fn write(&self, out: &mut Vec<u8>) {
        (*self as u64).write(out);
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        Self::try_from(u64::read(input)?).or_else(|_| invalid())
    }
}

impl Record for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        match u8::read(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => invalid(),
        }
    }
}

impl<A: Record, B: Record> Record for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        Ok((A::read(input)?, B::read(input)?))
    }
}

impl<T: Record> Record for Box<T> {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        T::read(input).map(Self::new)
    }
}

impl<T: Record> Record for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.is_some().write(out);
        self.iter().for_each(|value| value.write(out));
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        Ok(if bool::read(input)? { Some(T::read(input)?) } else { None })
    }
}

impl<T: Record, E: Record> Record for Result<T, E> {
    fn write(&self, out: &mut Vec<u8>) {
        self.is_ok().write(out);
        match self {
            Ok(value) => value.write(out),
            Err(error) => error.write(out),
        }
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        Ok(if bool::read(input)? { Ok(T::read(input)?) } else { Err(E::read(input)?) })
    }
}

impl<T: Record> Record for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.len().write(out);
        self.iter().for_each(|value| value.write(out));
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        // No memory is reserved for a length: it may be wrong.
        let n = usize::read(input)?;
        (0..n).map(|_| T::read(input)).collect()
    }
}

impl Record for String {
    fn write(&self, out: &mut Vec<u8>) {
        self.len().write(out);
        out.extend(self.as_bytes());
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        let n = u64::read(input)?;
        let mut bytes = Vec::new();
        if n > MAX_TEXT || input.take(n).read_to_end(&mut bytes)? as u64 != n {
            return invalid();
        }
        Self::from_utf8(bytes).or_else(|_| invalid())
    }
}

impl Record for HeaderPatient {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Identifier { id, issuer } => {
                true.write(out);
                id.write(out);
                issuer.write(out);
            }
            Self::Study(study) => {
                false.write(out);
                study.write(out);
            }
        }
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        Ok(match bool::read(input)? {
            true => Self::Identifier { id: Record::read(input)?, issuer: Record::read(input)? },
            false => Self::Study(Record::read(input)?),
        })
    }
}
