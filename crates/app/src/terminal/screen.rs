//! Output of a command: lines, tables and progress bars, or nothing.

use std::borrow::Cow;
use std::io::{Write, stderr};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use roentgen_data::Stage;

use super::foreign_text::{printable, printable_json};
use super::progress_lines::ProgressLines;
use super::standard_output;

/// Columns of a line if the output is not a terminal.
const DEFAULT_WIDTH: usize = 100;
/// Columns of the labels on the left; the longest is `duplicates`.
const LABEL_WIDTH: usize = 10;
/// Names that a sentence lists at most.
const MAX_NAMED: usize = 12;
/// Columns to the left of everything that belongs to a label.
pub(crate) const INDENT: usize = LABEL_WIDTH + 1;

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Out,
    Err,
    Nothing,
}

/// The screen of one command; clones share it. Bars show on the error output, and only if that is a terminal.
#[derive(Clone, Debug)]
pub struct Screen {
    target: Target,
    bars: MultiProgress,
    json: bool,
    /// How far the bars are, for another program.
    progress_lines: Option<ProgressLines>,
}

impl Screen {
    /// Shows nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(true, false)
    }

    /// Shows lines on the standard output, and progress bars on the error output if that is a terminal.
    #[must_use]
    pub fn terminal() -> Self {
        Self::new(false, false)
    }

    /// `quiet` shows nothing; `json` keeps the standard output free for the one object of [`Screen::result`].
    #[must_use]
    pub(crate) fn new(quiet: bool, json: bool) -> Self {
        let target = match (quiet, json) {
            (true, _) => Target::Nothing,
            (false, true) => Target::Err,
            (false, false) => Target::Out,
        };
        let draw = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Self { target, bars: MultiProgress::with_draw_target(draw), json, progress_lines: None }
    }

    /// The same, which also writes [lines](super::progress_lines) of how far the bars are.
    #[must_use]
    pub(crate) fn with_progress_lines(self) -> Self {
        Self { progress_lines: Some(ProgressLines::start()), ..self }
    }

    /// Columns of the terminal.
    #[must_use]
    pub(crate) fn width(&self) -> usize {
        let terminal = match self.target {
            Target::Err => console::Term::stderr(),
            Target::Out | Target::Nothing => console::Term::stdout(),
        };
        columns(&terminal).unwrap_or(DEFAULT_WIDTH)
    }

    /// Shows a line as it is, above the bars.
    pub(crate) fn line(&self, text: &str) {
        self.bars.suspend(|| match self.target {
            Target::Out => standard_output::print(text),
            // Where errors cannot be shown, neither can this one.
            Target::Err => _ = writeln!(stderr(), "{text}"),
            Target::Nothing => {}
        });
    }

    /// Shows the lines of a [`table`], indented.
    pub(crate) fn indented(&self, lines: &[String]) {
        lines.iter().for_each(|line| self.line(&format!("  {line}")));
    }

    /// Shows `text` behind a label, wrapped to the terminal.
    pub(crate) fn field(&self, label: &str, text: &str) {
        for (label, line) in labelled(label, text, self.width()) {
            self.line(&format!("{} {line}", self.bold(&label)));
        }
    }

    /// Shows `text` behind a label on the error output, wrapped if that is a terminal: for commands whose output is data.
    pub(crate) fn note(&self, label: &str, text: &str) {
        if self.target != Target::Nothing {
            let width = columns(&console::Term::stderr()).unwrap_or(usize::MAX);
            self.bars.suspend(|| {
                for (label, line) in labelled(label, text, width) {
                    let _ = writeln!(stderr(), "{label} {line}");
                }
            });
        }
    }

    /// `text` in bold, if the terminal supports it.
    #[must_use]
    pub(crate) fn bold<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let styled = match self.target {
            Target::Out => console::style(text),
            Target::Err => console::style(text).for_stderr(),
            Target::Nothing => return text.into(),
        };
        styled.bold().to_string().into()
    }

    /// Prints the result of a command as one JSON object, with `--json`.
    pub(crate) fn result(&self, figures: &impl serde::Serialize) {
        if self.json {
            let text = serde_json::to_string_pretty(figures).expect("figures are plain numbers and names");
            standard_output::print(&printable_json(&text));
        }
    }

    /// A bar over `total` steps; `set_prefix` and `set_message` set its text.
    #[must_use]
    pub(crate) fn bar(&self, total: usize) -> ProgressBar {
        let style = ProgressStyle::with_template("{prefix} {wide_bar} {msg}").expect("a valid template");
        let bar = ProgressBar::new(total as u64).with_style(style.progress_chars("━╸─"));
        let bar = self.bars.add(bar);
        if let Some(lines) = &self.progress_lines {
            lines.follow(&bar);
        }
        bar
    }

    /// A bar that follows the loading of data.
    #[must_use]
    pub(crate) fn loading(&self) -> Loading {
        let bar = self.bar(0);
        bar.set_prefix("reading");
        Loading { bar }
    }
}

