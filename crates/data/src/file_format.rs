//! The format of a file, by its content: names of files are not to be trusted.

use std::io::Read as _;
use std::path::Path;

use image::ImageFormat;

use crate::disk::InputFile;

/// Bytes that are enough to recognise every format.
const HEAD_BYTES: u64 = 256;
/// Where the mark of a DICOM file is.
const DICOM_MARK_AT: usize = 128;
/// Extensions of files that are no images, so that they are not opened to find that out.
const OTHER_EXTENSIONS: [&str; 22] = [
    "csv",
    "tsv",
    "txt",
    "md",
    "json",
    "jsonl",
    "xml",
    "html",
    "pdf",
    "zip",
    "gz",
    "tar",
    "npz",
    "npy",
    "mat",
    "ini",
    "db",
    "py",
    "toml",
    "yaml",
    "yml",
    "safetensors",
];

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFormat {
    /// One of the crate `image`.
    Image(ImageFormat),
    Dicom,
}

impl FileFormat {
    const ALL: [Self; 7] = [
        Self::Dicom,
        Self::Image(ImageFormat::Png),
        Self::Image(ImageFormat::Jpeg),
        Self::Image(ImageFormat::Gif),
        Self::Image(ImageFormat::WebP),
        Self::Image(ImageFormat::Bmp),
        Self::Image(ImageFormat::Tiff),
    ];

    /// The format of a file that begins with `head`.
    ///
    /// # Errors
    /// What the file is instead and how to convert it, in words for the user.
    pub(crate) fn of_content(head: &[u8]) -> Result<Self, String> {
        match image::guess_format(head) {
            // Before the others: the free bytes before the mark of DICOM may begin like a TIFF file (PS3.10 section 7.1).
            _ if head.get(DICOM_MARK_AT..DICOM_MARK_AT + 4) == Some(b"DICM") => Ok(Self::Dicom),
            Ok(ImageFormat::Bmp) if is_bmp(head) => Ok(Self::Image(ImageFormat::Bmp)),
            Ok(
                format @ (ImageFormat::Png
                | ImageFormat::Jpeg
                | ImageFormat::Tiff
                | ImageFormat::WebP
                | ImageFormat::Gif),
            ) => Ok(Self::Image(format)),
            _ if is_dicom(head) => Ok(Self::Dicom),
            _ => Err(other_format(head)),
        }
    }

    /// As messages name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dicom => "DICOM",
            Self::Image(ImageFormat::Png) => "PNG",
            Self::Image(ImageFormat::Jpeg) => "JPEG",
            Self::Image(ImageFormat::Gif) => "GIF",
            Self::Image(ImageFormat::WebP) => "WebP",
            Self::Image(ImageFormat::Bmp) => "BMP",
            Self::Image(_) => "TIFF",
        }
    }

    /// The extension of a new file.
    pub(crate) fn extension(self) -> &'static str {
        self.extensions()[0]
    }

    /// The usual extensions, in lower case.
    fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Dicom => &["dcm", "dicom", "ima"],
            Self::Image(ImageFormat::Png) => &["png"],
            Self::Image(ImageFormat::Jpeg) => &["jpg", "jpeg", "jfif", "jpe"],
            Self::Image(ImageFormat::Gif) => &["gif"],
            Self::Image(ImageFormat::WebP) => &["webp"],
            Self::Image(ImageFormat::Bmp) => &["bmp", "dib"],
            Self::Image(_) => &["tif", "tiff"],
        }
    }
}

/// Whether what begins with the letters `BM` is a BMP, and not a text such as a list of paths: the size of the second header
/// follows at byte 14.
fn is_bmp(head: &[u8]) -> bool {
    let size = head.get(14..18).and_then(|size| size.try_into().ok()).map(u32::from_le_bytes);
    matches!(size, Some(12 | 16 | 40 | 52 | 56 | 64 | 108 | 124))
}

/// The format that the extension of a file names, and the extension in lower case.
pub(crate) fn format_by_name(path: &Path) -> Option<(FileFormat, &'static str)> {
    let extension = extension_of(path);
    FileFormat::ALL.into_iter().find_map(|format| {
        let extension = format.extensions().iter().find(|&&usual| usual == extension)?;
        Some((format, *extension))
    })
}

