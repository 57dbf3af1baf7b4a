//! From the bytes of a file to a small image, or to the reason why the file cannot be used.
//!
//! The content decides the format, not the name. Files may be hostile: sizes are checked before memory is allocated, a
//! truncated file is rejected even where a decoder would fill in grey, and a panic of a decoder is an error of its file.

use std::error::Error as _;
use std::io::Cursor;
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader};

use crate::caught_panic::catch_panic;
use crate::colour;
use crate::file_facts::{FileFacts, Origin};
use crate::file_format::FileFormat;
use crate::negatives::BrightnessPattern;
use crate::options::{Invert, LoadOptions, SizeLimits};
use crate::read_file::{ReadFileError, read_file};
use crate::small_image::SmallImage;
use crate::thumbnail::Thumbnail;

mod alpha;
mod complete;
mod jpeg;
#[cfg(test)]
mod orientation_tests;

/// [`MOST_GROWTH`] applies to images of more bytes than this: 32 MiB are decoded and resized in a second.
const SMALL: u64 = 32 << 20;
/// Largest ratio of the bytes of an image to those of its file: radiographs are compressed to a half or a tenth, drawings to a
/// fiftieth, but a picture of one colour to a thousandth, so that a small file could cost seconds and half a gigabyte.
const MOST_GROWTH: u64 = 200;

/// The reason for a file or folder that cannot be opened by the name that is shown.
pub(crate) const NOT_UTF_8: &str = "its name is not UTF-8; rename it";

/// A decoded image, reduced to what training needs.
#[derive(Clone, Debug)]
pub(crate) struct Decoded {
    pub(crate) image: SmallImage,
    /// To find its duplicates.
    pub(crate) thumbnail: Thumbnail,
    pub(crate) facts: FileFacts,
    /// Where a DICOM image comes from.
    pub(crate) origin: Option<Origin>,
    /// What a note counts.
    pub(crate) traits: FileTraits,
}

/// What is unusual in a file that is read all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileTraits {
    /// The name promises another format than the content has.
    pub(crate) is_misnamed: bool,
    /// The image was rotated or mirrored, as its EXIF orientation says.
    pub(crate) is_reoriented: bool,
    /// Its transparency was ignored: it is the same in every pixel.
    pub(crate) has_ignored_alpha: bool,
    /// It is a negative of the training images.
    pub(crate) is_negative: bool,
    /// The bits that the file says its 16-bit samples use (the chunk sBIT of PNG).
    pub(crate) significant_bits: Option<u8>,
}

/// Why a file gives no image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unusable {
    /// In words for the user.
    pub(crate) reason: String,
    /// Whether nothing is wrong with the file, but it is a DICOM file of another kind than radiographs. A folder of a clinic
    /// holds many such files.
    pub(crate) is_other_kind: bool,
}

impl From<String> for Unusable {
    fn from(reason: String) -> Self {
        Self { reason, is_other_kind: false }
    }
}

/// An image at its own size: grey or RGB of 8 or 16 bit.
#[derive(Debug)]
pub(crate) struct OpenedImage {
    pub(crate) image: DynamicImage,
    facts: FileFacts,
    format: FileFormat,
    pub(crate) origin: Option<Origin>,
    pub(crate) traits: FileTraits,
}

impl Decoded {
    /// Reduces `image`, grey or RGB of 8 or 16 bit.
    pub(crate) fn new(image: &DynamicImage, facts: FileFacts, options: &LoadOptions) -> Self {
        let small = SmallImage::from_decoded(image, options.resizing());
        let facts = facts_of_pixels(&small, facts);
        Self {
            thumbnail: Thumbnail::of(image),
            image: small,
            facts,
            origin: None,
            traits: FileTraits::default(),
        }
    }