/// The bar of a data set that is being loaded; removed when dropped.
#[derive(Debug)]
pub(crate) struct Loading {
    bar: ProgressBar,
}

impl roentgen_data::Progress for Loading {
    fn report(&self, stage: Stage, done: usize, total: usize) {
        // A new stage begins.
        if done == 0 || self.bar.length() != Some(total as u64) {
            self.bar.set_length(total as u64);
            self.bar.set_position(0);
            self.bar.set_prefix(match stage {
                Stage::Decoding => "reading",
                Stage::Comparing => "comparing",
                Stage::Drawing => "drawing",
                Stage::Writing => "writing",
            });
        }
        // Threads report out of order.
        if done as u64 > self.bar.position() {
            self.bar.set_position(done as u64);
            self.bar.set_message(format!("{done} of {total}"));
        }
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Columns of `terminal`; none if it is a file or a pipe.
fn columns(terminal: &console::Term) -> Option<usize> {
    terminal.size_checked().map(|(_, columns)| usize::from(columns).max(20))
}

/// The lines of `text` in `width` columns, each with what is to the left of it: at the first one, the label.
fn labelled(label: &str, text: &str, width: usize) -> Vec<(String, String)> {
    let lines = wrap(&printable(text), width.saturating_sub(INDENT).max(20));
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    labels.map(|label| format!("{label:<LABEL_WIDTH$}")).zip(lines).collect()
}

/// Breaks a text at spaces into lines of at most `width` characters; longer words stay whole, and numbers before a percent sign
/// with it.
#[must_use]
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let breaks = text.match_indices(' ').map(|(at, _)| at).filter(|at| !text[at + 1..].starts_with('%'));
    let (mut lines, mut start) = (vec![String::new()], 0);
    for end in breaks.chain([text.len()]) {
        let word = &text[start..end];
        start = end + 1;
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if console::measure_text_width(line) + 1 + console::measure_text_width(word) <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Lines of a table: the first column to the left, the others to the right, two spaces between.
#[must_use]
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let printable = |row: &Vec<String>| row.iter().map(|cell| printable(cell)).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(printable).collect();
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width_of = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| console::measure_text_width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..n_columns).map(width_of).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            let padding = " ".repeat(width - console::measure_text_width(cell));
            if column == 0 { format!("{cell}{padding}") } else { format!("{padding}{cell}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A number of things: `1 file`, `2 files`.
#[must_use]
pub(crate) fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// The words that follow a number of things: `of_one` after 1, otherwise `of_many`.
#[must_use]
pub(crate) fn by_number(number: usize, of_one: &'static str, of_many: &'static str) -> &'static str {
    if number == 1 { of_one } else { of_many }
}

/// The first names of a list.
#[must_use]
pub(crate) fn listed(names: &[String]) -> String {
    let more = if names.len() > MAX_NAMED { ", ..." } else { "" };
    names[..names.len().min(MAX_NAMED)].join(", ") + more
}

/// A number of bytes, in MiB or GiB.
#[must_use]
pub(crate) fn mebibytes(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 10_240.0 { format!("{mib:.0} MiB") } else { format!("{:.0} GiB", mib / 1024.0) }
}

/// 6573120 as `6,573,120`.
#[must_use]
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    groups.iter().map(|group| String::from_utf8_lossy(group)).collect::<Vec<_>>().join(",")
}

/// A duration as one reads it: `8.4 s`, `42 s`, `3:07 min`, `2:05 h`.
#[must_use]
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{}:{:02} min", whole / 60, whole % 60),
        _ => format!("{}:{:02} h", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_at_spaces() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable word", 4), ["unbreakable", "word"]);
        assert_eq!(wrap("20.0 % to 35.3 %", 14), ["20.0 % to", "35.3 %"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn the_lines_after_the_first_are_below_the_text_behind_the_label() {
        let lines = labelled("note", "one two three four five", 31);
        let expected = [("note      ", "one two three four"), ("          ", "five")];
        assert_eq!(lines, expected.map(|(label, line)| (label.to_owned(), line.to_owned())));
        assert_eq!(labelled("note", "one two three four five", usize::MAX).len(), 1);
    }

    #[test]
    fn tables_align_their_columns() {
        let row = |cells: &[&str]| cells.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>();
        let lines = table(&[row(&["", "n"]), row(&["Größe", "12"]), row(&["b"])]);
        assert_eq!(lines, ["        n", "Größe  12", "b"]);
    }

    #[test]
    fn durations_are_rounded_by_their_size() {
        let shown = |seconds| duration(Duration::from_secs_f64(seconds));
        assert_eq!(
            [shown(0.04), shown(59.4), shown(59.6), shown(3_725.0)],
            ["0.0 s", "59 s", "1:00 min", "1:02 h"]
        );
    }
}
