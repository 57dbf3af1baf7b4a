//! The flags of `roentgen serve`.

use std::path::PathBuf;

use clap::Args;

use crate::config::TrainConfig;
use crate::serve::ServeRequest;

const EXAMPLES: &str = "\
Examples:
  # the models in the folder runs
  roentgen serve
  # one model, at the same address each time
  roentgen serve runs/a --port 8080";

/// Flags of `serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArgs {
    /// A folder of run folders, or one of them
    #[arg(default_value = "runs")]
    runs: PathBuf,
    /// Images may be chosen from folders below this one
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,
    /// Port to listen on, for this machine alone [default: any that is free]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Open no browser
    #[arg(long)]
    no_open: bool,
    /// Number of threads of all predictions together [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl ServeArgs {
    pub(super) fn request(&self) -> ServeRequest {
        let threads = self.threads.map_or_else(|| TrainConfig::default().threads(), usize::from);
        let (runs, root) = (self.runs.clone(), self.root.clone());
        ServeRequest { runs, root, port: self.port, threads, opens: !self.no_open }
    }
}
