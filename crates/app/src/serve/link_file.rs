//! The link in a file that only its owner may read, for the browser to open: what a program is started with, all users of the machine
//! can list.
//!
//! It is in a private folder beside the runs, and not in that for temporary files, which browsers in a sandbox cannot read.

use std::io;
use std::path::{Path, PathBuf};

use maud::{DOCTYPE, PreEscaped, html};
use roentgen_data::disk;

/// What the folder begins with.
const PREFIX: &str = ".link-";
const FILE: &str = "open.html";

/// See the module; removed when dropped.
#[derive(Debug)]
pub(super) struct LinkFile {
    folder: PathBuf,
}

impl LinkFile {
    /// For a link, in a folder that is made in `runs`; `id` is no other server's.
    ///
    /// # Errors
    /// That of the operating system.
    pub(super) fn new(runs: &Path, link: &str, id: &str) -> io::Result<Self> {
        let made = Self { folder: runs.canonicalize()?.join(format!("{PREFIX}{id}")) };
        disk::create_private_folder(&made.folder)?;
        let page = page_to(link).into_string();
        disk::write_private(&made.folder, &made.path(), page.as_bytes())?;
        Ok(made)
    }

    /// The file.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }
}

impl Drop for LinkFile {
    fn drop(&mut self) {
        // The token in it is worth nothing any more.
        drop(disk::remove_folder(&self.folder));
    }
}

/// A page that leads to an address at once, without a script.
pub(super) fn page_to(address: &str) -> PreEscaped<String> {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content=(format!("0; url={address}"));
                title { "Roentgen" }
                // Without one, a browser asks for a file that is not there.
                link rel="icon" href="/static/icon.svg";
            }
            body { a href=(address) { "Go on to Roentgen" } }
        }
    }
}
