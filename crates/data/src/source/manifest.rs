//! A CSV manifest: one line per image.
//!
//! ```text
//! path,label,split,patient
//! films/0001.png,normal,train,p17
//! ```
//! The columns `split` and `patient` are optional, and columns may be in any order; `columns` has their other names. Paths
//! are relative to the file, or absolute, and cannot leave its folder. In the place of paths, identifiers in the headers of DICOM
//! files are possible: see `headers`. The separator is a comma, a semicolon or a tab.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use csv::StringRecord;

use self::columns::{Columns, HEADER, ImageColumn};
use self::headers::FilesByIdentifier;
use super::listed_image::{self, ListedImage};
use super::set_names::subset_of;
use super::{Content, Listing, Source, Usage};
use crate::class_look::without_zero_decimals;
use crate::error::DataError;
use crate::image_file::ImageFile;
use crate::options::{LoadOptions, SizeLimits};
use crate::read_file::{ReadFileError, read_file};
use crate::subset::Subset;

mod columns;
mod headers;

/// What R writes for a missing value.
const NA: &str = "NA";

/// See the module.
pub(super) struct Manifest;

impl Source for Manifest {
    fn description(&self) -> &'static str {
        "a .csv or .tsv file with the columns path and label and, if known, split and patient"
    }

    fn recognises(&self, path: &Path) -> bool {
        super::is_table(path)
    }

    fn list(&self, path: &Path, usage: Usage<'_>, options: &LoadOptions) -> Result<Listing, DataError> {
        let unusable = |reason: String| DataError::Unusable { path: path.into(), reason };
        let Lines { class_names, images, notes } =
            read(path, &options.limits).and_then(|text| lines(&text, path, options)).map_err(unusable)?;
        let mut listing = listed_image::to_listing(path, class_names, images, usage, &options.classes)?;
        listing.notes.extend(notes);
        Ok(listing)
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
    let without_mark = text.strip_prefix('\u{feff}').map(str::to_owned);
    Ok(without_mark.unwrap_or(text))
}

/// What the lines of the file say.
struct Lines {
    /// Sorted.
    class_names: Vec<String>,
    images: Vec<ListedImage>,
    notes: Vec<String>,
}

/// A line of the file.
struct Line {
    number: u64,
    label: String,
    image: ListedImage,
}

/// Reads all lines. Lines without a label, or with several, are left out with a note.
fn lines(text: &str, manifest: &Path, options: &LoadOptions) -> Result<Lines, String> {
    if text.trim().is_empty() {
        return Err(format!("it is empty: expected the header {HEADER} and a line for each image"));
    }
    let header = text.lines().find(|line| !line.is_empty()).unwrap_or_default();
    let is_tsv = manifest.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tsv"));
    // A name of a column may hold a comma.
    let separators = if is_tsv { [b'\t', b',', b';'] } else { [b',', b';', b'\t'] };
    let separator = separators.into_iter().find(|&byte| header.as_bytes().contains(&byte));
    let separator = separator.unwrap_or(b',');
    let header = reader_of(text, separator).headers().map_err(|error| error.to_string())?.clone();
    let records = reader_of(text, separator).into_records().map_while(Result::ok).map(unquoted);
    let columns = Columns::find(&unquoted(header), &options.columns, records)?;
    let folder = match manifest.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let (found, left_out) = read_lines(text, separator, &columns, folder)?;
    if found.is_empty() {
        return Err(format!("no line has one label; {}", left_out.notes().join("; ")));
    }
    let by_header = FilesByIdentifier::read(folder, columns.image, &options.limits)?;
    let (found, header_notes) = match by_header {
        Some(files) => files.expand(found, folder)?,
        None => (found, Vec::new()),
    };
    check_splits(&found)?;
    let mut class_names: Vec<&String> = found.iter().map(|line| &line.label).collect();
    class_names.sort_unstable();
    class_names.dedup();
    let class_names: Vec<String> = class_names.into_iter().cloned().collect();
    let class = |label: &String| class_names.binary_search(label).expect("every label is a class");
    let images =
        found.into_iter().map(|line| ListedImage { class: class(&line.label), ..line.image }).collect();
    let notes = columns.unused_note().into_iter().chain(left_out.notes()).chain(header_notes).collect();
    Ok(Lines { class_names, images, notes })
}

fn reader_of(text: &str, separator: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().delimiter(separator).trim(csv::Trim::All).from_reader(text.as_bytes())
}

