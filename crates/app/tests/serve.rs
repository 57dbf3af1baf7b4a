//! The server as a program: it prints its link, answers who has it, and ends with a signal.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::program::{refuses, train};

/// The answer to a request, with its head.
fn ask(port: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_link_opens_the_page_until_a_signal() {
    let folder = TempDir::new().unwrap();
    train(&["--films", "24", "--out", "runs/a"], folder.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
    command.args(["serve", "--no-open", "--threads", "1"]).current_dir(folder.path());
    let mut server = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut link = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut link).unwrap();
    let (address, token) = link.trim().split_once("/?token=").expect("a link");
    let (_, port) = address.rsplit_once(':').unwrap();

    assert!(ask(port, "GET /healthz").ends_with("ok"));
    assert!(ask(port, "GET /").starts_with("HTTP/1.1 401"));
    assert!(ask(port, &format!("GET /?token={token}x")).starts_with("HTTP/1.1 401"));
    let opened = ask(port, &format!("GET /?token={token}"));
    assert!(opened.starts_with("HTTP/1.1 303") && opened.contains("HttpOnly; SameSite=Strict"), "{opened}");

    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    assert!(TcpStream::connect(format!("127.0.0.1:{port}")).is_err(), "it listens no more");
}

#[test]
fn a_folder_that_is_missing_or_a_port_that_is_taken_is_named() {
    let folder = TempDir::new().unwrap();
    refuses(
        &["serve", "nosuch", "--no-open"],
        2,
        &["cannot read the runs in nosuch", "give a folder"],
        folder.path(),
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let args = ["serve", ".", "--no-open", "--port", &port];
    refuses(&args, 2, &["cannot serve on 127.0.0.1", "another --port"], folder.path());
}

#[test]
fn other_machines_need_a_token_of_the_user_which_is_not_printed() {
    let folder = TempDir::new().unwrap();
    let refuses = |args: &[&str], words: &[&str]| {
        refuses(&[&["serve", ".", "--no-open"], args].concat(), 2, words, folder.path());
    };
    refuses(&["--listen", "0.0.0.0"], &["--token-file"]);
    refuses(&["--token-file", "token"], &["--listen"]);
    refuses(&["--listen", "127.0.0.1", "--token-file", "nosuch"], &["nosuch"]);
    let token = "0123456789abcdef0123456789abcdef";
    std::fs::write(folder.path().join("token"), token).unwrap();
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(folder.path().join("token"), mode(0o644)).unwrap();
    refuses(&["--listen", "127.0.0.1", "--token-file", "token"], &["other users may read it", "chmod 600"]);
    std::fs::set_permissions(folder.path().join("token"), mode(0o600)).unwrap();
    refuses(&["--listen", "0.0.0.0", "--token-file", "token"], &["--host"]);

    let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
    command.args(["serve", ".", "--listen", "0.0.0.0", "--host", "films.example", "--token-file", "token"]);
    command.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut said: String = lines.next().unwrap();
    let (address, _) = said.split_once("/?token=TOKEN").expect("a link");
    let port = address.strip_prefix("http://films.example:").unwrap().to_owned();
    assert!(ask(&port, "GET /").starts_with("HTTP/1.1 401"));
    assert!(ask(&port, &format!("GET /?token={token}")).starts_with("HTTP/1.1 303"));
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    said.extend(lines);
    server.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("plain HTTP") && said.contains("can use all models"), "{said}");
    assert!(!said.contains(token), "{said}");
}