    /// Reduces an image, if its view is one of those that are asked for.
    fn of_opened(opened: OpenedImage, options: &LoadOptions) -> Result<Self, Unusable> {
        let OpenedImage { image, facts, origin, traits, .. } = opened;
        if let Some(origin) = origin
            && !(options.views.is_empty() || options.views.contains(&origin.view))
        {
            let reason = format!("the view is {}, which --view leaves out", origin.view);
            return Err(Unusable { reason, is_other_kind: true });
        }
        let mut decoded = Self { origin, traits, ..Self::new(&image, facts, options) };
        if origin.is_some() {
            // The grey values of DICOM use all bits.
            decoded.image.wide = None;
        }
        Ok(decoded)
    }

    /// Marks a negative, and inverts it with [`Invert::Auto`].
    pub(crate) fn check_negative(&mut self, pattern: &BrightnessPattern, invert: Invert) {
        self.traits.is_negative = pattern.is_negative(&self.image);
        if self.traits.is_negative && invert == Invert::Auto {
            self.image.invert();
            self.facts = facts_of_pixels(&self.image, self.facts);
        }
    }

    /// Makes the pixels from samples of 16 bits, of which `bits` are used.
    pub(crate) fn use_bits(&mut self, bits: u8) {
        self.image.use_bits(bits);
        self.facts = facts_of_pixels(&self.image, self.facts);
    }

    /// The short digest of the image before it was resized.
    pub(crate) fn digest(&self) -> u64 {
        self.thumbnail.digest.short()
    }
}

/// The facts that need the pixels.
fn facts_of_pixels(small: &SmallImage, facts: FileFacts) -> FileFacts {
    let sum: u64 = small.pixels.iter().map(|&value| u64::from(value)).sum();
    let mean = sum as f32 / small.pixels.len() as f32 / 255.0;
    let colour = if small.channels == 3 { colour::variety(&small.pixels) } else { 0.0 };
    FileFacts { mean, colour, ..facts }
}

/// Reads, decodes and resizes one file.
///
/// # Errors
/// The reason why it cannot be used.
pub(crate) fn decode_file(path: &Path, options: &LoadOptions) -> Result<Decoded, Unusable> {
    Decoded::of_opened(open_file(path, &options.limits)?, options)
}

/// Reads and decodes one file.
///
/// # Errors
/// As [`decode_file`].
pub(crate) fn open_file(path: &Path, limits: &SizeLimits) -> Result<OpenedImage, Unusable> {
    let bytes = read(path, limits)?;
    let opened = open_bytes(&bytes, limits)?;
    let extension =
        path.extension().map(|extension| extension.to_string_lossy().into_owned()).unwrap_or_default();
    let is_misnamed = !extension.is_empty() && !opened.format.has_extension(&extension);
    Ok(OpenedImage { traits: FileTraits { is_misnamed, ..opened.traits }, ..opened })
}

/// Decodes and resizes the bytes of one file without a name.
///
/// # Errors
/// As [`decode_file`].
pub(crate) fn decode_bytes(bytes: &[u8], options: &LoadOptions) -> Result<Decoded, Unusable> {
    if bytes.len() as u64 > options.limits.file_bytes {
        return Err(too_large(bytes.len() as u64, options.limits.file_bytes).into());
    }
    Decoded::of_opened(open_bytes(bytes, &options.limits)?, options)
}

fn open_bytes(bytes: &[u8], limits: &SizeLimits) -> Result<OpenedImage, Unusable> {
    let format = FileFormat::of_content(bytes)?;
    // Decoders have panicked on files that are valid.
    let opened = catch_panic(|| match format {
        FileFormat::Image(format) => open_image(bytes, format, limits),
        FileFormat::Dicom => open_dicom(bytes, limits),
    });
    opened.unwrap_or_else(|| {
        Err(format!("cannot be decoded: the decoder of {} gave up on it; convert it to png", format.name())
            .into())
    })
}