/// The lines below the header that have one label. Each is checked as it is read: its record takes many times its bytes.
fn read_lines(
    text: &str,
    separator: u8,
    columns: &Columns,
    folder: &Path,
) -> Result<(Vec<Line>, LeftOut), String> {
    let mut found = Vec::new();
    let mut left_out = LeftOut::default();
    let mut line_of: BTreeMap<String, u64> = BTreeMap::new();
    let mut records = reader_of(text, separator).into_records();
    while let Some(record) = records.next() {
        let record = unquoted(record.map_err(|error| describe_error(&error, text, separator))?);
        let number = record.position().map_or(0, |position| line_number(position, text));
        let at_line = |reason: String| format!("line {number}: {reason}");
        let start = record.position().map_or(0, csv::Position::byte) as usize;
        let written = &text[start..records.reader().position().byte() as usize];
        check_line_breaks(&record, written, separator, columns).map_err(at_line)?;
        let line = read_line(&record, number, columns, folder).map_err(at_line)?;
        let name = &line.image.name;
        let is_path = matches!(columns.image, ImageColumn::Path(_));
        if let Some(first) = line_of.insert(name.clone(), number)
            && is_path
        {
            return Err(at_line(format!("`{name}` is already in line {first}; keep one of them")));
        }
        if left_out.takes(&line) {
            continue;
        }
        found.push(line);
    }
    if line_of.is_empty() {
        return Err("it has a header, but lists no image; add a line for each image".to_owned());
    }
    Ok((found, left_out))
}

/// The cells of a line without quotation marks, which the reader keeps after a blank.
fn unquoted(record: StringRecord) -> StringRecord {
    let inner = |cell: &str| Some(cell.strip_prefix('"')?.strip_suffix('"')?.trim().replace("\"\"", "\""));
    if !record.iter().any(|cell| inner(cell).is_some()) {
        return record;
    }
    let mut cells: StringRecord =
        record.iter().map(|cell| inner(cell).unwrap_or_else(|| cell.to_owned())).collect();
    cells.set_position(record.position().cloned());
    cells
}

/// Either every line names a set, or none does.
fn check_splits(found: &[Line]) -> Result<(), String> {
    let without = found.iter().find(|line| line.image.subset.is_none());
    match without {
        Some(line) if found.iter().any(|line| line.image.subset.is_some()) => Err(format!(
            "line {}: the split is empty; give train, val or test in every line, or in none",
            line.number
        )),
        _ => Ok(()),
    }
}

/// The line of a record. The position that the reader gives is before the end of the line above, where that has two
/// characters, and before empty lines.
fn line_number(position: &csv::Position, text: &str) -> u64 {
    let rest = text.bytes().skip(position.byte() as usize);
    let ends = rest.take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + ends.filter(|&byte| byte == b'\n').count() as u64
}

/// Fails on a cell that continues in the next line, unless its column is not used, and its quotation mark is closed: one that
/// is not takes the lines of other images into the cell. `written` is the record as the file has it.
fn check_line_breaks(
    record: &StringRecord,
    written: &str,
    separator: u8,
    columns: &Columns,
) -> Result<(), String> {
    let is_broken = |column: usize| record.get(column).is_some_and(|cell| cell.contains('\n'));
    let is_one_line = !written.trim().contains('\n');
    if is_one_line || !columns.used().any(is_broken) && is_well_quoted(written, separator) {
        return Ok(());
    }
    Err("a cell continues in the next line; write it in one line, or close its quotation mark".to_owned())
}

/// Whether each quotation mark seems to open a cell, or to close it.
fn is_well_quoted(written: &str, separator: u8) -> bool {
    let separator = char::from(separator);
    let parts: Vec<&str> = written.split('"').collect();
    let is_possible = |(index, part): (usize, &&str)| match index {
        0 => true,
        // After a mark that closes a cell; nothing is between the two marks that are one of the text.
        _ if index.is_multiple_of(2) => {
            let rest = part.trim_matches([' ', '\r', '\n']);
            rest.is_empty() || rest.starts_with(separator)
        }
        // In a cell: a mark behind a separator would open the next one.
        _ => !part.ends_with(separator),
    };
    parts.len() % 2 == 1 && parts.iter().enumerate().all(is_possible)
}

fn read_line(record: &StringRecord, number: u64, columns: &Columns, folder: &Path) -> Result<Line, String> {
    let cell = |column: usize| record.get(column).unwrap_or_default();
    let (name, file) = match columns.image {
        ImageColumn::Path(column) => {
            let name = inside(cell(column), folder)?;
            let file = within(folder, &name)?;
            (name, file)
        }
        // `headers` replaces the identifier by the names of its files.
        ImageColumn::Header(identifier, column) if cell(column).is_empty() => {
            return Err(format!("`{}` is empty; give it, or remove the line", identifier.column()));
        }
        ImageColumn::Header(_, column) => (cell(column).to_owned(), PathBuf::new()),
    };
    let subset = columns.split.map_or(Ok(None), |column| subset(cell(column)))?;
    let patient = columns.patient.map(cell).filter(|patient| !is_missing(patient) && *patient != NA);
    let patient = patient.map(|patient| without_zero_decimals(patient).to_owned());
    let content = Content::File(ImageFile::At(file.into()));
    let image = ListedImage { subset, class: 0, name, patient, content };
    Ok(Line { number, label: cell(columns.label).to_owned(), image })
}

