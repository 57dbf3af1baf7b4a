//! From the bytes of a file to a small image, or to the reason why the file cannot be used.
//!
//! The content decides the format, not the name. Files may be hostile: sizes are checked before memory is allocated, a
//! truncated file is rejected even where a decoder would fill in grey, and a panic of a decoder is an error of its file.

use std::error::Error as _;
use std::io::{self, Cursor};
use std::path::Path;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader};

use crate::caught_panic::catch_panic;
use crate::colour;
use crate::disk;
use crate::error::RAISE_LIMIT;
use crate::file_facts::{FileFacts, Origin};
use crate::file_format::{FileFormat, format_by_name};
use crate::file_identity::{FileIdentity, Stamp};
use crate::negatives::BrightnessPattern;
use crate::options::{Invert, LoadOptions, SizeLimits};
use crate::read_file::{ReadFileError, read_file};
use crate::small_image::SmallImage;
use crate::thumbnail::Thumbnail;

use self::directory::Directory;

mod alpha;
mod blank_end;
mod complete;
mod directory;
mod jpeg;
#[cfg(test)]
mod orientation_tests;
mod several_images;
#[cfg(test)]
mod tests;
mod webp;
mod white_is_zero;

/// The reason for a file or folder that cannot be opened by the name that is shown.
pub(crate) const NOT_UTF_8: &str = "its name is not UTF-8; rename it";

/// Why nothing is read of a link to a folder.
const FOLDER_LINK: &str =
    "it is a link to a folder, which is not followed; give the path of that folder, or of its images";

/// Why a TIFF of JPEG streams is rejected.
const JPEG_IN_TIFF: &str = "not read: it is a TIFF compressed with JPEG; convert it with `magick IN OUT.png`, or with \
     `tiffcp -c lzw IN OUT.tif`";

/// A decoded image, reduced to what training needs.
#[derive(Clone, Debug)]
pub(crate) struct Decoded {
    pub(crate) image: SmallImage,
    /// To find its duplicates.
    pub(crate) thumbnail: Thumbnail,
    pub(crate) facts: FileFacts,
    /// Where a DICOM image comes from; boxed, because most images are in other formats.
    pub(crate) origin: Option<Box<Origin>>,
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
    /// It holds several images, of which the first is read.
    pub(crate) has_several_images: bool,
    /// Its transparency was ignored: it is the same in every pixel.
    pub(crate) has_ignored_alpha: bool,
    /// What comes last in the file has one single value.
    pub(crate) has_blank_end: bool,
    /// It is a negative of the training images.
    pub(crate) is_negative: bool,
    /// The bits that the file says its 16-bit samples use (the chunk sBIT of PNG).
    pub(crate) significant_bits: Option<u8>,
    /// Of samples of 16 bits whose zero is white: the bits within which they were inverted.
    pub(crate) inverted_bits: Option<u8>,
}

impl FileTraits {
    /// What has to be added to the samples of 16 bits if `bits` of them are used.
    pub(crate) fn lift(&self, bits: u8) -> u16 {
        self.inverted_bits.map_or(0, |inverted| white_is_zero::lift(inverted, bits))
    }
}

/// Why a file gives no image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unusable {
    /// In words for the user.
    pub(crate) reason: String,
    pub(crate) cause: Cause,
}

/// What kind of reason it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Something is wrong with the file.
    BadFile,
    /// Nothing is wrong with the file, but it is a DICOM file of another kind than radiographs, or of a view that is left out. A
    /// folder of a clinic holds many such files.
    OtherKind,
    /// This process has as many files open as it may have.
    OpenFiles,
}