fn open_image(bytes: &[u8], format: ImageFormat, limits: &SizeLimits) -> Result<OpenedImage, Unusable> {
    let header = if format == ImageFormat::Jpeg { jpeg::header_of(bytes)? } else { None };
    if !complete::is_complete(bytes, format) {
        return Err(format!("truncated: the {} data end too early", name_of(format)).into());
    }
    let (mut decoded, orientation) = match format {
        ImageFormat::Jpeg => jpeg::decode(bytes, header, limits)?,
        _ => decode(bytes, format, limits)?,
    };
    let is_reoriented = orientation != Orientation::NoTransforms;
    decoded.apply_orientation(orientation);
    let facts = FileFacts::of_file(bytes, format, decoded.color(), (decoded.width(), decoded.height()));
    let significant_bits = complete::significant_bits(bytes, format);
    let (image, has_ignored_alpha) = alpha::flatten(decoded);
    let traits = FileTraits { is_reoriented, has_ignored_alpha, significant_bits, ..FileTraits::default() };
    Ok(OpenedImage { image, facts, format: FileFormat::Image(format), origin: None, traits })
}

#[cfg(feature = "dicom")]
fn open_dicom(bytes: &[u8], limits: &SizeLimits) -> Result<OpenedImage, Unusable> {
    use crate::dicom::{DicomError, DicomImage, read};
    let DicomImage { image, origin, bits_stored, is_monochrome1 } =
        read(bytes, limits).map_err(|error| match error {
            DicomError::NotRadiograph(kind) => Unusable { reason: kind.to_string(), is_other_kind: true },
            DicomError::Unreadable(reason) => reason.into(),
        })?;
    let facts = FileFacts {
        width: image.width(),
        height: image.height(),
        bit_depth: bits_stored,
        channels: image.color().channel_count(),
        view: origin.view,
        is_monochrome1,
        ..FileFacts::default()
    };
    Ok(OpenedImage {
        image,
        facts,
        format: FileFormat::Dicom,
        origin: Some(origin),
        traits: FileTraits::default(),
    })
}

#[cfg(not(feature = "dicom"))]
fn open_dicom(_: &[u8], _: &SizeLimits) -> Result<OpenedImage, Unusable> {
    Err("not read: it is DICOM, and this program was built without the feature `dicom`".to_owned().into())
}

/// The bytes of a regular file within the size limit.
fn read(path: &Path, limits: &SizeLimits) -> Result<Vec<u8>, String> {
    let is_lossy = path.to_string_lossy().contains(char::REPLACEMENT_CHARACTER);
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound if is_lossy => NOT_UTF_8.to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    match read_file(path, limits.file_bytes) {
        Ok(bytes) if bytes.is_empty() => Err("empty file".to_owned()),
        Ok(bytes) => Ok(bytes),
        Err(ReadFileError::NotRegular { .. }) => Err("is not a regular file".to_owned()),
        Err(ReadFileError::TooLarge { bytes, limit }) => Err(too_large(bytes, limit)),
        Err(error) => Err(unreadable(error.into())),
    }
}

fn too_large(bytes: u64, limit: u64) -> String {
    format!("too large: {bytes} bytes, the limit is {limit}")
}

fn name_of(format: ImageFormat) -> &'static str {
    FileFormat::Image(format).name()
}

