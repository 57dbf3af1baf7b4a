//! The bytes of what is known of an image, in a cache file and between processes: numbers in little-endian order, texts and lists with their length before
//! them, the fields of a type one after the other.

use std::io::{self, Read};

use crate::decode::{Cause, Decoded, FileTraits, Unusable};
use crate::digest::ImageDigest;
use crate::duplicates::DuplicatePair;
use crate::file_facts::{FileFacts, HeaderPatient, Origin, ViewPosition};
use crate::file_identity::{ContentDigest, FileIdentity, Stamp};
use crate::pixel_file::{Place, StoredImage};
use crate::small_image::{SmallImage, WideSamples};
use crate::thumbnail::{SIDE, Thumbnail};

/// Longest text: a reason why a file cannot be used has a line or two.
const MAX_TEXT: u64 = 1 << 20;

/// Values of the detail of a thumbnail.
const DETAIL_LEN: usize = SIDE * SIDE;

/// A type that has a form in bytes.
pub(crate) trait Record: Sized {
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

/// Types by their fields: all of them, in their order.
macro_rules! fields {
    ($($type:ident { $($field:ident),* })*) => { $(
        impl $crate::record::Record for $type {
            fn write(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($field.write(out);)*
            }

            fn read(input: &mut impl std::io::Read) -> std::io::Result<Self> {
                $(let $field = $crate::record::Record::read(input)?;)*
                Ok(Self { $($field),* })
            }
        }
    )* };
}

pub(crate) use fields;

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
    Decoded { image, thumbnail, facts, origin, traits }
    Thumbnail { digest, detail }
    FileFacts {
        width, height, bit_depth, channels, mean, colour, jpeg_quantisation, device, view, is_monochrome1
    }
    FileTraits {
        is_misnamed, is_reoriented, has_several_images, has_ignored_alpha, has_blank_end, is_negative, significant_bits,
        inverted_bits
    }
    Place { start, check }
    StoredImage { place, height, width, channels }
    Origin { patient, study, device, view, has_burned_in_text }
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
        write_bytes(self.as_bytes(), out);
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        Self::from_utf8(read_bytes(MAX_TEXT, input)?).or_else(|_| invalid())
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    bytes.len().write(out);
    out.extend(bytes);
}

/// No memory is reserved for the length: it may be wrong.
fn read_bytes(most: u64, input: &mut impl Read) -> io::Result<Vec<u8>> {
    let n = u64::read(input)?;
    let mut bytes = Vec::new();
    if n > most || input.take(n).read_to_end(&mut bytes)? as u64 != n {
        return invalid();
    }
    Ok(bytes)
}

impl Record for [i8; DETAIL_LEN] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.map(i8::cast_unsigned));
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        Ok(<[u8; DETAIL_LEN]>::read(input)?.map(u8::cast_signed))
    }
}

/// With its pixels, which are in memory. Whether they are as many as its sides ask for is checked.
impl Record for SmallImage {
    fn write(&self, out: &mut Vec<u8>) {
        let Self { width, height, channels, coloured, small, content, wide, place, .. } = self;
        (*width, *height).write(out);
        channels.write(out);
        (*coloured, *small).write(out);
        content.write(out);
        wide.as_ref().map(|wide| wide.needed_bits).write(out);
        place.write(out);
        write_bytes(&self.samples(), out);
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        let (width, height) = Record::read(input)?;
        let channels = Record::read(input)?;
        let (coloured, small) = Record::read(input)?;
        let content = Record::read(input)?;
        let wide = Option::<u8>::read(input)?.map(WideSamples::of_bits).map(Box::new);
        let place = Record::read(input)?;
        let mut image =
            Self { width, height, channels, pixels: Vec::new(), coloured, small, content, wide, place };
        let samples = read_bytes(u64::MAX, input)?;
        if image.n_sample_bytes() != samples.len() {
            return invalid();
        }
        image.put_samples(samples);
        Ok(image)
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