/// Whether a cell has no value: it is empty, or has what programs write for a missing value. [`NA`] may also be the name of a
/// class.
fn is_missing(cell: &str) -> bool {
    ["", "nan", "<na>", "n/a", "null"].iter().any(|missing| cell.eq_ignore_ascii_case(missing))
}

/// Lines that are left out, and those whose label may be a missing one: their number, and the first of them.
#[derive(Default)]
struct LeftOut {
    without_label: Option<(usize, u64)>,
    labelled_na: Option<(usize, u64)>,
    several_labels: Option<(usize, u64, String)>,
}

impl LeftOut {
    /// Whether the line is left out.
    fn takes(&mut self, line: &Line) -> bool {
        if is_missing(&line.label) {
            self.without_label.get_or_insert((0, line.number)).0 += 1;
        } else if line.label.contains(['|', ';']) {
            self.several_labels.get_or_insert((0, line.number, line.label.clone())).0 += 1;
        } else {
            if line.label == NA {
                self.labelled_na.get_or_insert((0, line.number)).0 += 1;
            }
            return false;
        }
        true
    }

    fn notes(&self) -> Vec<String> {
        let without = self.without_label.map(|(n, line)| {
            format!(
                "left out {n} line(s) without a label, the first is line {line}: its label is empty or NaN"
            )
        });
        let labelled_na = self.labelled_na.map(|(n, line)| {
            format!(
                "{n} line(s) have the label `{NA}`, the first is line {line}; {NA} is read as the name of a class: if their label is \
                 missing, empty these cells, and the lines are left out"
            )
        });
        let several = self.several_labels.as_ref().map(|(n, line, label)| {
            format!(
                "left out {n} line(s) with several labels, the first is line {line}: `{label}`; keep one label for each \
                 image"
            )
        });
        [without, labelled_na, several].into_iter().flatten().collect()
    }
}

/// The text for a line that cannot be read.
fn describe_error(error: &csv::Error, text: &str, separator: u8) -> String {
    let csv::ErrorKind::UnequalLengths { pos: Some(pos), expected_len, len } = error.kind() else {
        return error.to_string();
    };
    let line = text.get(pos.byte() as usize..).and_then(|rest| rest.trim_start().lines().next());
    let has_open_quote = line.is_some_and(|line| line.matches('"').count() % 2 == 1);
    let remedy = if has_open_quote {
        "close its quotation mark, or remove it"
    } else if len < expected_len {
        "add the missing cells"
    } else if line.is_some_and(|line| has_blank_before_quote(line, separator)) {
        "remove the blank before the quotation mark"
    } else {
        "put cells that contain a separator in quotation marks"
    };
    let cells = if *len == 1 { "1 cell".to_owned() } else { format!("{len} cells") };
    format!("line {}: it has {cells}, the header has {expected_len}; {remedy}", line_number(pos, text))
}

/// Whether a cell has a blank before its quotation mark, so that the reader does not see where the cell ends.
fn has_blank_before_quote(line: &str, separator: u8) -> bool {
    let mut cells = line.split(char::from(separator));
    cells.any(|cell| !cell.starts_with('"') && cell.trim_start().starts_with('"'))
}

fn subset(cell: &str) -> Result<Option<Subset>, String> {
    if cell.is_empty() {
        return Ok(None);
    }
    let found = subset_of(cell);
    found.map(Some).ok_or_else(|| format!("unknown split `{cell}`; expected train, val or test"))
}

/// The path inside `folder` with `/` as its separator; it may only lead downwards. An absolute path may lead into the folder.
fn inside(cell: &str, folder: &Path) -> Result<String, String> {
    if cell.is_empty() {
        return Err("the path is empty; give one, or remove the line".to_owned());
    }
    if cell.contains('\0') {
        return Err("the path contains a zero byte".to_owned());
    }
    let relative = relative_to(Path::new(cell), folder);
    // Windows separators.
    let cell = relative.unwrap_or_else(|| cell.to_owned()).replace('\\', "/");
    let mut parts = Vec::new();
    for component in Path::new(&cell).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::CurDir => {}
            _ => {
                return Err(format!(
                    "`{cell}` leaves the folder of the file; give a path inside that folder, without `..`"
                ));
            }
        }
    }
    if parts.is_empty() || parts[0].ends_with(':') {
        return Err(format!("`{cell}` is not a path relative to the file"));
    }
    Ok(parts.join("/"))
}

/// What follows `folder` in an absolute path.
fn relative_to(path: &Path, folder: &Path) -> Option<String> {
    if !path.is_absolute() {
        return None;
    }
    let folders = [std::path::absolute(folder).ok(), folder.canonicalize().ok()];
    let inside = folders.iter().flatten().find_map(|folder| path.strip_prefix(folder).ok())?;
    Some(inside.to_string_lossy().into_owned())
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
