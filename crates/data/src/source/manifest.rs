//! A CSV manifest: one line per image.
//!
//! ```text
//! path,label,split,patient
//! films/0001.png,normal,train,p17
//! ```
//! The columns `split` and `patient` are optional, and columns may be in any order. Paths are relative to the file and
//! cannot leave its folder. The separator is a comma, a semicolon or a tab.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::listed_image::{self, ListedImage};
use super::{Content, Listing, Source, Usage};
use crate::error::DataError;
use crate::options::SizeLimits;
use crate::read_file::{ReadFileError, read_file};
use crate::subset::Subset;

/// The expected first line.
const HEADER: &str = "path,label[,split][,patient]";
const CLOSE_QUOTES: &str = "close its quotation mark, or remove it";
/// Most characters of a wrong header in an error.
const MAX_SHOWN: usize = 100;

/// See the module.
pub(super) struct Manifest;

impl Source for Manifest {
    fn description(&self) -> &'static str {
        "a .csv or .tsv file with the columns path and label and, if known, split and patient"
    }

    fn recognises(&self, path: &Path) -> bool {
        let is_named = |extension: &std::ffi::OsStr| {
            ["csv", "tsv"].iter().any(|known| extension.eq_ignore_ascii_case(known))
        };
        path.is_file() && path.extension().is_some_and(is_named)
    }

    fn list(&self, path: &Path, usage: Usage<'_>, limits: &SizeLimits) -> Result<Listing, DataError> {
        let unusable = |reason: String| DataError::Unusable { path: path.into(), reason };
        let (class_names, listed) =
            read(path, limits).and_then(|text| lines(&text, path)).map_err(unusable)?;
        listed_image::to_listing(path, class_names, listed, usage)
    }
}

/// The text of the file, without a byte order mark.
fn read(path: &Path, limits: &SizeLimits) -> Result<String, String> {
    let bytes = read_file(path, limits.file_bytes).map_err(|error| match error {
        ReadFileError::TooLarge { limit, .. } => {
            format!("it is larger than the limit of {} MiB", limit >> 20)
        }
        other => format!("it cannot be read ({other})"),
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|&&byte| byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8; save the file as UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))
}

/// The index of each column.
struct Columns {
    path: usize,
    label: usize,
    split: Option<usize>,
    patient: Option<usize>,
}

impl Columns {
    fn find(header: &csv::StringRecord) -> Result<Self, String> {
        let names: Vec<String> = header.iter().map(str::to_lowercase).collect();
        let column = |name: &str| {
            let mut matches = names.iter().enumerate().filter(|(_, found)| *found == name).map(|(at, _)| at);
            match (matches.next(), matches.next()) {
                (_, Some(_)) => Err(format!("line 1 has the column `{name}` twice; keep one")),
                (index, None) => Ok(index),
            }
        };
        let needed = |name: &str| {
            column(name)?.ok_or_else(|| {
                let found: String =
                    header.iter().collect::<Vec<_>>().join(",").chars().take(MAX_SHOWN).collect();
                format!("line 1 has no column `{name}`: expected the header {HEADER}, found {found}")
            })
        };
        Ok(Self {
            path: needed("path")?,
            label: needed("label")?,
            split: column("split")?,
            patient: column("patient")?,
        })
    }
}

