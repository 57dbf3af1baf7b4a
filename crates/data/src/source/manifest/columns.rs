//! Which column of a table has what: by usual names, in any case and with any separators, or by the name that is given.

use csv::StringRecord;

use crate::identifier::Identifier;
use crate::options::ColumnNames;
use crate::source::set_names::subset_of;

/// The expected first line.
pub(super) const HEADER: &str = "path,label[,split][,patient]";
/// Most characters of a wrong header in an error.
const MAX_SHOWN: usize = 100;

/// What a column has.
struct Role {
    /// The flag that names the column has it, too.
    name: &'static str,
    /// Usual names, in lower case and without separators.
    usual: &'static [&'static str],
}

const PATH: Role = Role { name: "path", usual: &["path", "image", "file", "filename", "filepath"] };
const LABEL: Role = Role { name: "label", usual: &["label", "class", "target", "finding"] };
const SPLIT: Role = Role { name: "split", usual: &["split", "set", "subset", "partition", "fold"] };
const PATIENT: Role =
    Role { name: "patient", usual: &["patient", "patientid", "subject", "subjectid", "case"] };

/// The column that says which image a line means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ImageColumn {
    /// Its path.
    Path(usize),
    /// An identifier in the headers of DICOM files.
    Header(Identifier, usize),
}

impl ImageColumn {
    fn index(self) -> usize {
        match self {
            Self::Path(index) | Self::Header(_, index) => index,
        }
    }
}

/// The index of each column.
pub(super) struct Columns {
    pub(super) image: ImageColumn,
    pub(super) label: usize,
    pub(super) split: Option<usize>,
    pub(super) patient: Option<usize>,
    /// Names of the other columns.
    unused: Vec<String>,
}

impl Columns {
    /// Finds the columns in the first line; `records` are the other lines.
    pub(super) fn find(
        header: &StringRecord,
        names: &ColumnNames,
        records: impl Iterator<Item = StringRecord>,
    ) -> Result<Self, String> {
        let needed = |role: &Role, given: Option<&String>| {
            column(header, role, given)?.ok_or_else(|| {
                let found: String =
                    header.iter().collect::<Vec<_>>().join(",").chars().take(MAX_SHOWN).collect();
                format!(
                    "line 1 has no column `{}`: expected the header {HEADER}, or the name of the column with \
                     --{}-column; found {found}",
                    role.name, role.name
                )
            })
        };
        let image = match (column(header, &PATH, names.path.as_ref())?, header_column(header)) {
            (Some(given), _) => match identifier(&header[given]) {
                Some(identifier) => ImageColumn::Header(identifier, given),
                None => ImageColumn::Path(given),
            },
            (None, Some((identifier, index))) => ImageColumn::Header(identifier, index),
            (None, None) => ImageColumn::Path(needed(&PATH, None)?),
        };
        let label = needed(&LABEL, names.label.as_ref())?;
        let split = column(header, &SPLIT, names.split.as_ref())?
            .filter(|&column| names.split.is_some() || !has_only_numbers(records, column));
        // A patient that the headers name needs no column.
        let patient =
            column(header, &PATIENT, names.patient.as_ref())?.filter(|&column| column != image.index());
        let used = [Some(image.index()), Some(label), split, patient];
        let is_unused = |&(index, _): &(usize, &str)| !used.contains(&Some(index));
        let name = |(index, name): (usize, &str)| match name {
            "" => format!("column {}", index + 1),
            _ => format!("`{name}`"),
        };
        let unused = header.iter().enumerate().filter(is_unused).map(name).collect();
        Ok(Self { image, label, split, patient, unused })
    }

    /// The index of each column that is used.
    pub(super) fn used(&self) -> impl Iterator<Item = usize> {
        [Some(self.image.index()), Some(self.label), self.split, self.patient].into_iter().flatten()
    }

    /// Names the columns that are not used.
    pub(super) fn unused_note(&self) -> Option<String> {
        let columns = if self.unused.len() == 1 { "a column is" } else { "columns are" };
        (!self.unused.is_empty()).then(|| {
            format!(
                "{columns} not used: {}; if one has the sets or the patients, name it with --split-column or --patient-column",
                self.unused.join(", ")
            )
        })
    }
}

/// The column that has `role`: the one that is `given`, else the one with a usual name.
fn column(header: &StringRecord, role: &Role, given: Option<&String>) -> Result<Option<usize>, String> {
    if let Some(given) = given {
        let exact = header.iter().position(|name| name == given);
        let alike = || header.iter().position(|name| plain(name) == plain(given));
        return exact.or_else(alike).map(Some).ok_or_else(|| {
            let found = header.iter().collect::<Vec<_>>().join(", ");
            format!("line 1 has no column `{given}`, which --{}-column names; it has {found}", role.name)
        });
    }
    let fits = |(_, name): &(usize, &str)| role.usual.contains(&plain(name).as_str());
    let mut fitting = header.iter().enumerate().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some((_, first)), Some((_, second))) if first == second => {
            Err(format!("line 1 has the column `{first}` twice; keep one"))
        }
        (Some((_, first)), Some((_, second))) => Err(format!(
            "line 1 has two columns for the {}, `{first}` and `{second}`; choose one with --{}-column",
            role.name, role.name
        )),
        (first, _) => Ok(first.map(|(index, _)| index)),
    }
}

/// The identifier in headers that a column of this name has.
fn identifier(name: &str) -> Option<Identifier> {
    Identifier::ALL.into_iter().find(|identifier| plain(name) == plain(identifier.column()))
}

/// A column of identifiers in headers, the most specific one.
fn header_column(header: &StringRecord) -> Option<(Identifier, usize)> {
    Identifier::ALL.into_iter().find_map(|identifier| {
        let index = header.iter().position(|name| plain(name) == plain(identifier.column()))?;
        Some((identifier, index))
    })
}

/// In lower case, without separators.
fn plain(name: &str) -> String {
    name.chars()
        .filter(|letter| !letter.is_whitespace() && !matches!(letter, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Whether a column numbers folds instead of naming sets; reads no further than to a cell that is no number.
fn has_only_numbers(records: impl Iterator<Item = StringRecord>, column: usize) -> bool {
    let cells = records.filter_map(|record| record.get(column).map(str::to_owned));
    let mut cells = cells.filter(|cell| !cell.is_empty()).peekable();
    let is_number = |cell: String| subset_of(&cell).is_none() && cell.parse::<f64>().is_ok();
    cells.peek().is_some() && cells.all(is_number)
}