fn extension_of(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// Whether a file is an image to read: by its extension where that names a format, else by its content.
pub(crate) fn is_image_file(path: &Path) -> bool {
    format_by_name(path).is_some()
        || !OTHER_EXTENSIONS.contains(&extension_of(path).as_str())
            && head_of(path).is_some_and(|head| FileFormat::of_content(&head).is_ok())
}

/// The first bytes of a regular file; none if it cannot be read.
fn head_of(path: &Path) -> Option<Vec<u8>> {
    path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let mut head = Vec::new();
    InputFile::open(path).ok()?.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
    Some(head)
}

#[cfg(feature = "dicom")]
use crate::dicom::is_dicom;

/// Without the feature only files with the mark are recognised, so that the error can name the format.
#[cfg(not(feature = "dicom"))]
fn is_dicom(_: &[u8]) -> bool {
    false
}

/// What a file is that is not read, with the way to convert it.
fn other_format(head: &[u8]) -> String {
    let is_brand = |brands: &[&[u8; 4]]| {
        head.get(4..8) == Some(b"ftyp") && brands.iter().any(|brand| head.get(8..12) == Some(*brand))
    };
    let found = match head {
        _ if is_brand(&[b"heic", b"heix", b"mif1", b"msf1"]) => {
            "HEIC; convert it with `heif-convert IN OUT.png`"
        }
        _ if is_brand(&[b"avif", b"avis"]) => "AVIF; convert it with `avifdec IN OUT.png`",
        [0x00, 0x00, 0x00, 0x0C, b'j', b'P', ..] | [0xFF, 0x4F, 0xFF, 0x51, ..] => {
            "JPEG 2000; convert it with `opj_decompress -i IN -o OUT.png`"
        }
        [0xFF, 0x0A, ..] | [0x00, 0x00, 0x00, 0x0C, b'J', b'X', b'L', ..] => {
            "JPEG XL; convert it with `djxl IN OUT.png`"
        }
        [b'I', b'I', 43, 0, ..] | [b'M', b'M', 0, 43, ..] => "a BigTIFF; convert it with `magick IN OUT.png`",
        [b'%', b'P', b'D', b'F', ..] => "PDF; export its images as png",
        [b'P', b'K', 3, 4, ..] => "a zip archive; unpack it",
        [0x1F, 0x8B, ..] => "a gzip archive; unpack it",
        [b'n', b'+', b'1', 0] => "NIfTI; export its slices as png",
        [b'8', b'B', b'P', b'S', ..] => "a Photoshop file; export it as png",
        _ => return "not an image: its content has no known image format".to_owned(),
    };
    format!("not read: it is {found}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_recognised_by_content() {
        let of = |head: &[u8]| FileFormat::of_content(head).map(FileFormat::name);
        assert_eq!(of(b"\x89PNG\r\n\x1a\n"), Ok("PNG"));
        assert_eq!(of(b"BM............\x28\0\0\0"), Ok("BMP"));
        assert_eq!(of(b"II*\0...."), Ok("TIFF"));
        let dicom = |first: &[u8]| [first, &vec![0; DICOM_MARK_AT - first.len()], b"DICM"].concat();
        assert_eq!(of(&dicom(b"")), Ok("DICOM"));
        assert_eq!(of(&dicom(b"II*\0")), Ok("DICOM"), "a file that is both");
        for (head, name) in [
            (&b"\0\0\0\x18ftypheic"[..], "HEIC"),
            (b"\0\0\0\x0CjP  \r\n\x87\n", "JPEG 2000"),
            (b"II+\0\x08\0\0\0", "BigTIFF"),
            (b"MM\0+\0\x08\0\0", "BigTIFF"),
            (b"%PDF-1.7", "PDF"),
            (b"hello", "no known image format"),
            (b"BM/films/1.png\nBM/films/2.png\n", "no known image format"),
            (b"BM......", "no known image format"),
            (b"", "no known image format"),
        ] {
            let found = of(head).expect_err("it is not read");
            assert!(found.contains(name), "{found}");
        }
    }

    #[test]
    fn an_unknown_extension_is_decided_by_the_content() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            is_image_file(&path)
        };
        assert!(write("1.2.840.113619", b"\x89PNG\r\n\x1a\n") && write("film", b"\xFF\xD8\xFF\xE0"));
        assert!(!write("README", b"hello") && !write("list.csv", b"\x89PNG\r\n\x1a\n"));
        assert!(write("broken.png", b""), "listed, so that it is reported as bad");
        assert!(!is_image_file(&dir.path().join("missing")));
    }
}
