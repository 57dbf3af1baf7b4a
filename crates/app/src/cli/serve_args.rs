//! The flags of `roentgen serve`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use crate::config::TrainConfig;
use crate::serve::ServeRequest;
use crate::serve::access::Listen;

/// Where `roentgen train` puts runs, too.
const DEFAULT_RUNS: &str = "runs";

const EXAMPLES: &str = "\
Examples:
  # the models in the folder runs
  roentgen serve
  # one model, at the same address each time
  roentgen serve runs/a --port 8080
  # for other machines, with a token of your own
  openssl rand -hex 32 > token && chmod 600 token
  roentgen serve --listen 192.0.2.1 --token-file token";

/// Flags of `serve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArgs {
    /// A folder of run folders, or one of them [default: runs, which is made if it is missing]
    runs: Option<PathBuf>,
    /// Images may be chosen from folders below this one
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,
    /// Listen on this address instead of 127.0.0.1; needs --token-file
    #[arg(long, value_name = "ADDRESS", requires = "token_file")]
    listen: Option<IpAddr>,
    /// File with the token, of 32 characters or more; only its owner may read it
    #[arg(long, value_name = "FILE", requires = "listen")]
    token_file: Option<PathBuf>,
    /// A name by which browsers reach the server, besides the address of --listen; may be given several times
    #[arg(long, value_name = "NAME", requires = "listen")]
    host: Vec<String>,
    /// Port to listen on [default: any that is free]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Open no browser; with --listen none is opened
    #[arg(long)]
    no_open: bool,
    /// Number of threads of all predictions together [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl ServeArgs {
    pub(super) fn request(&self) -> ServeRequest {
        let threads = self.threads.map_or_else(|| TrainConfig::default().threads(), usize::from);
        let (runs, root) = (self.runs.clone().unwrap_or_else(|| DEFAULT_RUNS.into()), self.root.clone());
        let makes_runs = self.runs.is_none();
        let listen = self.listen.zip(self.token_file.clone()).map(|(address, token_file)| Listen {
            address,
            token_file,
            hosts: self.host.clone(),
        });
        ServeRequest { runs, makes_runs, root, listen, port: self.port, threads, opens: !self.no_open }
    }
}