/// Sorted class names and the images.
fn lines(text: &str, manifest: &Path) -> Result<(Vec<String>, Vec<ListedImage>), String> {
    if text.trim().is_empty() {
        return Err(format!("it is empty: expected the header {HEADER} and a line for each image"));
    }
    let header = text.lines().next().unwrap_or_default();
    let separator = [b',', b';', b'\t'].into_iter().find(|&byte| header.as_bytes().contains(&byte));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator.unwrap_or(b','))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let columns = Columns::find(reader.headers().map_err(|error| error.to_string())?)?;
    let folder = match manifest.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };

    let mut found: Vec<(u64, Option<Subset>, String, ListedImage)> = Vec::new();
    let mut line_of: BTreeMap<String, u64> = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| describe_error(&error, text))?;
        let line = record.position().map_or(0, csv::Position::line);
        let at_line = |reason: String| format!("line {line}: {reason}");
        if record.iter().any(|cell| cell.contains('\n')) {
            return Err(at_line(format!("a cell continues in the next line; {CLOSE_QUOTES}")));
        }
        let cell = |column: usize| record.get(column).unwrap_or_default();
        let name = inside(cell(columns.path)).map_err(at_line)?;
        if let Some(first) = line_of.insert(name.clone(), line) {
            return Err(at_line(format!("`{name}` is already in line {first}; keep one of them")));
        }
        let label = cell(columns.label).to_owned();
        if label.is_empty() {
            return Err(at_line("the label is empty; give one, or remove the line".to_owned()));
        }
        let subset = columns.split.map_or(Ok(None), |column| subset(cell(column))).map_err(at_line)?;
        let patient = columns.patient.map(cell).filter(|patient| !patient.is_empty()).map(str::to_owned);
        let content = Content::File(within(folder, &name).map_err(at_line)?);
        found.push((line, subset, label, ListedImage { subset, class: 0, name, patient, content }));
    }

    if found.is_empty() {
        return Err("it has a header, but lists no image; add a line for each image".to_owned());
    }
    if let Some((line, ..)) = found.iter().find(|(_, subset, ..)| subset.is_none())
        && found.iter().any(|(_, subset, ..)| subset.is_some())
    {
        return Err(format!(
            "line {line}: the split is empty; give train, val or test in every line, or in none"
        ));
    }
    let mut class_names: Vec<String> = found.iter().map(|(_, _, label, _)| label.clone()).collect();
    class_names.sort_unstable();
    class_names.dedup();
    let class = |label: &String| class_names.binary_search(label).expect("every label is a class");
    let listed =
        found.into_iter().map(|(_, _, label, image)| ListedImage { class: class(&label), ..image }).collect();
    Ok((class_names, listed))
}

/// The text for a line that cannot be read.
fn describe_error(error: &csv::Error, text: &str) -> String {
    let csv::ErrorKind::UnequalLengths { pos: Some(pos), expected_len, len } = error.kind() else {
        return error.to_string();
    };
    let line = text.get(pos.byte() as usize..).and_then(|rest| rest.trim_start().lines().next());
    let has_open_quote = line.is_some_and(|line| line.matches('"').count() % 2 == 1);
    let remedy = if has_open_quote {
        CLOSE_QUOTES
    } else if len < expected_len {
        "add the missing cells"
    } else {
        "put cells that contain a separator in quotation marks"
    };
    let cells = if *len == 1 { "1 cell".to_owned() } else { format!("{len} cells") };
    format!("line {}: it has {cells}, the header has {expected_len}; {remedy}", pos.line())
}

fn subset(cell: &str) -> Result<Option<Subset>, String> {
    if cell.is_empty() {
        return Ok(None);
    }
    let found = Subset::from_name(cell);
    found.map(Some).ok_or_else(|| format!("unknown split `{cell}`; expected train, val or test"))
}

/// The path with `/` as its separator; it may only lead downwards.
fn inside(cell: &str) -> Result<String, String> {
    if cell.is_empty() {
        return Err("the path is empty; give one, or remove the line".to_owned());
    }
    if cell.contains('\0') {
        return Err("the path contains a zero byte".to_owned());
    }
    // Windows separators.
    let cell = cell.replace('\\', "/");
    let mut parts = Vec::new();
    for component in Path::new(&cell).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::CurDir => {}
            _ => {
                return Err(format!(
                    "`{cell}` leaves the folder of the file; give a path relative to it, without `..`"
                ));
            }
        }
    }
    if parts.is_empty() || parts[0].ends_with(':') {
        return Err(format!("`{cell}` is not a path relative to the file"));
    }
    Ok(parts.join("/"))
}

/// The file of that name in `folder`, unless a link leads out of the folder.
fn within(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let path = folder.join(name);
    // A missing file is listed with the other bad files when images are decoded.
    let (Ok(real), Ok(root)) = (path.canonicalize(), folder.canonicalize()) else { return Ok(path) };
    if real.starts_with(&root) {
        Ok(path)
    } else {
        Err(format!("`{name}` is a link that leaves the folder of the file; copy the image into the folder"))
    }
}
