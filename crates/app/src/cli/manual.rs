//! `roentgen man`: the manual page, or a page for each command as files.

use std::path::Path;

use clap::Command;
use clap_mangen::Man;
use roentgen_data::disk;

use crate::error::AppError;
use crate::run_dir::error::WriteError;
use crate::run_dir::output_file::OutputFile;
use crate::terminal::standard_output;

/// What every page begins with.
const MARK: &[u8] = b".TH roentgen";

/// Prints the page of the program, or writes all pages into the folder `out`.
///
/// # Errors
/// As [`OutputFile::write`].
pub(super) fn run(command: Command, out: Option<&Path>, force: bool) -> Result<(), AppError> {
    match out {
        None => standard_output::print(String::from_utf8_lossy(&rendered(&Man::new(command))).trim_end()),
        Some(folder) => {
            disk::create_folders(folder).map_err(|source| WriteError { path: folder.into(), source })?;
            let mut command = command.disable_help_subcommand(true);
            command.build();
            write_pages(&command, folder, force)?;
        }
    }
    Ok(())
}

/// Writes the page of a command, and those of the commands below it.
fn write_pages(command: &Command, folder: &Path, force: bool) -> Result<(), AppError> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        write_pages(below, folder, force)?;
    }
    let page = Man::new(command.clone());
    let path = folder.join(page.get_filename());
    Ok(OutputFile { path: &path, inputs: &[], mark: MARK, force }.write(&rendered(&page))?)
}

fn rendered(page: &Man) -> Vec<u8> {
    let mut text = Vec::new();
    page.render(&mut text).expect("written to memory");
    text
}
