//! Where the server listens: on this machine alone with a token of its own, or at an address and with a token of the user.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use roentgen_data::read_text_file;

use crate::error::serve::ServeError;

/// Bytes of a token of our own.
const TOKEN_BYTES: usize = 32;
/// Characters that a token of the user has at least, and at most.
const TOKEN_CHARS: std::ops::RangeInclusive<usize> = 32..=1024;
/// The names of this machine for itself.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];
/// The port that browsers leave out.
const HTTP: u16 = 80;

/// What a user needs who serves other machines.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    /// The address to listen on.
    pub address: IpAddr,
    /// The file with the token.
    pub token_file: PathBuf,
    /// Names by which browsers reach the server, besides the address.
    pub hosts: Vec<String>,
}

impl Listen {
    /// The token, and whether browsers can reach the server by any name.
    ///
    /// # Errors
    /// [`ServeError`] if the file cannot be read, or by others too; if the token is short or cannot be in a link; or if there is
    /// no name to reach the server by.
    pub(super) fn token(&self) -> Result<String, ServeError> {
        if self.address.is_unspecified() && self.hosts.is_empty() {
            return Err(ServeError::NoHost { address: self.address });
        }
        let path = &self.token_file;
        let bad = |reason: String| ServeError::BadToken { path: path.clone(), reason };
        let text = read_text_file(path, 1 << 16).map_err(|error| bad(error.to_string()))?;
        if is_open(path) {
            return Err(bad("other users may read it; `chmod 600` it".to_owned()));
        }
        let token = text.trim();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
        if !token.chars().all(is_plain) || !TOKEN_CHARS.contains(&token.len()) {
            let needed = format!("{} to {}", TOKEN_CHARS.start(), TOKEN_CHARS.end());
            return Err(bad(format!(
                "a token is {needed} letters, digits, or -_.~ (`openssl rand -hex 32`)"
            )));
        }
        Ok(token.to_owned())
    }
}

/// Whether other users may read or write a file.
#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    path.metadata().is_ok_and(|metadata| metadata.mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open(_: &Path) -> bool {
    false
}

/// A secret of random bytes, as hexadecimal digits.
pub(super) fn new_token() -> Result<String, getrandom::Error> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What browsers may send as `Host`: the names of the server, with its port; those that the user gave also without, for a reverse
/// proxy may have another one.
pub(super) fn hosts(listen: Option<&Listen>, port: u16) -> Vec<String> {
    let address = listen.map_or(Ipv4Addr::LOCALHOST.into(), |listen| listen.address);
    let mut names = vec![host(address)];
    if address.is_loopback() || address.is_unspecified() {
        names.extend(LOOPBACK.map(str::to_owned));
    }
    let given = listen.map_or(&[][..], |listen| &listen.hosts);
    let with_port = names.iter().chain(given).map(|name| format!("{name}:{port}"));
    let mut hosts: Vec<String> = with_port.chain(given.iter().cloned()).collect();
    if port == HTTP {
        hosts.extend(names);
    }
    hosts
}

/// An address as it is in a link.
pub(super) fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn listen(address: &str, token_file: PathBuf, hosts: &[&str]) -> Listen {
        let hosts = hosts.iter().map(|name| (*name).to_owned()).collect();
        Listen { address: address.parse().expect("an address"), token_file, hosts }
    }

    #[test]
    fn a_token_is_long_and_of_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("token");
        let token = |text: &str, mode: u32| {
            fs::write(&path, text).expect("a file");
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a file");
            }
            listen("192.0.2.1", path.clone(), &[]).token().map_err(|error| error.to_string())
        };
        let good = "0123456789abcdef0123456789abcdef";
        assert_eq!(token(&format!("{good}\n"), 0o600).as_deref(), Ok(good));
        for (text, mode, word) in [
            (&good[1..], 0o600, "32 to 1024"),
            ("", 0o600, "32 to 1024"),
            (&good.replace('7', ";"), 0o600, "letters, digits"),
            (&format!("{good}\n{good}"), 0o600, "letters, digits"),
            #[cfg(unix)]
            (good, 0o640, "chmod 600"),
            #[cfg(unix)]
            (good, 0o604, "chmod 600"),
        ] {
            let error = token(text, mode).expect_err(text);
            assert!(error.contains(word) && !error.contains(&good[2..]), "{error}");
        }
        fs::remove_file(&path).expect("a file");
        assert!(listen("192.0.2.1", path, &[]).token().is_err());
    }

    #[test]
    fn a_server_on_all_addresses_needs_a_name() {
        let error = listen("0.0.0.0", "token".into(), &[]).token().expect_err("no name");
        assert!(error.to_string().contains("--host"), "{error}");
    }

    #[test]
    fn hosts_are_the_address_and_the_given_names() {
        let loopback = ["127.0.0.1:8080", "127.0.0.1:8080", "localhost:8080", "[::1]:8080"];
        assert_eq!(hosts(None, 8080), loopback);
        assert!(hosts(None, 80).contains(&"localhost".to_owned()), "browsers leave out port 80");
        let given = listen("192.0.2.1", PathBuf::new(), &["films.example"]);
        let expected = ["192.0.2.1:8080", "films.example:8080", "films.example"];
        assert_eq!(hosts(Some(&given), 8080), expected);
        assert_eq!(hosts(Some(&listen("2001:db8::1", PathBuf::new(), &[])), 80)[1], "[2001:db8::1]");
    }
}