/// The image as it is stored, and how it has to be rotated or mirrored.
fn decode(
    bytes: &[u8],
    format: ImageFormat,
    limits: &SizeLimits,
) -> Result<(DynamicImage, Orientation), String> {
    let damaged =
        |error: ImageError| format!("damaged {}: {}", name_of(format), fault(&error, bytes, format));
    let oversized = |width: u32, height: u32| {
        format!(
            "too large: {width}x{height} pixels, the limits are {} per side and {} MiB decoded",
            limits.side,
            limits.decoded_bytes >> 20
        )
    };
    // Checked first: the error of the PNG decoder would only mention memory.
    if let Some((width, height)) =
        complete::png_size(bytes).filter(|(width, height)| width.max(height) > &limits.side)
    {
        return Err(oversized(width, height));
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut caps = image::Limits::default();
    caps.max_alloc = Some(limits.decoded_bytes);
    reader.limits(caps);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if width.max(height) > limits.side || decoder.total_bytes() > limits.decoded_bytes {
        return Err(oversized(width, height));
    }
    if decoder.total_bytes() > SMALL && decoder.total_bytes() / MOST_GROWTH > bytes.len() as u64 {
        return Err(format!(
            "too large: {width}x{height} pixels in {} KiB, which is not a photograph; make it smaller",
            bytes.len() >> 10
        ));
    }
    // A damaged EXIF block says nothing of the pixels.
    let exif = complete::exif_of_png(bytes, format).map(Orientation::from_exif_chunk);
    let orientation = exif.unwrap_or_else(|| decoder.orientation().ok()).unwrap_or(Orientation::NoTransforms);
    Ok((DynamicImage::from_decoder(decoder).map_err(damaged)?, orientation))
}

/// What is wrong with a file that its decoder gave up on.
fn fault(error: &ImageError, bytes: &[u8], format: ImageFormat) -> String {
    if let Some(chunk) = complete::chunk_with_wrong_checksum(bytes, format) {
        return format!("the checksum of its chunk {chunk} is wrong");
    }
    match error {
        // Its source is the message of the decoder, without the name of its crate.
        ImageError::Decoding(error) => error.source().map_or_else(|| error.to_string(), ToString::to_string),
        ImageError::Limits(_) => "it needs too much memory".to_owned(),
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "its data end too early".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::png::{CompressionType, FilterType, PngEncoder};
    use image::{Rgb, RgbImage};
    use proptest::prelude::*;

    use std::fs;

    use super::*;

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let image = RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 6) as u8, (y * 8) as u8, 90]));
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::ImageRgb8(image).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn reason(name: &str, bytes: &[u8], options: &LoadOptions) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        decode_file(&path, options).expect_err("the file is bad").reason
    }

    #[test]
    fn every_prefix_of_an_image_is_rejected() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let bytes = encoded(format);
            assert!(complete::is_complete(&bytes, format));
            for length in 0..bytes.len() {
                assert!(!complete::is_complete(&bytes[..length], format), "{format:?} cut to {length}");
            }
        }
    }

    #[test]
    fn bytes_after_the_end_are_ignored() {
        for (format, name) in [(ImageFormat::Png, "a.png"), (ImageFormat::Jpeg, "a.JPG")] {
            let dir = tempfile::tempdir().unwrap();
            let mut bytes = encoded(format);
            bytes.extend([0; 7]);
            fs::write(dir.path().join(name), bytes).unwrap();
            decode_file(&dir.path().join(name), &LoadOptions::default()).unwrap();
        }
    }

    #[test]
    fn each_reason_names_the_fault() {
        let options = LoadOptions::default();
        let (png, jpeg) = (encoded(ImageFormat::Png), encoded(ImageFormat::Jpeg));
        assert_eq!(reason("a.png", b"", &options), "empty file");
        let cases: [(&str, &[u8], &str); 5] = [
            ("a.png", &png[..png.len() / 2], "truncated: the PNG data"),
            ("a.jpeg", &jpeg[..jpeg.len() / 2], "truncated: the JPEG data"),
            ("a.png", b"GIF89a", "damaged GIF: "),
            ("a.png", b"\0\0\0\x18ftypheic", "not read: it is HEIC; convert"),
            ("a.png", b"hello, this is a text", "not an image"),
        ];
        for (name, bytes, expected) in cases {
            let found = reason(name, bytes, &options);
            assert!(found.starts_with(expected), "{found}");
        }
        let mut damaged = png.clone();
        let middle = png.len() / 2;
        damaged[middle] ^= 0xFF;
        assert!(reason("a.png", &damaged, &options).starts_with("damaged PNG"));
        // The checksum of the pixels, before the twelve bytes of IEND.
        let mut damaged = png.clone();
        damaged[png.len() - 13] ^= 0xFF;
        let found = reason("a.png", &damaged, &options);
        assert_eq!(found, "damaged PNG: the checksum of its chunk IDAT is wrong");
        // The class of a Huffman table, behind the mark of its segment and its length.
        let mut damaged = jpeg.clone();
        let table = jpeg.windows(2).position(|mark| mark == [0xFF, 0xC4]).unwrap();
        damaged[table + 4] = 0xFF;
        let found = reason("a.jpg", &damaged, &options);
        assert!(found.starts_with("damaged JPEG: ") && !found.contains("Format error"), "{found}");
        assert_eq!(found.to_lowercase().matches("jpeg").count(), 1, "{found}");
    }

    #[test]
    fn the_content_decides_the_format_and_a_wrong_name_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let formats = [
            ("png", ImageFormat::Png),
            ("jpg", ImageFormat::Jpeg),
            ("bmp", ImageFormat::Bmp),
            ("tif", ImageFormat::Tiff),
            ("webp", ImageFormat::WebP),
            ("gif", ImageFormat::Gif),
        ];
        for (extension, format) in formats {
            for (name, is_misnamed) in
                [(format!("a.{extension}"), false), ("b".to_owned(), false), ("c.dcm".to_owned(), true)]
            {
                let path = dir.path().join(name);
                fs::write(&path, encoded(format)).unwrap();
                let found = decode_file(&path, &LoadOptions::default()).expect("an image");
                assert_eq!((found.traits.is_misnamed, found.facts.width), (is_misnamed, 40), "{path:?}");
            }
        }
    }

    #[test]
    fn a_huge_png_is_rejected_with_its_size_and_the_limit() {
        let mut png = encoded(ImageFormat::Png);
        png[16..24].copy_from_slice(&[0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 9]);
        let found = reason("a.png", &png, &LoadOptions::default());
        assert!(
            found.starts_with("too large: 2147483647x9 pixels, the limits are 20000 per side"),
            "{found}"
        );
    }

    #[test]
    fn a_small_file_of_a_large_image_is_rejected_before_it_is_decoded() {
        let of_side = |side: u32| {
            let mut bytes = Cursor::new(Vec::new());
            let encoder =
                PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::NoFilter);
            DynamicImage::new_luma8(side, side).write_with_encoder(encoder).unwrap();
            bytes.into_inner()
        };
        let found = reason("a.png", &of_side(6_000), &LoadOptions::default());
        assert!(found.starts_with("too large: 6000x6000 pixels in "), "{found}");
        assert!(decode(&of_side(1_000), ImageFormat::Png, &SizeLimits::default()).is_ok(), "a blank image");
    }

    #[test]
    fn sizes_beyond_the_limits_are_rejected() {
        let png = encoded(ImageFormat::Png);
        let limits = SizeLimits::default();
        let tight = [
            SizeLimits { file_bytes: 100, ..limits },
            SizeLimits { side: 39, ..limits },
            SizeLimits { decoded_bytes: 40 * 30 * 3 - 1, ..limits },
        ];
        for limits in tight {
            let options = LoadOptions { limits, ..LoadOptions::default() };
            let found = reason("a.png", &png, &options);
            assert!(found.starts_with("too large"), "{found}");
        }
    }

    #[test]
    fn folders_and_missing_files_are_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let options = LoadOptions::default();
        assert_eq!(decode_file(dir.path(), &options).unwrap_err().reason, "is not a regular file");
        let missing = decode_file(&dir.path().join("missing.png"), &options).unwrap_err().reason;
        assert!(missing.starts_with("cannot be read"), "{missing}");
    }

    proptest! {
        #[test]
        fn flipped_bytes_never_panic(at in 0usize..4000, with in 1u8..=255, jpeg in any::<bool>()) {
            let format = if jpeg { ImageFormat::Jpeg } else { ImageFormat::Png };
            let mut bytes = encoded(format);
            let at = at % bytes.len();
            bytes[at] ^= with;
            // An image or an error: both are fine, a panic is not.
            if let Ok((image, _)) = decode(&bytes, format, &SizeLimits::default()) {
                prop_assert!(image.width() > 0 && image.height() > 0);
            }
        }
    }
}
