//! The segments of a JPEG or JPEG-LS stream, and what its headers say (ITU-T T.81 section B.2, T.87 section C.2.2).

/// The start of a frame of JPEG-LS.
const SOF_LS: u8 = 0xF7;
pub(crate) const START_OF_SCAN: u8 = 0xDA;
pub(crate) const END_OF_IMAGE: u8 = 0xD9;
/// The segment in which Adobe's programs name the colour transform.
const APP14: u8 = 0xEE;
/// Most scans of a stream. Encoders write about ten; a decoder goes through the whole image for each, even if it is of a few bytes.
pub(crate) const MAX_SCANS: usize = 100;

/// A marker `FF xx`, with what follows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) marker: u8,
    /// What follows the two bytes of length.
    pub(crate) body: &'a [u8],
    /// The entropy-coded bytes behind the header of a scan: in them `FF 00` is a literal FF, and `FF D0` to `FF D7` are
    /// restarts.
    pub(crate) coded: &'a [u8],
}

/// The segments of `stream` up to the end of the image, or to one that is cut off. Bytes between segments are skipped, as
/// decoders do.
pub(crate) fn segments(stream: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut rest = stream.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.iter().position(|&byte| byte == 0xFF)?..];
            rest = &rest[rest.iter().position(|&byte| byte != 0xFF)?..];
            let (&marker, after) = rest.split_first()?;
            match marker {
                0x00 | 0x01 | 0xD0..=0xD8 => rest = after,
                END_OF_IMAGE => {
                    rest = &[];
                    return Some(Segment { marker, body: &[], coded: &[] });
                }
                _ => {
                    let (length, _) = after.split_first_chunk()?;
                    let (segment, after) =
                        after.split_at_checked(usize::from(u16::from_be_bytes(*length)).max(2))?;
                    let n_coded = if marker == START_OF_SCAN { n_coded(after) } else { 0 };
                    rest = &after[n_coded..];
                    return Some(Segment { marker, body: &segment[2..], coded: &after[..n_coded] });
                }
            }
        }
    })
}

/// The bytes before the next marker that is no restart.
fn n_coded(bytes: &[u8]) -> usize {
    let is_marker = |&[a, b]: &[u8; 2]| a == 0xFF && !matches!(b, 0x00 | 0xD0..=0xD7 | 0xFF);
    bytes.array_windows().position(is_marker).unwrap_or(bytes.len())
}

/// Whether a stream has more than [`MAX_SCANS`].
pub(crate) fn has_too_many_scans(stream: &[u8]) -> bool {
    segments(stream).filter(|segment| segment.marker == START_OF_SCAN).nth(MAX_SCANS).is_some()
}

/// What the headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JpegHeader {
    pub(crate) process: JpegProcess,
    /// Bits of a sample.
    pub(crate) bits: u8,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Horizontal and vertical sampling factor of each component.
    pub(crate) sampling: Vec<[u8; 2]>,
    /// What the headers of scans call each component.
    pub(crate) component_ids: Vec<u8>,
    /// Components in the first scan.
    pub(crate) n_in_first_scan: usize,
    /// Whether the stream itself names the colour transform.
    pub(crate) names_transform: bool,
}

/// The coding process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JpegProcess {
    /// Baseline, or extended and Huffman coded.
    Sequential,
    Progressive,
    Lossless,
    /// Any that is arithmetically coded.
    Arithmetic,
    Hierarchical,
    JpegLs,
}

impl JpegHeader {
    /// Reads the segments of a stream; none if a segment is damaged or there is no scan.
    pub(crate) fn of(stream: &[u8]) -> Option<Self> {
        let (mut names_transform, mut header) = (false, None);
        for Segment { marker, body, .. } in segments(stream) {
            match marker {
                START_OF_SCAN => {
                    let header: Self = header?;
                    let n_in_first_scan = usize::from(*body.first()?);
                    return Some(Self { n_in_first_scan, names_transform, ..header });
                }
                APP14 => names_transform |= body.starts_with(b"Adobe"),
                _ => {
                    if let Some(process) = process_of(marker) {
                        header = Some(Self::of_frame(process, body)?);
                    }
                }
            }
        }
        None
    }

    fn of_frame(process: JpegProcess, body: &[u8]) -> Option<Self> {
        let &[bits, r0, r1, c0, c1, n, ref components @ ..] = body else { return None };
        let components = components.as_chunks::<3>().0.get(..usize::from(n))?;
        Some(Self {
            process,
            bits,
            rows: usize::from(u16::from_be_bytes([r0, r1])),
            columns: usize::from(u16::from_be_bytes([c0, c1])),
            sampling: components.iter().map(|&[_, factors, _]| [factors >> 4, factors & 0xF]).collect(),
            component_ids: components.iter().map(|&[id, ..]| id).collect(),
            n_in_first_scan: 0,
            names_transform: false,
        })
    }

    /// The units (minimum coded units) of a scan: blocks of one component, or as many of all as their sampling factors make
    /// (section A.2). None if a factor is 0.
    pub(crate) fn n_units(&self, single: Option<usize>) -> Option<usize> {
        let most = |axis: usize| self.sampling.iter().map(|factors| usize::from(factors[axis])).max();
        let along = |samples: usize, axis: usize| {
            let most = most(axis).filter(|&most| most > 0)?;
            Some(match single {
                Some(component) => {
                    (samples * usize::from(self.sampling[component][axis])).div_ceil(most).div_ceil(8)
                }
                None => samples.div_ceil(8 * most),
            })
        };
        Some(along(self.columns, 0)? * along(self.rows, 1)?)
    }

    /// Whether the stream has the structure that nearly all encoders write: no component is sampled more densely than the
    /// first; and where some are sampled less densely, all are in one scan, or the stream is progressive.
    pub(crate) fn is_usual(&self) -> bool {
        let [h, v] = self.sampling.first().copied().unwrap_or([1, 1]);
        let is_sampled_alike = self.sampling.iter().all(|&factors| factors == [h, v]);
        let is_one_scan =
            self.process == JpegProcess::Progressive || self.n_in_first_scan == self.sampling.len();
        let is_first_densest = self.sampling.iter().all(|&[h_other, v_other]| h_other <= h && v_other <= v);
        is_sampled_alike || is_one_scan && is_first_densest
    }
}

fn process_of(marker: u8) -> Option<JpegProcess> {
    Some(match marker {
        0xC0 | 0xC1 => JpegProcess::Sequential,
        0xC2 => JpegProcess::Progressive,
        0xC3 => JpegProcess::Lossless,
        0xC9..=0xCB => JpegProcess::Arithmetic,
        0xC5..=0xC7 | 0xCD..=0xCF => JpegProcess::Hierarchical,
        SOF_LS => JpegProcess::JpegLs,
        _ => return None,
    })
}
