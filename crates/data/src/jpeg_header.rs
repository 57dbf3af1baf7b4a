//! The headers of a JPEG or JPEG-LS stream, up to the first scan (ITU-T T.81 section B.2, T.87 section C.2.2).

/// The start of a frame of JPEG-LS.
const SOF_LS: u8 = 0xF7;
const START_OF_SCAN: u8 = 0xDA;
/// The segment in which Adobe's programs name the colour transform.
const APP14: u8 = 0xEE;

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
        let u16_at = |at: usize| Some(u16::from_be_bytes(stream.get(at..at + 2)?.try_into().ok()?));
        let (mut at, mut names_transform, mut header) = (2, false, None);
        loop {
            if *stream.get(at)? != 0xFF {
                return None;
            }
            let marker = *stream.get(at + 1)?;
            if marker == 0xFF {
                at += 1;
                continue;
            }
            let body = stream.get(at + 4..(at + 2).checked_add(usize::from(u16_at(at + 2)?))?)?;
            match marker {
                START_OF_SCAN => {
                    let header: Self = header?;
                    return Some(Self {
                        n_in_first_scan: usize::from(*body.first()?),
                        names_transform,
                        ..header
                    });
                }
                APP14 => names_transform |= body.starts_with(b"Adobe"),
                _ => {
                    if let Some(process) = process_of(marker) {
                        header = Some(Self::of_frame(process, body)?);
                    }
                }
            }
            at += 2 + usize::from(u16_at(at + 2)?);
        }
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
            n_in_first_scan: 0,
            names_transform: false,
        })
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