impl From<String> for Unusable {
    fn from(reason: String) -> Self {
        Self { reason, cause: Cause::BadFile }
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
        let bits = small.wide.as_ref().map_or(16, |wide| wide.needed_bits);
        Self {
            thumbnail: Thumbnail::of(image, bits),
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
            return Err(Unusable { reason, cause: Cause::OtherKind });
        }
        let mut decoded = Self { traits, ..Self::new(&image, facts, options) };
        if let Some(origin) = origin {
            decoded.origin = Some(Box::new(origin));
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
        self.image.use_bits(bits, self.traits.lift(bits));
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

/// The same, and what identifies the file: `None` if it could not be read, or is empty.
pub(crate) fn decode_and_identify(
    path: &Path,
    options: &LoadOptions,
) -> (Result<Decoded, Unusable>, Option<FileIdentity>) {
    let before = Stamp::of(path);
    let bytes = match read(path, &options.limits) {
        Ok(bytes) => bytes,
        Err(unusable) => return (Err(unusable), None),
    };
    let decoded =
        open_named(path, &bytes, &options.limits).and_then(|opened| Decoded::of_opened(opened, options));
    (decoded, Some(FileIdentity::of_file(path, before, &bytes)))
}

/// Reads and decodes one file.
///
/// # Errors
/// As [`decode_file`].
pub(crate) fn open_file(path: &Path, limits: &SizeLimits) -> Result<OpenedImage, Unusable> {
    open_named(path, &read(path, limits)?, limits)
}

/// Decodes the bytes of the file `path`.
fn open_named(path: &Path, bytes: &[u8], limits: &SizeLimits) -> Result<OpenedImage, Unusable> {
    let opened = open_bytes(bytes, limits)?;
    let is_misnamed = format_by_name(path).is_some_and(|(format, _)| format != opened.format);
    Ok(OpenedImage { traits: FileTraits { is_misnamed, ..opened.traits }, ..opened })
}

/// Decodes and resizes the bytes of one file without a name.
///
/// # Errors
/// As [`decode_file`].
pub(crate) fn decode_bytes(bytes: &[u8], options: &LoadOptions) -> Result<Decoded, Unusable> {
    Decoded::of_opened(open_unnamed(bytes, &options.limits)?, options)
}

/// Decodes the bytes of one file without a name.
///
/// # Errors
/// As [`decode_file`].
pub(crate) fn open_unnamed(bytes: &[u8], limits: &SizeLimits) -> Result<OpenedImage, Unusable> {
    if bytes.len() as u64 > limits.file_bytes {
        return Err(too_large(bytes.len() as u64, limits.file_bytes).into());
    }
    open_bytes(bytes, limits)
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
    let directory = Directory::of_tiff(bytes, format);
    let inverted_bits = match &mut decoded {
        DynamicImage::ImageLuma16(samples) if directory.as_ref().is_some_and(Directory::is_white_zero) => {
            Some(white_is_zero::invert_within_used_bits(samples))
        }
        _ => None,
    };
    let has_blank_end = blank_end::has_blank_end(&decoded, blank_end::is_bottom_up(bytes, format));
    let is_reoriented = orientation != Orientation::NoTransforms;
    decoded.apply_orientation(orientation);
    let facts = FileFacts::of_file(bytes, format, decoded.color(), (decoded.width(), decoded.height()));
    let significant_bits = complete::significant_bits(bytes, format);
    let is_premultiplied = directory.as_ref().is_some_and(Directory::is_premultiplied);
    let (image, has_ignored_alpha) = alpha::flatten(decoded, is_premultiplied);
    let has_several_images = several_images::has_several_images(bytes, format);
    let traits = FileTraits {
        is_reoriented,
        has_blank_end,
        has_several_images,
        has_ignored_alpha,
        significant_bits,
        inverted_bits,
        ..FileTraits::default()
    };
    Ok(OpenedImage { image, facts, format: FileFormat::Image(format), origin: None, traits })
}

#[cfg(feature = "dicom")]
fn open_dicom(bytes: &[u8], limits: &SizeLimits) -> Result<OpenedImage, Unusable> {
    use crate::dicom::{DicomError, DicomImage, read};
    let DicomImage { image, origin, bits_stored, is_monochrome1 } =
        read(bytes, limits).map_err(|error| match error {
            DicomError::NotRadiograph(kind) => Unusable { reason: kind.to_string(), cause: Cause::OtherKind },
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
    let has_blank_end = blank_end::has_blank_end(&image, false);
    let traits = FileTraits { has_blank_end, ..FileTraits::default() };
    Ok(OpenedImage { image, facts, format: FileFormat::Dicom, origin: Some(origin), traits })
}

#[cfg(not(feature = "dicom"))]
fn open_dicom(_: &[u8], _: &SizeLimits) -> Result<OpenedImage, Unusable> {
    Err("not read: it is DICOM, and this program was built without the feature `dicom`".to_owned().into())
}

/// The bytes of a regular file within the size limit.
fn read(path: &Path, limits: &SizeLimits) -> Result<Vec<u8>, Unusable> {
    match read_file(path, limits.file_bytes) {
        Ok(bytes) if bytes.is_empty() => Err("empty file".to_owned().into()),
        Ok(bytes) => Ok(bytes),
        // A folder is among the files where it is behind a link that is not followed, or cannot be listed.
        Err(ReadFileError::NotRegular { .. }) if path.is_symlink() && path.is_dir() => {
            Err(unreadable(path, &io::Error::other(FOLDER_LINK)))
        }
        Err(error @ ReadFileError::NotRegular { .. }) => {
            let listed = if path.is_dir() { disk::list(path).map(drop) } else { Ok(()) };
            Err(unreadable(path, &listed.err().unwrap_or_else(|| error.into())))
        }
        Err(ReadFileError::TooLarge { bytes, limit }) => Err(too_large(bytes, limit).into()),
        Err(error) => Err(unreadable(path, &error.into())),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Unusable {
    if disk::is_out_of_open_files(error) {
        let reason = format!("cannot be read: {error}; {RAISE_LIMIT}");
        return Unusable { reason, cause: Cause::OpenFiles };
    }
    let is_lossy = path.to_string_lossy().contains(char::REPLACEMENT_CHARACTER);
    match error.kind() {
        io::ErrorKind::NotFound if is_lossy => NOT_UTF_8.to_owned().into(),
        _ => format!("cannot be read: {error}").into(),
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
    let damaged = |error: ImageError| fault(&error, bytes, format);
    // Checked first: the error of the PNG decoder would only mention memory.
    if let Some((width, height)) = complete::png_size(bytes) {
        limits.check_image([width, height], 0, bytes.len())?;
    }
    let tiff = Directory::of_tiff(bytes, format);
    // Each strip has a header with a size of its own, which its decoder takes memory for, and missing blocks would be grey.
    if tiff.as_ref().is_some_and(Directory::is_jpeg) {
        return Err(JPEG_IN_TIFF.to_owned());
    }
    if let Some(samples) = tiff.as_ref().and_then(Directory::unusual_samples) {
        return Err(of_unusual_samples(samples));
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut caps = image::Limits::default();
    caps.max_alloc = Some(limits.decoded_bytes);
    reader.limits(caps);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    if matches!(decoder.color_type(), ColorType::Rgb32F | ColorType::Rgba32F) {
        return Err(of_unusual_samples("floating-point numbers"));
    }
    let (width, height) = decoder.dimensions();
    // The decoders of GIF and WebP do not check it.
    if width == 0 || height == 0 {
        return Err(format!("damaged {}: it has no pixels; export the image again", name_of(format)));
    }
    limits.check_image([width, height], decoder.total_bytes(), bytes.len())?;
    if format == ImageFormat::WebP && webp::has_too_large_frame(bytes, [width, height]) {
        return Err("damaged WebP: a frame is larger than the image; export the image again".to_owned());
    }
    // A damaged EXIF block says nothing of the pixels.
    let orientation = match format {
        ImageFormat::Tiff => decoder.orientation().ok(),
        ImageFormat::Png => complete::exif_of_png(bytes).and_then(|exif| orientation_of(&exif)),
        _ => decoder.exif_metadata().ok().flatten().and_then(|exif| orientation_of(&exif)),
    };
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    Ok((DynamicImage::from_decoder(decoder).map_err(damaged)?, orientation))
}

/// How an image has to be rotated or mirrored, by its EXIF block. That of the crate `image` knows numbers of two bytes only.
/// Some programs put the prefix of JPEG before the block in other formats too.
fn orientation_of(exif: &[u8]) -> Option<Orientation> {
    Directory::of(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif))?.orientation()
}

/// Why such a TIFF is rejected: its numbers have no defined black and white.
fn of_unusual_samples(samples: &str) -> String {
    format!(
        "not read: it is a TIFF of {samples}; scale the range that a viewer shows to 16 bits, such as with \
         `gdal_translate -ot UInt16 -scale LOW HIGH 0 65535 IN OUT.png`"
    )
}

/// Why the decoder gave up on a file.
fn fault(error: &ImageError, bytes: &[u8], format: ImageFormat) -> String {
    let name = name_of(format);
    if let Some(chunk) = complete::chunk_with_wrong_checksum(bytes, format) {
        return format!("damaged {name}: the checksum of its chunk {chunk} is wrong");
    }
    let reason = match error {
        ImageError::Unsupported(error) => {
            return format!(
                "not read: it is a {name} of a kind that is not supported ({error}); convert it with `magick IN OUT.png`"
            );
        }
        // Its source is the message of the decoder, without the name of its crate.
        ImageError::Decoding(error) => error.source().map_or_else(|| error.to_string(), ToString::to_string),
        ImageError::Limits(_) => "it needs too much memory".to_owned(),
        ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "its data end too early".to_owned()
        }
        _ => error.to_string(),
    };
    format!("damaged {name}: {reason}")
}
